"""Masks come back as they were, and mean the same pixels as in the COCO API."""

from __future__ import annotations

import random

import numpy as np
import pytest

from dafusion_core.datasets.masks import (
    decode_mask,
    encode_mask,
    mask_box,
    polygon_mask,
    region_mask,
    sample_mask,
)
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.regions import Region, RegionKind, check_region


def masks() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found = [rng.random((h, w)) < share for h, w, share in
             [(1, 1, 0.5), (3, 5, 0.5), (40, 30, 0.1), (64, 200, 0.9), (7, 1, 0.5)]]  # fmt: skip
    found += [np.zeros((4, 6), bool), np.ones((4, 6), bool), np.zeros((300, 400), bool)]
    found[-1][10:200, 33:390] = True
    return found


@pytest.mark.parametrize("mask", masks(), ids=lambda mask: f"{mask.shape}")
def test_a_mask_comes_back_as_it_was(mask: np.ndarray) -> None:
    data = encode_mask(mask)
    assert isinstance(data["counts"], str)
    assert (decode_mask(data) == mask).all()


@pytest.mark.parametrize("mask", masks(), ids=lambda mask: f"{mask.shape}")
def test_a_small_view_shows_the_same_pixels(mask: np.ndarray) -> None:
    rows, columns = np.arange(0, mask.shape[0], 3), np.arange(0, mask.shape[1], 2)
    assert (sample_mask(encode_mask(mask), rows, columns) == mask[::3, ::2]).all()


@pytest.mark.parametrize("mask", masks(), ids=lambda mask: f"{mask.shape}")
def test_run_lengths_are_those_of_the_coco_api(mask: np.ndarray) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encode_mask(mask)["counts"] == theirs["counts"].decode()
    assert (decode_mask(theirs) == mask).all()
    assert list(mask_box(mask)) == coco.toBbox(theirs).tolist()


@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_polygons_cover_the_pixels_that_the_coco_api_says() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    chance = random.Random(1)
    covered = 0
    for _ in range(300):
        height, width = chance.randint(1, 60), chance.randint(1, 60)
        points = [
            round(chance.uniform(-5, 65), chance.choice((0, 1, 2, 4)))
            for _ in range(2 * chance.randint(3, 9))
        ]
        theirs = coco.decode(coco.frPyObjects([points], height, width))[..., 0]
        ours = polygon_mask([points], height, width)
        assert (ours == theirs).all(), points
        covered += int(ours.sum())
    assert covered > 10_000


def test_plain_run_lengths_are_read_too() -> None:
    data = {"size": [3, 2], "counts": [1, 2, 3]}
    assert decode_mask(data).tolist() == [[False, False], [True, False], [True, False]]


@pytest.mark.parametrize(
    "data",
    [
        {"size": [3, 2], "counts": [1, 2]},
        {"size": [3, 2], "counts": [7, -1]},
        {"size": [3, 2], "counts": "0"},
        {"size": [3, 2], "counts": "\x01"},
        {"size": [3, 2], "counts": "ü"},
        {"size": [3], "counts": [3]},
        {"size": [0, 0], "counts": []},
        {"size": [3, 2]},
        {"counts": "112"},
    ],
)
def test_damaged_run_lengths_are_refused(data: dict[str, object]) -> None:
    with pytest.raises(UserError, match="run lengths"):
        decode_mask(data)


def test_a_box_covers_its_pixels() -> None:
    region = Region(0, 1, RegionKind.BOX, {"box": [1, 2, 3, 2]})
    assert region_mask(region, 6, 6).sum() == 6
    outside = Region(0, 1, RegionKind.BOX, {"box": [-3, -3, 4, 4]})
    assert region_mask(outside, 6, 6).sum() == 1


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("box", {"box": [1, 1, 0, 3]}),
        ("box", {"box": [50, 1, 3, 3]}),
        ("box", {"box": [1, 1, float("nan"), 3]}),
        ("box", {}),
        ("polygon", {"polygons": []}),
        ("polygon", {"polygons": [[1, 1, 2, 2]]}),
        ("polygon", {"polygons": [[1, 1, 2, 2, 3]]}),
        ("mask", {"size": [4, 4], "counts": "0"}),
    ],
)
def test_what_cannot_be_a_region_is_refused(kind: str, data: dict[str, object]) -> None:
    with pytest.raises(UserError):
        check_region(RegionKind(kind), data, 20, 10)
