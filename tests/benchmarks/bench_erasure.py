"""How fast concepts are erased: `python tests/benchmarks/bench_erasure.py [--effect]`.

Prints JSON. Reference: the original ESD procedure, which samples x_t anew at every iteration,
one picture at a time, with the network that is being edited. Ours: every x_t and target from the
frozen model, in batches, before training. Both run the same iterations, with the same concept
and numbers of steps, at full network. `--per-trajectory` 10 takes so many x_t from each
trajectory. "one thread" is the original procedure with one thread per operation.
UCE: 20 concepts at once, from words to new weights.
`--effect` also erases with one and with several x_t per trajectory, and says what is left.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from engine_bench import (
    compare,
    load_bundled,
    on_one_thread,
    over_the_best,
    ratio,
    serve,
    show,
    with_torch_defaults,
)

from dafusion_core.domain.inputs import ErasureInputs
from dafusion_core.domain.records import JobUnit, UnitState
from dafusion_core.domain.specs import ErasureSpec
from dafusion_core.engine import erasure, parallel, sampling, tokens
from dafusion_core.engine.torch_setup import torch
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import erase

CONCEPT = "dandelion"
STEPS, GUIDANCE, ETA, LEARNING_RATE = 50, 3.0, 1.0, 1e-5
TWENTY = [
    "dandelion", "leafy spurge", "rough hawkbit", "common ragwort", "oak", "fern", "moss", "reed",
    "thistle", "dock", "nettle", "clover", "daisy", "yarrow", "poppy", "sorrel", "plantain",
    "vetch", "bindweed", "chicory",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--effect", action="store_true")
    parser.add_argument("--per-trajectory", type=int, default=10)
    parser.add_argument("--effect-iterations", type=int, default=100)
    parser.add_argument("--effect-seeds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    torch.set_num_threads(wanted.threads)
    model = load_bundled(wanted.device)
    side = model.resolution // model.scale
    shape = (1, model.latent_channels, side, side)
    runs = erasure._draw_runs(wanted.iterations, 1, STEPS, 1, sampling.seeded(0))
    steps_of = [run.stops[0][0] for run in runs]

    def original() -> None:
        student = copy.deepcopy(model.unet)
        student.requires_grad_(True)
        optimiser = torch.optim.Adam(student.parameters(), lr=LEARNING_RATE)
        plan = sampling.make_scheduler("ddim", model.scheduler_config)
        for count in steps_of:
            with torch.no_grad():
                text, empty = tokens.encode(model, [CONCEPT]), tokens.encode(model, [""])
                plan.set_timesteps(STEPS, device=model.device)
                x = torch.randn(shape, device=model.device)
                for t in plan.timesteps[:count]:
                    both = torch.cat([empty, text])
                    without, named = student(torch.cat([x, x]), t, both).sample.chunk(2)
                    x = plan.step(without + GUIDANCE * (named - without), t, x).prev_sample
                t = plan.timesteps[count]
                base = model.unet(x, t, empty).sample
                named = model.unet(x, t, text).sample
                target = base - ETA * (named - base)
            loss = torch.nn.functional.mse_loss(student(x, t, text).sample, target)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()

    def ours(per_trajectory: int) -> None:
        examples = erasure.esd_examples(
            model, [CONCEPT], "", count=wanted.iterations, eta=ETA, guidance=GUIDANCE,
            steps=STEPS, resolution=model.resolution, seed=0, per_trajectory=per_trajectory,
        )  # fmt: skip
        student = copy.deepcopy(model.unet)
        student.requires_grad_(True)
        optimiser = torch.optim.Adam(student.parameters(), lr=LEARNING_RATE, fused=True)
        for step in range(wanted.iterations):
            with parallel.few_threads(model, 1, side):
                erasure.esd_loss(student, erase._slice(examples, step, 1, model.device)).backward()
                optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def uce() -> None:
        concepts = erasure.concept_vectors(model, TWENTY)
        guides = erasure.concept_vectors(model, ["plant"] * len(TWENTY))
        kept = erasure.concept_vectors(model, ["grass", "stone", "a photo"])
        erasure.uce_weights(model.unet, erasure.uce_matrix(concepts, guides, kept, 0.5))

    if wanted.serve:
        serve({"original": original})
        return
    uce()
    closed = compare({"uce": uce}, 3, wanted.device)["uce"]
    ways: dict[str, Any] = {
        "original": original,
        "original, one thread": on_one_thread(original),
        "ours": lambda: ours(1),
        "ours, several per trajectory": lambda: ours(wanted.per_trajectory),
    }
    with with_torch_defaults() if wanted.device == "cpu" else nullcontext() as way:
        if way is not None:
            ways = {"original, torch's own threads": way("original"), **ways}
        measured = compare(ways, wanted.rounds, wanted.device)
    effect = {}
    if wanted.effect:
        for count in (1, wanted.per_trajectory):
            effect[f"{count} per trajectory"] = erase_and_look(
                wanted.effect_iterations, count, range(wanted.effect_seeds)
            )
    show(
        wanted.device,
        iterations=wanted.iterations,
        seconds=measured,
        speedup=ratio(measured, "original", "ours"),
        speedup_over_one_thread=ratio(measured, "original, one thread", "ours"),
        several_per_trajectory=wanted.per_trajectory,
        speedup_several=ratio(measured, "original", "ours, several per trajectory"),
        speedup_several_over_one_thread=ratio(
            measured, "original, one thread", "ours, several per trajectory"
        ),
        speedup_over_the_best={
            name: over_the_best(measured, name) for name in ways if "ours" in name
        },
        uce_of_20_concepts=closed,
        effect=effect,
    )


def erase_and_look(iterations: int, per_trajectory: int, seeds: Sequence[int]) -> dict[str, Any]:
    """Means over seeds of what an erasure leaves of the concept and does to neighbours."""
    found: list[dict[str, Any]] = []
    erase._CHECK_STEPS, erase._CHECK_PICTURES, erase._CHECK_PREDICTIONS = 2, 1, 32
    for seed in seeds:
        spec = ErasureSpec(
            method="esd", concepts=(CONCEPT,), guide="plant", per_trajectory=per_trajectory,
            preserve=("daisy", "marigold", "thistle"), seed=seed,
            iterations=iterations, learning_rate=2e-4, steps=STEPS,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            ctx = NullContext(scratch=Path(folder), root=Path(folder))
            unit = JobUnit(1, 1, 0, "model", seed, UnitState.TODO, {})
            erase.run(spec, ErasureInputs(), [unit], ctx)
            found.append(ctx.results["model"][1]["check"])
    keys = ("concept_left", "concept_prediction_change", "preserve_prediction_change")
    return {
        "iterations": iterations,
        **{key: round(sum(check[key] for check in found) / len(found), 4) for key in keys},
        "concept_left_by_seed": [round(check["concept_left"], 4) for check in found],
        "preserve_change_by_seed": [
            round(check["preserve_prediction_change"], 4) for check in found
        ],
    }


if __name__ == "__main__":
    main()
