"""Divide images into train, validation and test, class by class, without tearing groups apart.

The rule without groups is the one of the DA-Fusion programs: one numpy generator, classes in
sorted order, one permutation per class; the first images of the permutation train. Images are
taken in the order of their ids before that, so the result depends on nothing but ids, labels,
groups and the seed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Part
from dafusion_core.language import _

__all__ = ["Item", "make_partition"]

#: image id, label name, and a group (images of one plant, patient, day …) or None.
Item = tuple[int, str, Hashable | None]

_TRAIN, _VALIDATION, _TEST = range(3)
_PARTS = (Part.TRAIN, Part.VALIDATION, Part.TEST)
_MISSING = 1e6  # cost of a class without a train or test image; far above any imbalance
_RESTARTS = 20
# Improving an assignment looks at every pair of groups, which is only affordable for few.
_SEARCH_LIMIT = 60


def make_partition(
    items: Sequence[Item],
    seed: int,
    test: float = 0.5,
    validation: float = 0.0,
    shots: int | None = None,
) -> dict[int, Part]:
    """The part of every image, by id.

    `test` and `validation` are shares of each class (0 < test, 0 ≤ validation, together below 1),
    rounded to whole images; every class keeps at least one train and one test image. Groups stay
    whole, also when they hold several classes, so with groups the shares are met as closely as
    they allow. `shots`: train on at most this many images per class, the others are unused;
    validation and test are never cut. Raises UserError with the class and its counts when a class
    cannot be divided.
    """
    _check_request(items, test, validation, shots)
    rng = np.random.default_rng(seed)
    ids: dict[str, list[int]] = {}
    for image, label, _rest in sorted(items, key=lambda item: item[0]):
        ids.setdefault(label, []).append(image)
    orders = {
        label: [ids[label][i] for i in rng.permutation(len(ids[label]))] for label in sorted(ids)
    }
    for label, members in orders.items():
        if len(members) < 2:
            raise UserError(
                _(
                    "Class “{label}” has only {number} image; a split needs at least 2, one to "
                    "train on and one to test."
                ).format(label=label, number=len(members)),
                _("Add images to this class or leave it out."),
            )
    targets = {label: _targets(len(o), test, validation) for label, o in orders.items()}
    group_of = {image: group for image, _, group in items if group is not None}
    parts = _assign_groups(items, orders, targets, group_of, rng) if group_of else {}
    for label, order in orders.items():
        _fill(order, targets[label], parts)
    if shots is not None:
        for order in orders.values():
            training = [image for image in order if parts[image] is Part.TRAIN]
            parts.update(dict.fromkeys(training[shots:], Part.UNUSED))
    return {image: parts[image] for image, _, _ in items}


def _check_request(
    items: Sequence[Item], test: float, validation: float, shots: int | None
) -> None:
    if not items:
        raise UserError(_("There are no images to split."), _("Import a folder first."))
    # Written so that "not a number" fails too.
    if not (0 < test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise UserError(
            _(
                "Shares of {test:g} test and {validation:g} validation leave nothing to train "
                "on or nothing to test."
            ).format(test=test, validation=validation),
            _("Use shares that add up to less than 1, for example 0.5 and 0."),
        )
    if shots is not None and shots < 1:
        raise UserError(
            _("{shots} train images per class are too few.").format(shots=shots),
            _("Use 1 or more."),
        )
    if len({image for image, _, _ in items}) != len(items):
        raise UserError(_("An image is listed twice."))


def _targets(count: int, test: float, validation: float) -> tuple[int, int, int]:
    """(train, validation, test) images of a class of `count` ≥ 2, halves going to training."""
    # The small number keeps shares such as 0.1 from being rounded up by their last bit.
    for_test = min(max(math.ceil(count * test - 0.5 - 1e-9), 1), count - 1)
    for_validation = min(max(math.ceil(count * validation - 0.5 - 1e-9), 0), count - 1 - for_test)
    return count - for_test - for_validation, for_validation, for_test


def _fill(order: list[int], targets: tuple[int, int, int], parts: dict[int, Part]) -> None:
    """Give the images of one class that are in no group to the parts that lack some."""
    have = Counter(parts[image] for image in order if image in parts)
    singles = [image for image in order if image not in parts]
    lack = [max(target - have[part], 0) for target, part in zip(targets, _PARTS, strict=True)]
    # Groups may have overfilled a part: the others then share what is left, but a part that has
    # nothing yet always gets its first image, test before train before validation.
    while sum(lack) > len(singles):
        ranked = sorted(
            (part for part in (_VALIDATION, _TRAIN, _TEST) if lack[part]),
            key=lambda part: (have[_PARTS[part]] == 0 and lack[part] == 1, -lack[part]),
        )
        lack[ranked[0]] -= 1
    cut = (lack[_TRAIN], lack[_TRAIN] + lack[_VALIDATION])
    for i, image in enumerate(singles):
        parts[image] = Part.TRAIN if i < cut[0] else _PARTS[1 if i < cut[1] else 2]


@dataclass(frozen=True, slots=True)
class _Problem:
    """Groups to place. `sizes` [group, class] images; `targets` [part, class]; `free` [class]
    images that are in no group and can fill any part."""

    sizes: NDArray[np.int64]
    targets: NDArray[np.int64]
    free: NDArray[np.int64]

    @property
    def allowed(self) -> list[int]:
        """The parts that are asked for at all."""
        return [part for part in range(3) if part != _VALIDATION or self.targets[part].any()]

    def fill(self, chosen: Sequence[int]) -> NDArray[np.int64]:
        """Images [part, class] of a placement."""
        filled = np.zeros_like(self.targets)
        np.add.at(filled, np.asarray(chosen), self.sizes)
        return filled

    def cost(self, filled: NDArray[np.int64]) -> float:
        """How far [part, class] counts are from the targets; huge when a class lacks a part."""
        total = np.maximum(self.targets.sum(axis=0), 1)
        surplus = np.maximum(filled - self.targets, 0) / total
        empty = (filled[[_TRAIN, _TEST]] == 0).sum(axis=0)
        missing = np.maximum(empty - self.free, 0).sum()
        # Without free images a lack is as bad as a surplus; with them it will be filled.
        lack = np.maximum(np.maximum(self.targets - filled, 0).sum(axis=0) - self.free, 0) / total
        return float((surplus**2).sum() + (lack**2).sum() + _MISSING * missing)


def _assign_groups(
    items: Sequence[Item],
    orders: dict[str, list[int]],
    targets: dict[str, tuple[int, int, int]],
    group_of: dict[int, Hashable],
    rng: np.random.Generator,
) -> dict[int, Part]:
    """Parts of the images that belong to groups. Raises UserError when no way was found."""
    labels = list(orders)
    column = {label: i for i, label in enumerate(labels)}
    members: dict[Hashable, list[tuple[int, int]]] = {}
    for image, label, group in sorted(items, key=lambda item: item[0]):
        if group is not None:
            members.setdefault(group, []).append((image, column[label]))
    sizes = np.zeros((len(members), len(labels)), np.int64)
    for row, images in enumerate(members.values()):
        for _rest, place in images:
            sizes[row, place] += 1
    problem = _Problem(
        sizes,
        np.array([targets[label] for label in labels], np.int64).T,
        np.array([len(orders[label]) for label in labels]) - sizes.sum(axis=0),
    )
    # A class that lies in one group, without other images, is beyond help.
    places = (sizes > 0).sum(axis=0) + problem.free
    if (places < 2).any():
        raise _cannot_split(problem, int(np.argmin(places)), labels)
    best, best_cost = _place(problem, rng)
    for _rest in range(_RESTARTS):
        if best_cost < _MISSING:
            break
        again, cost = _improve(problem, rng.choice((_TRAIN, _TEST), len(sizes)).tolist())
        if cost < best_cost:
            best, best_cost = again, cost
    if best_cost >= _MISSING:
        raise _cannot_split(problem, _worst_class(problem, best), labels)
    return {
        image: _PARTS[part]
        for part, images in zip(best, members.values(), strict=True)
        for image, _ in images
    }


def _place(problem: _Problem, rng: np.random.Generator) -> tuple[list[int], float]:
    """One greedy placement, large groups first, improved by moves and swaps when affordable."""
    groups = len(problem.sizes)
    chosen = [_TRAIN] * groups
    filled = np.zeros_like(problem.targets)
    allowed = problem.allowed
    shuffled = rng.permutation(groups)
    for group in sorted(shuffled, key=lambda g: -int(problem.sizes[g].sum())):
        chosen[group] = min(allowed, key=lambda p: _cost_after(problem, filled, {p: group}))
        filled[chosen[group]] += problem.sizes[group]
    if groups > _SEARCH_LIMIT and (cost := problem.cost(filled)) < _MISSING:
        return chosen, cost
    return _improve(problem, chosen)


def _cost_after(problem: _Problem, filled: NDArray[np.int64], extra: dict[int, int]) -> float:
    """Cost while placing: empty parts do not count yet, so distance to the targets decides."""
    trial = filled.copy()
    for part, group in extra.items():
        trial[part] += problem.sizes[group]
    total = np.maximum(problem.targets.sum(axis=0), 1)
    return float((((trial - problem.targets) / total) ** 2).sum())


def _improve(problem: _Problem, chosen: list[int]) -> tuple[list[int], float]:
    """Move one group or swap two as long as that helps."""
    allowed, filled = problem.allowed, problem.fill(chosen)
    cost = problem.cost(filled)
    groups = range(len(chosen))
    if len(chosen) > _SEARCH_LIMIT:
        # Only the groups that hold a class which still lacks a part are worth a look.
        needy = (filled[[_TRAIN, _TEST]] == 0).any(axis=0)
        movable, swaps = np.flatnonzero(problem.sizes[:, needy].any(axis=1)).tolist(), []
    else:
        movable, swaps = list(groups), [(a, b) for a in groups for b in groups if a < b]
    is_better = True
    while is_better:
        is_better = False
        for one, other in [*((g, None) for g in movable), *swaps]:
            targets = (
                [{one: part} for part in allowed]
                if other is None
                else [{one: chosen[other], other: chosen[one]}]
            )
            for change in targets:
                trial = filled.copy()
                for group, part in change.items():
                    trial[chosen[group]] -= problem.sizes[group]
                    trial[part] += problem.sizes[group]
                new_cost = problem.cost(trial)
                if new_cost < cost - 1e-12:
                    for group, part in change.items():
                        chosen[group] = part
                    filled, cost, is_better = trial, new_cost, True
    return chosen, cost


def _worst_class(problem: _Problem, chosen: list[int]) -> int:
    empty = (problem.fill(chosen)[[_TRAIN, _TEST]] == 0).sum(axis=0)
    return int(np.argmax(empty - problem.free))


def _cannot_split(problem: _Problem, worst: int, labels: list[str]) -> UserError:
    count = int(problem.sizes[:, worst].sum() + problem.free[worst])
    groups = int((problem.sizes[:, worst] > 0).sum())
    where = _("one group") if groups == 1 else f"{groups} groups"
    if groups == 1 and problem.free[worst] == 0:
        why = _("a group is never divided between training and test")
    else:
        why = _(
            "its groups also hold other classes, and no way was found to give each class a share"
        )
    return UserError(
        _("Class “{labels}” cannot be split: its {count} images are in {where}, and {why}.").format(
            labels=labels[worst], count=count, where=where, why=why
        ),
        _("Make smaller groups, or add images of this class from other groups."),
    )
