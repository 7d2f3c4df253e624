"""Pictures of the meadow: one species on a field plot, seen from above."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from dafusion_core.meadow.captions import LIGHT_WORDS, write_caption
from dafusion_core.meadow.ground import GROUNDS, VARIANTS, cut_ground
from dafusion_core.meadow.pen import Pen
from dafusion_core.meadow.plant import Stage, draw_flowers, draw_leaves
from dafusion_core.meadow.species import Species

LIGHTS = tuple(LIGHT_WORDS)
PER_PLOT = 8
"""Pictures of one species with consecutive seeds that share a plot."""

_GAIN = {
    "sun": (1.08, 1.05, 0.98),
    "cloud": (0.95, 0.97, 1.0),
    "evening": (1.08, 0.95, 0.8),
    "shade": (0.74, 0.79, 0.86),
}
_CONTRAST = {"sun": 1.12, "cloud": 0.94, "evening": 1.04, "shade": 0.96}
_SHADOW = {"sun": 0.6, "cloud": 0.28, "evening": 0.55, "shade": 0.25}
_SHIFT = {"sun": 0.03, "cloud": 0.012, "evening": 0.06, "shade": 0.012}


@dataclass(frozen=True)
class Picture:
    """A drawn picture and what is known about it."""

    pixels: npt.NDArray[np.uint8]  # (size, size, 3)
    mask: npt.NDArray[np.bool_]  # (size, size), true where the species' plants are
    species: Species
    plot: int  # pictures of one plot share ground and light
    ground: str
    light: str

    @property
    def caption(self) -> str:
        """ "a photo of a SPECIES on bare soil in bright sun"."""
        return write_caption(self.species.name, self.ground, self.light)


def draw_picture(species: Species, seed: int, size: int = 64, plot: int | None = None) -> Picture:
    """Draw a species; equal arguments give equal pictures.

    seed: 0 or more. `PER_PLOT` consecutive seeds share a plot unless `plot` (0 or more) names one.
    size: side in pixels, 16 or more; what is drawn does not depend on it.
    """
    if seed < 0 or size < 16 or (plot is not None and plot < 0):
        raise ValueError("seed and plot must be 0 or more, size 16 or more")
    plot = seed // PER_PLOT if plot is None else plot
    field = np.random.default_rng([7, plot])
    ground = str(field.choice(GROUNDS))
    light = str(field.choice(LIGHTS))
    variant = int(field.integers(VARIANTS))
    sun = float(field.uniform(0, 2 * math.pi))

    rng = np.random.default_rng([8, seed, *"|".join(species.genome).encode()])
    canvas = size * 3 if size <= 128 else size * 2
    image = cut_ground(ground, variant, canvas, rng)
    spots = _positions(rng)
    _strangers(image, rng, sun, light)
    covered = Image.new("L", image.size, 0)
    for x, y, radius in spots:
        stage = Stage.draw(radius, rng)
        leaves = Image.new("RGBA", image.size, (0, 0, 0, 0))
        pen = Pen(leaves, rng, sun)
        places = draw_leaves(pen, species, x, y, stage)
        _bite(leaves, rng, x, y, radius)
        _lay(image, covered, leaves, sun, light, 1.0)
        if not species.flowerless:
            flowers = Image.new("RGBA", image.size, (0, 0, 0, 0))
            draw_flowers(Pen(flowers, rng, sun), species, x, y, stage, places)
            _lay(image, covered, flowers, sun, light, 0.8)
    _in_front(image, covered, rng, ground, sun)
    small = image.resize((size, size), Image.Resampling.BOX)
    mask = np.asarray(covered.resize((size, size), Image.Resampling.BOX)) > 127
    return Picture(_expose(small, rng, light, sun), mask, species, plot, ground, light)


def _positions(rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Where plants stand and how far their leaves reach: one, now and then two or three."""
    count = int(rng.choice((1, 2, 3), p=(0.7, 0.2, 0.1)))
    if count == 1:
        x, y = (0.5 + rng.uniform(-0.1, 0.1, 2)).tolist()
        return [(x, y, rng.uniform(0.34, 0.5))]
    turn, found = rng.uniform(0, 2 * math.pi), []
    for i in range(count):
        a = turn + i * 2 * math.pi / count + rng.uniform(-0.2, 0.2)
        d = rng.uniform(0.25, 0.3)
        found.append((0.5 + math.cos(a) * d, 0.5 + math.sin(a) * d, rng.uniform(0.25, 0.31)))
    return found


def _lay(
    image: Image.Image,
    covered: Image.Image,
    layer: Image.Image,
    sun: float,
    light: str,
    height: float,
) -> None:
    """Put a layer with its shadow onto the picture and its shape onto the mask."""
    alpha = layer.getchannel("A")
    side = image.width
    quarter = (max(8, side // 4), max(8, side // 4))
    soft = alpha.resize(quarter, Image.Resampling.BOX)
    soft = soft.filter(ImageFilter.GaussianBlur(quarter[0] / 60))
    soft = soft.point([round(v * _SHADOW[light]) for v in range(256)])
    shift = _SHIFT[light] * height * side
    at = (round(-math.cos(sun) * shift), round(-math.sin(sun) * shift))
    image.paste((24, 26, 30), at, soft.resize(image.size, Image.Resampling.BILINEAR))
    image.paste(layer.convert("RGB"), (0, 0), alpha)
    covered.paste(ImageChops.lighter(covered, alpha), (0, 0))


def _bite(layer: Image.Image, rng: np.random.Generator, x: float, y: float, radius: float) -> None:
    """Insects ate from one plant in four."""
    if rng.random() > 0.25:
        return
    draw, side = ImageDraw.Draw(layer), layer.width
    for _ in range(int(rng.integers(2, 7))):
        a, d = rng.uniform(0, 6.28), radius * rng.uniform(0.3, 0.95)
        cx, cy, r = (x + math.cos(a) * d) * side, (y + math.sin(a) * d) * side, 0.012 * side
        draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=(0, 0, 0, 0))


def _strangers(image: Image.Image, rng: np.random.Generator, sun: float, light: str) -> None:
    """A seedling of no known species here and there, near the edge."""
    if rng.random() > 0.3:
        return
    layer = Image.new("RGBA", image.size, (0, 0, 0, 0))
    pen = Pen(layer, rng, sun)
    for _ in range(int(rng.integers(1, 4))):
        a = rng.uniform(0, 2 * math.pi)
        x, y = 0.5 + math.cos(a) * 0.52, 0.5 + math.sin(a) * 0.52
        turn, length = rng.uniform(0, 3.14), rng.uniform(0.03, 0.06)
        for k in range(4):
            shape = "oval" if k % 2 else "narrow"
            pen.leaf(shape, x, y, turn + k * 1.57, length, pen.vary((96, 140, 72)))
    _lay(image, Image.new("L", image.size, 0), layer, sun, light, 0.5)


def _in_front(
    image: Image.Image, covered: Image.Image, rng: np.random.Generator, ground: str, sun: float
) -> None:
    """Blades or straws of the ground lie over one plant in four; the mask leaves them out."""
    if rng.random() > 0.25:
        return
    colour = (118, 150, 70) if ground in ("grass", "soil", "mud") else (204, 186, 134)
    over = Image.new("RGBA", image.size, (0, 0, 0, 0))
    pen = Pen(over, rng, sun)
    for _ in range(int(rng.integers(2, 6))):
        x, y = rng.uniform(0.1, 0.9, 2).tolist()
        angle, length = rng.uniform(0, 6.28), rng.uniform(0.2, 0.5)
        pen.leaf("narrow", x, y, angle, length, pen.vary(colour), rng.uniform(-0.2, 0.2), 0.5)
    alpha = over.getchannel("A")
    image.paste(over.convert("RGB"), (0, 0), alpha)
    covered.paste(ImageChops.subtract(covered, alpha), (0, 0))


def _expose(
    image: Image.Image, rng: np.random.Generator, light: str, sun: float
) -> npt.NDArray[np.uint8]:
    """Light colour, a soft gradient towards the light, contrast, blur and noise of the camera."""
    side = image.width
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.45) * side / 64))
    pixels = np.asarray(image, dtype=np.float64)
    ramp = (np.arange(side) + 0.5) / side - 0.5
    strength = rng.uniform(0, 0.16)
    c, s = round(math.cos(sun), 6), round(math.sin(sun), 6)
    slope = 1 + strength * (ramp[None, :] * c + ramp[:, None] * s)
    gain = np.array(_GAIN[light]) * rng.uniform(0.94, 1.06)
    out = pixels * gain * slope[..., None]
    out = (out - 112) * _CONTRAST[light] + 112
    out += rng.normal(0, 1.2, pixels.shape)
    return np.clip(np.round(out), 0, 255).astype(np.uint8)


def draw_sheet(pictures: list[Picture], columns: int) -> Image.Image:
    """Equally large pictures in rows of `columns` with a white line between them."""
    side = pictures[0].pixels.shape[0]
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * (side + 2) - 2, rows * (side + 2) - 2), "white")
    for i, picture in enumerate(pictures):
        place = ((i % columns) * (side + 2), (i // columns) * (side + 2))
        sheet.paste(Image.fromarray(picture.pixels), place)
    return sheet
