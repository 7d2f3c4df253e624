"""Draws one plant of a species, seen from above, onto a transparent layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dafusion_core.meadow.pen import Colour, Pen, mix, shade, straight
from dafusion_core.meadow.species import Species

LEAF_PAINT: dict[str, Colour] = {
    "green": (74, 140, 54),
    "dark green": (32, 86, 48),
    "grey-green": (138, 164, 138),
    "yellow-green": (158, 188, 62),
    "bronze": (134, 70, 60),
}
FLOWER_PAINT: dict[str, Colour] = {
    "white": (246, 245, 240),
    "yellow": (250, 210, 30),
    "orange": (244, 130, 18),
    "red": (214, 34, 30),
    "pink": (240, 132, 178),
    "purple": (146, 66, 190),
    "blue": (62, 96, 224),
    "lime": (206, 226, 70),
}
EYE_PAINT: dict[str, Colour] = {"yellow": (240, 186, 30), "dark": (52, 26, 34)}
LEAF_COUNT = {"narrow": 17, "oval": 9, "round": 11, "toothed": 9, "feathered": 9, "lobed": 8}


@dataclass(frozen=True)
class Stage:
    """How far this one plant has come: what varies within a species."""

    radius: float  # of the leaves, as a share of the picture's side
    vigour: float  # 0.6 sparse .. 1.15 lush
    bloom: float  # share of the flower heads that are there
    tint: Colour  # added to the leaf colour
    flower_tint: float  # brightness of the flowers

    @staticmethod
    def draw(radius: float, rng: np.random.Generator) -> Stage:
        """A random stage for a plant of about that radius."""
        r, g, b = rng.normal(0, 6, 3).tolist()
        return Stage(
            radius * rng.uniform(0.88, 1.1),
            rng.uniform(0.7, 1.15),
            rng.uniform(0.6, 1.0),
            (r + rng.uniform(-4, 10), g, b - 4),
            rng.uniform(0.92, 1.04),
        )


def _leaf_colour(pen: Pen, species: Species, stage: Stage) -> Colour:
    r, g, b = LEAF_PAINT[species.leaf_colour]
    colour = pen.vary((r + stage.tint[0], g + stage.tint[1], b + stage.tint[2]), 0.12)
    if pen.rng.random() < 0.05:  # a withered leaf now and then
        colour = mix(colour, (168, 140, 70), 0.55)
    return colour


def draw_leaves(
    pen: Pen, species: Species, x: float, y: float, stage: Stage
) -> list[tuple[float, float, float]]:
    """Draw the leaves; return where heads may stand: (x, y, outward angle), outer ones first."""
    return {"rosette": _rosette, "bushy": _bushy, "creeping": _creeping}[species.growth](
        pen, species, x, y, stage
    )


def _rosette(
    pen: Pen, species: Species, x: float, y: float, stage: Stage
) -> list[tuple[float, float, float]]:
    rng, full = pen.rng, LEAF_COUNT[species.leaf] * stage.vigour
    for share, length in ((1.0, 1.0), (0.7, 0.72), (0.45, 0.42)):
        n = max(4, round(full * share))
        start = rng.uniform(0, 6.28)
        for i in rng.permutation(n).tolist():
            angle = start + (i + rng.uniform(-0.28, 0.28)) * 2 * math.pi / n
            size = stage.radius * length * rng.uniform(0.8, 1.05)
            colour = mix(_leaf_colour(pen, species, stage), (214, 226, 140), 0.1 * (1 - length))
            away = stage.radius * 0.05
            pen.leaf(
                species.leaf,
                x + math.cos(angle) * away,
                y + math.sin(angle) * away,
                angle,
                size,
                colour,
                rng.uniform(-0.16, 0.16),
                1.0 if species.leaf != "narrow" else 0.85,
            )
    spots = []
    turn = rng.uniform(0, 6.28)
    for i in range(12):
        angle = turn + i * 2.4
        reach = stage.radius * (0.3 + 0.4 * math.sqrt(i / 9))
        spots.append((x + math.cos(angle) * reach, y + math.sin(angle) * reach, angle))
    return spots


def _bushy(
    pen: Pen, species: Species, x: float, y: float, stage: Stage
) -> list[tuple[float, float, float]]:
    rng = pen.rng
    n = max(4, round(6 * stage.vigour))
    start, spots = rng.uniform(0, 6.28), []
    green = LEAF_PAINT[species.leaf_colour]
    for i in range(n):
        angle = start + (i + rng.uniform(-0.2, 0.2)) * 2 * math.pi / n
        length = stage.radius * rng.uniform(0.68, 0.84)
        bend = rng.uniform(-0.2, 0.2)
        path = pen.place(straight(7), x, y, angle, length, 1.0, bend)
        pen.line(path, mix(shade(green, 0.85), (150, 120, 84), 0.35), 0.012)
        for k in (1, 2, 3, 4, 5):
            px, py = path[k].tolist()
            for side in (-1, 1):
                pen.leaf(
                    species.leaf,
                    px,
                    py,
                    angle + side * rng.uniform(0.7, 1.05),
                    stage.radius * rng.uniform(0.34, 0.44) * (1.12 - 0.06 * k),
                    _leaf_colour(pen, species, stage),
                    rng.uniform(-0.12, 0.12),
                    1.0 if species.leaf != "narrow" else 1.25,
                )
        px, py = path[6].tolist()
        pen.leaf(species.leaf, px, py, angle, stage.radius * 0.3, _leaf_colour(pen, species, stage))
        spots.append((px, py, angle))
    spots.append((x, y, start))
    for px, py, angle in list(spots[:n]):
        spots.append(((px + x) / 2 + 0.02, (py + y) / 2, angle + 0.5))
    return spots


def _creeping(
    pen: Pen, species: Species, x: float, y: float, stage: Stage
) -> list[tuple[float, float, float]]:
    rng = pen.rng
    start, spots = rng.uniform(0, 6.28), []
    green = LEAF_PAINT[species.leaf_colour]
    n = max(3, round(4 * stage.vigour))
    leaves = []
    for i in range(n):
        angle = start + (i + rng.uniform(-0.3, 0.3)) * 2 * math.pi / n
        length, bend = stage.radius * rng.uniform(0.75, 1.05), rng.uniform(-0.5, 0.5)
        path = pen.place(straight(8), x, y, angle, length, 1.0, bend)
        pen.line(path, mix(shade(green, 0.8), (150, 96, 70), 0.5), 0.01)
        for k in range(1, 8):
            px, py = path[k].tolist()
            side = 1 if k % 2 else -1
            leaves.append((px, py, angle + side * rng.uniform(0.5, 1.3)))
            if rng.random() < 0.65 * stage.vigour:
                leaves.append((px, py, angle - side * rng.uniform(0.5, 1.5)))
            if k in (3, 5, 7):
                spots.append((px, py, angle))
    for i in rng.permutation(len(leaves)).tolist():
        px, py, angle = leaves[i]
        size = stage.radius * rng.uniform(0.3, 0.42)
        stretch = 1.0 if species.leaf != "narrow" else 1.25
        colour = _leaf_colour(pen, species, stage)
        pen.leaf(species.leaf, px, py, angle, size, colour, rng.uniform(-0.12, 0.12), stretch)
    order = rng.permutation(len(spots)).tolist()
    return [spots[i] for i in order]


def draw_flowers(
    pen: Pen, species: Species, x: float, y: float, stage: Stage,
    spots: list[tuple[float, float, float]],
) -> None:  # fmt: skip
    """Draw the flower heads of a plant at (x, y) on the spots that its leaves left for them."""
    if species.flowerless:
        return
    rng, large = pen.rng, species.head_size == "large"
    most = (4 if large else 9) * stage.bloom
    radius = stage.radius * (0.34 if large else 0.2)
    stalk = mix(LEAF_PAINT[species.leaf_colour], (176, 190, 120), 0.4)
    for px, py, angle in spots[: max(2 if large else 4, round(most))]:
        if species.growth == "rosette":
            pen.line(np.array([[x, y], [px, py]]), stalk, 0.012)
        size = radius * rng.uniform(0.86, 1.1)
        r, g, b = FLOWER_PAINT[species.flower_colour]
        colour = pen.vary(shade((r, g, b), stage.flower_tint), 0.05)
        draw_head(pen, species, px, py, size, angle, colour)


def draw_head(
    pen: Pen, species: Species, x: float, y: float, r: float, angle: float, colour: Colour
) -> None:
    """One flower head of radius `r` at (x, y); spikes point along `angle`."""
    eye = EYE_PAINT.get(species.eye, (0, 0, 0))
    if species.head == "daisy":
        pen.petals("strap", x, y, r, 13, r * 0.36, colour)
        pen.dot(x, y, r * 0.42, shade(eye, 0.72))
        pen.dot(x + math.cos(pen.sun) * r * 0.05, y + math.sin(pen.sun) * r * 0.05, r * 0.34, eye)
    elif species.head == "cup":
        pen.petals("petal", x, y, r * 1.02, 4, r * 1.25, shade(colour, 0.88))
        pen.petals("petal", x, y, r * 0.8, 4, r * 0.95, colour)
        pen.dot(x, y, r * 0.3, shade(eye, 0.8))
        pen.dot(x, y, r * 0.2, eye)
    elif species.head == "star":
        pen.petals("point", x, y, r * 1.15, 5, r * 0.5, colour)
        pen.dot(x, y, r * 0.26, eye)
    elif species.head == "pompon":
        pen.dot(x, y, r * 0.9, shade(colour, 0.62))
        for share, n in ((1.0, 15), (0.75, 12), (0.48, 8), (0.24, 5)):
            pen.petals(
                "strap", x, y, r * share, n, r * 0.3, shade(colour, 1.04 - 0.24 * share), r * 0.1
            )
    elif species.head == "umbel":
        turn = pen.rng.uniform(0, 6.28)
        for i in range(8):
            a = turn + i * 2 * math.pi / 7
            d = 0.0 if i == 7 else r * pen.rng.uniform(0.66, 0.82)
            cx, cy = x + math.cos(a) * d, y + math.sin(a) * d
            pen.line(np.array([[x, y], [cx, cy]]), (132, 158, 86), 0.008)
            pen.dot(cx + r * 0.03, cy + r * 0.05, r * 0.28, shade(colour, 0.6))
            for k in range(6):
                q = a + k * 1.05
                out = r * 0.15
                pen.dot(cx + math.cos(q) * out, cy + math.sin(q) * out, r * 0.12, pen.vary(colour))
    elif species.head == "spike":
        c, s = math.cos(angle), math.sin(angle)
        for k in range(12):
            along, half = r * (2.0 * k / 11 - 0.5), r * 0.36 * (1.12 - k / 11)
            for side in (-1, 0, 1):
                px, py = x + c * along - s * half * side, y + s * along + c * half * side
                tone = shade(colour, 0.78 if side else 1.0)
                pen.dot(px, py, r * (0.2 - 0.008 * k), pen.vary(tone, 0.1))
