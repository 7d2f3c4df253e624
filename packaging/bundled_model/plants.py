"""One drawing function per species, each placing one plant on the canvas.

A drawer gets ``(pen, x, y, h, petal)``: base point, plant height in canvas pixels and an
optional colour that replaces the flower colour. Shapes follow field-guide descriptions from
memory; they are cartoons of the species, not measurements.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from shapes import Colour, Pen, mix, shade

Drawer = Callable[[Pen, float, float, float, "Colour | None"], None]
UP = -math.pi / 2


def _fan(pen: Pen, n: int, spread: float) -> list[float]:
    """``n`` upward angles spread over ``+-spread`` radians, outer ones first."""
    base = np.linspace(-spread, spread, n) if n > 1 else np.zeros(1)
    a = UP + base + pen.rng.uniform(-0.08, 0.08, n)
    return sorted(a.tolist(), key=lambda v: -abs(v - UP))


def dandelion(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Deep-toothed rosette, bare stems, broad many-rayed heads."""
    yellow = petal or (250, 206, 22)
    pen.rosette("toothed", x, y, int(pen.rng.integers(8, 12)), h * 0.62, h * 0.2, (72, 132, 48))
    for a in _fan(pen, int(pen.rng.integers(1, 4)), pen.rng.uniform(0.3, 0.6)):
        tip = pen.stem(
            x,
            y,
            a,
            h * pen.rng.uniform(0.45, 0.85),
            h * 0.035,
            (150, 165, 90),
            pen.rng.uniform(-0.15, 0.15),
        )[-1]
        r, tilt = h * pen.rng.uniform(0.2, 0.25), pen.rng.uniform(0.7, 0.95)
        pen.petals("strap", *tip, r, 19, r * 0.26, shade(yellow, 0.93), tilt)
        pen.petals("strap", *tip, r * 0.7, 15, r * 0.24, yellow, tilt)
        pen.petals("strap", *tip, r * 0.4, 9, r * 0.2, mix(yellow, (255, 150, 0), 0.25), tilt)


def daisy(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Spoon-leaved rosette, white rays around a yellow disc."""
    white = petal or (248, 247, 243)
    pen.rosette("spoon", x, y, int(pen.rng.integers(7, 11)), h * 0.4, h * 0.16, (86, 140, 58))
    for a in _fan(pen, int(pen.rng.integers(2, 5)), pen.rng.uniform(0.35, 0.75)):
        tip = pen.stem(
            x,
            y,
            a,
            h * pen.rng.uniform(0.5, 0.95),
            h * 0.03,
            (105, 140, 70),
            pen.rng.uniform(-0.15, 0.15),
        )[-1]
        r, tilt = h * pen.rng.uniform(0.18, 0.23), pen.rng.uniform(0.65, 1.0)
        pen.petals("strap", *tip, r, 14, r * 0.3, white, tilt)
        pen.dot(*tip, r * 0.36, (205, 150, 15), r * 0.36 * tilt)
        pen.dot(tip[0] - 1, tip[1] - 1, r * 0.28, (250, 205, 40), r * 0.28 * tilt)


def poppy(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Tall hairy stems, four broad petals with a black centre, cut leaves."""
    red = petal or (222, 38, 24)
    pen.rosette("ragged", x, y, 6, h * 0.4, h * 0.2, (96, 138, 84))
    for a in _fan(pen, int(pen.rng.integers(1, 4)), pen.rng.uniform(0.25, 0.5)):
        tip = pen.stem(
            x,
            y,
            a,
            h * pen.rng.uniform(0.7, 1.0),
            h * 0.025,
            (92, 125, 66),
            pen.rng.uniform(-0.2, 0.2),
        )[-1]
        r, tilt = h * pen.rng.uniform(0.2, 0.27), pen.rng.uniform(0.65, 0.95)
        pen.petals("oval", *tip, r * 1.1, 5, r * 1.15, shade(red, 0.84), tilt, 0.12)
        pen.petals("oval", *tip, r * 0.85, 3, r * 0.95, red, tilt, 0.12)
        pen.dot(*tip, r * 0.33, (35, 15, 25), r * 0.33 * tilt)
        pen.dot(*tip, r * 0.14, (120, 140, 80), r * 0.14 * tilt)


def lavender(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Grey-green tuft with many thin violet flower spikes."""
    violet = petal or (128, 92, 190)
    for a in _fan(pen, 16, 1.2):
        pen.leaf(
            "lance",
            x,
            y,
            a,
            h * pen.rng.uniform(0.35, 0.55),
            h * 0.05,
            pen.vary((128, 148, 118), 0.14),
            pen.rng.uniform(-0.2, 0.2),
            1.0,
            0,
        )
    for a in _fan(pen, int(pen.rng.integers(7, 12)), pen.rng.uniform(0.5, 0.75)):
        pts = pen.stem(
            x,
            y,
            a,
            h * pen.rng.uniform(0.75, 1.0),
            h * 0.02,
            (120, 145, 100),
            pen.rng.uniform(-0.2, 0.2),
        )
        for k in range(12):
            p = pts[5] + (pts[8] - pts[5]) * (k / 11)
            d = pen.rng.uniform(-1, 1) * h * 0.03
            pen.dot(p[0] + d, p[1], h * 0.028, pen.vary(mix(violet, (70, 45, 125), k % 3 / 4), 0.1))


def white_clover(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Low mat of three-part leaves with pale chevrons and round white heads."""
    white = petal or (244, 238, 232)
    for _ in range(int(pen.rng.integers(11, 16))):
        lx, ly = x + pen.rng.normal() * h * 0.33, y - abs(pen.rng.normal()) * h * 0.25
        turn, size = pen.rng.uniform(0, 6.28), h * pen.rng.uniform(0.14, 0.19)
        green = pen.vary((66, 134, 62), 0.16)
        for k in range(3):
            a = turn + k * 2.094
            pen.leaf("oval", lx, ly, a, size, size * 0.9, green, 0, 0.8, 0)
            pen.dot(
                lx + math.cos(a) * size * 0.5,
                ly + math.sin(a) * size * 0.4,
                size * 0.13,
                mix(green, (225, 240, 205), 0.5),
            )
    for a in _fan(pen, int(pen.rng.integers(2, 5)), 0.75):
        tip = pen.stem(x, y, a, h * pen.rng.uniform(0.5, 0.85), h * 0.025, (120, 160, 90))[-1]
        r = h * pen.rng.uniform(0.13, 0.17)
        pen.ball(*tip, r, 26, r * 0.24, white, mix(white, (190, 150, 130), 0.45))


def thistle(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Spiny leaves up the stem, green globe with a magenta brush on top."""
    purple = petal or (184, 58, 168)
    pen.rosette("spiny", x, y, 7, h * 0.5, h * 0.2, (88, 124, 88), 0.55, 0.45)
    for a in _fan(pen, int(pen.rng.integers(1, 4)), 0.42):
        pts = pen.stem(x, y, a, h * pen.rng.uniform(0.62, 0.88), h * 0.045, (98, 128, 88))
        for k in (2, 3, 5):
            side = 0.9 if k % 2 else -0.9
            pen.leaf("spiny", *pts[k], a + side, h * 0.26, h * 0.12, pen.vary((98, 134, 94)), 0)
        (tx, ty), r = pts[-1], h * pen.rng.uniform(0.1, 0.13)
        for k in np.linspace(-1.0, 1.0, 15):
            pen.leaf("strap", tx, ty, a + k, r * 2.1, r * 0.22, pen.vary(purple, 0.16), 0, 1, 0)
        pen.ball(tx, ty + r * 0.3, r, 22, r * 0.2, (120, 152, 98), (60, 88, 54), 1.0)


def cornflower(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Wiry grey stems, blue heads of flared trumpet florets."""
    blue = petal or (56, 88, 222)
    for a in _fan(pen, int(pen.rng.integers(2, 5)), 0.5):
        pts = pen.stem(
            x,
            y,
            a,
            h * pen.rng.uniform(0.7, 1.0),
            h * 0.026,
            (124, 145, 112),
            pen.rng.uniform(-0.2, 0.2),
        )
        for k in (1, 2, 4, 5):
            pen.leaf(
                "lance",
                *pts[k],
                a + (0.7 if k % 2 else -0.7),
                h * 0.32,
                h * 0.05,
                pen.vary((130, 152, 122)),
                pen.rng.uniform(-0.2, 0.2),
                1,
                0,
            )
        r, tilt = h * pen.rng.uniform(0.19, 0.24), pen.rng.uniform(0.65, 0.95)
        pen.petals("trumpet", *pts[-1], r, 9, r * 0.62, blue, tilt)
        pen.petals("strap", *pts[-1], r * 0.45, 10, r * 0.14, mix(blue, (90, 20, 130), 0.7), tilt)


def fern(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Arching fronds with paired pinnae."""
    for a in _fan(pen, int(pen.rng.integers(5, 8)), pen.rng.uniform(1.0, 1.35)):
        bend = (0.35 if a > UP else -0.35) * abs(a - UP)
        green = pen.vary((60, 134, 46), 0.18)
        length = h * pen.rng.uniform(0.8, 1.0)
        pts = pen.stem(x, y, a, length, h * 0.02, mix(green, (90, 70, 30), 0.4), bend)
        for k in range(15):
            f = 1.2 + k * 6.8 / 15
            i = int(f)
            p = pts[i] + (pts[i + 1] - pts[i]) * (f - i)
            d = pts[i + 1] - pts[i]
            along = math.atan2(d[1], d[0])
            size = length * 0.24 * math.sin(math.pi * (0.16 + 0.84 * (k + 1) / 16)) ** 0.8
            for side in (-1.15, 1.15):
                pen.leaf("lance", *p, along + side, size, size * 0.3, green, 0, 1, 0)


def ivy(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Creeping runners with dark five-lobed leaves and pale veins."""
    start = pen.rng.uniform(0, 6.28)
    for j in range(3):
        turn = start + j * 2.09 + pen.rng.uniform(-0.4, 0.4)
        pts = pen.stem(x, y - h * 0.28, turn, h * 0.62, h * 0.03, (112, 84, 58), 0.3)
        for k in range(7, 0, -1):
            size = h * pen.rng.uniform(0.27, 0.36)
            a = turn + (1.1 if k % 2 else -1.1) + pen.rng.uniform(-0.5, 0.5)
            green = pen.vary((38, 92, 48), 0.22)
            px, py = float(pts[k][0]), y - h * 0.28 + float(pts[k][1] - y + h * 0.28) * 0.8
            pen.leaf("ivy", px, py, a, size, size * 1.1, green, 0, 0.85, 0.6)
            for side in (-0.8, 0.8):
                vein = pen.place(np.array([[0.1, 0], [0.55, 0]]), px, py, a + side, size, size)
                pen.line(vein, mix(green, (215, 230, 190), 0.5), 2)


def ryegrass(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """A tuft of narrow blades with flat straw-green seed spikes."""
    for a in _fan(pen, int(pen.rng.integers(20, 30)), 1.1):
        pen.leaf(
            "lance",
            x + pen.rng.normal() * h * 0.05,
            y,
            a,
            h * pen.rng.uniform(0.5, 0.95),
            h * 0.035,
            pen.vary((88, 152, 58), 0.2),
            pen.rng.uniform(-0.5, 0.5),
            1,
            0,
        )
    for a in _fan(pen, int(pen.rng.integers(3, 6)), 0.5):
        pts = pen.stem(x, y, a, h, h * 0.016, (158, 168, 98), pen.rng.uniform(-0.25, 0.25))
        for k in range(10):
            p = pts[4] + (pts[8] - pts[4]) * (k / 9)
            pen.leaf(
                "lance",
                *p,
                a + (0.6 if k % 2 else -0.6),
                h * 0.1,
                h * 0.035,
                pen.vary((182, 182, 112)),
                0,
                1,
                0,
            )


def plantain(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Broad ribbed oval leaves, bare stalks with brown-green spikes."""
    pen.rosette(
        "oval", x, y, int(pen.rng.integers(6, 9)), h * 0.56, h * 0.32, (76, 138, 60), 0.55, 0.5
    )
    for a in _fan(pen, int(pen.rng.integers(3, 6)), 0.55):
        pts = pen.stem(
            x,
            y,
            a,
            h * pen.rng.uniform(0.7, 1.0),
            h * 0.025,
            (132, 156, 92),
            pen.rng.uniform(-0.15, 0.15),
        )
        for k in range(14):
            p = pts[4] + (pts[8] - pts[4]) * (k / 13)
            d = pen.rng.uniform(-1, 1) * h * 0.015
            pen.dot(p[0] + d, p[1], h * 0.033, pen.vary((126, 104, 66), 0.2))


def marigold(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Bushy feathered leaves, dense many-layered orange pompon heads."""
    orange = petal or (245, 124, 10)
    for a in _fan(pen, 11, 1.3):
        pen.leaf(
            "ragged",
            x,
            y,
            a,
            h * pen.rng.uniform(0.5, 0.72),
            h * 0.22,
            pen.vary((44, 106, 44), 0.2),
            pen.rng.uniform(-0.2, 0.2),
            1,
            0.3,
        )
    for a in _fan(pen, int(pen.rng.integers(2, 5)), 0.65):
        tip = pen.stem(x, y, a, h * pen.rng.uniform(0.55, 0.9), h * 0.04, (74, 124, 54))[-1]
        r, tilt = h * pen.rng.uniform(0.19, 0.24), pen.rng.uniform(0.75, 0.95)
        for k, n in ((1.0, 12), (0.75, 10), (0.5, 8), (0.28, 5)):
            layer = mix(shade(orange, 0.8), orange, 1.4 - k)
            pen.petals("oval", *tip, r * k, n, r * 0.5, layer, tilt)


def goldenrod(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Leafy upright stems ending in arched plumes of tiny yellow heads."""
    gold = petal or (234, 186, 28)
    for a in _fan(pen, int(pen.rng.integers(2, 5)), 0.4):
        pts = pen.stem(
            x,
            y,
            a,
            h * pen.rng.uniform(0.8, 1.0),
            h * 0.03,
            (106, 124, 62),
            pen.rng.uniform(-0.15, 0.15),
        )
        for k in range(1, 6):
            for side in (-0.85, 0.85):
                pen.leaf(
                    "lance",
                    *pts[k],
                    a + side,
                    h * 0.24,
                    h * 0.06,
                    pen.vary((74, 124, 54)),
                    0.15 * side,
                    1,
                    0.2,
                )
        for k in range(7):
            p, size = pts[8] + (pts[5] - pts[8]) * (k / 6), h * (0.08 + 0.16 * k / 6)
            for side in (-1.0, 1.0):
                arm = pen.stem(*p, a + side, size, h * 0.015, (150, 150, 60), -0.35 * side)
                for q in arm[2:]:
                    pen.dot(q[0], q[1] - h * 0.01, h * 0.023, pen.vary(gold, 0.14))


def leafy_spurge(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Clump of leafy stems topped by flat umbels of paired yellow-green bracts."""
    bract = petal or (200, 210, 52)
    for a in _fan(pen, int(pen.rng.integers(4, 8)), pen.rng.uniform(0.45, 0.7)):
        pts = pen.stem(
            x,
            y,
            a,
            h * pen.rng.uniform(0.65, 0.95),
            h * 0.026,
            (116, 142, 84),
            pen.rng.uniform(-0.15, 0.15),
        )
        for k in range(1, 8):
            for side in (-0.9, 0.9):
                pen.leaf(
                    "lance",
                    *pts[k],
                    a + side,
                    h * 0.17,
                    h * 0.035,
                    pen.vary((102, 144, 96)),
                    0,
                    1,
                    0,
                )
        tx, ty = pts[-1]
        for k in np.linspace(-1.25, 1.25, int(pen.rng.integers(5, 8))):
            d = h * pen.rng.uniform(0.11, 0.16)
            qx, qy = tx + math.sin(k) * d, ty - math.cos(k) * d * 0.55
            pen.line(np.array([[tx, ty], [qx, qy]]), (140, 165, 70), 2)
            for side in (0.0, math.pi):
                pen.leaf(
                    "oval",
                    qx,
                    qy,
                    side + pen.rng.uniform(-0.4, 0.4),
                    h * 0.07,
                    h * 0.075,
                    pen.vary(bract, 0.1),
                    0,
                    0.8,
                    0,
                )
            pen.dot(qx, qy, h * 0.018, (226, 196, 40))


def common_ragwort(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Ragged dark leaves and flat-topped clusters of small yellow daisies."""
    yellow = petal or (248, 204, 30)
    pen.rosette("ragged", x, y, 7, h * 0.42, h * 0.22, (54, 106, 52))
    for a in _fan(pen, int(pen.rng.integers(1, 4)), 0.35):
        pts = pen.stem(x, y, a, h * pen.rng.uniform(0.65, 0.85), h * 0.04, (98, 104, 66))
        for k in (2, 3, 4, 5, 6):
            pen.leaf(
                "ragged",
                *pts[k],
                a + (0.9 if k % 2 else -0.9),
                h * 0.27,
                h * 0.15,
                pen.vary((58, 112, 54)),
                0,
            )
        tx, ty = pts[-1]
        for _ in range(int(pen.rng.integers(7, 12))):
            k, d = pen.rng.uniform(-1.2, 1.2), h * pen.rng.uniform(0.07, 0.2)
            qx, qy = tx + math.sin(k) * d, ty - math.cos(k) * d * 0.5
            pen.line(np.array([[tx, ty + h * 0.06], [qx, qy]]), (100, 124, 64), 2)
            r = h * pen.rng.uniform(0.055, 0.075)
            pen.petals("strap", qx, qy, r, 11, r * 0.34, yellow, 0.85)
            pen.dot(qx, qy, r * 0.36, (206, 132, 20))


def rough_hawkbit(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Dandelion look-alike: wavy grey-green leaves, thin stems, smaller single-layer heads."""
    yellow = petal or (246, 194, 20)
    pen.rosette("wavy", x, y, int(pen.rng.integers(6, 10)), h * 0.5, h * 0.16, (98, 136, 82))
    for a in _fan(pen, int(pen.rng.integers(2, 5)), pen.rng.uniform(0.35, 0.65)):
        tip = pen.stem(
            x,
            y,
            a,
            h * pen.rng.uniform(0.6, 1.0),
            h * 0.022,
            (118, 142, 86),
            pen.rng.uniform(-0.25, 0.25),
        )[-1]
        r, tilt = h * pen.rng.uniform(0.14, 0.19), pen.rng.uniform(0.65, 0.95)
        pen.petals("strap", *tip, r, 13, r * 0.3, yellow, tilt)
        pen.petals("strap", *tip, r * 0.55, 9, r * 0.26, shade(yellow, 0.94), tilt)
        pen.dot(*tip, r * 0.16, (196, 140, 16), r * 0.16 * tilt)


def spotted_knapweed(pen: Pen, x: float, y: float, h: float, petal: Colour | None = None) -> None:
    """Branched wiry grey stems, pink-purple fringed heads on dark-spotted cups."""
    pink = petal or (208, 98, 186)
    for a in _fan(pen, int(pen.rng.integers(2, 4)), 0.4):
        pts = pen.stem(x, y, a, h * pen.rng.uniform(0.6, 0.8), h * 0.026, (136, 150, 122))
        for k in range(1, 6):
            pen.leaf(
                "lance",
                *pts[k],
                a + (0.8 if k % 2 else -0.8),
                h * 0.22,
                h * 0.04,
                pen.vary((140, 156, 128)),
                0.1,
                1,
                0,
            )
        for side, k in ((-0.6, 5), (0.6, 6), (0.0, 8)):
            tip = (
                pts[8]
                if k == 8
                else pen.stem(*pts[k], a + side, h * 0.28, h * 0.02, (136, 150, 122), -0.2 * side)[
                    -1
                ]
            )
            r = h * pen.rng.uniform(0.11, 0.14)
            pen.dot(tip[0], tip[1] + r * 0.55, r * 0.45, (98, 92, 66), r * 0.6)
            pen.petals("trumpet", *tip, r, 10, r * 0.5, pink, 0.7)
            pen.petals("strap", *tip, r * 0.5, 7, r * 0.16, mix(pink, (246, 222, 244), 0.5), 0.8)


TRAINED: dict[str, Drawer] = {
    "dandelion": dandelion,
    "daisy": daisy,
    "poppy": poppy,
    "lavender": lavender,
    "white clover": white_clover,
    "thistle": thistle,
    "cornflower": cornflower,
    "fern": fern,
    "ivy": ivy,
    "ryegrass": ryegrass,
    "plantain": plantain,
    "marigold": marigold,
    "goldenrod": goldenrod,
}
HELD_OUT: dict[str, Drawer] = {
    "leafy spurge": leafy_spurge,
    "common ragwort": common_ragwort,
    "rough hawkbit": rough_hawkbit,
    "spotted knapweed": spotted_knapweed,
}
FLOWERLESS = frozenset({"fern", "ivy", "ryegrass", "plantain"})
