"""COCO instances: the class of a picture is that of its largest annotation, whose mask is kept.

Size is the annotation's `area` (its box where that is missing). Crowds are left out: they are many
objects at once. The first of equals wins. Pictures without an annotation are left out, unless
asked for: then they have no class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dafusion_core.datasets.masks import decode_mask, encode_mask
from dafusion_core.datasets.naming import normal_name, show_name
from dafusion_core.datasets.plan import Entry, ImportPlan, PlannedRegion, shorten_problems
from dafusion_core.datasets.sources.common import (
    Findings,
    PictureIndex,
    absolute,
    find_part,
    read_json,
    sort_entries,
    val_as_test,
)
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.regions import RegionKind
from dafusion_core.language import _

__all__ = ["is_coco", "largest_annotation", "plan_coco"]


def is_coco(value: Any) -> bool:
    """Whether a JSON value has the lists of a COCO file."""
    return isinstance(value, Mapping) and all(
        isinstance(value.get(key), list) for key in ("images", "annotations", "categories")
    )


def plan_coco(
    path: Path | str,
    pictures: Path | str | None = None,
    keep: str = "largest",
    with_empty: bool = False,
) -> ImportPlan:
    """The plan of a COCO file, or of a folder that holds some.

    `pictures`: the folder of the pictures (default: beside the file, or images/ or train2017/ …
    near it). `keep`: "largest" region only, or "all" of each picture. `with_empty`: also pictures
    without annotations. A file name such as instances_val2017.json gives the part. Raises
    UserError when it is no COCO file.
    """
    start = absolute(path)
    files = _find_files(start)
    findings, entries = Findings(), list[Entry]()
    labels: dict[str, None] = {}
    for file in files:
        value = read_json(file)
        if not is_coco(value):
            raise UserError(
                _("“{name}” is no COCO file.").format(name=show_name(file)),
                _("It needs the lists images, annotations and categories."),
            )
        root = absolute(pictures) if pictures is not None else _picture_root(file, value)
        entries += _entries(value, file, root, keep, with_empty, findings, labels)
    entries = val_as_test(entries)
    root = start if start.is_dir() else start.parent
    used = {entry.label for entry in entries}
    return ImportPlan(
        "coco",
        root,
        sort_entries(entries, root),
        shorten_problems(findings.problems),
        tuple(findings.warnings),
        labels=tuple(label for label in labels if label in used),
    )


def _find_files(start: Path) -> list[Path]:
    if start.is_file():
        return [start]
    found = sorted(start.glob("instances_*.json")) + sorted(
        start.glob("annotations/instances_*.json")
    )
    found = found or sorted(start.glob("*coco*.json")) + sorted(
        start.glob("annotations/*coco*.json")
    )
    if not found:
        raise UserError(
            _("“{name}” holds no COCO file.").format(name=show_name(start)),
            _("Choose the JSON file itself."),
        )
    return found


def _picture_root(file: Path, value: Mapping[str, Any]) -> Path:
    names = [str(image.get("file_name", "")) for image in value["images"][:20]]
    stem = file.stem.rpartition("_")[2]
    for root in (file.parent, file.parent.parent):
        for folder in (root, root / stem, root / "images" / stem, root / "images", root / "data"):
            if names and any((folder / name).is_file() for name in names):
                return folder
    return file.parent


def _entries(
    value: Mapping[str, Any],
    file: Path,
    root: Path,
    keep: str,
    with_empty: bool,
    findings: Findings,
    labels: dict[str, None],
) -> list[Entry]:
    names = {}
    for category in value["categories"]:
        names[category.get("id")] = normal_name(str(category.get("name", "")))
        labels.setdefault(names[category.get("id")], None)
    by_image: dict[Any, list[Mapping[str, Any]]] = {}
    crowds: set[Any] = set()
    for annotation in value["annotations"]:
        if annotation.get("iscrowd"):
            crowds.add(annotation.get("image_id"))
        else:
            by_image.setdefault(annotation.get("image_id"), []).append(annotation)
    part = find_part(file.stem.rpartition("_")[2])
    index, entries, seen = PictureIndex(root), list[Entry](), set[str]()
    for image in value["images"]:
        name = str(image.get("file_name", ""))
        picture, reason = index.find(name)
        where = f"{show_name(file.name)}: {show_name(name)}"
        if picture is None:
            findings.refuse(where, reason)
            continue
        if str(picture) in seen:
            findings.refuse(where, _("the picture is listed twice"))
            continue
        found = by_image.get(image.get("id"), [])
        if not found and not with_empty and "label" not in image:
            findings.refuse(
                where,
                _("it has only crowds, so its class is unknown")
                if image.get("id") in crowds
                else _("it has no object, so its class is unknown"),
            )
            continue
        seen.add(str(picture))
        best = largest_annotation(found)
        label = names.get(best.get("category_id"), "") if best else ""
        # Our own export says the class of the picture itself.
        label = normal_name(str(image["label"] or "")) if "label" in image else label
        chosen = found if keep == "all" or "label" in image else [best] if best else []
        regions = []
        for annotation in chosen:
            if annotation.get("whole_image"):
                continue  # our own export says the class so, for programs that know no other way
            own = names.get(annotation.get("category_id"), "")
            region = _region(annotation, image, "" if own == label else own)
            if region is None:
                findings.remark(where, _("a region has no usable shape"))
            else:
                regions.append(region)
        entries.append(
            Entry(
                str(picture),
                label,
                part=find_part(str(image.get("part", ""))) or part,
                group=normal_name(str(image.get("group") or "")),
                note=str(image.get("note") or ""),
                is_unsure=bool(image.get("is_unsure")),
                regions=tuple(regions),
            )
        )
    return entries


def largest_annotation(annotations: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The annotation with the largest area that is not a crowd; the first of equals."""
    best, best_area = None, -1.0
    for annotation in annotations:
        if annotation.get("iscrowd"):
            continue
        area = annotation.get("area")
        if area is None:
            box = annotation.get("bbox") or (0, 0, 0, 0)
            area = float(box[2]) * float(box[3])
        if float(area) > best_area:
            best, best_area = annotation, float(area)
    return best


def _region(
    annotation: Mapping[str, Any], image: Mapping[str, Any], label: str
) -> PlannedRegion | None:
    shape = annotation.get("segmentation")
    try:
        if isinstance(shape, Mapping):
            data = encode_mask(decode_mask(shape)) if isinstance(shape["counts"], list) else shape
            decode_mask(data)
            return PlannedRegion(RegionKind.MASK, {"size": list(data["size"]),
                                                   "counts": data["counts"]}, label)  # fmt: skip
        if isinstance(shape, list) and shape:
            # Polygons of fewer than three points are left over from editing and cover nothing.
            polygons = [[float(v) for v in points] for points in shape if len(points) >= 6]
            if polygons:
                return PlannedRegion(RegionKind.POLYGON, {"polygons": polygons}, label)
        box = [float(v) for v in annotation["bbox"]]
        if len(box) == 4 and box[2] > 0 and box[3] > 0:
            return PlannedRegion(RegionKind.BOX, {"box": box}, label)
    except (KeyError, TypeError, ValueError, UserError):
        return None
    return None
