"""Write images in the layouts that other programs read, each with dafusion.json beside it.

What a layout cannot say (groups, parts, doubts, masks) is in dafusion.json, so that every export
can be imported again to the same content.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from dafusion_core.datasets.export import (
    ExportItem,
    ExportReport,
    PlacedItem,
    place_in_folders,
    sort_items,
    stem_of,
    write_files,
    write_manifest,
    write_text,
)
from dafusion_core.datasets.extras import EXTRAS, regions_to
from dafusion_core.datasets.masks import encode_mask, mask_box, region_mask
from dafusion_core.datasets.plan import PlannedRegion
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.regions import Region, RegionKind
from dafusion_core.language import _

__all__ = ["EXPORT_FORMS", "export_items"]

#: Name → what it is, in words.
EXPORT_FORMS: Mapping[str, str] = {
    "folders": _("one folder per class, real and synthetic apart"),
    "csv": _("a folder of pictures with labels.csv"),
    "coco": _("COCO JSON with masks"),
    "voc": "PASCAL VOC",
    "huggingface": _("a Hugging Face image folder with metadata.jsonl"),
    "fiftyone": _("a FiftyOne image classification data set"),
    "reference": _("aug-{index}-{number}.png, as DA-Fusion's own programs write and read them"),
}
_VOID, _MOST_OBJECTS = 255, 254
_VOC_SETS = {"train": "train", "validation": "val", "test": "test", "unused": "unused"}


def export_items(
    items: Iterable[ExportItem],
    destination: Path | str,
    form: str = "folders",
    classes: Sequence[str] = (),
    overwrite: bool = False,
    on_progress: Callable[[int, int, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    about: Mapping[str, Any] | None = None,
) -> ExportReport:
    """Copy items below `destination` in one of `EXPORT_FORMS`.

    `classes`: all classes in their order; `about`: JSON values to keep in dafusion.json (name of
    the project, the split's settings). Errors and resuming as in `write_files`.
    """
    if form not in EXPORT_FORMS:
        raise UserError(
            _("“{form}” is no form of export.").format(form=form),
            _("Forms: {EXPORT_FORMS}.").format(EXPORT_FORMS=", ".join(EXPORT_FORMS)),
        )
    wanted = sort_items(items)
    places = _PLACES[form](wanted)
    names = tuple(classes) or tuple(dict.fromkeys(item.label for item in wanted if item.label))

    def finish(folder: Path, done: Sequence[PlacedItem]) -> None:
        _WRITERS[form](folder, done, names)
        write_manifest(folder, done)
        _write_extras(folder, done, names, form, about or {})

    return write_files(
        wanted, places, destination, finish, overwrite, on_progress, should_stop, request=form
    )


def _write_extras(
    folder: Path,
    done: Sequence[PlacedItem],
    classes: Sequence[str],
    form: str,
    about: Mapping[str, Any],
) -> None:
    value = {
        "made_by": "DA-Fusion Studio",
        "format": 1,
        "form": form,
        "classes": list(classes),
        "about": dict(about),
        "files": {entry.place: _describe(entry) for entry in done},
    }
    write_text(folder / EXTRAS, json.dumps(value, ensure_ascii=False, indent=1))


def _describe(entry: PlacedItem) -> dict[str, Any]:
    item = entry.item
    common: dict[str, Any] = {"kind": item.kind, "sha256": entry.sha256, "label": item.label}
    if item.kind == "synthetic":
        own = {
            "source_sha256": item.source_sha256,
            "t0": item.t0,
            "seed": item.seed,
            "variant": item.variant,
            "curation": item.curation,
            "rating": item.rating,
        }
        return common | own | dict(item.lineage)
    return common | _said(item)


def _said(item: ExportItem) -> dict[str, Any]:
    """What people said about an image, without what is not there."""
    values: dict[str, Any] = {
        "part": item.part,
        "group": item.group,
        "note": item.note,
        "is_unsure": item.is_unsure,
        "regions": regions_to(item.regions),
    }
    return {key: value for key, value in values.items() if value}


# Places -------------------------------------------------------------------------------------


def _file_name(item: ExportItem) -> str:
    ending = item.path.suffix.lower() or Path(item.name).suffix.lower()
    if item.kind == "real":
        return f"{item.id}_{stem_of(item)}{ending}"
    return f"s{item.id}_of_{item.source_id}{ending}"


def _flat(folder: str) -> Callable[[Sequence[ExportItem]], list[str]]:
    return lambda items: [f"{folder}/{_file_name(item)}" for item in items]


def _by_part(items: Sequence[ExportItem]) -> list[str]:
    return [f"{item.part or 'train'}/{_file_name(item)}" for item in items]


def _reference(items: Sequence[ExportItem]) -> list[str]:
    """Synthetic images numbered by the place of their source among the training images, and by
    their own among those of one source."""
    index = {item.id: i for i, item in enumerate(_training(items))}
    count: dict[int, int] = {}
    places = []
    for item in items:
        if item.kind == "real":
            places.append(f"real/{_file_name(item)}")
            continue
        if item.source_id not in index:
            raise UserError(
                _(
                    "This form numbers synthetic images by their "
                    "sources, so these must be exported "
                    "too. Nothing was written."
                ),
                _("Export real and synthetic images together."),
            )
        if item.path.suffix.lower() != ".png":
            raise UserError(
                _("Synthetic image {id} is no PNG file. Nothing was written.").format(id=item.id)
            )
        number = count.get(item.source_id or 0, 0)
        count[item.source_id or 0] = number + 1
        places.append(f"synthetic/aug-{index[item.source_id]}-{number}.png")
    return places


def _training(items: Sequence[ExportItem]) -> list[ExportItem]:
    return [item for item in items if item.kind == "real" and item.part in ("train", "")]


_PLACES: Mapping[str, Callable[[Sequence[ExportItem]], list[str]]] = {
    "folders": place_in_folders,
    "csv": _flat("images"),
    "coco": _flat("images"),
    "voc": _flat("JPEGImages"),
    "huggingface": _by_part,
    "fiftyone": _flat("data"),
    "reference": _reference,
}


# What describes the files -------------------------------------------------------------------


def _nothing_more(folder: Path, done: Sequence[PlacedItem], classes: Sequence[str]) -> None:
    """The folders say it."""


def _write_list(folder: Path, done: Sequence[PlacedItem], classes: Sequence[str]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("path", "label", "split", "group", "note", "unsure", "kind"))
    for entry in done:
        item = entry.item
        writer.writerow(
            (entry.place, item.label, item.part, item.group, item.note, int(item.is_unsure),
             item.kind)
        )  # fmt: skip
    write_text(folder / "labels.csv", buffer.getvalue())


def _write_coco(folder: Path, done: Sequence[PlacedItem], classes: Sequence[str]) -> None:
    extra = [r.label for e in done for r in e.item.regions if r.label]
    names = list(dict.fromkeys([*classes, *(e.item.label for e in done if e.item.label), *extra]))
    number = {name: i for i, name in enumerate(names, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, entry in enumerate(done, start=1):
        item = entry.item
        said = {key: value for key, value in _said(item).items() if key != "regions"}
        images.append(
            {
                "id": image_id,
                "file_name": entry.place.partition("/")[2],
                "width": item.width,
                "height": item.height,
                "label": item.label,
                "kind": item.kind,
                **said,
            }
        )
        for region in item.regions:
            label = region.label or item.label
            annotation = _annotation(region, item)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": number.get(label, 0),
                    "iscrowd": 0,
                    **annotation,
                }
            )
        if not item.regions and item.label:
            # COCO knows no classes of pictures: one object that fills it says the same.
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": number[item.label],
                    "iscrowd": 0,
                    "bbox": [0, 0, item.width, item.height],
                    "area": item.width * item.height,
                    "segmentation": [],
                    "whole_image": True,
                }
            )
    value = {
        "info": {"description": "Exported by DA-Fusion Studio"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for name, i in number.items()],
    }
    write_text(folder / "labels.coco.json", json.dumps(value, ensure_ascii=False))


def _annotation(region: PlannedRegion, item: ExportItem) -> dict[str, Any]:
    if region.kind is RegionKind.BOX:
        box = list(region.data["box"])
        return {"segmentation": [], "bbox": box, "area": box[2] * box[3]}
    mask = region_mask(_stored(region), item.height, item.width)
    shape = region.data["polygons"] if region.kind is RegionKind.POLYGON else encode_mask(mask)
    return {"segmentation": shape, "bbox": list(mask_box(mask)), "area": int(mask.sum())}


def _stored(region: PlannedRegion) -> Region:
    return Region(0, 0, region.kind, region.data, region.label or None)


def _write_voc(folder: Path, done: Sequence[PlacedItem], classes: Sequence[str]) -> None:
    extra = [r.label for e in done for r in e.item.regions if r.label]
    names = list(dict.fromkeys([*classes, *extra]))
    write_text(folder / "labels.txt", "".join(f"{name}\n" for name in names))
    sets: dict[str, list[str]] = {}
    for entry in done:
        item, stem = entry.item, Path(entry.place).stem
        sets.setdefault(_VOC_SETS.get(item.part, "train"), []).append(stem)
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "folder").text = "JPEGImages"
        ElementTree.SubElement(root, "filename").text = Path(entry.place).name
        size = ElementTree.SubElement(root, "size")
        for key, value in (("width", item.width), ("height", item.height), ("depth", 3)):
            ElementTree.SubElement(size, key).text = str(value)
        for region in item.regions:
            _add_object(root, region, item)
        words = {"label": item.label, **_said(item)}
        ElementTree.SubElement(root, "dafusion").text = json.dumps(words, ensure_ascii=True)
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode")
        write_text(folder / "Annotations" / f"{stem}.xml", text)
        if item.regions:
            _write_segmentation(folder, stem, item, names)
    for name, stems in sets.items():
        write_text(folder / "ImageSets" / "Main" / f"{name}.txt", "".join(f"{s}\n" for s in stems))


def _add_object(root: ElementTree.Element, region: PlannedRegion, item: ExportItem) -> None:
    found = ElementTree.SubElement(root, "object")
    # Control characters are not allowed in XML at all, not even escaped.
    label = "".join(c for c in region.label or item.label if c.isprintable())
    ElementTree.SubElement(found, "name").text = label
    x, y, w, h = (
        region.data["box"]
        if region.kind is RegionKind.BOX
        else mask_box(region_mask(_stored(region), item.height, item.width))
    )
    box = ElementTree.SubElement(found, "bndbox")
    for key, value in (("xmin", x + 1), ("ymin", y + 1), ("xmax", x + w), ("ymax", y + h)):
        ElementTree.SubElement(box, key).text = f"{value:g}"


def _write_segmentation(folder: Path, stem: str, item: ExportItem, names: Sequence[str]) -> None:
    objects = np.zeros((item.height, item.width), np.uint8)
    kinds = np.zeros_like(objects)
    for number, region in enumerate(item.regions[:_MOST_OBJECTS], start=1):
        mask = region_mask(_stored(region), item.height, item.width)
        label = region.label or item.label
        colour = names.index(label) + 1 if label in names else _VOID
        objects[mask], kinds[mask] = number, min(colour, _VOID)
    for kind, values in (("SegmentationObject", objects), ("SegmentationClass", kinds)):
        image = Image.fromarray(values, "L").convert("P")
        image.putdata(values.ravel().tolist())
        image.putpalette(_palette())
        (folder / kind).mkdir(exist_ok=True)
        image.save(folder / kind / f"{stem}.png")


def _palette() -> list[int]:
    """256 colours that are far apart for small numbers: the bits of a number, lowest first, go
    in turn to red, green and blue, from their highest bit down."""
    colours = []
    for number in range(256):
        rgb = [0, 0, 0]
        for bit in range(8):
            rgb[bit % 3] |= (number >> bit & 1) << (7 - bit // 3)
        colours += rgb
    return colours


def _write_huggingface(folder: Path, done: Sequence[PlacedItem], classes: Sequence[str]) -> None:
    lines: dict[str, list[str]] = {}
    for entry in done:
        part, _, name = entry.place.partition("/")
        item = entry.item
        row: dict[str, Any] = {"file_name": name, "label": item.label, "kind": item.kind}
        row |= {"group": item.group, "note": item.note, "is_unsure": item.is_unsure}
        # One type per column for every row: the reader infers it from the first ones.
        row |= {"regions": json.dumps(regions_to(item.regions))}
        lines.setdefault(part, []).append(json.dumps(row, ensure_ascii=False))
    for part, rows in lines.items():
        write_text(folder / part / "metadata.jsonl", "\n".join(rows) + "\n")


def _write_fiftyone(folder: Path, done: Sequence[PlacedItem], classes: Sequence[str]) -> None:
    index = {name: i for i, name in enumerate(classes)}
    labels = {
        Path(entry.place).stem: index.get(entry.item.label) for entry in done
    }  # fmt: skip
    value = {"classes": list(classes), "labels": labels}
    write_text(folder / "labels.json", json.dumps(value, ensure_ascii=False, indent=1))


def _write_reference(folder: Path, done: Sequence[PlacedItem], classes: Sequence[str]) -> None:
    place_of = {entry.item.id: entry.place for entry in done if entry.item.kind == "real"}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("index", "path", "label", "label_index"))
    for i, item in enumerate(_training([entry.item for entry in done])):
        writer.writerow((i, place_of[item.id], item.label, list(classes).index(item.label)))
    write_text(folder / "index.csv", buffer.getvalue())


_WRITERS: Mapping[str, Callable[[Path, Sequence[PlacedItem], Sequence[str]], None]] = {
    "folders": _nothing_more,
    "csv": _write_list,
    "coco": _write_coco,
    "voc": _write_voc,
    "huggingface": _write_huggingface,
    "fiftyone": _write_fiftyone,
    "reference": _write_reference,
}
