"""labelme: a JSON file beside each picture, with shapes and flags.

The class of a picture is the flag that is set, if there is just one; else that of its largest
shape, the first of equals. All shapes are kept.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dafusion_core.datasets.masks import encode_mask
from dafusion_core.datasets.naming import normal_name
from dafusion_core.datasets.plan import Entry, ImportPlan, PlannedRegion, shorten_problems
from dafusion_core.datasets.sources.common import (
    Findings,
    absolute,
    find_part,
    read_json,
    sort_entries,
    walk_files,
)
from dafusion_core.domain.errors import BadImage, UserError
from dafusion_core.domain.regions import RegionKind
from dafusion_core.language import _

__all__ = ["is_labelme", "plan_labelme"]


def is_labelme(value: Any) -> bool:
    """Whether a JSON value is a labelme annotation."""
    return isinstance(value, Mapping) and "shapes" in value and "imagePath" in value


def plan_labelme(folder: Path | str) -> ImportPlan:
    """The plan of a folder (and those below) of pictures with labelme files.

    Raises UserError when there is none.
    """
    root = absolute(folder)
    findings, entries, seen = Findings(), list[Entry](), dict[str, Path]()
    files = [path for path in walk_files(root) if path.suffix.lower() == ".json"]
    count = 0
    for file in files:
        try:
            value = read_json(file)
        except UserError as error:
            findings.refuse(file, error.text)
            continue
        if not is_labelme(value):
            continue
        count += 1
        try:
            entry = _entry(file, value, root, findings)
        except (UserError, KeyError, TypeError, ValueError) as error:
            findings.refuse(file, _("it is damaged ({error})").format(error=error))
            continue
        if entry is None:
            continue
        if entry.source in seen:
            findings.refuse(
                file, _("its picture has another file, {name}").format(name=seen[entry.source].name)
            )
            continue
        seen[entry.source] = file
        entries.append(entry)
    if not count:
        raise UserError(_("“{root}” holds no labelme files.").format(root=root))
    return ImportPlan(
        "labelme", root, sort_entries(entries, root), shorten_problems(findings.problems)
    )


def _entry(file: Path, value: Mapping[str, Any], root: Path, findings: Findings) -> Entry | None:
    picture = Path(str(value["imagePath"]).replace("\\", "/"))
    path = file.parent / picture
    fetch = None
    if not path.is_file():
        # labelme writes paths relative to the file, which may have been moved since.
        path = file.parent / picture.name
    if not path.is_file():
        if not value.get("imageData"):
            findings.refuse(file, _("its picture {name} is not there").format(name=picture.name))
            return None
        path, fetch = file, _Embedded(str(value["imageData"]), file)
    height, width = int(value.get("imageHeight") or 0), int(value.get("imageWidth") or 0)
    regions: list[tuple[float, PlannedRegion]] = []
    for shape in value["shapes"]:
        found = _region(shape, height, width)
        if found is None:
            findings.remark(
                file,
                _("a {shape_type} is no region").format(
                    shape_type=shape.get("shape_type", "shape")
                ),
            )
        else:
            regions.append(found)
    own = value.get("dafusion") or {}
    flags = [name for name, is_set in (value.get("flags") or {}).items() if is_set is True]
    label = str(own.get("label", ""))
    if not label and len(flags) == 1:
        label = flags[0]
    if not label and regions:
        label = max(regions, key=lambda pair: pair[0])[1].label
    label = normal_name(label)
    return Entry(
        str(path),
        label,
        origin=f"{file}#imageData" if fetch else "",
        part=find_part(str(own.get("part", ""))),
        group=normal_name(str(own.get("group", ""))),
        note=str(own.get("note", "")),
        is_unsure=bool(own.get("is_unsure")),
        regions=tuple(
            PlannedRegion(r.kind, r.data, "" if r.label == label else r.label) for _, r in regions
        ),
        fetch=fetch,
    )


class _Embedded:
    """Reads the picture that a labelme file holds as text."""

    def __init__(self, text: str, file: Path) -> None:
        self._text, self._file = text, file

    def __call__(self) -> bytes:
        try:
            return base64.b64decode(self._text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadImage(
                _("the picture inside {name} is damaged").format(name=self._file.name)
            ) from error


def _region(
    shape: Mapping[str, Any], height: int, width: int
) -> tuple[float, PlannedRegion] | None:
    """(area, region) of a shape, None for points and lines."""
    kind, label = shape.get("shape_type", "polygon"), normal_name(str(shape.get("label", "")))
    points = np.asarray(shape["points"], float).reshape(-1, 2)
    if not np.isfinite(points).all():
        return None
    if kind == "circle" and len(points) == 2:
        radius = math.dist(points[0], points[1])
        turns = np.linspace(0, 2 * math.pi, 64, endpoint=False)
        points = points[0] + radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        kind = "polygon"
    if kind == "polygon" and len(points) >= 3:
        x, y = points[:, 0], points[:, 1]
        area = abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
        data = {"polygons": [[float(value) for value in points.ravel()]]}
        return area, PlannedRegion(RegionKind.POLYGON, data, label)
    if kind == "rectangle" and len(points) == 2:
        (x, y), (right, bottom) = points.min(axis=0), points.max(axis=0)
        box = [float(x), float(y), float(right - x), float(bottom - y)]
        return box[2] * box[3], PlannedRegion(RegionKind.BOX, {"box": box}, label)
    if kind == "mask" and len(points) == 2 and shape.get("mask") and height and width:
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as image:
            small = np.asarray(image.convert("L")) > 0
        mask = np.zeros((height, width), bool)
        left, top = int(points[0][0]), int(points[0][1])
        part = mask[top : top + small.shape[0], left : left + small.shape[1]]
        part |= small[: part.shape[0], : part.shape[1]]
        return float(mask.sum()), PlannedRegion(RegionKind.MASK, encode_mask(mask), label)
    return None
