"""What is measured on a picture's pixels: a fingerprint that survives saving and resizing,
sharpness, brightness, contrast.

All of it on a small copy of about 160 pixels: whole decoding is the costly part and happens once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["PictureFacts", "fingerprint_bits", "fingerprint_distance", "measure"]

_SIDE: Final = 160  # pixels of the longer side of the small copy, at least
_GRID: Final = 32
_WAVES: Final = 8


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """Measurements of one picture.

    `fingerprint`: 16 hex digits, 64 bits of the lowest frequencies; near copies differ in few.
    `sharpness`: variance of the Laplacian of the small grey copy (grey values 0–255) divided by
    its variance, so that low contrast is not taken for blur; `brightness`, `contrast`: mean and
    deviation of its grey values, 0–1.
    """

    fingerprint: str
    sharpness: float
    brightness: float
    contrast: float


def _cosines() -> NDArray[np.float64]:
    """The first rows [_WAVES + 1, _GRID] of the discrete cosine transform."""
    row, column = np.mgrid[0 : _WAVES + 1, 0:_GRID]
    waves: NDArray[np.float64] = np.cos(math.pi / _GRID * row * (column + 0.5))
    return waves


_COSINES: Final = _cosines()


def draft_size(size: tuple[int, int]) -> tuple[int, int]:
    """How finely a picture of `size` has to be decoded for `measure`: twice as fine as the small
    copy, or a little more, for its detail to count."""
    return _divided(size, _draft_factor(size))


def _draft_factor(size: tuple[int, int]) -> int:
    # What a JPEG can be decoded at: a half, a fourth or an eighth.
    return next(k for k in (8, 4, 2, 1) if k == 1 or max(size) >= 2 * _SIDE * k)


def _divided(size: tuple[int, int], factor: int) -> tuple[int, int]:
    return (max(1, size[0] // factor), max(1, size[1] // factor))


def measure(
    image: Image.Image,
    turn: Image.Transpose | None = None,
    whole: tuple[int, int] | None = None,
) -> PictureFacts:
    """Facts of a decoded picture; `turn` makes it upright.

    `whole`: its size, before that turn, where it may have been decoded at `draft_size` only.
    """
    whole = whole or image.size
    if image.size == whole and (factor := _draft_factor(whole)) > 1:
        image = image.reduce(factor)  # as a JPEG comes: what is measured does not depend on form
    # From there single pixels instead of means: faster, and fine detail, which blur takes first,
    # still counts. The fingerprint averages over dozens of them anyway.
    size = _divided(whole, max(1, max(whole) // _SIDE))
    small = image.resize(size, Image.Resampling.NEAREST) if size != image.size else image
    grey = small.convert("L")
    if turn is not None:
        grey = grey.transpose(turn)
    values = np.asarray(grey, np.float32)
    grid = np.asarray(grey.resize((_GRID, _GRID), Image.Resampling.BOX), np.float64)
    spread = float(values.var())
    return PictureFacts(
        fingerprint=_fingerprint(grid),
        sharpness=float(_laplacian(values).var()) / max(spread, 1.0),
        brightness=float(values.mean()) / 255,
        contrast=math.sqrt(spread) / 255,
    )


def _fingerprint(grid: NDArray[np.float64]) -> str:
    """Which of the 64 lowest waves (without the mean's row and column) are above their median.

    The perceptual hash of Zauner (2010), with both directions beginning at the first wave.
    """
    waves = (_COSINES[1:] @ grid @ _COSINES[1:].T).ravel()
    middle = np.partition(waves, (31, 32))[31:33].mean()
    return np.packbits(waves > middle).tobytes().hex()


def _laplacian(values: NDArray[np.float32]) -> NDArray[np.float32]:
    if min(values.shape) < 3:
        return np.zeros((1, 1), np.float32)
    around = -4 * values[1:-1, 1:-1]
    for part in (values[:-2, 1:-1], values[2:, 1:-1], values[1:-1, :-2], values[1:-1, 2:]):
        around += part
    return around


def fingerprint_bits(fingerprints: Sequence[str]) -> NDArray[np.uint64]:
    """Fingerprints as numbers [n], to compare many at once."""
    return np.array([int(text, 16) for text in fingerprints], np.uint64)


def fingerprint_distance(
    one: NDArray[np.uint64] | np.uint64, other: NDArray[np.uint64] | np.uint64
) -> NDArray[np.uint8]:
    """In how many of 64 bits fingerprints differ."""
    return np.bitwise_count(np.bitwise_xor(one, other))
