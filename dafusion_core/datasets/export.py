"""Write images as plain folders that any other program can train on, with their lineage.

    destination/
        manifest.csv
        real/daisy/12_photo.jpg
        synthetic/daisy/12_photo/t0.5_57.png

A synthetic image lies in a folder named after its source, so that nobody splits the two apart by
accident.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dafusion_core.datasets.naming import is_hidden_name, natural_key, normal_name, show_name
from dafusion_core.domain.errors import EnvironmentProblem, UserError, translate_os_error

__all__ = ["MANIFEST", "ExportItem", "ExportReport", "export_folder", "safe_names"]

MANIFEST = "manifest.csv"
_COLUMNS = ("path", "label", "part", "kind", "source", "t0", "seed", "curation", "sha256")
_CHUNK = 1 << 20
_LONGEST = 80  # characters of a file or folder name: paths stay short enough for Windows

# Windows keeps these names for devices, with any ending.
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')


@dataclass(frozen=True, slots=True)
class ExportItem:
    """One image to export.

    `path`: where it is now; `name`: a file name to resemble, such as that of the original;
    `sha256`: what the bytes must be, "" when that is not known. For a synthetic image
    `source_id` is the id of its source image, which need not be exported itself; `t0`, `seed` and
    `curation` are its own.
    """

    kind: Literal["real", "synthetic"]
    id: int
    label: str
    part: str
    path: Path
    name: str
    sha256: str
    source_id: int | None = None
    t0: float | None = None
    seed: int | None = None
    curation: str = ""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written: files (without the manifest), bytes, and whether it ended early."""

    destination: Path
    real: int
    synthetic: int
    bytes: int
    stopped: bool = False

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        text = (
            f"{self.real:,} real and {self.synthetic:,} synthetic images were written to "
            f"“{show_name(self.destination)}”."
        )
        return text + (" Stopped early; the manifest lists what is there." if self.stopped else "")


def export_folder(
    items: Iterable[ExportItem],
    destination: Path | str,
    overwrite: bool = False,
    on_progress: Callable[[int, int, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> ExportReport:
    """Copy every item below `destination` and write `manifest.csv` with one line per image.

    Files are copied as they are, each complete or absent. The manifest's `path` is relative to
    the destination, with "/"; `source` is the path of the source image if it was exported too,
    else "image <id>". `overwrite` allows a folder that already holds something: files of the
    same name are replaced, others stay. Raises UserError when the destination is not empty
    (without `overwrite`), is a file, or holds an item; EnvironmentProblem when a picture is
    missing or is not what the project knows, or the disk is full.
    """
    wanted = sorted(items, key=lambda item: (item.kind, natural_key(item.label), item.id))
    destination = Path(os.path.abspath(Path(destination).expanduser()))
    if not wanted:
        raise UserError("There are no images to export.", "Import, or keep, some images first.")
    _check_destination(destination, overwrite, wanted)
    places = _place_all(wanted)
    done: list[ExportItem] = []
    hashes: list[str] = []
    size, stopped = 0, False
    try:
        destination.mkdir(parents=True, exist_ok=True)
        try:
            for item, place in zip(wanted, places, strict=True):
                if should_stop is not None and should_stop():
                    stopped = True
                    break
                digest, copied = _copy(item, destination / place)
                size += copied
                done.append(item)
                hashes.append(digest)
                if on_progress is not None:
                    on_progress(len(done), len(wanted), place)
        finally:
            # Also after an error: a folder of images is of little use without their lineage.
            if done:
                _write_manifest(destination, done, places, hashes)
    except OSError as error:
        raise translate_os_error(error, f"exporting to {show_name(destination)}") from error
    real = sum(item.kind == "real" for item in done)
    return ExportReport(destination, real, len(done) - real, size, stopped)


def _check_destination(folder: Path, overwrite: bool, items: Sequence[ExportItem]) -> None:
    name = show_name(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"“{name}” is a file, not a folder.", "Choose a folder.")
    try:
        held = [e.name for e in folder.iterdir() if not is_hidden_name(e.name)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise translate_os_error(error, f"looking into {name}") from error
    if held and not overwrite:
        raise UserError(
            f"The folder “{name}” is not empty (it holds “{show_name(held[0])}”"
            f"{' and more' if len(held) > 1 else ''}). Nothing was written.",
            "Choose an empty folder, or allow files of the same name to be replaced.",
        )
    real = os.path.realpath(folder)
    for item in items:
        # Replacing files in the folder that they are read from would destroy originals.
        if os.path.realpath(item.path).startswith(real + os.sep):
            raise UserError(
                f"The folder “{name}” holds images of the project itself, for example "
                f"“{show_name(item.path)}”. Nothing was written.",
                "Choose another folder.",
            )


def safe_names(names: Sequence[str]) -> dict[str, str]:
    """A folder name for each name, valid on every system and different also without case."""
    taken: set[str] = set()
    safe: dict[str, str] = {}
    for name in names:
        if name in safe:
            continue
        base = _safe(name)
        choice, number = base, 2
        while choice.casefold() in taken:
            choice = f"{base[: _LONGEST - 5]}_{number}"
            number += 1
        taken.add(choice.casefold())
        safe[name] = choice
    return safe


def _safe(name: str) -> str:
    # Windows drops dots and spaces at the end, a leading dot hides.
    text = _FORBIDDEN.sub("_", normal_name(show_name(name)))[:_LONGEST].strip(" .")
    if not text or _RESERVED.match(text):
        text = f"_{text}"
    return text


def _place_all(items: Sequence[ExportItem]) -> list[str]:
    """The path of each item below the destination, with "/"."""
    folders = safe_names(sorted({item.label for item in items}, key=natural_key))
    stems = {item.id: f"{item.id}_{_stem(item)}" for item in items if item.kind == "real"}
    places = []
    for item in items:
        ending = item.path.suffix.lower() or Path(item.name).suffix.lower()
        folder = f"{item.kind}/{folders[item.label]}"
        if item.kind == "real":
            places.append(f"{folder}/{stems[item.id]}{ending}")
        else:
            source = stems.get(item.source_id or -1, f"{item.source_id}")
            strength = "" if item.t0 is None else f"t{item.t0:g}_"
            places.append(f"{folder}/{source}/{strength}{item.id}{ending}")
    return places


def _stem(item: ExportItem) -> str:
    return _safe(Path(item.name).stem)[:60].strip(" .")


def _copy(item: ExportItem, target: Path) -> tuple[str, int]:
    """Copy through a temporary file, checking the bytes on the way: (SHA-256, size)."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".tmp")
    digest, size = hashlib.sha256(), 0
    try:
        try:
            source = item.path.open("rb")
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise EnvironmentProblem(
                    f"The picture “{show_name(item.path)}” is missing, so the export stopped.",
                    "Put it back where it was, or export without it. What was written is whole.",
                ) from error
            raise
        with source, partial.open("wb") as file:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
        if item.sha256 and digest.hexdigest() != item.sha256:
            raise EnvironmentProblem(
                f"The picture “{show_name(item.path)}” changed since the project took it in, so "
                "the export stopped.",
                "Put the earlier picture back, or export without it. What was written is whole.",
            )
        shutil.copystat(item.path, partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return digest.hexdigest(), size


def _write_manifest(
    folder: Path, items: Sequence[ExportItem], places: Sequence[str], hashes: Sequence[str]
) -> None:
    path_of = {
        item.id: place for item, place in zip(items, places, strict=False) if item.kind == "real"
    }
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for item, place, digest in zip(items, places, hashes, strict=False):
        writer.writerow(_row(item, place, digest, path_of))
    partial = folder / (MANIFEST + ".tmp")
    try:
        partial.write_text(buffer.getvalue(), encoding="utf-8", newline="")
        os.replace(partial, folder / MANIFEST)
    finally:
        partial.unlink(missing_ok=True)


def _row(
    item: ExportItem, place: str, digest: str, path_of: dict[int, str]
) -> Iterator[str | int | float]:
    yield place
    yield show_name(item.label)
    yield item.part
    yield item.kind
    if item.kind == "real":
        yield show_name(item.name)
    else:
        yield path_of.get(item.source_id or -1, f"image {item.source_id}")
    yield "" if item.t0 is None else item.t0
    yield "" if item.seed is None else item.seed
    yield item.curation
    yield digest
