from __future__ import annotations

import itertools
import random
import time
from collections import Counter, defaultdict

import numpy as np
import pytest

from dafusion_core.datasets import splits
from dafusion_core.datasets.splits import Item, make_partition
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Part


def make_items(counts: dict[str, int]) -> list[Item]:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [(i + 1, label, None) for i, label in enumerate(labels)]


def tally(items: list[Item], parts: dict[int, Part]) -> dict[str, Counter[Part]]:
    found: dict[str, Counter[Part]] = defaultdict(Counter)
    for image, label, _ in items:
        found[label][parts[image]] += 1
    return found


def test_halves_follow_the_common_rule() -> None:
    items = make_items({"oak": 7, "ash": 6})
    parts = make_partition(items, seed=3)
    rng = np.random.default_rng(3)
    expected: dict[int, Part] = {}
    for label in ("ash", "oak"):
        ids = [image for image, its, _ in items if its == label]
        train, test = np.array_split(rng.permutation(len(ids)), 2)
        expected |= {ids[i]: Part.TRAIN for i in train} | {ids[i]: Part.TEST for i in test}
    assert parts == expected


@pytest.mark.parametrize("seed", range(40))
def test_shares_are_met_and_nothing_is_lost(seed: int) -> None:
    rng = random.Random(seed)
    items = make_items({f"c{i}": rng.randint(2, 40) for i in range(rng.randint(1, 6))})
    test, validation = rng.uniform(0.05, 0.6), rng.choice([0, rng.uniform(0, 0.35)])
    parts = make_partition(items, seed, test, validation)
    assert list(parts) == [image for image, _, _ in items]
    for counts in tally(items, parts).values():
        total = sum(counts.values())
        assert counts[Part.TRAIN] >= 1
        assert counts[Part.TEST] >= 1
        assert counts[Part.UNUSED] == 0
        if total > 5:
            assert abs(counts[Part.TEST] - test * total) <= 1
            assert abs(counts[Part.VALIDATION] - validation * total) <= 1


def test_the_seed_and_nothing_else_decides() -> None:
    items = make_items({"oak": 20, "ash": 20, "elm": 20})
    items = [(i, label, f"plant{i % 17}" if i % 3 else None) for i, label, _ in items]
    first = make_partition(items, 5, 0.3, 0.2, shots=4)
    shuffled = items[:]
    for seed in range(10):
        random.Random(seed).shuffle(shuffled)
        assert make_partition(shuffled, 5, 0.3, 0.2, shots=4) == first
    assert make_partition(items, 6, 0.3, 0.2, shots=4) != first


def test_all_images_get_their_turn() -> None:
    items = make_items({"oak": 10, "ash": 10})
    tested = Counter(
        image
        for seed in range(400)
        for image, part in make_partition(items, seed).items()
        if part is Part.TEST
    )
    assert set(tested) == set(range(1, 21))
    assert min(tested.values()) > 150
    assert max(tested.values()) < 250


@pytest.mark.parametrize("shots", [1, 2, 4, 8])
def test_shots_cut_training_only(shots: int) -> None:
    items = make_items({"oak": 20, "ash": 6, "elm": 9})
    whole = make_partition(items, 1, 0.4, 0.2)
    few = make_partition(items, 1, 0.4, 0.2, shots=shots)
    for image in whole:
        if whole[image] is Part.TRAIN:
            assert few[image] in (Part.TRAIN, Part.UNUSED)
        else:
            assert few[image] is whole[image]
    before, after = tally(items, whole), tally(items, few)
    for label in before:
        assert after[label][Part.TRAIN] == min(shots, before[label][Part.TRAIN])


def test_more_shots_only_add_images() -> None:
    items = make_items({"oak": 20, "ash": 20})
    sets = [
        {i for i, part in make_partition(items, 2, shots=n).items() if part is Part.TRAIN}
        for n in (1, 2, 4, 8)
    ]
    assert all(small < large for small, large in itertools.pairwise(sets))


# ------------------------------------------------------------------------------- groups


def random_groups(seed: int) -> list[Item]:
    """Groups of 1–4 images; mostly of one class, some of several; some images in none."""
    rng = random.Random(seed)
    items: list[Item] = []
    labels = [f"c{i}" for i in range(rng.randint(2, 4))]
    for group in range(rng.randint(3 * len(labels), 25)):
        mixed = rng.random() < 0.2
        label = labels[group % len(labels)]
        for _ in range(rng.randint(1, 4)):
            name = f"g{group}" if rng.random() < 0.9 else None
            items.append((len(items) + 1, rng.choice(labels) if mixed else label, name))
    return items


def check_groups(items: list[Item], parts: dict[int, Part]) -> None:
    where: dict[object, set[Part]] = defaultdict(set)
    for image, _, group in items:
        if group is not None:
            where[group].add(parts[image])
    assert all(len(found) == 1 for found in where.values())
    for counts in tally(items, parts).values():
        assert counts[Part.TRAIN] >= 1
        assert counts[Part.TEST] >= 1


@pytest.mark.parametrize("seed", range(60))
def test_groups_are_never_torn(seed: int) -> None:
    items = random_groups(seed)
    validation = 0.2 if seed % 2 else 0.0
    parts = make_partition(items, seed, 0.4, validation)
    assert len(parts) == len(items)
    check_groups(items, parts)
    if not validation:
        assert Part.VALIDATION not in parts.values()
    test = sum(part is Part.TEST for part in parts.values()) / len(items)
    assert abs(test - 0.4) < 0.15


def test_groups_of_one_class_come_close_to_the_shares() -> None:
    # 40 plants of 3 pictures in each of two classes.
    items = [(i + 1, "oak" if i < 120 else "ash", i // 3) for i in range(240)]
    for seed in range(10):
        parts = make_partition(items, seed, 0.3, 0.1)
        check_groups(items, parts)
        for counts in tally(items, parts).values():
            assert abs(counts[Part.TEST] - 36) <= 3
            assert abs(counts[Part.VALIDATION] - 12) <= 3


def is_possible(items: list[Item]) -> bool:
    """Try every placement of the groups (few) on train and test."""
    groups = sorted({group for _, _, group in items if group is not None}, key=str)
    free = Counter(label for _, label, group in items if group is None)
    labels = {label for _, label, _ in items}
    for choice in itertools.product((0, 1), repeat=len(groups)):
        place = dict(zip(groups, choice, strict=True))
        sides = defaultdict(set)
        for _, label, group in items:
            if group is not None:
                sides[label].add(place[group])
        if all(2 - len(sides[label]) <= free[label] for label in labels):
            return True
    return False


@pytest.mark.parametrize("seed", range(60))
def test_a_way_is_found_whenever_there_is_one(seed: int) -> None:
    rng = random.Random(seed)
    labels = ["a", "b", "c", "d"][: rng.randint(2, 4)]
    items: list[Item] = []
    for label in labels:
        for _ in range(rng.randint(2, 5)):
            group = rng.randrange(rng.randint(2, 5)) if rng.random() < 0.93 else None
            items.append((len(items) + 1, label, group))
    for validation in (0.0, 0.25):
        if is_possible(items):
            check_groups(items, make_partition(items, seed, 0.5, validation))
        else:
            with pytest.raises(UserError, match="cannot be split"):
                make_partition(items, seed, 0.5, validation)


def test_the_last_image_goes_where_there_is_none() -> None:
    # Image 9 is the only one in no group; test has images already, training has none.
    parts = {1: Part.TEST, 2: Part.TEST, 3: Part.VALIDATION, 4: Part.VALIDATION}
    splits._fill([3, 1, 9, 2, 4], (1, 1, 3), parts)
    assert parts[9] is Part.TRAIN
    parts = {1: Part.TRAIN, 2: Part.TRAIN, 3: Part.VALIDATION, 4: Part.VALIDATION}
    splits._fill([3, 1, 9, 2, 4], (3, 1, 1), parts)
    assert parts[9] is Part.TEST


def test_many_groups_are_quick() -> None:
    items = [(i + 1, f"c{i % 10}", i // 2) for i in range(10_000)]
    start = time.perf_counter()
    parts = make_partition(items, 0, 0.3, 0.1)
    assert time.perf_counter() - start < 20
    check_groups(items, parts)


# ------------------------------------------------------------------------------- refusals


def test_what_cannot_be_split_is_named() -> None:
    with pytest.raises(UserError, match=r"“ash” has only 1 image; a split needs at least 2"):
        make_partition(make_items({"oak": 5, "ash": 1}), 0)
    items = [(i, "oak" if i < 6 else "ash", "one" if i < 6 else None) for i in range(12)]
    with pytest.raises(UserError, match=r"“oak” cannot be split: its 6 images are in one group"):
        make_partition(items, 0)
    items = [
        (1, "a", "g"),
        (2, "b", "g"),
        (3, "a", "h"),
        (4, "c", "h"),
        (5, "b", "i"),
        (6, "c", "i"),
    ]
    with pytest.raises(UserError, match="also hold other classes"):
        make_partition(items, 0)
    with pytest.raises(UserError, match="no images"):
        make_partition([], 0)
    with pytest.raises(UserError, match="twice"):
        make_partition([(1, "a", None), (1, "a", None)], 0)


@pytest.mark.parametrize(
    ("test", "validation"),
    [(0, 0), (1, 0), (0.5, 0.5), (-0.1, 0), (0.5, -0.1), (float("nan"), 0), (0.5, float("nan"))],
)
def test_impossible_shares(test: float, validation: float) -> None:
    with pytest.raises(UserError, match="Shares"):
        make_partition(make_items({"oak": 9, "ash": 9}), 0, test, validation)


def test_impossible_shots() -> None:
    with pytest.raises(UserError, match="too few"):
        make_partition(make_items({"oak": 9, "ash": 9}), 0, shots=0)
