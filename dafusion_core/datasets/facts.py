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


def measure(image: Image.Image, turn: Image.Transpose | None = None) -> PictureFacts:
    """Facts of a decoded picture; `turn` makes it upright."""
    factor = max(1, max(image.size) // _SIDE)
    # Single pixels instead of means: ten times as fast, and the finest detail, which blur takes
    # first, still counts. The fingerprint averages over dozens of them anyway.
    size = (max(1, image.width // factor), max(1, image.height // factor))
    small = image.resize(size, Image.Resampling.NEAREST) if factor > 1 else image
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
