"""Small pictures and folders of them, made on the spot."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["bomb_png", "make_class_folder", "noise", "quadrants", "save"]

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def noise(seed: int, width: int = 48, height: int = 40) -> Image.Image:
    """RGB noise in blocks, different for every seed, and the same after JPEG to the eye."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST)


def quadrants(width: int = 64, height: int = 48) -> Image.Image:
    """Red and green above, blue and white below: shows which way a picture was turned."""
    pixels = np.zeros((height, width, 3), np.uint8)
    middle, centre = height // 2, width // 2
    pixels[:middle, :centre], pixels[:middle, centre:] = RED, GREEN
    pixels[middle:, :centre], pixels[middle:, centre:] = BLUE, WHITE
    return Image.fromarray(pixels)


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    """Save, making the folders above; the format follows the ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def make_class_folder(root: Path, classes: dict[str, int], ending: str = ".png") -> Path:
    """`root/name/name_0.png` … for each class, every picture different."""
    for offset, (name, count) in enumerate(classes.items()):
        for i in range(count):
            save(noise(1000 * offset + i), root / name / f"{name[:40]}_{i}{ending}")
    return root


def bomb_png(path: Path, width: int, height: int) -> Path:
    """A few bytes that claim to be a picture of that size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 16), 9)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    return path
