"""Pictures between files and tensors.

Inside the engine a picture is a float tensor [3, H, W] from -1 to 1, the range of the VAE.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dafusion_core.datasets.pictures import load_rgb
from dafusion_core.domain.specs import Aspect
from dafusion_core.engine.frames import Frame

__all__ = [
    "contact_sheet",
    "load_pixels",
    "load_source",
    "picture_to_pixels",
    "pixels_to_picture",
    "pixels_to_unit",
    "save_png",
]

BILINEAR = Image.Resampling.BILINEAR
BICUBIC = Image.Resampling.BICUBIC


def picture_to_pixels(picture: Image.Image) -> torch.Tensor:
    """An RGB picture as [3, H, W] in -1…1."""
    values = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float()
    return values / 255.0 * 2.0 - 1.0


def load_pixels(
    path: Path, resolution: int, resample: Image.Resampling = BILINEAR
) -> tuple[torch.Tensor, tuple[int, int]]:
    """Read a picture for the model: ([3, resolution, resolution] in -1…1, (width, height)).

    The picture is stretched to a square and its aspect ratio ignored, as the paper's code does
    (§1.5). Raises BadImage when it cannot be read.
    """
    picture = load_rgb(path)
    return picture_to_pixels(Frame(picture.size, resolution).place(picture, resample)), picture.size


def load_source(path: Path, resolution: int, aspect: Aspect) -> tuple[torch.Tensor, Frame]:
    """Read a picture to edit: ([3, resolution, resolution] in -1…1, the way back to its shape).

    Raises BadImage when it cannot be read.
    """
    picture = load_rgb(path)
    frame = Frame(picture.size, resolution, aspect)
    return picture_to_pixels(frame.place(picture)), frame


def pixels_to_unit(pixels: torch.Tensor) -> torch.Tensor:
    """-1…1 to 0…1, clipped."""
    return (pixels.float() / 2 + 0.5).clamp(0, 1)


def pixels_to_picture(pixels: torch.Tensor) -> Image.Image:
    """One [3, H, W] tensor in -1…1 as an RGB picture.

    Raises ValueError on values that are not numbers: they would become black pictures.
    """
    if not bool(torch.isfinite(pixels).all()):
        raise ValueError("the decoded picture holds values that are not numbers")
    unit = pixels_to_unit(pixels).permute(1, 2, 0).cpu().numpy()
    return Image.fromarray((unit * 255).round().astype(np.uint8))


def save_png(picture: Image.Image, path: Path) -> Path:
    """Write a PNG so that `path` never holds half a file."""
    partial = path.with_name(path.name + ".part")
    picture.save(partial, format="PNG", compress_level=4)
    os.replace(partial, path)
    return path


def contact_sheet(rows: list[list[Image.Image]], cell: int = 128, gap: int = 4) -> Image.Image:
    """Pictures in rows on white, each shown `cell` pixels wide and high."""
    columns = max((len(row) for row in rows), default=0)
    step = cell + gap
    sheet = Image.new("RGB", (columns * step + gap, len(rows) * step + gap), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            shown = picture.resize((cell, cell), Image.Resampling.LANCZOS)
            sheet.paste(shown, (gap + x * step, gap + y * step))
    return sheet
