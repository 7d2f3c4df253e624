"""Ground of the field plots: soil, grass, straw, gravel and mud, drawn once per tile and kept."""

from __future__ import annotations

import math
import zlib
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from dafusion_core.meadow.pen import Colour, Pen, straight

GROUND_PAINT: dict[str, Colour] = {
    "soil": (116, 90, 68),
    "grass": (104, 132, 66),
    "straw": (190, 170, 118),
    "gravel": (148, 146, 142),
    "mud": (84, 70, 60),
}
GROUNDS = tuple(GROUND_PAINT)
VARIANTS = 16
SPAN = 1.5  # a tile is this many picture sides wide


def _clouds(rng: np.random.Generator, cells: int, side: int) -> npt.NDArray[np.float32]:
    """Smooth noise of unit variance at its grid points, (side, side)."""
    noise = rng.normal(0, 1, (cells, cells)).astype(np.float32)
    grown = Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(grown, dtype=np.float32)


@lru_cache(maxsize=96)
def ground_tile(kind: str, variant: int, side: int) -> Image.Image:
    """An RGB tile of `side` pixels that shows `SPAN` picture sides of ground.

    `kind` is one of `GROUNDS`, `variant` 0 .. `VARIANTS` - 1.
    """
    rng = np.random.default_rng([zlib.crc32(kind.encode()), variant])
    base = np.array(GROUND_PAINT[kind]) * rng.uniform(0.92, 1.08) + rng.uniform(-6, 6, 3)
    broad, middle = _clouds(rng, 5, side), _clouds(rng, 22, side)
    tone = base * (1 + 0.07 * broad + 0.035 * middle)[..., None]
    tone[..., 2] -= 4 * broad  # damp places are a little bluer
    image = Image.fromarray(np.clip(tone, 0, 255).astype(np.uint8))
    pen = Pen(image, rng, -2.2)
    r, g, b = base.tolist()
    {"soil": _clods, "grass": _blades, "straw": _blades, "gravel": _stones, "mud": _puddles}[kind](
        pen, (r, g, b), kind
    )
    return image.filter(ImageFilter.GaussianBlur(side / 420))


def _clods(pen: Pen, base: Colour, kind: str) -> None:
    for _ in range(230):
        x, y = pen.rng.uniform(0, 1, 2).tolist()
        size = 0.003 + 0.014 * pen.rng.random() ** 3
        pen.dot(
            x + size * 0.5, y + size * 0.6, size, (base[0] * 0.66, base[1] * 0.66, base[2] * 0.66)
        )
        pen.dot(x, y, size, pen.vary(base, 0.1))


def _stones(pen: Pen, base: Colour, kind: str) -> None:
    for _ in range(420):
        x, y = pen.rng.uniform(0, 1, 2).tolist()
        size = 0.01 + 0.022 * pen.rng.random() ** 2
        n = 7
        angles = np.arange(n) * (2 * math.pi / n) + pen.rng.uniform(0, 1)
        radii = size * pen.rng.uniform(0.75, 1.1, n)
        points = np.stack([x + np.cos(angles) * radii, y + np.sin(angles) * radii * 0.85], 1)
        pen.polygon(points + size * 0.22, (base[0] * 0.66, base[1] * 0.66, base[2] * 0.67))
        pen.polygon(points, pen.vary(base, 0.11))


def _blades(pen: Pen, base: Colour, kind: str) -> None:
    grass = kind == "grass"
    for _ in range(900 if grass else 520):
        x, y = pen.rng.uniform(-0.05, 1.05, 2).tolist()
        length = pen.rng.uniform(0.03, 0.08) if grass else pen.rng.uniform(0.06, 0.2)
        angle, bend = pen.rng.uniform(0, 2 * math.pi), pen.rng.uniform(-0.3, 0.3)
        path = pen.place(straight(4), x, y, angle, length, 1.0, bend if grass else bend * 0.2)
        pen.line(path, pen.vary(base, 0.13), 0.005)


def _puddles(pen: Pen, base: Colour, kind: str) -> None:
    _clods(pen, base, kind)
    for _ in range(7):
        x, y = pen.rng.uniform(0, 1, 2).tolist()
        n, size = 14, pen.rng.uniform(0.03, 0.1)
        angles = np.arange(n) * (2 * math.pi / n)
        radii = size * (1 + 0.25 * np.sin(angles * 2 + pen.rng.uniform(0, 6)))
        points = np.stack([x + np.cos(angles) * radii * 1.4, y + np.sin(angles) * radii], 1)
        pen.polygon(points, (base[0] * 0.72, base[1] * 0.74, base[2] * 0.8))
        pen.polygon((points - (x, y)) * 0.9 + (x, y), pen.vary((98, 104, 112), 0.06))


def cut_ground(kind: str, variant: int, canvas: int, rng: np.random.Generator) -> Image.Image:
    """A random part of a tile, turned and mirrored, (canvas, canvas) RGB."""
    tile = ground_tile(kind, variant, round(canvas * SPAN))
    x, y = (int(v * (tile.width - canvas)) for v in rng.random(2))
    part = tile.crop((x, y, x + canvas, y + canvas))
    turns: list[Any] = [
        None,
        Image.Transpose.ROTATE_90,
        Image.Transpose.ROTATE_180,
        Image.Transpose.FLIP_LEFT_RIGHT,
    ]
    turn = turns[int(rng.integers(4))]
    return part if turn is None else part.transpose(turn)
