"""Deterministic renderer of small plant pictures (numpy + Pillow, supersampled).

``render(species, seed)`` gives a ``(64, 64, 3)`` uint8 picture that depends on nothing but its
arguments: ground, light, framing and plants are drawn from ``numpy.random.default_rng``. Run as
a script it writes a contact sheet. Pictures and code are the project's own.
"""

from __future__ import annotations

import argparse
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from plants import FLOWERLESS, HELD_OUT, TRAINED
from shapes import Colour, Pen

CANVAS = 192
TILE = 288
GROUNDS = {
    "soil": "on bare soil",
    "gravel": "on gravel",
    "grass": "in short grass",
    "straw": "in dry grass",
}
LIGHTS = {"sun": "in bright sun", "cloud": "on a cloudy day", "evening": "in evening light"}
SIZES = {"close": "a close-up photo of", "medium": "a photo of", "patch": "a photo of a patch of"}
PETALS: dict[str, Colour] = {
    "red": (215, 40, 40),
    "orange": (240, 130, 20),
    "yellow": (245, 215, 40),
    "white": (246, 245, 240),
    "pink": (238, 130, 180),
    "purple": (150, 70, 190),
    "blue": (60, 100, 225),
}
SPECIES = {**TRAINED, **HELD_OUT}


@dataclass(frozen=True)
class Picture:
    """One rendered picture with what is needed to caption it."""

    pixels: np.ndarray  # (size, size, 3) uint8
    species: str
    ground: str
    light: str
    size: str
    petal: str | None


@lru_cache(maxsize=64)
def ground_tile(ground: str, index: int) -> Image.Image:
    """A ``TILE`` x ``TILE`` RGB ground texture; ``index`` picks one of the variants."""
    rng = np.random.default_rng([zlib.crc32(ground.encode()), index])
    base: Colour = {
        "soil": (106, 86, 68),
        "gravel": (140, 136, 130),
        "grass": (88, 120, 56),
        "straw": (176, 156, 104),
    }[ground]
    low = rng.normal(0, 1, (6, 6)).astype(np.float32)
    broad = np.asarray(Image.fromarray(low).resize((TILE, TILE), Image.Resampling.BICUBIC))
    fine = rng.normal(0, 1, (TILE // 2, TILE // 2)).astype(np.float32)
    fine = np.asarray(Image.fromarray(fine).resize((TILE, TILE), Image.Resampling.BILINEAR))
    tone = np.array(base) * (1 + 0.09 * broad + 0.09 * fine)[..., None]
    tile = Image.fromarray(np.clip(tone, 0, 255).astype(np.uint8))
    pen = Pen(tile, rng)
    if ground == "soil":
        for _ in range(260):
            x, y, r = rng.uniform(0, TILE), rng.uniform(0, TILE), rng.uniform(1, 5)
            c = pen.vary(base, 0.3)
            pen.dot(x + 1, y + 1.5, r, (58, 46, 36), r * 0.7)
            pen.dot(x, y, r, c, r * 0.7)
    elif ground == "gravel":
        for _ in range(700):
            x, y, r = rng.uniform(0, TILE), rng.uniform(0, TILE), rng.uniform(3, 9)
            c = pen.vary((150 + rng.uniform(-10, 14), 146, 140), 0.22)
            pen.dot(x + 1, y + 2, r, (78, 74, 70), r * 0.75)
            pen.dot(x, y, r, c, r * 0.75)
    else:
        tint: Colour = (98, 140, 58) if ground == "grass" else (196, 176, 120)
        for y in np.sort(rng.uniform(0, TILE + 20, 900)):
            a = -np.pi / 2 + rng.normal(0, 0.5 if ground == "grass" else 0.95)
            pen.leaf(
                "lance",
                rng.uniform(0, TILE),
                float(y),
                a,
                rng.uniform(14, 30),
                3.2,
                pen.vary(tint, 0.22),
                rng.uniform(-0.4, 0.4),
                1,
                0,
            )
    return tile.filter(ImageFilter.GaussianBlur(1.0))


def _ground(rng: np.random.Generator, ground: str) -> Image.Image:
    tile = ground_tile(ground, int(rng.integers(12)))
    side = int(rng.integers(150, TILE))
    x, y = (int(rng.integers(0, TILE - side + 1)) for _ in range(2))
    part = tile.resize((CANVAS, CANVAS), Image.Resampling.BILINEAR, (x, y, x + side, y + side))
    if rng.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return part


def _shadows(image: Image.Image, spots: list[tuple[float, float, float]], dark: float) -> None:
    mask = Image.new("L", (CANVAS // 4, CANVAS // 4), 0)
    draw = ImageDraw.Draw(mask)
    for x, y, h in spots:
        box = ((x - h * 0.45) / 4, (y - h * 0.16) / 4, (x + h * 0.6) / 4, (y + h * 0.26) / 4)
        draw.ellipse(box, fill=int(255 * dark))
    mask = mask.filter(ImageFilter.GaussianBlur(2)).resize((CANVAS, CANVAS))
    image.paste((22, 26, 20), (0, 0), mask)


def _light(rng: np.random.Generator, pixels: np.ndarray, light: str) -> np.ndarray:
    """Apply light colour, a soft gradient, contrast and sensor noise to float pixels."""
    gain = {"sun": (1.1, 1.07, 0.98), "cloud": (0.92, 0.95, 1.0), "evening": (1.06, 0.93, 0.79)}
    n = pixels.shape[0]
    gy, gx = np.mgrid[0:n, 0:n] / (n - 1) - 0.5
    a, k = rng.uniform(0, 6.28), rng.uniform(0.0, 0.22)
    field = 1 + k * (gx * np.cos(a) + gy * np.sin(a)) * 2
    out = pixels * np.array(gain[light]) * field[..., None] * rng.uniform(0.9, 1.1)
    contrast = {"sun": 1.12, "cloud": 0.92, "evening": 1.0}[light]
    out = (out - 118) * contrast + 118
    return out + rng.normal(0, 2.0, pixels.shape)


def render(species: str, seed: int, *, size: int = 64, petal: str | None = None) -> Picture:
    """Render one picture of ``species``; ``petal`` names another flower colour (``PETALS``)."""
    rng = np.random.default_rng([zlib.crc32(species.encode()), seed])
    ground = str(rng.choice(list(GROUNDS)))
    light = str(rng.choice(list(LIGHTS)))
    framing = str(rng.choice(list(SIZES), p=[0.35, 0.45, 0.2]))
    image = _ground(rng, ground)
    spots: list[tuple[float, float, float]] = []
    if framing == "close":
        spots.append((96 + rng.uniform(-12, 12), rng.uniform(150, 172), rng.uniform(135, 158)))
    elif framing == "medium":
        n = int(rng.integers(1, 3))
        for i in range(n):
            x = 96 + (i - (n - 1) / 2) * 76 + rng.uniform(-20, 20)
            spots.append((x, rng.uniform(130, 166), rng.uniform(92, 118)))
    else:
        for i in range(int(rng.integers(4, 6))):
            x, y = 26 + (i % 3) * 66 + rng.uniform(-16, 16), 84 + (i // 3) * 60
            spots.append((x, y + rng.uniform(0, 24), rng.uniform(62, 80)))
    spots.sort(key=lambda s: s[1])
    _shadows(image, spots, {"sun": 0.62, "cloud": 0.36, "evening": 0.5}[light])
    pen = Pen(image, rng)
    colour = None if petal is None else pen.vary(PETALS[petal], 0.05)
    for x, y, h in spots:
        SPECIES[species](pen, x, y, h, colour)
    small = image.resize((size, size), Image.Resampling.BOX)
    pixels = _light(rng, np.asarray(small, dtype=np.float32), light)
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    shown = None if species in FLOWERLESS else petal
    return Picture(pixels, species, ground, light, framing, shown)


def sheet(rows: list[list[np.ndarray]], zoom: int = 2) -> Image.Image:
    """Tile rows of equally sized uint8 pictures into one image, ``zoom`` times enlarged."""
    width = max(len(r) for r in rows)
    blank = np.full_like(rows[0][0], 255)
    full = [np.concatenate(r + [blank] * (width - len(r)), 1) for r in rows]
    image = Image.fromarray(np.concatenate(full, 0))
    return image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)


def main() -> None:
    """Write a contact sheet of every species."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--columns", type=int, default=10)
    args = parser.parse_args()
    rows = [[render(s, args.seed + i).pixels for i in range(args.columns)] for s in SPECIES]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(rows).save(args.out)


if __name__ == "__main__":
    main()
