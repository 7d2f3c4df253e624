"""Drawing primitives: leaves, petals, stems on a transparent layer.

Coordinates are shares of the picture's side (0..1, y down), angles are radians, colours are float
triples in 0..255. Points are rounded to a sixteenth of a canvas pixel before they reach Pillow, so
that the last bits of a sine do not decide about a pixel.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Colour = tuple[float, float, float]
Points = npt.NDArray[np.float64]


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Blend two colours: share 0 gives `a`, 1 gives `b`."""
    return (
        a[0] + (b[0] - a[0]) * share,
        a[1] + (b[1] - a[1]) * share,
        a[2] + (b[2] - a[2]) * share,
    )


def shade(colour: Colour, factor: float) -> Colour:
    """Multiply the brightness."""
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)


def _widths(kind: str) -> tuple[list[float], list[float]]:
    """Positions along the leaf (0 base, 1 tip) and half widths (1 = the widest place)."""
    if kind in ("narrow", "oval", "petal", "strap", "point"):
        t = [i / 10 for i in range(11)]
        power = {"narrow": 0.8, "oval": 0.85, "petal": 1.5, "strap": 1.1, "point": 0.6}[kind]
        sharp = {"narrow": 1.0, "oval": 0.55, "petal": 0.55, "strap": 0.4, "point": 1.1}[kind]
        return t, [max(0.0, math.sin(math.pi * v**power)) ** sharp for v in t]
    if kind == "round":  # a stalk with a disc at its end
        t = [0.0, 0.42] + [0.42 + 0.58 * i / 10 for i in range(11)]
        return t, [0.05, 0.05] + [
            max(0.05, math.sqrt(max(0.0, 1 - (2 * i / 10 - 1) ** 2))) for i in range(11)
        ]
    if kind == "toothed":  # backward teeth and a broad end lobe
        return (
            [0, 0.14, 0.22, 0.26, 0.38, 0.42, 0.55, 0.6, 0.76, 0.9, 1.0],
            [0.08, 0.16, 0.55, 0.18, 0.78, 0.22, 1.0, 0.42, 0.95, 0.6, 0.0],
        )
    if kind == "feathered":  # a comb of thin leaflets
        t, w = [0.0], [0.05]
        for i in range(7):
            at, reach = 0.12 + 0.12 * i, math.sin(math.pi * (0.25 + 0.65 * i / 6)) ** 0.7
            t += [at, at + 0.045, at + 0.065]
            w += [0.07, reach, 0.07]
        return [*t, 1.0], [*w, 0.0]
    if kind == "lobed":  # five points, like ivy
        return (
            [0.0, 0.22, 0.14, 0.34, 0.46, 0.62, 0.64, 0.82, 1.0],
            [0.05, 0.06, 0.62, 0.5, 1.0, 0.78, 0.42, 0.28, 0.0],
        )
    raise ValueError(f"unknown outline {kind!r}")


WIDTH = {"narrow": 0.13, "oval": 0.4, "round": 0.56, "toothed": 0.36, "feathered": 0.44,
         "lobed": 0.86}  # fmt: skip
"""Width over length of each leaf shape."""


@lru_cache(maxsize=32)
def outline(kind: str) -> Points:
    """The outline of a leaf or petal along +x, length 1, half width 1, (n, 2)."""
    t, w = (np.array(v, dtype=np.float64) for v in _widths(kind))
    return np.concatenate([np.stack([t, w], 1), np.stack([t[::-1], -w[::-1]], 1)])


@lru_cache(maxsize=32)
def leaf_points(kind: str, side: float) -> tuple[Points, int, int]:
    """Outline, the half on `side` (1 or -1) and midrib of a leaf: points, ends of the first two."""
    whole = outline(kind)
    half = np.concatenate([whole[: len(whole) // 2], [[1.0, 0.0], [0.0, 0.0]]]) * (1.0, side)
    points = np.concatenate([whole, half, straight(5, 0.02, 0.9)])
    return points, len(whole), len(whole) + len(half)


@lru_cache(maxsize=32)
def straight(count: int, start: float = 0.0, end: float = 1.0) -> Points:
    """`count` points on the x axis, (count, 2)."""
    return np.stack([np.linspace(start, end, count), np.zeros(count)], 1)


class Pen:
    """Draws onto one square RGBA or RGB image with the picture's random numbers."""

    def __init__(self, image: Image.Image, rng: np.random.Generator, sun: float) -> None:
        self.image = image
        self.draw: Any = ImageDraw.Draw(image)
        self.side = image.width
        self.rng = rng
        self.sun = sun  # the direction that the light comes from

    def vary(self, colour: Colour, amount: float = 0.1) -> Colour:
        """The colour with a random brightness (relative `amount`) and a slight tint."""
        k = 1 + self.rng.uniform(-amount, amount)
        d = self.rng.uniform(-5, 5, 3)
        return (colour[0] * k + d[0], colour[1] * k + d[1], colour[2] * k + d[2])

    @staticmethod
    def _rgb(colour: Colour) -> tuple[int, int, int]:
        r, g, b = colour
        return (
            0 if r < 0 else 255 if r > 255 else round(r),
            0 if g < 0 else 255 if g > 255 else round(g),
            0 if b < 0 else 255 if b > 255 else round(b),
        )

    def _canvas(self, points: Points) -> list[float]:
        flat: list[float] = (np.rint(points * (self.side * 16)) / 16).ravel().tolist()
        return flat

    def polygon(self, points: Points, colour: Colour) -> None:
        """Fill a polygon, points (n, 2)."""
        self.draw.polygon(self._canvas(points), fill=self._rgb(colour))

    def line(self, points: Points, colour: Colour, width: float) -> None:
        """An open line through points (n, 2)."""
        pixels = max(1, round(width * self.side))
        self.draw.line(self._canvas(points), fill=self._rgb(colour), width=pixels, joint="curve")

    def dot(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A filled disc."""
        box = np.array([[x - radius, y - radius], [x + radius, y + radius]])
        a, b, c, d = self._canvas(box)
        self.draw.ellipse((a, b, max(c, a + 1), max(d, b + 1)), fill=self._rgb(colour))

    @staticmethod
    def place(
        unit: Points, x: float, y: float, angle: float, length: float, width: float, bend: float
    ) -> Points:
        """Scale, bend sideways, turn and move the points of a unit outline."""
        px = unit[:, 0] * length
        py = unit[:, 1] * width / 2 + bend * length * unit[:, 0] ** 2
        c, s = math.cos(angle), math.sin(angle)
        placed = np.empty_like(unit)
        placed[:, 0] = x + px * c - py * s
        placed[:, 1] = y + px * s + py * c
        return placed

    def leaf(
        self,
        kind: str,
        x: float,
        y: float,
        angle: float,
        length: float,
        colour: Colour,
        bend: float = 0.0,
        stretch: float = 1.0,
    ) -> None:
        """One leaf: dark edge away from the light, body, lit half, pale midrib."""
        width = WIDTH[kind] * length * stretch
        side = 1.0 if math.sin(self.sun - angle) > 0 else -1.0
        unit, end, rib = leaf_points(kind, side)
        placed = self.place(unit, x, y, angle, length, width, bend)
        edge = 0.012 * (0.4 + length)
        away = np.array([-math.cos(self.sun), -math.sin(self.sun)]) * edge
        self.polygon(placed[:end] + away, shade(colour, 0.5))
        self.polygon(placed[:end], colour)
        self.polygon(placed[end:rib], mix(colour, (238, 240, 176), 0.2))
        self.line(placed[rib:], mix(colour, (226, 236, 190), 0.42), max(0.004, width * 0.07))

    def petals(
        self,
        kind: str,
        x: float,
        y: float,
        radius: float,
        count: int,
        width: float,
        colour: Colour,
        inner: float = 0.0,
    ) -> None:
        """A ring of `count` petals; each a little brighter or darker by where it points."""
        whole = outline(kind)
        away = np.array([-math.cos(self.sun), -math.sin(self.sun)]) * radius * 0.06
        start = self.rng.uniform(0, 6.28)
        for i in range(count):
            angle = start + i * 2 * math.pi / count + self.rng.uniform(-0.1, 0.1)
            length = radius * self.rng.uniform(0.9, 1.06) - inner
            at = (x + math.cos(angle) * inner, y + math.sin(angle) * inner)
            light = 0.93 + 0.1 * math.cos(angle - self.sun) + self.rng.uniform(-0.05, 0.05)
            points = self.place(whole, *at, angle, length, width, 0.0)
            self.polygon(points + away, shade(colour, 0.6))
            self.polygon(points, shade(colour, light))
