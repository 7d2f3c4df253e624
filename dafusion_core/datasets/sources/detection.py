"""Find out what a folder or file is, and make its plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dafusion_core.datasets.extras import apply_extras, read_extras
from dafusion_core.datasets.folder import scan_folder
from dafusion_core.datasets.naming import natural_key, normal_name, show_name
from dafusion_core.datasets.plan import Entry, ImportPlan, shorten_problems
from dafusion_core.datasets.sniffing import is_picture_name
from dafusion_core.datasets.sources import coco, flowers, folders, huggingface, labelme, table, voc
from dafusion_core.datasets.sources.common import (
    Findings,
    PictureIndex,
    absolute,
    read_json,
    sub_folders,
)
from dafusion_core.domain.errors import DaFusionError, UserError
from dafusion_core.domain.records import ImportProblem
from dafusion_core.language import _

__all__ = ["FORMS", "detect_form", "plan_import"]

#: Name → what it is, in words.
FORMS: Mapping[str, str] = {
    "folders": _("one folder per class"),
    "part-folders": _("train/ and test/ with one folder per class in each"),
    "flat": _("one folder of pictures without classes"),
    "table": _("a CSV or TSV list with paths and classes"),
    "leafy-spurge": _("leafy spurge: absent/ and apparent/, or crop/ and context/"),
    "voc": "PASCAL VOC",
    "coco": "COCO JSON",
    "caltech101": "Caltech101",
    "flowers102": _("Flowers102 with imagelabels.mat"),
    "huggingface": _("a Hugging Face image folder with metadata"),
    "parquet": _("Hugging Face parquet files"),
    "labelme": _("labelme JSON files"),
    "fiftyone": _("a FiftyOne image classification data set"),
    "export": _("an export of this program"),
}


LIST = "labels.csv"
#: How the forms of our own exports are read again; the others by their dafusion.json.
_EXPORTED = {
    name: name for name in ("voc", "coco", "huggingface", "fiftyone")
} | {"csv": "table"}  # fmt: skip


def plan_flat(folder: Path | str) -> ImportPlan:
    """All pictures of a folder, without a class, to be labelled here. Raises UserError as
    `scan_folder`, and when there is none."""
    root = absolute(folder)
    findings, entries = Findings(), list[Entry]()
    try:
        scan = scan_folder(root)
        entries = [Entry(str(path), "") for path, _ in scan.files()]
        findings.problems += [p for p in scan.problems if "outside the class" not in p.reason]
    except UserError:
        if not root.is_dir():
            raise
    loose = [p for p in root.iterdir() if is_picture_name(p.name) and p.is_file()]
    entries += [Entry(str(path), "") for path in loose if not path.name.startswith(".")]
    if not entries:
        raise UserError(_("“{name}” holds no pictures.").format(name=show_name(root)))
    entries.sort(key=lambda entry: natural_key(entry.path))
    return ImportPlan("flat", root, tuple(entries), tuple(findings.problems))


def plan_fiftyone(folder: Path | str) -> ImportPlan:
    """data/ and labels.json with {"classes", "labels"}. Raises UserError when it is not that."""
    root = absolute(folder)
    value = read_json(root / "labels.json")
    if not isinstance(value, dict) or not isinstance(value.get("labels"), dict):
        raise UserError(
            _("“{name}” holds no labels.json of FiftyOne.").format(name=show_name(root))
        )
    classes = [str(name) for name in value.get("classes") or ()]
    index, findings, entries = PictureIndex(root / "data"), Findings(), list[Entry]()
    for stem, label in sorted(value["labels"].items(), key=lambda item: natural_key(item[0])):
        path, reason = index.find(stem)
        if path is None:
            findings.refuse(f"labels.json: {show_name(stem)}", reason)
            continue
        if isinstance(label, dict):
            label = label.get("label", "")
        if isinstance(label, int) and 0 <= label < len(classes):
            label = classes[label]
        entries.append(Entry(str(path), normal_name("" if label is None else str(label))))
    entries.sort(key=lambda entry: natural_key(entry.label))
    return ImportPlan(
        "fiftyone", root, tuple(entries), shorten_problems(findings.problems),
        labels=tuple(normal_name(name) for name in classes),
    )  # fmt: skip


def plan_export(folder: Path | str) -> ImportPlan:
    """A folder that this program wrote: real/, synthetic/ and dafusion.json."""
    root = absolute(folder)
    files: Mapping[str, Any] = read_extras(root).get("files") or {}
    if not files:
        raise UserError(_("“{name}” holds no readable dafusion.json.").format(name=show_name(root)))
    entries, problems = list[Entry](), list[ImportProblem]()
    for name in sorted(files, key=natural_key):
        values = files[name]
        if not isinstance(values, dict) or values.get("kind") == "synthetic":
            continue
        path, reason = PictureIndex(root).find(name)
        if path is None:
            problems.append(ImportProblem(name, reason))
        else:
            entries.append(Entry(str(path), normal_name(str(values.get("label") or ""))))
    entries.sort(key=lambda entry: (natural_key(entry.label), natural_key(entry.path)))
    return ImportPlan("export", root, tuple(entries), tuple(problems))


_PLANNERS: Mapping[str, Callable[..., ImportPlan]] = {
    "folders": folders.plan_folders,
    "part-folders": folders.plan_part_folders,
    "flat": plan_flat,
    "table": table.plan_table,
    "leafy-spurge": folders.plan_spurge,
    "voc": voc.plan_voc,
    "coco": coco.plan_coco,
    "caltech101": folders.plan_caltech,
    "flowers102": flowers.plan_flowers,
    "huggingface": huggingface.plan_image_folder,
    "parquet": huggingface.plan_parquet,
    "labelme": labelme.plan_labelme,
    "fiftyone": plan_fiftyone,
    "export": plan_export,
}


def detect_form(path: Path | str) -> str:
    """What is at `path`: one of `FORMS`. Raises UserError when there is nothing there."""
    place = absolute(path)
    if place.is_file():
        return _detect_file(place)
    if not place.is_dir():
        scan_folder(place)  # says what is wrong
    if extras := read_extras(place):
        form = _EXPORTED.get(str(extras.get("form")), "export")
        return form if form != "table" or (place / LIST).is_file() else "export"
    if (place / "JPEGImages").is_dir() or (place / "VOCdevkit").is_dir():
        return "voc"
    if (place / "imagelabels.mat").is_file():
        return "flowers102"
    if any(place.glob("instances_*.json")) or any(place.glob("annotations/instances_*.json")):
        return "coco"
    if folders.is_caltech(place):
        return "caltech101"
    if folders.is_spurge(place):
        return "leafy-spurge"
    if (place / "labels.json").is_file() and (place / "data").is_dir():
        return "fiftyone"
    if huggingface.find_metadata(place):
        return "huggingface"
    return _detect_loose(place)


def _detect_loose(place: Path) -> str:
    """Forms that are told by what kinds of files there are."""
    names = [p for p in sorted(place.iterdir()) if p.is_file() and not p.name.startswith(".")]
    if any(p.suffix == ".parquet" for p in names) or huggingface.find_parquet(place):
        return "parquet"
    for file in (p for p in names if p.suffix.lower() == ".json"):
        found = _detect_file(file, "")
        if found:
            return found
    pictures = sum(is_picture_name(p.name) for p in names)
    inner = sub_folders(place)
    if any(_is_labelme_folder(folder) for folder in inner[:20]):
        return "labelme"
    if folders.has_part_folders(place):
        return "part-folders"
    if pictures and not inner:
        return "flat"
    return "folders"


def _is_labelme_folder(folder: Path) -> bool:
    file = next(iter(sorted(folder.glob("*.json"))), None)
    return file is not None and _detect_file(file, "") == "labelme"


def _detect_file(path: Path, otherwise: str | None = None) -> str:
    ending = path.suffix.lower()
    if ending in (".csv", ".tsv", ".txt"):
        return "table"
    if ending == ".parquet":
        return "parquet"
    if ending == ".mat":
        return "flowers102"
    if ending == ".json":
        try:
            value = read_json(path)
        except (DaFusionError, json.JSONDecodeError):
            value = None
        if coco.is_coco(value):
            return "coco"
        if labelme.is_labelme(value):
            return "labelme"
    if otherwise is not None:
        return otherwise
    raise UserError(
        _("“{name}” is nothing that can be imported.").format(name=show_name(path)),
        _("Choose a folder, or a CSV, JSON or parquet file."),
    )


def plan_import(path: Path | str, form: str = "auto", **options: Any) -> ImportPlan:
    """The plan of what is at `path`: every picture that would be imported, and what would not.

    `form`: one of `FORMS`, or "auto" to find out; `options` are those of the form's planner, for
    example `columns` of a table or `configuration` of leafy spurge. Raises UserError when it is
    not what it should be, or an option is unknown.
    """
    if form == "auto":
        form = detect_form(path)
    if form not in _PLANNERS:
        raise UserError(
            _("“{form}” is no form of data.").format(form=form),
            _("Forms: {FORMS}.").format(FORMS=", ".join(FORMS)),
        )
    place = absolute(path)
    if form in ("labelme", "flowers102") and place.is_file():
        place = place.parent
    if form == "table" and place.is_dir():
        place = place / LIST
    try:
        plan = _PLANNERS[form](place, **options)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        word = str(error).rpartition("'")[0].rpartition("'")[2]
        raise UserError(
            _("Data of the form “{form}” have no option “{word}”.").format(form=form, word=word)
        ) from error
    return apply_extras(plan)
