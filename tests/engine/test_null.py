"""Null tests: synthetic images that cannot help must not be said to help.

The real method, the real network code and the real verdict; only the images are planted. Slow,
because a share of experiments can only be told from many of them.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from dafusion_core.datasets.splits import make_partition
from dafusion_core.domain.inputs import EvaluationInputs, ImageInput, RunInput, TrainingInputs
from dafusion_core.domain.records import Part
from dafusion_core.domain.specs import Arm, EvaluationSpec, TrainingSpec
from dafusion_core.engine.classifiers import build_classifier
from dafusion_core.evaluation.comparison import compare_runs
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import train

from .conftest import make_unit

EXPERIMENTS = 20
SEEDS = (0, 1, 2, 3)
CLASSES, PER_CLASS, SIDE = 3, 24, 32
PLANTED = ("copies", "noise", "wrong class")


def draw(root: Path, number: int, label: int) -> None:
    """Textures that a network without training can tell apart, with some luck."""
    rng = np.random.default_rng(number)
    waves = np.sin(np.arange(SIDE) * (0.5 + 0.25 * label) + rng.uniform(0, 6))
    picture = 110 + 40 * waves[None, :, None] + rng.normal(0, 45, (SIDE, SIDE, 3))
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(root / f"{number}.png")


def plant(root: Path, kind: str, image: ImageInput, others: list[ImageInput]) -> tuple[str, ...]:
    """Two made-up synthetic images of a training image."""
    if kind == "copies":
        return (image.path, image.path)
    if kind == "wrong class":
        wrong = [other.path for other in others if other.label == (image.label + 1) % CLASSES]
        return (wrong[image.id % len(wrong)], wrong[(image.id + 1) % len(wrong)])
    names = []
    for m in range(2):
        names.append(f"noise-{image.id}-{m}.png")
        rng = np.random.default_rng(10_000 + 2 * image.id + m)
        values = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(values).save(root / names[-1])
    return tuple(names)


def experiment(root: Path, ctx: NullContext, number: int, weights: str) -> dict[str, str]:
    """Finding per planted arm of one experiment: a split, four seeds, four arms."""
    items = [(i, str(i % CLASSES), None) for i in range(CLASSES * PER_CLASS)]
    parts = make_partition(items, number, test=0.75)
    images = {
        part: [ImageInput(i, f"{i}.png", f"sha{i}", i % CLASSES) for i in parts if parts[i] is part]
        for part in (Part.TRAIN, Part.TEST)
    }
    real = images[Part.TRAIN]
    inputs = TrainingInputs(
        labels=tuple("abc"),
        train=tuple(real),
        validation=(),
        test=tuple(images[Part.TEST]),
        synthetics={
            kind: {str(image.id): plant(root, kind, image, real) for image in real}
            for kind in PLANTED
        },
    )
    arms = (Arm("real"), *(Arm(kind, alpha=0.5, generation_job=1) for kind in PLANTED))
    seeds = tuple(100 * number + seed for seed in SEEDS)
    spec = TrainingSpec(
        split_id=1, arms=arms, seeds=seeds, protocol="probe", backbone="shufflenet_v2_x0_5",
        weights=weights, resolution=SIDE, epochs=1, iterations_per_epoch=80, batch_size=16,
        learning_rate=1e-2, views=4,
    )  # fmt: skip
    units = [
        make_unit(i, f"{arm.name}/{seed}", arm=arm.name, seed=seed)
        for i, (arm, seed) in enumerate((a, s) for s in seeds for a in arms)
    ]
    ctx.results.clear()
    train.run(spec, inputs, units, ctx)
    runs = []
    for _, record in ctx.results.values():
        test = record["test"]
        runs.append(
            RunInput(
                arm=record["arm"],
                seed=record["seed"],
                image_ids=tuple(test["image_ids"]),
                truth=tuple(test["truth"]),
                probabilities=tuple(tuple(row) for row in test["probabilities"]),
                best_epoch_accuracy=0.0,
            )
        )
    verdict = compare_runs(
        EvaluationInputs(inputs.labels, tuple(runs)), EvaluationSpec(1, "real", resamples=1000)
    )
    return {arm.name: arm.finding for arm in verdict.arms}


@dataclasses.dataclass
class Light(NullContext):
    """Keeps no weights: three hundred of them would fill the disk."""

    def finish_unit(self, unit, files, record) -> None:  # type: ignore[no-untyped-def]
        self.results[unit.key] = ({}, dict(record))


@pytest.mark.slow
def test_what_cannot_help_is_not_said_to_help(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    ctx = Light(scratch=scratch, root=tmp_path)
    for number in range(CLASSES * PER_CLASS):
        draw(tmp_path, number, number % CLASSES)
    weights = tmp_path / "frozen.safetensors"
    save_file(
        {
            k: v.contiguous()
            for k, v in build_classifier("shufflenet_v2_x0_5", 2, "", 3).state_dict().items()
        },
        str(weights),
    )
    torch.manual_seed(0)
    said: dict[str, Counter[str]] = {kind: Counter() for kind in PLANTED}
    for number in range(EXPERIMENTS):
        for kind, finding in experiment(tmp_path, ctx, number, str(weights)).items():
            said[kind][finding] += 1
    # 2.5 % of 20 is half an experiment; two by bad luck happen once in 90 such tests.
    assert said["copies"]["helps"] <= 1, said
    assert said["noise"]["helps"] <= 1, said
    assert said["wrong class"]["hurts"] >= 18, said
