"""PASCAL VOC: the class of a picture is that of its largest object, and the object's mask is kept.

    VOC2012/  JPEGImages/  SegmentationClass/  SegmentationObject/  Annotations/  ImageSets/

With a segmentation, an object's size is its number of pixels in SegmentationObject, where 0 is
background and 255 void (neither is an object); its class is the one that most of its pixels have in
SegmentationClass. Without one, the largest box decides, and is kept. The first of equals wins.
(DA-Fusion's program drops the highest id even where a picture has no void pixels, and so loses an
object; that is not repeated here.)
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dafusion_core.datasets.extras import describe_entry
from dafusion_core.datasets.masks import encode_mask
from dafusion_core.datasets.naming import natural_key, normal_name
from dafusion_core.datasets.plan import Entry, ImportPlan, PlannedRegion, shorten_problems
from dafusion_core.datasets.sources.common import (
    Findings,
    absolute,
    find_part,
    read_text,
    val_as_test,
)
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Part
from dafusion_core.domain.regions import RegionKind
from dafusion_core.language import _

__all__ = ["VOC_CLASSES", "largest_object", "plan_voc"]

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
#: Names as the paper's program writes them for prompts.
READABLE = {
    "aeroplane": "airplane", "diningtable": "dining table", "motorbike": "motorcycle",
    "pottedplant": "potted plant", "tvmonitor": "television",
}  # fmt: skip
_VOID = 255
_ENDINGS = (".jpg", ".jpeg", ".png", ".JPG", ".bmp", ".webp", ".tif")


def plan_voc(folder: Path | str, readable_names: bool = True) -> ImportPlan:
    """The plan of a VOC folder (or one that holds VOCdevkit/VOC2012).

    Pictures of ImageSets/Segmentation (train, val) if there are any, else of ImageSets/Main, else
    all annotated ones. `readable_names`: "airplane" for "aeroplane" and so on, as in the paper.
    Raises UserError when it is no such folder.
    """
    root = _find_root(absolute(folder))
    findings = Findings()
    parts = _parts(root)
    names = list(parts) or _annotated(root)
    classes = _class_names(root)
    entries = []
    for name in names:
        picture = next((p for e in _ENDINGS if (p := root / "JPEGImages" / f"{name}{e}").is_file()),
                       None)  # fmt: skip
        if picture is None:
            findings.refuse(root / "JPEGImages" / name, _("the picture is not there"))
            continue
        try:
            found = _describe(root, name, classes)
        except (UserError, OSError, ValueError, ElementTree.ParseError) as error:
            findings.refuse(
                picture, _("its annotation cannot be read ({error})").format(error=error)
            )
            continue
        if found is None:
            findings.refuse(picture, _("it has no object, so its class is unknown"))
            continue
        if isinstance(found, Entry):
            entries.append(replace(found, path=str(picture), part=parts.get(name) or found.part))
            continue
        label, regions = found
        if readable_names:
            label = READABLE.get(label, label)
        entries.append(Entry(str(picture), label, part=parts.get(name), regions=regions))
    if not entries and not findings.problems:
        raise UserError(_("“{root}” holds no annotated pictures.").format(root=root))
    entries = val_as_test(entries)
    ordered = sorted(entries, key=lambda e: (natural_key(e.label), natural_key(e.path)))
    return ImportPlan("voc", root, tuple(ordered), shorten_problems(findings.problems))


def _find_root(folder: Path) -> Path:
    for root in (folder, folder / "VOC2012", folder / "VOCdevkit" / "VOC2012"):
        if (root / "JPEGImages").is_dir():
            return root
    raise UserError(
        _("“{folder}” is no PASCAL VOC folder.").format(folder=folder),
        _("Choose the one that holds JPEGImages and Annotations (VOCdevkit/VOC2012)."),
    )


def _parts(root: Path) -> dict[str, Part]:
    for kind in ("Segmentation", "Main"):
        found: dict[str, Part] = {}
        for path in sorted((root / "ImageSets" / kind).glob("*.txt")):
            part = find_part(path.stem)
            if part is not None:
                for line in read_text(path).splitlines():
                    # Lists of one class have " 1", " 0" or "-1" after the name.
                    name = re.sub(r"\s+-?[01]$", "", line.strip())
                    if name:
                        found.setdefault(name, part)
        if found:
            return dict(sorted(found.items(), key=lambda item: natural_key(item[0])))
    return {}


def _annotated(root: Path) -> list[str]:
    stems = {path.stem for path in (root / "Annotations").glob("*.xml")}
    stems |= {path.stem for path in (root / "SegmentationObject").glob("*.png")}
    return sorted(stems, key=natural_key)


def _class_names(root: Path) -> tuple[str, ...]:
    """Names of the colours 1, 2 … in SegmentationClass: `labels.txt` if there is one."""
    path = root / "labels.txt"
    if not path.is_file():
        return VOC_CLASSES
    lines = [normal_name(line) for line in read_text(path).splitlines() if line.strip()]
    return tuple(line for line in lines if line not in ("background", "void", "_background_"))


def _describe(
    root: Path, name: str, classes: tuple[str, ...]
) -> Entry | tuple[str, tuple[PlannedRegion, ...]] | None:
    annotation = root / "Annotations" / f"{name}.xml"
    own = _own_words(annotation)
    if own is not None:
        return own
    objects = root / "SegmentationObject" / f"{name}.png"
    kinds = root / "SegmentationClass" / f"{name}.png"
    if objects.is_file() and kinds.is_file():
        found = largest_object(_indices(objects), _indices(kinds))
        if found is not None:
            colour, mask = found
            if not 1 <= colour <= len(classes):
                raise UserError(_("colour {colour} has no class name").format(colour=colour))
            region = PlannedRegion(RegionKind.MASK, encode_mask(mask))
            return classes[colour - 1], (region,)
    return _largest_box(annotation) if annotation.is_file() else None


def _own_words(path: Path) -> Entry | None:
    """What an export of this program wrote into the annotation, also for pictures without
    objects and with regions that lie over each other; None for files of others."""
    if not path.is_file():
        return None
    text = _parse(path).findtext("dafusion")
    values = json.loads(text) if text else None
    return describe_entry(values, "") if isinstance(values, dict) else None


def _parse(path: Path) -> ElementTree.Element:
    text = read_text(path)
    if "<!ENTITY" in text:  # entities can grow without bound, and VOC has none
        raise UserError(_("it declares entities"))
    return ElementTree.fromstring(text)


def _indices(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        if image.mode not in ("P", "L"):
            raise UserError(_("{name} holds colours instead of numbers").format(name=path.name))
        return np.asarray(image)


def largest_object(
    objects: NDArray[np.uint8], kinds: NDArray[np.uint8]
) -> tuple[int, NDArray[np.bool_]] | None:
    """(class number, mask [height, width]) of the object with the most pixels, None without one.

    `objects`: instance number per pixel; `kinds`: class number per pixel; 0 is background and 255
    void in both. Of equally large objects the one with the lowest number. Raises UserError when
    the two are not of one size.
    """
    if objects.shape != kinds.shape:
        raise UserError(_("its two segmentations are not of one size"))
    sizes = np.bincount(objects.ravel(), minlength=256)[:256]
    sizes[[0, _VOID]] = 0
    for number in np.argsort(-sizes, kind="stable"):
        if not sizes[number]:
            return None
        mask = objects == number
        colours = np.bincount(kinds[mask].ravel(), minlength=256)
        colours[[0, _VOID]] = 0
        if colours.any():  # an object that is only void in the other map has no class
            return int(np.argmax(colours)), mask
    return None


def _largest_box(path: Path) -> tuple[str, tuple[PlannedRegion, ...]] | None:
    best: tuple[float, str, list[float]] | None = None
    for found in _parse(path).findall("object"):
        box, label = found.find("bndbox"), normal_name(found.findtext("name") or "")
        if box is None or not label:
            continue
        x0, y0, x1, y1 = (
            float(box.findtext(side) or "nan") for side in ("xmin", "ymin", "xmax", "ymax")
        )
        # VOC counts pixels from 1 and includes the last one.
        sides = [x0 - 1, y0 - 1, x1 - x0 + 1, y1 - y0 + 1]
        area = sides[2] * sides[3]
        if sides[2] > 0 and sides[3] > 0 and (best is None or area > best[0]):
            best = (area, label, sides)
    if best is None:
        return None
    return best[1], (PlannedRegion(RegionKind.BOX, {"box": best[2]}),)
