"""Imports decode JPEGs at a fraction of their size: nothing may be told differently for it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from dafusion_core.datasets.facts import (
    PictureFacts,
    draft_size,
    fingerprint_bits,
    fingerprint_distance,
    measure,
)
from dafusion_core.datasets.pictures import examine_picture
from dafusion_core.domain.errors import BadImage
from tests.unit.pictures import noise, save

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "ordinary": ("RGB", {"quality": 90}),
    "progressive": ("RGB", {"quality": 90, "progressive": True}),
    "fine colours": ("RGB", {"quality": 95, "subsampling": 0}),
    "stored as RGB": ("RGB", {"quality": 90, "keep_rgb": True}),
    "print": ("CMYK", {"quality": 90}),
    "grey": ("L", {"quality": 90}),
    "restarts": ("RGB", {"quality": 80, "restart_marker_blocks": 5}),
}


def detailed(width: int = 880, height: int = 660) -> Image.Image:
    """Noise of three sizes: the detail of a photograph."""
    layers = [
        np.asarray(noise(i, 4 * n, 4 * n).resize((width, height), Image.Resampling.BICUBIC), float)
        for i, n in enumerate((8, 40, 200))
    ]
    return Image.fromarray((0.5 * layers[0] + 0.3 * layers[1] + 0.2 * layers[2]).astype(np.uint8))


def encoded(kind: str, picture: Image.Image) -> bytes:
    mode, options = KINDS[kind]
    buffer = io.BytesIO()
    picture.convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def differing_bits(one: PictureFacts, other: PictureFacts) -> int:
    bits = fingerprint_bits([one.fingerprint, other.fingerprint])
    return int(fingerprint_distance(bits[:1], bits[1])[0])


def is_whole(data: bytes) -> bool:
    """What decoding every pixel says."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except Exception:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_found_as_by_decoding_every_pixel(tmp_path: Path, kind: str) -> None:
    whole = encoded(kind, detailed())
    rng = np.random.default_rng(0)
    files = [whole[: int(share * len(whole))] for share in (0.1, 0.5, 0.9, 0.99)]
    files += [whole[:-cut] for cut in (1, 2, 3, 20)]
    for _ in range(12):
        broken = bytearray(whole)
        for place in rng.integers(2, len(broken), 9):
            broken[place] = int(rng.integers(256))
        files.append(bytes(broken))
    verdicts = []
    for data in files:
        try:
            examine_picture(tmp_path / "a.jpg", data=data)
            verdicts.append(True)
        except BadImage:
            verdicts.append(False)
    assert verdicts == [is_whole(data) for data in files]
    assert not any(verdicts[:4])
    assert examine_picture(tmp_path / "a.jpg", data=whole).picture.mode == KINDS[kind][0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("blur", [0, 3])
def test_facts_do_not_depend_on_the_form(tmp_path: Path, kind: str, blur: int) -> None:
    picture = detailed().filter(ImageFilter.GaussianBlur(blur))
    data = encoded(kind, picture)
    # The same pixels without loss, decoded whole.
    same = save(Image.open(io.BytesIO(data)).convert("RGB"), tmp_path / "same.png")
    found = examine_picture(tmp_path / "a.jpg", data=data)
    other = examine_picture(same)
    assert (found.picture.width, found.picture.height) == (880, 660)
    assert differing_bits(found.facts, other.facts) <= 2
    assert found.facts.sharpness == pytest.approx(other.facts.sharpness, rel=0.05)
    assert found.facts.brightness == pytest.approx(other.facts.brightness, abs=0.003)
    assert found.facts.contrast == pytest.approx(other.facts.contrast, abs=0.003)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_facts_and_size_are_of_the_upright_picture(tmp_path: Path, orientation: int) -> None:
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}
    picture = detailed()
    stored = picture.transpose(turns[orientation]) if orientation in turns else picture
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(stored, tmp_path / "turned.jpg", exif=exif, quality=95)
    found = examine_picture(path)
    assert (found.picture.width, found.picture.height) == (880, 660)
    assert differing_bits(found.facts, measure(picture)) <= 2


def test_blur_still_counts() -> None:
    picture = detailed(1600, 1200)
    values = [measure(picture.filter(ImageFilter.GaussianBlur(s))).sharpness for s in (0, 2, 5, 12)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 2 * values[2] > 10 * values[3]


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((160, 120), (160, 120)),
        ((639, 400), (639, 400)),
        ((640, 400), (320, 200)),
        ((1200, 900), (600, 450)),
        ((4000, 3000), (500, 375)),
        ((20_000, 3), (2500, 1)),
    ],
)
def test_how_finely_is_decoded(size: tuple[int, int], decoded: tuple[int, int]) -> None:
    assert draft_size(size) == decoded


def test_very_flat_pictures(tmp_path: Path) -> None:
    path = save(noise(0, 4000, 4).crop((0, 0, 4000, 3)), tmp_path / "flat.jpg")
    found = examine_picture(path)
    assert (found.picture.width, found.picture.height) == (4000, 3)
    assert len(found.facts.fingerprint) == 16
