"""Thumbnails for views: from what was kept, or from the picture, and then kept."""

from __future__ import annotations

import contextlib
from pathlib import Path

from PIL import Image

from dafusion_core.datasets.pictures import make_thumbnail
from dafusion_core.datasets.small_copy import MAX_SIDE, SIDE, encode_small
from dafusion_core.domain.errors import BadImage
from dafusion_core.storage.thumbnails import KeptThumbnails

__all__ = ["load_thumbnail"]


def load_thumbnail(path: Path | str, size: int, kept: KeptThumbnails | None) -> Image.Image:
    """As `make_thumbnail`, by the small copy that is kept of the picture where that will do.

    One that is missing or damaged is made from the picture, and kept if that can be done. Raises
    BadImage for a picture that is not there, also where there is a small copy of it.
    """
    name = kept.name(path) if kept is not None and size <= SIDE else None
    if kept is None or name is None:
        return make_thumbnail(path, size)
    if (data := kept.read(name)) is not None:
        with contextlib.suppress(BadImage):
            return make_thumbnail(path, size, MAX_SIDE * MAX_SIDE, data)
    small = make_thumbnail(path, SIDE + 1)
    # A picture that changed meanwhile would be kept under the name of what it was.
    if max(small.size) > SIDE and name == kept.name(path):
        kept.write({name: encode_small(small)})
    small.thumbnail((size, size), Image.Resampling.BICUBIC)
    return small
