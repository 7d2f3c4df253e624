"""The small copy of a picture that is kept for views, made from pixels that are there already."""

from __future__ import annotations

import io
from typing import Final

from PIL import Image

__all__ = ["MAX_SIDE", "SIDE", "Jpeg", "encode_small"]

Jpeg = bytes

#: Pixels of the longer side up to which a view may ask for it. Pictures no larger have none.
SIDE: Final = 256
#: It may have as many: averaging two by two, three by three … pixels is a fourth of the work of
#: making it exactly `SIDE`, and half of all that importing adds for it.
MAX_SIDE: Final = 320
_QUALITY: Final = 85


def encode_small(image: Image.Image, turn: Image.Transpose | None = None) -> Jpeg:
    """A JPEG, RGB or grey, of `SIDE` to `MAX_SIDE` pixels; `turn` makes it upright.

    `image`: RGB or L, larger than `SIDE`, perhaps decoded at a fraction of its size.
    """
    small = image.reduce(max(1, max(image.size) // SIDE))
    if max(small.size) > MAX_SIDE:
        scale = SIDE / max(small.size)
        width, height = (max(1, round(side * scale)) for side in small.size)
        small = small.resize((width, height), Image.Resampling.BILINEAR)
    if turn is not None:
        small = small.transpose(turn)
    small.info.clear()  # a comment would be written along
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
