"""Shapes of regions: what can be taken hold of, what a place is inside of, points in and out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from app.regions.document import MOVE_NAMES, Item, RegionDocument
from dafusion_core.domain.regions import RegionKind
from dafusion_core.language import _

Place = tuple[float, float]


def handles(item: Item) -> list[tuple[str, int, int, Place]]:
    """What can be taken hold of: (kind, which polygon or handle, point, place). Points come before
    the middles of edges, where a new point is made."""
    if item.kind is RegionKind.BOX:
        x, y, w, h = item.box()
        return [
            ("corner", number, -1, (x + w * (number % 3) / 2, y + h * (number // 3) / 2))
            for number in range(9)
            if number != 4
        ]
    if item.kind is RegionKind.POLYGON:
        found: list[tuple[str, int, int, Place]] = []
        edges: list[tuple[str, int, int, Place]] = []
        for which, points in enumerate(item.polygons()):
            places = list(zip(points[::2], points[1::2], strict=True))
            for number, (x, y) in enumerate(places):
                found.append(("point", which, number, (x, y)))
                to_x, to_y = places[(number + 1) % len(places)]
                edges.append(("edge", which, number, ((x + to_x) / 2, (y + to_y) / 2)))
        return found + edges
    return []


def covers(item: Item, at: Place) -> bool:
    """Whether a region covers this place."""
    x, y = at
    if item.kind is RegionKind.BOX:
        left, top, w, h = item.box()
        return left <= x <= left + w and top <= y <= top + h
    if item.kind is RegionKind.POLYGON:
        return any(is_inside(points, x, y) for points in item.polygons())
    if item.mask is None:
        return False
    height, width = item.mask.shape
    row, column = math.floor(y), math.floor(x)
    return 0 <= row < height and 0 <= column < width and bool(item.mask[row, column])


def is_inside(points: Sequence[float], x: float, y: float) -> bool:
    """Whether a place is inside a polygon [x1, y1, x2, y2, …]: how often a line from it to the
    right meets the outline is odd."""
    found = False
    places = list(zip(points[::2], points[1::2], strict=True))
    for (x0, y0), (x1, y1) in zip(places, places[1:] + places[:1], strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            found = not found
    return found


def copy_data(item: Item) -> dict[str, Any]:
    """The data of a box or polygon, sharing nothing with it."""
    if item.kind is RegionKind.POLYGON:
        return {"polygons": [list(points) for points in item.polygons()]}
    return {key: list(value) for key, value in item.data.items() if key == "box"}


def move_data(
    kind: RegionKind, before: dict[str, Any], by: Place, size: tuple[float, float]
) -> dict[str, Any]:
    """The data of a box or polygon moved as a whole, held inside an image of that size."""
    if kind is RegionKind.BOX:
        x, y, w, h = before["box"]
        dx = _hold(x, x + w, float(round(by[0])), size[0])
        dy = _hold(y, y + h, float(round(by[1])), size[1])
        return {"box": [x + dx, y + dy, w, h]}
    xs = [x for points in before["polygons"] for x in points[::2]]
    ys = [y for points in before["polygons"] for y in points[1::2]]
    dx = _hold(min(xs), max(xs), by[0], size[0])
    dy = _hold(min(ys), max(ys), by[1], size[1])
    return {
        "polygons": [
            [round(value + (dy if i % 2 else dx), 2) for i, value in enumerate(points)]
            for points in before["polygons"]
        ]
    }


def _hold(low: float, high: float, by: float, limit: float) -> float:
    """How far something from `low` to `high` goes without leaving 0 … `limit`."""
    return min(max(by, min(0.0, -low)), max(0.0, limit - high))


def nudge(document: RegionDocument, by: Place, size: tuple[float, float]) -> None:
    """Move the chosen point, or the whole chosen box or polygon: one step of undo."""
    item = document.selected
    if item is None or item.kind is RegionKind.MASK:
        return
    which, point = document.point
    if item.kind is RegionKind.POLYGON and which >= 0:
        data = copy_data(item)
        x, y = data["polygons"][which][2 * point : 2 * point + 2]
        x = min(max(x + by[0], 0.0), size[0])
        y = min(max(y + by[1], 0.0), size[1])
        data["polygons"][which][2 * point : 2 * point + 2] = [round(x, 2), round(y, 2)]
        item.data = data
        document.store(item, _("Move a point of a polygon"))
    else:
        item.data = move_data(item.kind, item.data, by, size)
        document.store(item, MOVE_NAMES[item.kind])


def delete_chosen(document: RegionDocument) -> None:
    """Remove the chosen point of a polygon that keeps three, else the chosen region."""
    item = document.selected
    if item is None or not document.can_edit:
        return
    which, point = document.point
    if item.kind is RegionKind.POLYGON and which >= 0 and len(item.polygons()[which]) > 6:
        data = copy_data(item)
        points = data["polygons"][which]
        del points[2 * point : 2 * point + 2]
        item.data = data
        document.select(item, (which, min(point, len(points) // 2 - 1)))
        document.store(item, _("Remove a point of a polygon"))
    else:
        document.remove(item)


def insert_point(document: RegionDocument) -> None:
    """A new point in the middle between the chosen one (or the first) and the next."""
    item = document.selected
    if item is None or item.kind is not RegionKind.POLYGON or not document.can_edit:
        return
    which, point = document.point if document.point[0] >= 0 else (0, 0)
    data = copy_data(item)
    points = data["polygons"][which]
    x0, y0 = points[2 * point : 2 * point + 2]
    after = (2 * point + 2) % len(points)
    x1, y1 = points[after : after + 2]
    points[2 * point + 2 : 2 * point + 2] = [round((x0 + x1) / 2, 2), round((y0 + y1) / 2, 2)]
    item.data = data
    document.select(item, (which, point + 1))
    document.store(item, _("Insert a point into a polygon"))


def step_point(document: RegionDocument, by: int) -> Place | None:
    """Choose the next or previous point of the chosen polygon; where it is."""
    item = document.selected
    if item is None or item.kind is not RegionKind.POLYGON:
        return None
    places = [
        (which, number)
        for which, points in enumerate(item.polygons())
        for number in range(len(points) // 2)
    ]
    here = places.index(document.point) if document.point in places else -1
    chosen = places[(here + by) % len(places)] if here >= 0 else places[0 if by > 0 else -1]
    document.select(item, chosen)
    x, y = item.polygons()[chosen[0]][2 * chosen[1] : 2 * chosen[1] + 2]
    return x, y
