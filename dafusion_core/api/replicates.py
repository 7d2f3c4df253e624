"""The splits of an experiment: one per number of shots and replicate (a seed, or a fold of one)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dafusion_core.datasets.splits import Item, make_partition
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.experiments import ALL_SHOTS, ExperimentSpec
from dafusion_core.domain.records import Part
from dafusion_core.language import _

__all__ = ["Replicate", "list_replicates", "make_parts"]


@dataclass(frozen=True, slots=True)
class Replicate:
    """One repetition. `number` stands in for the seed where runs are paired; it never changes
    when seeds are added."""

    number: int
    seed: int
    fold: int = 0
    group: str = ""

    @property
    def title(self) -> str:
        """For people."""
        if self.group:
            return f"seed {self.seed}, without {self.group}"
        return f"seed {self.seed}" + (f", fold {self.fold + 1}" if self.fold >= 0 else "")


def list_replicates(spec: ExperimentSpec, items: Sequence[Item]) -> list[Replicate]:
    """All repetitions in the order they run. Raises UserError when there are no groups to leave
    out."""
    if spec.splits == "folds":
        return [
            Replicate(seed * spec.folds + fold, seed, fold)
            for seed in spec.seeds
            for fold in range(spec.folds)
        ]
    if spec.splits == "groups":
        groups = sorted({str(group) for _, _, group in items if group is not None})
        if len(groups) < 2:
            raise UserError(
                _("Leaving one group out needs two groups or more; there are {number}.").format(
                    number=len(groups)
                ),
                _("Say which images belong together first (for example one group per field)."),
            )
        return [
            Replicate(seed * len(groups) + number, seed, number, group)
            for seed in spec.seeds
            for number, group in enumerate(groups)
        ]
    return [Replicate(seed, seed, -1) for seed in spec.seeds]


def make_parts(
    spec: ExperimentSpec, replicate: Replicate, shots: int, items: Sequence[Item]
) -> dict[int, Part]:
    """The part of every image. More shots of one replicate contain the fewer ones.

    Raises UserError naming the class that would have no training image.
    """
    if spec.splits == "per seed":
        return make_partition(items, replicate.seed, spec.test, spec.validation, shots or None)
    if spec.splits == "fixed":
        parts = make_partition(items, spec.split_seed, spec.test, spec.validation)
    else:
        if spec.splits == "folds":
            tested = _fold(items, replicate, spec.folds)
        else:
            tested = {image for image, _, group in items if str(group) == replicate.group}
        rest = [item for item in items if item[0] not in tested]
        parts = dict.fromkeys((image for image, _, _ in rest), Part.TRAIN)
        if spec.validation > 0:
            inner = make_partition(rest, replicate.seed, spec.validation)
            parts = {
                image: Part.VALIDATION if part is Part.TEST else Part.TRAIN
                for image, part in inner.items()
            }
        parts.update(dict.fromkeys(tested, Part.TEST))
    _check_training(items, parts, replicate)
    if shots != ALL_SHOTS:
        for images in _training(items, parts, replicate.seed):
            parts.update(dict.fromkeys(images[shots:], Part.UNUSED))
    return parts


def _training(items: Sequence[Item], parts: dict[int, Part], seed: int) -> Iterator[list[int]]:
    """The training images of each class, shuffled by the seed."""
    rng = np.random.default_rng(seed)
    for label in sorted({item[1] for item in items}):
        mine = sorted(i for i, name, _ in items if name == label and parts[i] is Part.TRAIN)
        yield [mine[place] for place in rng.permutation(len(mine))]


def _fold(items: Sequence[Item], replicate: Replicate, folds: int) -> set[int]:
    """Images of one fold: groups stay whole, classes are dealt evenly."""
    rng = np.random.default_rng(replicate.seed)
    members: dict[object, list[Item]] = {}
    for item in sorted(items, key=lambda item: item[0]):
        key = ("alone", item[0]) if item[2] is None else ("group", item[2])
        members.setdefault(key, []).append(item)
    units = list(members.values())
    units = [units[i] for i in rng.permutation(len(units))]
    # Large groups first; then class by class, so that the folds differ by one image at most.
    units.sort(key=lambda unit: (-len(unit), unit[0][1]))
    load: list[dict[str, int]] = [{} for _ in range(folds)]
    sizes = [0] * folds
    mine: set[int] = set()
    for unit in units:
        labels = [label for _, label, _ in unit]
        best = min(range(folds), key=lambda f: (sum(load[f].get(c, 0) for c in labels), sizes[f]))
        sizes[best] += len(unit)
        for label in labels:
            load[best][label] = load[best].get(label, 0) + 1
        if best == replicate.fold:
            mine.update(image for image, _, _ in unit)
    return mine


def _check_training(items: Sequence[Item], parts: dict[int, Part], replicate: Replicate) -> None:
    labels = {label for _, label, _ in items}
    trained = {label for image, label, _ in items if parts[image] is Part.TRAIN}
    if missing := sorted(labels - trained):
        raise UserError(
            _("In the split of {title} class “{missing}” has no training image.").format(
                title=replicate.title, missing=missing[0]
            ),
            _("Add images of it, use fewer folds, or leave the class out."),
        )
    if Part.TEST not in parts.values():
        raise UserError(
            _("The split of {title} has no test image.").format(title=replicate.title),
            _("Use fewer folds."),
        )
