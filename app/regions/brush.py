"""Which pixels a brush touches. Arrays are bool [height, width]; no Qt.

Coordinates are those of `dafusion_core.domain.regions`: (0, 0) is the upper left corner of the
first pixel, so the middle of pixel (column, row) is at (column + 0.5, row + 0.5).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Mask = NDArray[np.bool_]

SMALLEST, LARGEST = 1, 1024


def snap(at: Point, diameter: int) -> Point:
    """The nearest place where a brush of that size covers whole pixels evenly: the middle of a
    pixel for odd diameters, a corner for even ones. So every brush touches at least one pixel."""
    x, y = at
    if diameter % 2:
        return math.floor(x) + 0.5, math.floor(y) + 0.5
    return float(round(x)), float(round(y))


def paint_stroke(
    mask: Mask, start: Point, end: Point, diameter: int, value: bool
) -> tuple[int, int, int, int]:
    """Give `value` to the pixels whose middle is within half a diameter of the line.

    The mask is changed in place. Returns the box (left, top, right, bottom) in pixels that was
    looked at, right and bottom excluded; its width or height is 0 when the line is outside.
    """
    height, width = mask.shape
    (x0, y0), (x1, y1) = snap(start, diameter), snap(end, diameter)
    radius = diameter / 2
    left = max(0, math.floor(min(x0, x1) - radius))
    top = max(0, math.floor(min(y0, y1) - radius))
    right = min(width, math.ceil(max(x0, x1) + radius))
    bottom = min(height, math.ceil(max(y0, y1) + radius))
    if right <= left or bottom <= top:
        return left, top, max(left, right), max(top, bottom)
    x = np.arange(left, right) + 0.5 - x0
    y = (np.arange(top, bottom) + 0.5 - y0)[:, None]
    dx, dy = x1 - x0, y1 - y0
    length = dx * dx + dy * dy
    along = np.clip((x * dx + y * dy) / length, 0.0, 1.0) if length else 0.0
    away = (x - along * dx) ** 2 + (y - along * dy) ** 2
    mask[top:bottom, left:right][away <= radius * radius + 1e-9] = value
    return left, top, right, bottom


def larger(diameter: int) -> int:
    """The next brush size: one pixel more, or about a sixth."""
    return min(LARGEST, diameter + max(1, diameter // 6))


def smaller(diameter: int) -> int:
    """The brush size before."""
    return max(SMALLEST, diameter - max(1, diameter // 7))


def first_diameter(width: int, height: int) -> int:
    """A brush that suits an image: a twentieth of its shorter side."""
    return max(SMALLEST, min(LARGEST, round(min(width, height) / 20)))
