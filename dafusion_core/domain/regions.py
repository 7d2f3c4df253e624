"""Boxes, polygons and masks on one image, as plain values.

Coordinates are pixels of the upright image: x to the right, y down, (0, 0) the upper left corner
of the first pixel, so a box of width 3 at x = 1 covers the pixels 1, 2 and 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dafusion_core.domain.errors import UserError
from dafusion_core.language import _


class RegionKind(StrEnum):
    """How a region was drawn."""

    BOX = "box"
    POLYGON = "polygon"
    MASK = "mask"


@dataclass(frozen=True, slots=True)
class Region:
    """One region of an image.

    `data` by kind: box {"box": [x, y, width, height]}; polygon {"polygons": [[x1, y1, x2, y2, …],
    …]}, several when the object is in pieces; mask {"size": [height, width], "counts": text}, the
    compressed run lengths of COCO (column by column, beginning with zeros). `label` is its class,
    None for that of the image. `id` is 0 before it is stored.
    """

    id: int
    image_id: int
    kind: RegionKind
    data: Mapping[str, Any]
    label: str | None = None


def check_region(kind: RegionKind, data: Mapping[str, Any], width: int, height: int) -> None:
    """Raise UserError when `data` cannot be a region of an image of that size."""
    try:
        if kind is RegionKind.BOX:
            x, y, w, h = (_number(value) for value in data["box"])
            _require(w > 0 and h > 0, _("the box has no area"))
            _require(x < width and y < height and x + w > 0 and y + h > 0, _("it is outside"))
        elif kind is RegionKind.POLYGON:
            polygons = data["polygons"]
            _require(len(polygons) > 0, _("it has no points"))
            for points in polygons:
                _require(len(points) >= 6 and len(points) % 2 == 0, _("it needs three points"))
                for value in points:
                    _number(value)
        else:
            _require(
                list(data["size"]) == [height, width],
                _("the mask is {size}×{size2} pixels, the image {width}×{height}").format(
                    size=data["size"][1], size2=data["size"][0], width=width, height=height
                ),
            )
            _require(isinstance(data["counts"], str), _("its run lengths are missing"))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            _("This {kind} region is incomplete.").format(kind=kind), _("Draw it again.")
        ) from error


def plain_data(kind: RegionKind, data: Mapping[str, Any]) -> dict[str, Any]:
    """`data` with just the keys of its kind and numbers of one type, as it is stored."""
    if kind is RegionKind.BOX:
        return {"box": [float(value) for value in data["box"]]}
    if kind is RegionKind.POLYGON:
        return {"polygons": [[float(value) for value in points] for points in data["polygons"]]}
    return {"size": [int(side) for side in data["size"]], "counts": data["counts"]}


def _require(is_good: bool, reason: str) -> None:
    if not is_good:
        raise UserError(
            _("This region cannot be used: {reason}.").format(reason=reason), _("Draw it again.")
        )


def _number(value: Any) -> float:
    number = float(value)
    _require(math.isfinite(number), _("a coordinate is not a number"))
    return number
