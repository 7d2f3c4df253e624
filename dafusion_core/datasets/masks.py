"""Masks of regions: run lengths as COCO stores them, polygons to pixels, areas and boxes.

Arrays are bool [height, width]. The two formats and the rule by which a polygon covers pixels are
those of the COCO API, so that a mask means the same pixels here and there; a test compares both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.regions import Region, RegionKind
from dafusion_core.language import _

__all__ = ["decode_mask", "encode_mask", "mask_box", "polygon_mask", "region_area", "region_mask"]
__all__ += ["sample_mask", "union_mask"]

Mask = NDArray[np.bool_]
_SCALE = 5  # the COCO API walks along polygons in fifths of a pixel


def encode_mask(mask: Mask) -> dict[str, Any]:
    """{"size": [height, width], "counts": text}: the compressed run lengths of a mask."""
    flat = np.asarray(mask, bool).T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    if flat.size and flat[0]:  # the first run is always one of zeros, here an empty one
        edges = np.concatenate([[0], edges])
    runs = np.diff(np.concatenate([[0], edges, [flat.size]]))
    height, width = mask.shape
    return {"size": [int(height), int(width)], "counts": _pack(runs.tolist())}


def decode_mask(data: Mapping[str, Any]) -> Mask:
    """The mask of run lengths, compressed (text) or not (a list).

    Raises UserError when they do not fit the size they name.
    """
    height, width, runs = _runs(data)
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def _runs(data: Mapping[str, Any]) -> tuple[int, int, list[int]]:
    """Height, width and run lengths of a mask, checked against each other."""
    try:
        height, width = (int(side) for side in data["size"])
        counts = data["counts"]
        if isinstance(counts, bytes):
            counts = counts.decode("ascii")
        runs = _unpack(counts) if isinstance(counts, str) else [int(run) for run in counts]
        if height < 1 or width < 1 or min(runs, default=0) < 0 or sum(runs) != height * width:
            raise ValueError
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise UserError(
            _("A mask's run lengths do not fit its size."),
            _("It was damaged or made for another image."),
        ) from error
    return height, width, runs


def sample_mask(
    data: Mapping[str, Any], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> Mask:
    """The pixels of a mask in these rows and columns only: bool [len(rows), len(columns)].

    For small views of large masks: nothing as large as the image is made. Raises UserError as
    `decode_mask`.
    """
    height, _width, runs = _runs(data)
    ends = np.cumsum(np.asarray(runs, np.int64))
    places = columns[None, :].astype(np.int64) * height + rows[:, None]
    found: Mask = np.searchsorted(ends, places, side="right") % 2 == 1
    return found


def _pack(runs: Sequence[int]) -> str:
    """Runs as text: from the third on the difference to the one before last, in groups of five
    bits, lowest first, 32 added where another group follows, plus 48 to be printable."""
    text = bytearray()
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        while True:
            group = value & 31
            value >>= 5
            is_last = value == (-1 if group & 16 else 0)
            text.append(48 + group + (0 if is_last else 32))
            if is_last:
                break
    return text.decode("ascii")


def _unpack(text: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for code in text.encode("ascii"):
        group = code - 48
        if not 0 <= group < 64:
            raise ValueError
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError
    return runs


def polygon_mask(polygons: Sequence[Sequence[float]], height: int, width: int) -> Mask:
    """The pixels that any of the polygons covers; [x1, y1, x2, y2, …] each."""
    mask = np.zeros((height, width), bool)
    for points in polygons:
        mask |= _fill(np.asarray(points, float).reshape(-1, 2), height, width)
    return mask


def _fill(points: NDArray[np.float64], height: int, width: int) -> Mask:
    """One polygon. Its boundary is walked on a grid of fifths of a pixel; wherever it passes the
    middle between two columns, all pixels below change sides."""
    # Far outside, walking would take for ever and changes nothing that can be seen.
    limit = 4 * max(height, width) + 16
    grid = np.trunc(_SCALE * np.clip(points, -limit, limit) + 0.5).astype(np.int64)
    walks = [_walk(grid[i], grid[(i + 1) % len(grid)]) for i in range(len(grid))]
    walk = np.concatenate(walks)
    before, after = walk[:-1], walk[1:]
    moves = before[:, 0] != after[:, 0]
    column = np.minimum(before[:, 0], after[:, 0])[moves]
    column = np.where(after[moves, 0] < before[moves, 0], after[moves, 0], after[moves, 0] - 1)
    x = (column + 0.5) / _SCALE - 0.5
    row = np.minimum(before[:, 1], after[:, 1])[moves]
    y = np.ceil(np.clip((row + 0.5) / _SCALE - 0.5, 0, height))
    is_crossing = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    places = (x[is_crossing] * height + y[is_crossing]).astype(np.int64)
    turns = np.bincount(places, minlength=height * width + 1)[: height * width]
    covered: Mask = (np.cumsum(turns) % 2 == 1).reshape(width, height).T
    return covered


def _walk(start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """Grid points [n, 2] from `start` to `end`, one per step along the longer side."""
    x, y = start
    dx, dy = end - start
    steps = max(abs(dx), abs(dy))
    if steps == 0:
        return start[None]
    along_x = abs(dx) >= abs(dy)
    # Walked from the lower end, so that both directions round alike.
    if (dx if along_x else dy) < 0:
        return _walk(end, start)[::-1]
    t = np.arange(steps + 1)
    if along_x:
        return np.stack([x + t, np.trunc(y + (dy / dx) * t + 0.5).astype(np.int64)], axis=1)
    return np.stack([np.trunc(x + (dx / dy) * t + 0.5).astype(np.int64), y + t], axis=1)


def region_mask(region: Region, height: int, width: int) -> Mask:
    """The pixels of a region; a box covers those whose centres are inside it."""
    if region.kind is RegionKind.MASK:
        mask = decode_mask(region.data)
        if mask.shape != (height, width):
            raise UserError(_("A mask was made for an image of another size."), _("Draw it again."))
        return mask
    if region.kind is RegionKind.POLYGON:
        return polygon_mask(region.data["polygons"], height, width)
    x, y, w, h = region.data["box"]
    mask = np.zeros((height, width), bool)
    left, top = max(round(x), 0), max(round(y), 0)
    mask[top : max(round(y + h), 0), left : max(round(x + w), 0)] = True
    return mask


def union_mask(regions: Sequence[Region], height: int, width: int) -> Mask:
    """The pixels that any of the regions covers."""
    mask = np.zeros((height, width), bool)
    for region in regions:
        mask |= region_mask(region, height, width)
    return mask


def region_area(region: Region, height: int, width: int) -> int:
    """How many pixels a region covers."""
    return int(region_mask(region, height, width).sum())


def mask_box(mask: Mask) -> tuple[int, int, int, int]:
    """The smallest box (x, y, width, height) around a mask; zeros for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1
