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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dafusion_core.datasets.naming import is_hidden_name, natural_key, normal_name, show_name
from dafusion_core.datasets.plan import PlannedRegion
from dafusion_core.domain.errors import EnvironmentProblem, UserError, translate_os_error
from dafusion_core.language import _

__all__ = [
    "MANIFEST",
    "ExportItem",
    "ExportReport",
    "PlacedItem",
    "export_folder",
    "place_in_folders",
    "safe_names",
    "sort_items",
    "stem_of",
    "write_files",
    "write_manifest",
    "write_text",
]

MANIFEST = "manifest.csv"
_COLUMNS = (
    *("path", "label", "part", "kind", "source", "t0", "seed", "curation", "sha256"),
    *("group", "is_unsure", "note", "variant", "rating", "source_sha256"),
    *("job", "plan", "placeholder", "erasure", "base_model"),
)
UNFINISHED = ".dafusion-unfinished"
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
    `source_id` is the id of its source image, which need not be exported itself; `t0`, `seed`,
    `variant`, `rating` and `curation` are its own, `source_sha256` and `lineage` (job, hash of the
    plan, placeholder …) say what it was made from. `regions`, `group`, `note` and `is_unsure` are
    what people said about a real image.
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
    width: int = 0
    height: int = 0
    group: str = ""
    note: str = ""
    is_unsure: bool = False
    regions: tuple[PlannedRegion, ...] = ()
    variant: int | None = None
    rating: int = 0
    source_sha256: str = ""
    lineage: Mapping[str, str | int] = field(default_factory=dict)


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
        text = _(
            "{real:,} real and {synthetic:,} synthetic images were written to “{name}”."
        ).format(real=self.real, synthetic=self.synthetic, name=show_name(self.destination))
        return text + (
            _(" Stopped early; the manifest lists what is there.") if self.stopped else ""
        )


def export_folder(
    items: Iterable[ExportItem],
    destination: Path | str,
    overwrite: bool = False,
    on_progress: Callable[[int, int, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> ExportReport:
    """Copy every item below `destination`, a folder per class, and write `manifest.csv` with one
    line per image. See `write_files` for the rules and errors."""

    def finish(folder: Path, done: Sequence[PlacedItem]) -> None:
        write_manifest(folder, done)

    wanted = sort_items(items)
    return write_files(
        wanted, place_in_folders(wanted), destination, finish, overwrite, on_progress, should_stop
    )


@dataclass(frozen=True, slots=True)
class PlacedItem:
    """An item with its path below the destination ("/") and the SHA-256 of what was written."""

    item: ExportItem
    place: str
    sha256: str


def sort_items(items: Iterable[ExportItem]) -> list[ExportItem]:
    """Items in the order of every export: real ones first, by class and id."""
    return sorted(items, key=lambda item: (item.kind, natural_key(item.label), item.id))


def write_files(
    wanted: Sequence[ExportItem],
    places: Sequence[str],
    destination: Path | str,
    finish: Callable[[Path, Sequence[PlacedItem]], None],
    overwrite: bool = False,
    on_progress: Callable[[int, int, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    request: str = "",
) -> ExportReport:
    """Copy items to their places, then let `finish` write what describes them.

    Files are copied as they are, each complete or absent. The manifest's `path` is relative to
    the destination, with "/"; `source` is the path of the source image if it was exported too,
    else "image <id>". `overwrite` allows a folder that already holds something: files of the
    same name are replaced, others stay. An export of the same items (and `request`) that was
    stopped, by the user, a full disk or a crash, goes on where it was. Raises UserError when the
    destination is not empty (without `overwrite`), is a file, or holds an item;
    EnvironmentProblem when a picture is missing or is not what the project knows, or the disk is
    full.
    """
    destination = Path(os.path.abspath(Path(destination).expanduser()))
    if not wanted:
        raise UserError(
            _("There are no images to export."), _("Import, or keep, some images first.")
        )
    mark = _mark(wanted, places, request)
    is_resumed = _read_mark(destination) == mark
    _check_destination(destination, overwrite or is_resumed, wanted)
    done: list[PlacedItem] = []
    size, stopped = 0, False
    try:
        destination.mkdir(parents=True, exist_ok=True)
        (destination / UNFINISHED).write_text(mark, encoding="utf-8")
        try:
            for item, place in zip(wanted, places, strict=True):
                if should_stop is not None and should_stop():
                    stopped = True
                    break
                target = destination / place
                if is_resumed and _is_there(item, target):
                    digest, copied = item.sha256, target.stat().st_size
                else:
                    digest, copied = _copy(item, target)
                size += copied
                done.append(PlacedItem(item, place, digest))
                if on_progress is not None:
                    on_progress(len(done), len(wanted), place)
        finally:
            # Also after an error: a folder of images is of little use without their lineage.
            if done:
                finish(destination, done)
            if not done or len(done) == len(wanted):
                (destination / UNFINISHED).unlink(missing_ok=True)
    except OSError as error:
        raise translate_os_error(
            error, _("exporting to {name}").format(name=show_name(destination))
        ) from error
    real = sum(entry.item.kind == "real" for entry in done)
    return ExportReport(destination, real, len(done) - real, size, stopped)


def _mark(wanted: Sequence[ExportItem], places: Sequence[str], request: str) -> str:
    """What tells one export from another: its items, their places and what was asked for."""
    digest = hashlib.sha256(request.encode())
    for item, place in zip(wanted, places, strict=True):
        digest.update(f"{item.kind}/{item.id}/{item.sha256}/{place}\n".encode())
    return digest.hexdigest()


def _read_mark(folder: Path) -> str:
    try:
        return (folder / UNFINISHED).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _is_there(item: ExportItem, target: Path) -> bool:
    """Whether a stopped export has written this item already, wholly."""
    try:
        with target.open("rb") as file:
            return bool(item.sha256) and (
                hashlib.file_digest(file, "sha256").hexdigest() == item.sha256
            )
    except OSError:
        return False


def _check_destination(folder: Path, overwrite: bool, items: Sequence[ExportItem]) -> None:
    name = show_name(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(
            _("“{name}” is a file, not a folder.").format(name=name), _("Choose a folder.")
        )
    try:
        held = [e.name for e in folder.iterdir() if not is_hidden_name(e.name)]
    except FileNotFoundError:
        return
    except OSError as error:
        raise translate_os_error(error, _("looking into {name}").format(name=name)) from error
    if held and not overwrite:
        raise UserError(
            (
                _(
                    "The folder “{name}” is not empty (it holds “{entry}” and more). Nothing was "
                    "written."
                )
                if len(held) > 1
                else _(
                    "The folder “{name}” is not empty (it holds “{entry}”). Nothing was written."
                )
            ).format(name=name, entry=show_name(held[0])),
            _("Choose an empty folder, or allow files of the same name to be replaced."),
        )
    real = os.path.realpath(folder)
    for item in items:
        # Replacing files in the folder that they are read from would destroy originals.
        if os.path.realpath(item.path).startswith(real + os.sep):
            raise UserError(
                _(
                    "The folder “{name}” holds images of the project itself, for example "
                    "“{show_name}”. Nothing was written."
                ).format(name=name, show_name=show_name(item.path)),
                _("Choose another folder."),
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


def place_in_folders(items: Sequence[ExportItem]) -> list[str]:
    """The path of each item below the destination, with "/"."""
    folders = safe_names(sorted({item.label for item in items}, key=natural_key))
    stems = {item.id: f"{item.id}_{stem_of(item)}" for item in items if item.kind == "real"}
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


def stem_of(item: ExportItem) -> str:
    """The readable part of an exported file's name."""
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
                    _("The picture “{name}” is missing, so the export stopped.").format(
                        name=show_name(item.path)
                    ),
                    _("Put it back where it was, or export without it. What was written is whole."),
                ) from error
            raise
        with source, partial.open("wb") as file:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                file.write(chunk)
        if item.sha256 and digest.hexdigest() != item.sha256:
            raise EnvironmentProblem(
                _(
                    "The picture “{name}” changed since the project took it in, so the export "
                    "stopped."
                ).format(name=show_name(item.path)),
                _("Put the earlier picture back, or export without it. What was written is whole."),
            )
        shutil.copystat(item.path, partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return digest.hexdigest(), size


def write_manifest(folder: Path, done: Sequence[PlacedItem]) -> None:
    """Write manifest.csv, whole or not at all."""
    path_of = {entry.item.id: entry.place for entry in done if entry.item.kind == "real"}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for entry in done:
        writer.writerow(_row(entry.item, entry.place, entry.sha256, path_of))
    write_text(folder / MANIFEST, buffer.getvalue())


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    try:
        partial.write_text(text, encoding="utf-8", newline="")
        os.replace(partial, path)
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
    yield show_name(item.group)
    yield int(item.is_unsure)
    yield show_name(item.note)
    yield "" if item.variant is None else item.variant
    yield item.rating or ""
    yield item.source_sha256
    for key in ("job", "plan", "placeholder", "erasure", "base_model"):
        yield item.lineage.get(key, "")
