"""What a bundled model can do on the meadow: `python tests/benchmarks/bench_model.py --work DIR`.

Prints JSON and writes it to DIR/bench_model.json after each stage; pictures to look at lie beside
it. `--model FOLDER` judges another model than the bundled one, `--stages` some of the stages,
`--smoke` goes through everything with tiny numbers (its figures mean nothing).

vae: reconstructions recognised as often as the originals, PSNR;
names: pictures made by name recognised, also against look-alikes;
erasure: UCE and ESD, what is left of the species, what its neighbours keep;
inversion: held-out species learned from 8 and from 4 pictures, and the same without learning;
sdedit: class kept and diversity by t0; fewshot: gain of DA-Fusion over standard augmentation;
speed: seconds of its parts; demo: time and memory of `dafusion demo` (of the bundled model).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from meadow_judge import Judge, get_judge
from PIL import Image

import dafusion_core.api as df
from dafusion_core.api.chain import bundled_erasure
from dafusion_core.domain.inputs import ConceptInput, ErasureInputs, ImageInput, InversionInputs
from dafusion_core.domain.records import JobUnit, Part, UnitState
from dafusion_core.domain.specs import ErasureSpec, InversionSpec, ModelSource
from dafusion_core.engine import erasure, sampling
from dafusion_core.engine.models import DiffusionModel, shared_cache
from dafusion_core.engine.sdedit import Request, SDEdit, encode_posterior
from dafusion_core.engine.torch_setup import torch
from dafusion_core.jobs.context import NullContext
from dafusion_core.meadow import (
    HELD_OUT,
    TRAINING,
    Species,
    describe,
    draw_picture,
    look_alikes,
)
from dafusion_core.methods import erase, invert
from dafusion_core.storage.splits import add_split

ROOT = Path(__file__).resolve().parents[2]

# Fixed before any final run; a figure counts only with these.
GUIDANCE, STEPS = 4.0, 25
INVERSION = {"steps": 300, "batch_size": 4, "learning_rate": 1e-2, "vectors": 1}
NAMES = TRAINING[:16] + TRAINING[16::5]
ERASED = ("dandelion", "poppy", "fern")
ERASURES: dict[str, dict[str, Any]] = {
    "uce": {},  # as in the chain
    "esd": {
        "iterations": 150,
        "learning_rate": 3e-4,
        "train_parameters": "x",
        "guide": "plant",
        "batch_size": 4,
        "steps": 20,
    },
}
FEWSHOT = HELD_OUT[:4] + HELD_OUT[12:16]  # four species and a look-alike of each
SHOTS, SEEDS, TEST = (1, 2, 4), tuple(range(8)), 40
SHOWN_SEED, TEST_SEED = 7_000_000, 8_000_000


@dataclass
class Bench:
    """What all stages share."""

    source: ModelSource
    work: Path
    judge: Judge
    smoke: bool
    learned: dict[str, Path] = field(default_factory=dict)

    def model(self, **changes: Any) -> DiffusionModel:
        """The model, with an erasure or embeddings where they are given."""
        device = torch.device("cpu")
        return shared_cache().get(self.source, device=device, dtype=torch.float32, **changes)

    def draw(self, model: DiffusionModel, prompts: Sequence[str], seed: int) -> np.ndarray:
        """Text to image, (n, 64, 64, 3) uint8, in batches of 16."""
        parts = []
        for i in range(0, len(prompts), 16):
            part = list(prompts[i : i + 16])
            latents = sampling.generate_latents(
                model,
                part,
                [seed * 100_003 + i + k for k in range(len(part))],
                scheduler="pndm",
                steps=4 if self.smoke else STEPS,
                guidance=GUIDANCE,
            )
            with torch.inference_mode():
                parts.append(to_pixels(sampling.decode(model, latents)))
        return np.concatenate(parts)


def to_pixels(x: torch.Tensor) -> np.ndarray:
    """(n, 3, h, w) in about -1..1 -> (n, h, w, 3) uint8."""
    y = ((x.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return y.permute(0, 2, 3, 1).numpy()


def save_rows(rows: Sequence[np.ndarray], path: Path) -> None:
    """Rows of pictures as one image, twice as large."""
    sheet = Image.fromarray(np.concatenate([np.concatenate(list(r), 1) for r in rows], 0))
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.NEAREST).save(path)


def renders(species: Species, count: int, first: int) -> np.ndarray:
    """Pictures from plots of their own."""
    return np.stack([draw_picture(species, first + 8 * i).pixels for i in range(count)])


def share(found: np.ndarray, wanted: int) -> float:
    """Share of right decisions."""
    return float((found == wanted).mean())


def mean(values: Sequence[float]) -> float:
    """Mean, rounded for reading."""
    return round(float(np.mean(values)), 4)


def bench_vae(bench: Bench) -> dict[str, Any]:
    model, count = bench.model(), 2 if bench.smoke else 20
    right: dict[str, list[float]] = {"originals": [], "reconstructions": []}
    noise, rows = [], []
    for i, species in enumerate(HELD_OUT):
        pixels = renders(species, count, SHOWN_SEED)
        with torch.inference_mode():
            x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
            back = to_pixels(model.vae.decode(model.vae.encode(x).latent_dist.mean).sample)
        for name, pictures in (("originals", pixels), ("reconstructions", back)):
            right[name].append(share(bench.judge.decide(pictures, HELD_OUT), i))
        error = ((pixels.astype(float) - back) ** 2).mean((1, 2, 3))
        noise += (10 * np.log10(255**2 / error)).tolist()
        rows.append(np.stack([pixels[0], back[0], pixels[1], back[1]]))
    save_rows([np.concatenate(rows[i : i + 4]) for i in range(0, 24, 4)], bench.work / "vae.png")
    return {
        "pictures": 24 * count,
        "psnr_db": round(float(np.mean(noise)), 2),
        **{f"{name}_recognised": mean(values) for name, values in right.items()},
    }


def bench_names(bench: Bench) -> dict[str, Any]:
    model, each = bench.model(), 1 if bench.smoke else 6
    chosen = NAMES[:3] if bench.smoke else NAMES
    top, strict, rows = {}, {}, []
    for species in chosen:
        pictures = bench.draw(model, [f"a photo of a {species.name}"] * each, 1)
        competitors = list(TRAINING)
        wanted = competitors.index(species)
        top[species.name] = share(bench.judge.decide(pictures, competitors), wanted)
        rivals = [*competitors, *look_alikes(species)]
        strict[species.name] = share(bench.judge.decide(pictures, rivals), wanted)
        rows.append(pictures)
    save_rows(rows, bench.work / "names.png")
    bare = [v for k, v in top.items() if next(s for s in chosen if s.name == k).flowerless]
    return {
        "species": len(chosen),
        "each": each,
        "competing": len(TRAINING),
        "recognised": mean(list(top.values())),
        "recognised_flowerless": mean(bare) if bare else None,
        "recognised_against_look_alikes": mean(list(strict.values())),
        "by_species": top,
    }


def near(species: Species, among: Sequence[Species], count: int) -> list[Species]:
    """The species that share most attributes, most alike first."""

    def alike(other: Species) -> int:
        return sum(a == b for a, b in zip(species.genome, other.genome, strict=True))

    return sorted((s for s in among if s.name != species.name), key=alike, reverse=True)[:count]


def bench_erasure(bench: Bench) -> dict[str, Any]:
    each, result = 1 if bench.smoke else 8, {}
    for name in ERASED[: 1 if bench.smoke else 3]:
        species = next(s for s in TRAINING if s.name == name)
        around = near(species, TRAINING, 2 if bench.smoke else 10)
        group = [species, *around]

        def scores(model: DiffusionModel, group: list[Species] = group) -> list[float]:
            found = []
            for i, one in enumerate(group):
                pictures = bench.draw(model, [f"a photo of a {one.name}"] * each, 2)
                found.append(share(bench.judge.decide(pictures, group), i))
            return found

        before = scores(bench.model())
        rows: dict[str, Any] = {"before": before[0], "neighbours_before": mean(before[1:])}
        for method, fixed in ERASURES.items():
            settings = fixed or bundled_erasure((name,))
            if bench.smoke and method == "esd":
                settings = settings | {"iterations": 2}
            began = time.monotonic()
            spec = ErasureSpec(model=bench.source, method=method, concepts=(name,), **settings)
            ctx = context(bench, f"erase-{method}-{name}")
            unit = JobUnit(1, 1, 0, "model", 0, UnitState.TODO, {})
            erase.run(spec, ErasureInputs(), [unit], ctx)
            seconds = time.monotonic() - began
            files, _ = ctx.results["model"]
            path = next(p for p in files.values() if p.suffix == ".safetensors")
            after = scores(bench.model(erasure=path))
            rows[method] = {
                "left": after[0],
                "neighbours": mean(after[1:]),
                "seconds_with_check": round(seconds, 1),
            }
        result[name] = {**rows, "chance": round(1 / len(group), 3)}
    return result


def context(bench: Bench, name: str) -> NullContext:
    """A context with its own folder under the working folder."""
    scratch = bench.work / name
    scratch.mkdir(parents=True, exist_ok=True)
    return NullContext(scratch=scratch, root=bench.work)


def learn(bench: Bench, species: Sequence[Species], shots: int) -> dict[str, Path]:
    """Textual inversion of species from renders; embedding files by species name."""
    ctx = context(bench, f"invert-{shots}")
    concepts, units = {}, []
    for i, one in enumerate(species):
        pictures = []
        for k, pixels in enumerate(renders(one, shots, SHOWN_SEED)):
            path = ctx.scratch / f"{i}-{k}.png"
            Image.fromarray(pixels).save(path)
            pictures.append(ImageInput(100 * i + k, str(path.resolve()), "", i))
        concepts[str(i)] = ConceptInput(i, f"class{i}", f"<c{i}>", "plant", tuple(pictures))
        units.append(JobUnit(i + 1, 1, i, str(i), i, UnitState.TODO, {"concept_id": i}))
    settings = {**INVERSION, "steps": 2} if bench.smoke else INVERSION
    spec = InversionSpec(split_id=1, model=bench.source, **settings)
    invert.run(spec, InversionInputs(concepts), units, ctx)
    return {one.name: ctx.results[str(i)][0]["embedding"] for i, one in enumerate(species)}


def bench_inversion(bench: Bench) -> dict[str, Any]:
    chosen, each = (HELD_OUT[:2], 1) if bench.smoke else (HELD_OUT, 8)
    rivals = [*HELD_OUT, *(r for s in HELD_OUT for r in look_alikes(s))]
    result: dict[str, Any] = {"competing": len(HELD_OUT), "competing_strict": len(rivals)}

    def judged(model: DiffusionModel, prompt: Callable[[int], str], title: str) -> None:
        top, strict, rows = [], [], []
        for i in range(len(chosen)):
            pictures = bench.draw(model, [prompt(i)] * each, 3)
            top.append(share(bench.judge.decide(pictures, HELD_OUT), i))
            strict.append(share(bench.judge.decide(pictures, rivals), i))
            rows.append(pictures)
        save_rows(rows, bench.work / f"inversion-{title}.png")
        bare = [v for v, s in zip(top, chosen, strict=True) if s.flowerless]
        result[title] = {
            "recognised": mean(top),
            "recognised_flowerless": mean(bare) if bare else None,
            "against_look_alikes": mean(strict),
            "by_species": dict(zip([s.name for s in chosen], top, strict=True)),
        }

    base = bench.model()
    judged(base, lambda i: "a photo of a plant", "the word plant")
    judged(base, lambda i: f"a photo of a {near(chosen[i], TRAINING, 1)[0].name}", "nearest name")
    judged(base, lambda i: f"a photo of a {describe(chosen[i])}", "attribute sentence")
    for shots in (8, 4):
        began = time.monotonic()
        learned = learn(bench, chosen, shots)
        seconds = time.monotonic() - began
        bench.learned = learned if shots == 8 else bench.learned
        model = bench.model(embeddings=tuple(learned.values()))
        judged(model, lambda i: f"a photo of a <c{i}>", f"{shots} pictures")
        result[f"{shots} pictures"]["seconds_per_species"] = round(seconds / len(chosen), 2)
    return result


def bench_sdedit(bench: Bench) -> dict[str, Any]:
    chosen = HELD_OUT[:2] if bench.smoke else HELD_OUT
    learned = bench.learned or learn(bench, chosen, 8)
    model = bench.model(embeddings=tuple(learned.values()))
    maker = SDEdit(model, steps=4 if bench.smoke else STEPS, guidance=GUIDANCE)
    variants, result = 3, {}
    for t0 in (0.25, 0.5, 0.75, 1.0):
        kept, spread, rows = [], [], []
        for i, species in enumerate(chosen):
            original = renders(species, 1, SHOWN_SEED)
            x = torch.from_numpy(original).permute(0, 3, 1, 2).float() / 127.5 - 1
            source = encode_posterior(model, x[0])
            asked = [Request(source, f"a photo of a <c{i}>", 50 * i + k) for k in range(variants)]
            pictures = to_pixels(maker.run(asked, t0))
            kept.append(share(bench.judge.decide(pictures, HELD_OUT), i))
            spread.append(float(torch.pdist(bench.judge.embed(pictures)).mean()))
            rows.append(np.concatenate([original, pictures]))
        save_rows(rows, bench.work / f"sdedit-{t0}.png")
        result[str(t0)] = {"kept": mean(kept), "diversity": mean(spread)}
    return result


def bench_fewshot(bench: Bench) -> dict[str, Any]:
    """Whole chains in projects, as a user would run them; every run and arm is reported."""
    runs = []
    shots_list, seeds = ((1,), (0,)) if bench.smoke else (SHOTS, SEEDS)
    chosen, test = (FEWSHOT[:2], 4) if bench.smoke else (FEWSHOT, TEST)
    for seed in seeds:
        for shots in shots_list:
            with tempfile.TemporaryDirectory() as folder:
                runs.append(chain(Path(folder), bench, chosen, shots, seed, test))
                print(json.dumps(runs[-1]), flush=True)
    gains = {str(shots): [r["gain"] for r in runs if r["shots"] == shots] for shots in shots_list}
    rng = np.random.default_rng(0)
    every = np.array(list(gains.values()))  # (shots, seeds): seeds are drawn again as a whole
    drawn = every[:, rng.integers(0, every.shape[1], (10_000, every.shape[1]))].mean((0, 2))
    return {
        "runs": runs,
        "gain_by_shots": {k: mean(v) for k, v in gains.items()},
        "gain": mean(every.ravel().tolist()),
        "interval_95": np.quantile(drawn, (0.025, 0.975)).round(4).tolist(),
    }


def chain(
    folder: Path, bench: Bench, species: Sequence[Species], shots: int, seed: int, test: int
) -> dict[str, Any]:
    """One project: import, inversion, generation, training of both arms on the same test part."""
    for number, one in enumerate(species):
        place = folder / "pictures" / one.name
        place.mkdir(parents=True)
        shown = renders(one, shots, SHOWN_SEED + 100_000 * (seed + 1))
        unseen = renders(one, test, TEST_SEED + 1_000 * number)
        for part, pixels in (("train", shown), ("test", unseen)):
            for i, picture in enumerate(pixels):
                Image.fromarray(picture).save(place / f"{part}-{i:03d}.png")
    options = df.ChainOptions(
        model=bench.source,
        erase=False,
        inversion_steps=2 if bench.smoke else int(INVERSION["steps"]),
        inversion_learning_rate=float(INVERSION["learning_rate"]),
        variants=1 if bench.smoke else 10,
        t0_set=(0.25, 0.5, 0.75, 1.0),
        alpha=0.5,
        guidance=GUIDANCE,
        generation_steps=4 if bench.smoke else STEPS,
        seeds=(seed,),
        epochs=1 if bench.smoke else df.ChainOptions().epochs,
        seed=seed,
    )
    with df.create(folder / "fewshot.dafusion") as project:
        project.import_folder(folder / "pictures")
        parts = {
            image.id: Part(Path(image.original_path).name.split("-")[0])
            for image in project.images()
        }
        add_split(project.file.db, "Split 1", seed, {"shots": shots}, parts)
        jobs = project.plan_chain(options)
        project.run_queue()
        states = [project.job(job.id).state.value for job in jobs]
        scores = {run.arm: accuracy(run.record["test"]) for run in project.runs()}
    if len(scores) != 2:
        raise SystemExit(f"a chain did not end: {states}")
    base, ours = scores["standard augmentation"], scores["DA-Fusion"]
    return {
        "seed": seed,
        "shots": shots,
        "standard": round(base, 4),
        "da_fusion": round(ours, 4),
        "gain": round(ours - base, 4),
    }


def accuracy(test: dict[str, Any]) -> float:
    """Share of right decisions of a training run's record; the classes are equally many."""
    found = np.array(test["probabilities"]).argmax(1)
    return float((found == np.array(test["truth"])).mean())


def bench_speed(bench: Bench) -> dict[str, Any]:
    model = bench.model()
    bench.draw(model, ["a photo of a plant"] * 2, 9)
    began = time.monotonic()
    count = 4 if bench.smoke else 16
    bench.draw(model, ["a photo of a plant"] * count, 9)
    image = (time.monotonic() - began) / count
    began = time.monotonic()
    moved, guide, kept = (
        erasure.concept_vectors(model, prompts, "all")
        for prompts in (["dandelion"], ["plant"], ["", "a photo"])
    )
    erasure.uce_weights(model.unet, erasure.uce_matrix(moved, guide, kept, 0.5))
    uce = time.monotonic() - began
    began = time.monotonic()
    learn(bench, HELD_OUT[:6], 8)
    return {
        "seconds_uce": round(uce, 3),
        "seconds_per_image_25_steps_guided": round(image, 3),
        "seconds_six_classes_inverted": round(time.monotonic() - began, 1),
        "threads": torch.get_num_threads(),
    }


def bench_demo(bench: Bench) -> dict[str, Any]:
    """`dafusion demo` in a folder of its own: always the bundled model and the sample."""
    if bench.smoke:
        return {"seconds": None, "largest_process_gb": None}
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        command = [sys.executable, "-m", "dafusion_core", "demo"]
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": paths}, check=True)
        seconds = time.monotonic() - began
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    return {"seconds": round(seconds, 1), "largest_process_gb": round(largest, 2)}


STAGES: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "vae": bench_vae,
    "names": bench_names,
    "erasure": bench_erasure,
    "inversion": bench_inversion,
    "sdedit": bench_sdedit,
    "fewshot": bench_fewshot,
    "speed": bench_speed,
    "demo": bench_demo,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="a diffusers folder; default: the bundled model")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--judge-pictures", type=int, default=12_000)
    parser.add_argument("--judge-steps", type=int, default=500)
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    if args.smoke:
        args.judge_pictures, args.judge_steps = 64, 3
    args.work.mkdir(parents=True, exist_ok=True)
    source = ModelSource("folder", str(args.model.resolve())) if args.model else ModelSource()
    judge = get_judge(args.work, args.judge_pictures, args.judge_steps)
    bench = Bench(source, args.work.resolve(), judge, args.smoke)
    path = args.work / "bench_model.json"
    report: dict[str, Any] = {}
    if path.exists() and not args.smoke:
        report = json.loads(path.read_text(encoding="utf-8"))
    report["machine"] = platform.platform()
    report["model"] = bench.model().base_hash
    count = 2 if args.smoke else 20
    right = [
        share(judge.decide(renders(s, count, TEST_SEED), HELD_OUT), i)
        for i, s in enumerate(HELD_OUT)
    ]
    report["judge_on_held_out_renders"] = mean(right)
    for stage in args.stages:
        report[stage] = STAGES[stage](bench)
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
