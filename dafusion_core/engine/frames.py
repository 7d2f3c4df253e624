"""How a source becomes the model's square and the result the source's shape again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from dafusion_core.domain.specs import Aspect

__all__ = ["Frame"]

BILINEAR = Image.Resampling.BILINEAR
NEAREST = Image.Resampling.NEAREST


@dataclass(frozen=True, slots=True)
class Frame:
    """The way of one picture of `size` (width, height) into a square of `side` pixels and back.

    "stretch" ignores the aspect ratio, as the paper's programs do (§1.5); "pad" scales the longer
    side to the square and fills the rest with mirrored edges, which are cut off again; "crop"
    takes the largest square in the middle, and the result is that square.
    """

    size: tuple[int, int]
    side: int
    aspect: Aspect = "stretch"

    @property
    def result_size(self) -> tuple[int, int]:
        """(width, height) of what `restore` returns."""
        if self.aspect == "crop":
            return (min(self.size), min(self.size))
        return self.size

    def place(self, picture: Image.Image, resample: Image.Resampling = BILINEAR) -> Image.Image:
        """The picture (of `size`) as a square."""
        square = (self.side, self.side)
        if self.aspect == "crop":
            picture = self.cut(picture)
        if self.aspect != "pad" or picture.width == picture.height:
            return picture if picture.size == square else picture.resize(square, resample)
        left, top, width, height = self._inner()
        inner = picture.resize((width, height), resample)
        space = [(top, self.side - top - height), (left, self.side - left - width)]
        values = np.asarray(inner)
        space += [(0, 0)] * (values.ndim - 2)
        mode = "constant" if resample == NEAREST else "symmetric"  # a mask ends with its picture
        return Image.fromarray(np.pad(values, space, mode=mode))  # type: ignore[call-overload]

    def restore(self, square: Image.Image) -> Image.Image:
        """What the model made of the square, in `result_size`, bilinear."""
        if self.aspect == "pad" and self.size[0] != self.size[1]:
            left, top, width, height = self._inner()
            square = square.crop((left, top, left + width, top + height))
        size = self.result_size
        return square if square.size == size else square.resize(size, BILINEAR)

    def cut(self, picture: Image.Image) -> Image.Image:
        """The part of the picture that `restore` returns the likeness of."""
        if self.aspect != "crop":
            return picture
        edge = min(self.size)
        left, top = (self.size[0] - edge) // 2, (self.size[1] - edge) // 2
        return picture.crop((left, top, left + edge, top + edge))

    def _inner(self) -> tuple[int, int, int, int]:
        """(left, top, width, height) of the picture in the padded square."""
        longer = max(self.size)
        width = max(1, round(self.size[0] * self.side / longer))
        height = max(1, round(self.size[1] * self.side / longer))
        return (self.side - width) // 2, (self.side - height) // 2, width, height
