"""Drawing primitives for the plant renderer: leaves, petals, stems and flower heads.

All coordinates are canvas pixels with y pointing down; angles are radians, 0 = right and
``-pi/2`` = up. Colours are float triples in 0..255. Own work, drawn with Pillow only.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[float, float, float]
Array = np.ndarray


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """Blend two colours: ``t = 0`` gives ``a``, ``t = 1`` gives ``b``."""
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)


def shade(c: Colour, k: float) -> Colour:
    """Multiply a colour's brightness by ``k``."""
    return (c[0] * k, c[1] * k, c[2] * k)


def _rgb(c: Colour) -> tuple[int, int, int]:
    r, g, b = (max(0, min(255, int(v))) for v in c)
    return r, g, b


@lru_cache(maxsize=64)
def outline(kind: str) -> tuple[Array, Array]:
    """Unit leaf outline along +x: ``(whole, upper half)``, each ``(n, 2)``.

    x runs 0..1 from base to tip, y is the half width (at most about 0.5).
    """
    t = np.linspace(0.0, 1.0, 13)
    if kind == "lance":
        w = np.sin(np.pi * t**0.8) * 0.5
    elif kind == "oval":
        w = np.sqrt(np.clip(1 - (2 * t - 1) ** 2, 0, 1)) * 0.5
    elif kind == "ovate":
        w = np.sin(np.pi * t**0.6) * 0.5
    elif kind == "spoon":
        w = np.where(t < 0.4, 0.08, 0.5 * np.sqrt(np.clip(1 - ((t - 0.68) / 0.32) ** 2, 0, 1)))
    elif kind == "strap":
        w = 0.5 * np.minimum(1.0, np.minimum(t * 8, (1 - t) * 4) + 0.05)
    elif kind == "petal":
        w = 0.5 * np.sin(np.pi * np.clip(t, 0, 1) ** 1.6) ** 0.7
    elif kind == "trumpet":
        t = np.array([0.0, 0.55, 0.85, 1.0, 0.86, 1.0])
        w = np.array([0.06, 0.16, 0.42, 0.5, 0.22, 0.0])
    elif kind == "toothed":  # deep backward teeth, broad end lobe
        t = np.array([0, 0.12, 0.2, 0.22, 0.34, 0.38, 0.5, 0.54, 0.66, 0.7, 0.85, 1.0])
        w = np.array([0.05, 0.1, 0.3, 0.1, 0.42, 0.13, 0.5, 0.15, 0.5, 0.3, 0.42, 0.0])
    elif kind == "wavy":  # shallow teeth
        t = np.linspace(0, 1, 14)
        w = np.sin(np.pi * t**1.4) * (0.36 + 0.14 * (np.arange(14) % 2))
    elif kind == "spiny":
        t = np.linspace(0, 1, 15)
        w = np.sin(np.pi * t**0.8) * np.where(np.arange(15) % 2 == 1, 0.62, 0.22)
    elif kind == "ragged":
        t = np.linspace(0, 1, 13)
        w = np.sin(np.pi * t**1.1) * np.where(np.arange(13) % 2 == 1, 0.6, 0.14) + 0.03
    elif kind == "ivy":  # five pointed lobes
        t = np.array([0.12, 0.0, 0.1, 0.22, 0.36, 0.52, 0.56, 0.8, 1.0])
        w = np.array([0.0, 0.3, 0.46, 0.3, 0.56, 0.5, 0.22, 0.16, 0.0])
    else:
        raise ValueError(f"unknown outline {kind!r}")
    upper = np.stack([t, w], 1)
    lower = np.stack([t[::-1], -w[::-1]], 1)
    half = np.concatenate([upper, [[1.0, 0.0], [0.0, 0.0]]])
    return np.concatenate([upper, lower]), half


class Pen:
    """Draws onto one square RGB canvas with its own random generator."""

    def __init__(self, image: Image.Image, rng: np.random.Generator) -> None:
        self.draw = ImageDraw.Draw(image)
        self.rng = rng

    def vary(self, c: Colour, amount: float = 0.1) -> Colour:
        """The colour with a random brightness (relative ``amount``) and a slight tint."""
        k = 1 + self.rng.uniform(-amount, amount)
        d = self.rng.uniform(-6, 6, 3)
        return (c[0] * k + d[0], c[1] * k + d[1], c[2] * k + d[2])

    def poly(self, pts: Array, colour: Colour) -> None:
        """Fill a polygon given as ``(n, 2)`` points."""
        self.draw.polygon([tuple(p) for p in pts.tolist()], fill=_rgb(colour))

    def line(self, pts: Array, colour: Colour, width: float) -> None:
        """Draw an open line through ``(n, 2)`` points."""
        flat = [tuple(p) for p in pts.tolist()]
        self.draw.line(flat, fill=_rgb(colour), width=max(1, round(width)))

    def dot(self, x: float, y: float, rx: float, colour: Colour, ry: float | None = None) -> None:
        """Fill an ellipse with radii ``rx`` and ``ry`` (a circle without ``ry``)."""
        ry = rx if ry is None else ry
        self.draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=_rgb(colour))

    @staticmethod
    def place(
        unit: Array,
        x: float,
        y: float,
        angle: float,
        length: float,
        width: float,
        bend: float = 0.0,
        squash: float = 1.0,
    ) -> Array:
        """Scale, bend, turn and move unit outline points; ``squash`` flattens in y."""
        px = unit[:, 0] * length
        py = unit[:, 1] * width + bend * length * unit[:, 0] ** 2
        c, s = math.cos(angle), math.sin(angle)
        return np.stack([x + px * c - py * s, y + (px * s + py * c) * squash], 1)

    def leaf(
        self,
        kind: str,
        x: float,
        y: float,
        angle: float,
        length: float,
        width: float,
        colour: Colour,
        bend: float = 0.0,
        squash: float = 1.0,
        rib: float = 0.3,
    ) -> None:
        """One leaf: dark rim below, body, one lit half and a midrib (``rib`` = its strength)."""
        whole, half = outline(kind)
        body = self.place(whole, x, y, angle, length, width, bend, squash)
        self.poly(body + np.array((1.0, 2.0)), shade(colour, 0.55))
        self.poly(body, colour)
        flip = half * (1.0, -1.0) if math.cos(angle) > 0 else half
        lit = self.place(flip, x, y, angle, length, width, bend, squash)
        self.poly(lit, mix(colour, (235, 240, 190), 0.16))
        if rib > 0:
            mid = np.stack([np.linspace(0, 0.92, 5), np.zeros(5)], 1)
            pts = self.place(mid, x, y, angle, length, width, bend, squash)
            self.line(pts, mix(colour, (225, 235, 190), rib), max(1.0, width * 0.09))

    def stem(
        self,
        x: float,
        y: float,
        angle: float,
        length: float,
        width: float,
        colour: Colour,
        bend: float = 0.0,
    ) -> Array:
        """A curved stem; returns its ``(9, 2)`` centre line from base to tip."""
        t = np.linspace(0, 1, 9)
        pts = self.place(np.stack([t, np.zeros(9)], 1), x, y, angle, length, 1.0, bend)
        self.line(pts + np.array((width * 0.5, 0.6)), shade(colour, 0.6), width)
        self.line(pts, colour, width)
        return pts

    def rosette(
        self,
        kind: str,
        x: float,
        y: float,
        n: int,
        length: float,
        width: float,
        colour: Colour,
        squash: float = 0.5,
        rib: float = 0.35,
    ) -> None:
        """``n`` leaves around a base point seen from obliquely above, far ones first."""
        angles = np.arange(n) * (2 * math.pi / n) + self.rng.uniform(0, 6.28)
        angles = angles + self.rng.uniform(-0.25, 0.25, n)
        for a in sorted(angles.tolist(), key=math.sin):
            size = length * self.rng.uniform(0.75, 1.1)
            bend = self.rng.uniform(-0.15, 0.15)
            self.leaf(
                kind,
                x,
                y,
                a,
                size,
                width * self.rng.uniform(0.85, 1.15),
                self.vary(colour, 0.16),
                bend,
                squash,
                rib,
            )

    def petals(
        self,
        kind: str,
        x: float,
        y: float,
        r: float,
        n: int,
        width: float,
        colour: Colour,
        tilt: float = 0.8,
        jitter: float = 0.1,
        inner: float = 0.0,
    ) -> None:
        """A ring of ``n`` petals of length ``r``; ``tilt`` squashes the ring in y."""
        whole, _ = outline(kind)
        start = self.rng.uniform(0, 6.28)
        for i in range(n):
            a = start + i * 2 * math.pi / n + self.rng.uniform(-jitter, jitter)
            length = r * self.rng.uniform(0.9, 1.08)
            ox, oy = x + math.cos(a) * inner, y + math.sin(a) * inner * tilt
            light = 0.92 - 0.14 * math.sin(a) + self.rng.uniform(-0.06, 0.06)
            pts = self.place(whole, ox, oy, a, length - inner, width, 0.0, tilt)
            self.poly(pts + np.array((0.7, 1.2)), shade(colour, 0.62))
            self.poly(pts, shade(colour, light))

    def ball(
        self,
        x: float,
        y: float,
        r: float,
        n: int,
        grain: float,
        colour: Colour,
        low: Colour,
        squash: float = 0.9,
    ) -> None:
        """A round head of ``n`` florets: darker (``low``) towards the lower rim."""
        self.dot(x, y, r * 0.9, shade(low, 0.8), r * 0.9 * squash)
        rad = np.sqrt(self.rng.uniform(0, 1, n)) * r
        ang = self.rng.uniform(0, 6.28, n)
        xs, ys = np.cos(ang) * rad, np.sin(ang) * rad * squash
        for i in np.argsort(-ys).tolist():
            t = 0.5 + 0.5 * ys[i] / max(r, 1e-6)
            self.dot(x + xs[i], y + ys[i], grain, self.vary(mix(colour, low, float(t)), 0.08))
