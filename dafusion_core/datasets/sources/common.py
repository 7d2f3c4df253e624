"""What importers share: reading text of unknown encoding, finding files, parts by many names."""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dafusion_core.datasets.naming import (
    is_hidden_name,
    is_text_name,
    natural_key,
    normal_name,
    path_key,
    show_name,
)
from dafusion_core.datasets.plan import Entry
from dafusion_core.datasets.sniffing import is_picture_name
from dafusion_core.domain.errors import EnvironmentProblem, UserError
from dafusion_core.domain.records import ImportProblem, Part
from dafusion_core.language import _

__all__ = ["Findings", "PictureIndex", "absolute", "find_part", "read_json", "read_text"]
__all__ += ["sort_entries", "sub_folders", "val_as_test", "walk_files"]

_PARTS = {
    "train": Part.TRAIN, "training": Part.TRAIN, "trn": Part.TRAIN, "train2017": Part.TRAIN,
    "val": Part.VALIDATION, "valid": Part.VALIDATION, "validation": Part.VALIDATION,
    "dev": Part.VALIDATION, "val2017": Part.VALIDATION,
    "test": Part.TEST, "testing": Part.TEST, "eval": Part.TEST,
    "unused": Part.UNUSED,
}  # fmt: skip
MAX_TEXT = 1 << 30


@dataclass
class Findings:
    """Problems and warnings gathered on the way."""

    problems: list[ImportProblem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse(self, path: object, reason: str) -> None:
        """Something will be left out."""
        self.problems.append(ImportProblem(show_name(path), reason))

    def remark(self, path: object, reason: str) -> None:
        """Something will be imported, but look at it."""
        self.problems.append(ImportProblem(show_name(path), reason, is_refused=False))


def absolute(path: Path | str) -> Path:
    """The path made absolute, links kept as they are."""
    return Path(os.path.abspath(Path(path).expanduser()))


def find_part(text: str) -> Part | None:
    """The part that a word such as "val" or "Training" means, None for others."""
    return _PARTS.get(text.strip().lower())


def read_text(path: Path) -> str:
    """The text of a file: UTF-8, UTF-16 with its mark, else Windows' western encoding.

    Raises UserError (too big for text) or EnvironmentProblem (cannot be read).
    """
    try:
        if path.stat().st_size > MAX_TEXT:
            raise UserError(_("“{name}” is too big to be a list.").format(name=show_name(path)))
        raw = path.read_bytes()
    except OSError as error:
        raise EnvironmentProblem(
            _("“{name}” cannot be read: {strerror}.").format(
                name=show_name(path), strerror=error.strerror or error
            ),
            _("Check that it is there and its permissions."),
        ) from error
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", "replace").removeprefix("\ufeff")
    try:
        return raw.decode("utf-8-sig").removeprefix("\ufeff")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def read_json(path: Path) -> Any:
    """The JSON value in a file. Raises UserError where it is damaged."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(
            _("“{name}” is not readable JSON: {error}.").format(name=show_name(path), error=error),
            _("Export it again from the program that made it."),
        ) from error


def sub_folders(root: Path) -> list[Path]:
    """Visible folders directly in `root`, in natural order; links are not followed."""
    with os.scandir(root) as scan:
        found = [
            Path(entry.path)
            for entry in scan
            if entry.is_dir(follow_symlinks=False)
            and not is_hidden_name(entry.name)
            and is_text_name(entry.name)
        ]
    return sorted(found, key=lambda path: natural_key(path.name))


def walk_files(root: Path, ending: str = "") -> Iterator[Path]:
    """Visible files below `root` in natural order; linked folders are not entered.

    `ending`: only files whose names end so, for example ".parquet".
    """
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            (f for f in folders if not is_hidden_name(f) and is_text_name(f)), key=natural_key
        )
        for name in sorted((f for f in files if f.endswith(ending)), key=natural_key):
            if not is_hidden_name(name) and is_text_name(name):
                yield Path(folder, name)


def sort_entries(entries: Iterable[Entry], root: Path) -> tuple[Entry, ...]:
    """Entries by class, then by path, the same on every file system."""

    def key(entry: Entry) -> tuple[Any, ...]:
        path = Path(entry.source)
        if path.is_relative_to(root):
            path = path.relative_to(root)
        return natural_key(entry.label), path_key(path)

    return tuple(sorted(entries, key=key))


def val_as_test(entries: Iterable[Entry]) -> list[Entry]:
    """Where a published data set has "train" and "val" only, its val is what methods are tested
    on (the paper does so for VOC and COCO): it becomes the test part."""
    found = list(entries)
    if any(entry.part is Part.TEST for entry in found):
        return found
    return [
        replace(entry, part=Part.TEST) if entry.part is Part.VALIDATION else entry
        for entry in found
    ]


class PictureIndex:
    """Finds the pictures that a list names: by path below `root`, or by a unique file name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_name: dict[str, list[Path]] | None = None
        self._real_root = os.path.realpath(root)

    def find(self, name: str) -> tuple[Path | None, str]:
        """(file, "") or (None, why there is none). A path may not lead out of the folder with
        "..", but may be absolute."""
        text = name.strip().replace("\\", "/")
        if not text or "\x00" in text:
            return None, _("the row names no file")
        if "/" not in text and is_picture_name(text):
            # Without asking the disk, which a list of a million rows would do for a minute.
            matches = self._names().get(normal_name(text), [])
            beside = [path for path in matches if path.parent == self.root]
            if beside or len(matches) == 1:
                return (beside or matches)[0], ""
            if matches:
                return None, _("{number} files have this name; write the folder too").format(
                    number=len(matches)
                )
            return None, _("the file is not there")
        path = Path(os.path.normpath(self.root / text))
        if not Path(text).is_absolute() and not _is_below(path, self.root):
            return None, _("the path leads out of the folder of the list")
        try:
            if path.is_file():
                return path, ""
        except OSError as error:
            return None, _("the name cannot be used ({strerror})").format(
                strerror=error.strerror or error
            )
        matches = self._names().get(normal_name(Path(text).name), [])
        if len(matches) == 1 and "/" not in text:
            return matches[0], ""
        if not matches and not Path(text).suffix:
            matches = [
                found
                for key, paths in self._names().items()
                if Path(key).stem == normal_name(Path(text).name)
                for found in paths
            ]
            if len(matches) == 1:
                return matches[0], ""
        if len(matches) > 1 and "/" not in text:
            return None, _("{number} files have this name; write the folder too").format(
                number=len(matches)
            )
        return None, _("the file is not there")

    def _names(self) -> dict[str, list[Path]]:
        if self._by_name is None:
            self._by_name = {}
            for path in walk_files(self.root):
                if is_picture_name(path.name):
                    self._by_name.setdefault(normal_name(path.name), []).append(path)
        return self._by_name


def _is_below(path: Path, root: Path) -> bool:
    return path == root or root in path.parents
