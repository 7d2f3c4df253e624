"""How fast words are learned: `python tests/benchmarks/bench_inversion.py [--device cpu]`.

Prints JSON. Reference: one class after the other as in published programs: the picture goes
through the VAE and the prompt through the tokenizer at every step, the whole token table is
optimised, and all rows but the new one are put back. Ours: all classes in one batch, posteriors
encoded once (counted), only the new rows optimised. Same pictures per step and class.

On a GPU: `python tests/benchmarks/bench_inversion.py --model sd-size --device cuda:0`, a model of
Stable Diffusion 1.x's size with random weights at 512 pixels, both ways under bfloat16 autocast.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext

from engine_bench import (
    add_model_option,
    compare,
    load_wanted,
    on_one_thread,
    over_the_best,
    ratio,
    sample_pictures,
    serve,
    show,
    with_torch_defaults,
)

from dafusion_core.domain.inputs import ConceptInput, ImageInput
from dafusion_core.domain.records import JobUnit, UnitState
from dafusion_core.domain.specs import InversionSpec
from dafusion_core.engine import images, objective, splice, templates, tokens
from dafusion_core.engine.learning import add_gradients, draw_step, prompt_ids
from dafusion_core.engine.torch_setup import torch
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods.invert import group_size, prepare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    add_model_option(parser)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--pictures", type=int, default=4, help="per class")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    torch.set_num_threads(wanted.threads)
    model, _ = load_wanted(wanted.model, wanted.device, torch.float32)
    spec = InversionSpec(split_id=1, steps=wanted.steps)
    every = [path for paths in sample_pictures().values() for path in paths]
    context = NullContext(scratch=every[0].parent, root=every[0].parent)
    concepts = []
    for number in range(wanted.classes):
        own = every[number :: wanted.classes][: wanted.pictures]
        pictures = tuple(ImageInput(i, str(path), "", number) for i, path in enumerate(own))
        concepts.append(ConceptInput(number, f"k{number}", f"<k{number}>", "plant", pictures))

    def unit(number: int) -> JobUnit:
        return JobUnit(number, 1, number, str(number), number, UnitState.TODO, {})

    def together() -> None:
        size = group_size(model, spec)
        for start in range(0, len(concepts), size):
            group = concepts[start : start + size]
            learners = [prepare(unit(c.id), c, spec, model, context) for c in group]
            names = [name for learner in learners for name in learner.names]
            rows = torch.cat([learner.start for learner in learners])
            learning, embedding = splice.splice_tokens(model, names, rows)
            for learner in learners:
                learner.ids = prompt_ids(learning, learner.names)
            optimiser = torch.optim.AdamW([embedding.rows], lr=spec.learning_rate)
            for _ in range(wanted.steps):
                draws = [draw_step(learner, spec, learning) for learner in learners]
                add_gradients(learning, learners, draws, [embedding.rows])
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)

    def one_by_one() -> None:
        for concept in concepts:
            generator = torch.Generator().manual_seed(concept.id)
            start = tokens.initial_vector(model, concept.initialiser)[None]
            learned = tokens.add_to_model(model, {concept.placeholder: start})
            table = learned.text_encoder.get_input_embeddings()
            table.weight.requires_grad_(True)
            original = table.weight.detach().clone()
            place = learned.tokenizer.convert_tokens_to_ids(concept.placeholder)
            keep = torch.ones(len(original), dtype=torch.bool)
            keep[place] = False
            optimiser = torch.optim.AdamW(table.parameters(), lr=spec.learning_rate)
            for _ in range(wanted.steps):
                choose = torch.randint(len(concept.images), (spec.batch_size,), generator=generator)
                which = torch.randint(27, (spec.batch_size,), generator=generator)
                side = model.resolution
                pixels = torch.stack(
                    [
                        images.load_pixels(
                            context.resolve(concept.images[i].path), side, images.BICUBIC
                        )[0]
                        for i in choose.tolist()
                    ]
                ).to(model.device)
                with torch.no_grad():
                    clean = model.vae.encode(pixels).latent_dist.sample() * model.latent_factor
                noise = torch.randn_like(clean)
                times = torch.randint(model.train_timesteps, (spec.batch_size,)).to(model.device)
                prompts = [
                    templates.OBJECT_TEMPLATES[i].format(concept.placeholder)
                    for i in which.tolist()
                ]
                predicted = learned.unet(
                    objective.add_noise(model, clean, noise, times),
                    times,
                    encoder_hidden_states=tokens.encode(learned, prompts),
                ).sample
                wanted_answer = objective.target(model, clean, noise, times)
                torch.nn.functional.mse_loss(predicted, wanted_answer).backward()
                optimiser.step()
                optimiser.zero_grad()
                with torch.no_grad():
                    table.weight[keep] = original[keep]

    kind = torch.device(wanted.device).type
    with torch.autocast(kind, torch.bfloat16, enabled=wanted.model != "bundled"):
        ways = {
            "reference": one_by_one,
            "reference, one thread": on_one_thread(one_by_one),
            "ours": together,
        }
        if wanted.serve:
            serve(ways)
            return
        with with_torch_defaults() if wanted.device == "cpu" else nullcontext() as way:
            if way is not None:
                ways = {"reference, torch's own threads": way("reference"), **ways}
            measured = compare(ways, wanted.rounds, wanted.device)
    show(
        wanted.device,
        model=wanted.model,
        classes=wanted.classes,
        steps_per_class=wanted.steps,
        batch_per_class=spec.batch_size,
        seconds=measured,
        speedup=ratio(measured, "reference", "ours"),
        speedup_over_one_thread=ratio(measured, "reference, one thread", "ours"),
        speedup_over_the_best=over_the_best(measured, "ours"),
    )


if __name__ == "__main__":
    main()
