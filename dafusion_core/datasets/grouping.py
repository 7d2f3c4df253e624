"""Which images belong together, told from their names, folders or dates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePath

from PIL import ExifTags, Image

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import ImageRecord
from dafusion_core.language import _

__all__ = ["group_by_date", "group_by_folder", "group_by_pattern", "picture_date"]

Groups = dict[str, list[int]]


def group_by_pattern(images: Iterable[ImageRecord], pattern: str, where: str = "path") -> Groups:
    """Images by what a regular expression finds: its first group if it has one, else the match.

    `where`: look in the "path" the image came from (with "/") or only in its file "name". Images
    that do not match are left out. Raises UserError when the pattern is not a regular expression.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(
            _("“{pattern}” is not a regular expression: {error}.").format(
                pattern=pattern, error=error
            ),
            _("Nothing was changed."),
        ) from None
    if where not in ("path", "name"):
        raise UserError(_("A pattern is looked for in the “path” or in the “name”."))
    groups: Groups = {}
    for image in images:
        path = image.original_path.replace("\\", "/")
        match = expression.search(path if where == "path" else path.rpartition("/")[2])
        if match is not None:
            name = (match[1] if expression.groups else match[0]) or match[0]
            if name:
                groups.setdefault(name, []).append(image.id)
    return groups


def group_by_folder(images: Iterable[ImageRecord], level: int = 1) -> Groups:
    """Images by the folder they came from: 1 is the one that holds them, 2 the one above …"""
    if level < 1:
        raise UserError(_("Folders are counted from 1, the one that holds the picture."))
    groups: Groups = {}
    for image in images:
        folders = PurePath(image.original_path.replace("\\", "/")).parts[:-1]
        if len(folders) >= level:
            # The folders above tell apart two that have the same name.
            name = "/".join(folders[max(len(folders) - level - 1, 0) : len(folders) - level + 1])
            groups.setdefault(name.strip("/") or "/", []).append(image.id)
    return groups


def group_by_date(images: Iterable[tuple[ImageRecord, Path]]) -> Groups:
    """Images by the day their camera wrote down (EXIF); those without one are left out."""
    groups: Groups = {}
    for image, path in images:
        day = picture_date(path)
        if day:
            groups.setdefault(day, []).append(image.id)
    return groups


def picture_date(path: Path) -> str:
    """The day a picture was taken, "2024-05-31", from its EXIF data; "" where there is none."""
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            stamp = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
            stamp = stamp or exif.get(ExifTags.Base.DateTime) or ""
    except Exception:  # an unreadable file or damaged EXIF data: there is no date then
        return ""
    match = re.match(r"(\d{4})[:-](\d{2})[:-](\d{2})", str(stamp))
    return "-".join(match.groups()) if match and match[1] != "0000" else ""
