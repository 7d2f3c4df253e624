"""Bring the pictures of a plan into a project; can be stopped and repeated.

Pictures are checked in a few threads, but looked at in the order of their names, so that the
ids, the labels and which of two duplicates stays never depend on timing.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from dafusion_core.datasets.facts import PictureFacts
from dafusion_core.datasets.folder import scan_folder
from dafusion_core.datasets.naming import show_name
from dafusion_core.datasets.pictures import MAX_PIXELS, ExaminedPicture, examine_picture
from dafusion_core.datasets.plan import Entry, ImportPlan, PlannedRegion
from dafusion_core.datasets.small_copy import Jpeg
from dafusion_core.datasets.sniffing import (
    BadPicture,
    is_picture_name,
    sniff_format,
    unreadable,
)
from dafusion_core.domain.errors import DaFusionError, UserError, translate_os_error
from dafusion_core.domain.records import ImportProblem
from dafusion_core.domain.regions import check_region
from dafusion_core.language import _, count

__all__ = [
    "ExistingImage",
    "ImageStore",
    "ImportReport",
    "NewImage",
    "import_folder",
    "import_plan",
    "plan_folder",
]

#: Images per transaction. A crash loses at most this many and `_LAG`; they are imported again.
BATCH = 64
_LAG = 64  # images whose files may still be on their way to the disk when a batch is added
_CHANGED_COPY = _("the file changed after it was imported; the project keeps the earlier picture")
_CHANGED_REFERENCE = _(
    "the file changed after it was imported, but the project refers to the earlier picture; put "
    "that back, or give the new one another name"
)
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "BMP": ".bmp", "WEBP": ".webp"}
_AHEAD = 32  # pictures checked ahead of the one being recorded
_AT_ONCE = 4  # pictures handed to a thread: handing over costs a tenth of checking one


@dataclass(frozen=True, slots=True)
class ExistingImage:
    """An image that is already in the project."""

    id: int
    label: str
    original_path: str


@dataclass(frozen=True, slots=True)
class NewImage:
    """A row to add. `path` as in ImageRecord; `bytes`, `mtime_ns` are those of the original.
    `small`: a small copy for views (JPEG), which may be dropped."""

    path: str
    is_reference: bool
    sha256: str
    width: int
    height: int
    mode: str
    label_id: int
    original_path: str
    bytes: int
    mtime_ns: int
    facts: PictureFacts
    group: str = ""
    note: str = ""
    is_unsure: bool = False
    regions: tuple[PlannedRegion, ...] = ()
    small: Jpeg | None = None


class ImageStore(Protocol):
    """What importing needs of a project. Called from one thread only."""

    def known_sources(self) -> Mapping[str, tuple[int, int]]:
        """Original path → (bytes, mtime_ns) of every image in the project."""

    def find_by_hash(self, sha256: str) -> ExistingImage | None:
        """The image whose original had these contents."""

    def add_label(self, name: str) -> int:
        """The id of the label with this name, made if it is new."""

    def adopt_file(self, path: Path, sha256: str) -> str:
        """Copy a file into the files folder; its path there, relative. Repeating is harmless."""

    def adopt_data(self, data: bytes, sha256: str, suffix: str) -> str:
        """As `adopt_file` for bytes. They need not be on the disk before `add_images`."""

    def find_synthetic(self, sha256: str, facts: PictureFacts, path: str) -> str:
        """Why the picture must stay out because this project made it, "" if it did not."""

    def add_images(self, rows: Sequence[NewImage]) -> None:
        """Add all rows in one transaction, or those before the first whose file could not be
        written, and raise its OSError."""

    def add_problem(self, path: str, reason: str, is_refused: bool) -> None:
        """Remember a problem; replaces what was said about the same path before."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    `imported`: images added now; `skipped_known`: files imported earlier and unchanged since;
    `problems`: files left out, and files imported with a warning (`is_refused` tells which);
    `per_label`: images added now per class; `stopped`: True when it ended early on request;
    `warnings`: sentences about the folder as a whole.
    """

    imported: int
    skipped_known: int
    problems: tuple[ImportProblem, ...]
    per_label: dict[str, int]
    stopped: bool
    warnings: tuple[str, ...] = ()

    @property
    def refused(self) -> int:
        """Number of files that were left out."""
        return sum(problem.is_refused for problem in self.problems)

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        parts = [count(self.imported, "{n:,} image imported", "{n:,} images imported")]
        if self.skipped_known:
            parts.append(_("{known:,} already in the project").format(known=self.skipped_known))
        if self.refused:
            parts.append(_("{refused:,} left out").format(refused=self.refused))
        if noted := len(self.problems) - self.refused:
            parts.append(_("{noted:,} with a warning").format(noted=noted))
        end = _(" Stopped early; import the folder again to go on.") if self.stopped else ""
        return ", ".join(parts) + "." + end


def import_folder(
    store: ImageStore,
    folder: Path | str,
    mode: Literal["copy", "reference"] = "copy",
    on_progress: Callable[[int, int, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> ImportReport:
    """Import every usable picture below `folder` (see `scan_folder` for the layout).

    As `import_plan`. Raises UserError for a wrong layout too.
    """
    return import_plan(store, plan_folder(folder), mode, on_progress, should_stop, max_pixels)


def plan_folder(folder: Path | str) -> ImportPlan:
    """The plan of a folder with one folder per class. Raises UserError as `scan_folder`."""
    scan = scan_folder(folder)
    entries = tuple(Entry(str(path), label) for path, label in scan.files())
    return ImportPlan("folders", scan.root, entries, scan.problems, scan.warnings)


def import_plan(
    store: ImageStore,
    plan: ImportPlan,
    mode: Literal["copy", "reference"] = "copy",
    on_progress: Callable[[int, int, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    max_pixels: int = MAX_PIXELS,
) -> ImportReport:
    """Import every usable picture of a plan.

    mode "copy" adopts the file's bytes into the project; "reference" only notes where it is
    (pictures inside containers are copied all the same).
    `on_progress(done, total, path)` is called after each file; `should_stop()` is asked before
    each. Repeating an import skips what is known and unchanged. A picture whose bytes are already
    in the project is left out, with a reason that depends on the class it is there in; so is a
    synthetic image of this project. Raises EnvironmentProblem (DiskFull…) when the project cannot
    be written; everything recorded before stays.
    """
    run = _Import(store, mode == "reference", dict(store.known_sources()))
    for problem in plan.problems:
        run.note(problem.path, problem.reason, problem.is_refused)
    for label in plan.labels:
        store.add_label(label)
    stopped = False
    checks = _check_ahead(run, plan.entries, max_pixels)
    try:
        with _explaining_errors():
            for done, (entry, outcome) in enumerate(checks):
                if should_stop is not None and should_stop():
                    stopped = True
                    break
                run.take(entry, outcome)
                if on_progress is not None:
                    on_progress(done + 1, len(plan.entries), entry.source)
    finally:
        checks.close()
        # Also after an error: what was adopted before it is whole and worth keeping.
        run.commit()
    return ImportReport(
        run.imported, run.skipped, tuple(run.problems), run.per_label, stopped, plan.warnings
    )


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A file as it was found: `found` or the reason why not, or neither when it is known."""

    size: int
    mtime_ns: int
    found: ExaminedPicture | None = None
    refusal: str = ""
    has_changed: bool = False


def _check_ahead(
    run: _Import, entries: Sequence[Entry], max_pixels: int
) -> Generator[tuple[Entry, _Outcome]]:
    """Outcomes in the order of `entries`, computed a bounded number ahead in a few threads."""
    waiting: deque[tuple[Sequence[Entry], Future[list[_Outcome]]]] = deque()
    is_stopping = threading.Event()

    def examine(part: Sequence[Entry]) -> list[_Outcome]:
        return [
            _examine(entry, run.known.get(entry.source), max_pixels)
            for entry in part
            if not is_stopping.is_set()
        ]

    with ThreadPoolExecutor(_threads(), "import") as pool:
        try:
            for i in range(0, len(entries), _AT_ONCE):
                part = entries[i : i + _AT_ONCE]
                waiting.append((part, pool.submit(examine, part)))
                if len(waiting) >= _AHEAD // _AT_ONCE:
                    first, future = waiting.popleft()
                    yield from zip(first, future.result(), strict=True)
            while waiting:
                first, future = waiting.popleft()
                yield from zip(first, future.result(), strict=True)
        finally:
            is_stopping.set()
            for _rest, future in waiting:
                future.cancel()


def _threads() -> int:
    # One more than cores: one or another waits for its turn in Python, or for the disk.
    return min(4, (os.cpu_count() or 1) + 1)


def _examine(entry: Entry, known: tuple[int, int] | None, max_pixels: int) -> _Outcome:
    path = Path(entry.path)
    try:
        status = path.stat()
        found = (status.st_size, status.st_mtime_ns)
    except OSError as error:
        return _Outcome(0, 0, refusal=unreadable(path, error).reason)
    if known == found:
        return _Outcome(*found)
    try:
        data = entry.fetch() if entry.fetch is not None else None
        picture = examine_picture(entry.path, max_pixels, data, True)
    except BadPicture as error:
        return _Outcome(*found, refusal=error.reason)
    except DaFusionError as error:
        return _Outcome(*found, refusal=error.text)
    return _Outcome(*found, picture, has_changed=known is not None)


@dataclass
class _Import:
    """Counts, problems, and rows that are not committed yet."""

    store: ImageStore
    is_reference: bool
    known: dict[str, tuple[int, int]]
    imported: int = 0
    skipped: int = 0
    problems: list[ImportProblem] = field(default_factory=list)
    per_label: dict[str, int] = field(default_factory=dict)
    _rows: list[NewImage] = field(default_factory=list)
    _new_by_hash: dict[str, tuple[str, str]] = field(default_factory=dict)

    def note(self, path: str, reason: str, is_refused: bool = True) -> None:
        self.problems.append(ImportProblem(path, reason, is_refused))
        self.store.add_problem(path, reason, is_refused)

    def take(self, entry: Entry, outcome: _Outcome) -> None:
        """Record one file: a row, a problem, or nothing because it is known."""
        name = show_name(entry.source)
        if outcome.refusal:
            self.note(name, outcome.refusal)
            return
        if outcome.found is None:
            self.skipped += 1
            return
        picture = outcome.found.picture
        twin = self._find_twin(picture.sha256)
        if outcome.has_changed:
            if twin is not None and twin[1] == entry.source:
                self.skipped += 1  # only the date changed
            else:
                self.note(name, _CHANGED_REFERENCE if self.is_reference else _CHANGED_COPY)
            return
        if twin is not None:
            self.note(name, _twin_reason(entry.label, *twin))
            return
        if synthetic := self.store.find_synthetic(picture.sha256, outcome.found.facts, entry.path):
            self.note(name, synthetic)
            return
        is_reference = self.is_reference and entry.fetch is None
        self._rows.append(
            NewImage(
                path=entry.path if is_reference else self._adopt(entry, outcome.found),
                is_reference=is_reference,
                sha256=picture.sha256,
                width=picture.width,
                height=picture.height,
                mode=picture.mode,
                label_id=self.store.add_label(entry.label),
                original_path=entry.source,
                bytes=outcome.size,
                mtime_ns=outcome.mtime_ns,
                facts=outcome.found.facts,
                group=entry.group,
                note=entry.note,
                is_unsure=entry.is_unsure,
                regions=self._regions(entry, name, picture.width, picture.height),
                small=outcome.found.small,
            )
        )
        self._new_by_hash[picture.sha256] = (entry.label, entry.source)
        self.per_label[entry.label] = self.per_label.get(entry.label, 0) + 1
        for warning in picture.warnings:
            self.note(name, warning, is_refused=False)
        if len(self._rows) >= BATCH + _LAG:
            self._commit(BATCH)

    def _adopt(self, entry: Entry, found: ExaminedPicture) -> str:
        if found.data is None:
            return self.store.adopt_file(Path(entry.path), found.picture.sha256)
        suffix = Path(entry.source if entry.fetch else entry.path).suffix.lower()
        if not is_picture_name(f"x{suffix}"):
            suffix = _SUFFIXES.get(sniff_format(Path("x"), found.data[:64]) or "", "")
        return self.store.adopt_data(found.data, found.picture.sha256, suffix)

    def _regions(
        self, entry: Entry, name: str, width: int, height: int
    ) -> tuple[PlannedRegion, ...]:
        """The regions that fit the picture; what is wrong with the others is noted."""
        good = []
        for region in entry.regions:
            try:
                check_region(region.kind, region.data, width, height)
            except UserError as error:
                self.note(
                    name,
                    _("a region was left out: {text}").format(text=error.text),
                    is_refused=False,
                )
            else:
                good.append(region)
        return tuple(good)

    def _find_twin(self, sha256: str) -> tuple[str, str] | None:
        """(label, original path) of the image with the same bytes."""
        if sha256 in self._new_by_hash:
            return self._new_by_hash[sha256]
        existing = self.store.find_by_hash(sha256)
        return (existing.label, existing.original_path) if existing else None

    def commit(self) -> None:
        """Add all waiting rows. Raises EnvironmentProblem (DiskFull…)."""
        while self._rows:
            self._commit(BATCH)

    def _commit(self, count: int) -> None:
        rows, rest = self._rows[:count], self._rows[count:]
        self._rows = []  # of no use if it fails: ids follow the order of names without gaps
        with _explaining_errors():
            self.store.add_images(rows)
        self._rows = rest
        self.imported += len(rows)


@contextlib.contextmanager
def _explaining_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise translate_os_error(error, _("copying the pictures into the project")) from error


def _twin_reason(label: str, its_label: str, its_path: str) -> str:
    if label == its_label:
        return _("exact duplicate of “{its_path}”").format(its_path=its_path)
    return _(
        "the same picture is also in class “{its_label}” (“{its_path}”); it stays "
        "there. If that class is the wrong one, remove it there and import again"
    ).format(its_label=its_label, its_path=its_path)
