"""Bring the pictures of a class-per-folder folder into a project; can be stopped and repeated.

Pictures are checked in a few threads, but looked at in the order of their names, so that the
ids, the labels and which of two duplicates stays never depend on timing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from dafusion_core.datasets.folder import scan_folder
from dafusion_core.datasets.naming import show_name
from dafusion_core.datasets.pictures import MAX_PIXELS, CheckedPicture, check_picture
from dafusion_core.datasets.sniffing import BadPicture
from dafusion_core.domain.errors import translate_os_error
from dafusion_core.domain.records import ImportProblem

__all__ = ["ExistingImage", "ImageStore", "ImportReport", "NewImage", "import_folder"]

#: Images per transaction: a crash loses at most this many, which are then imported again.
BATCH = 64
_CHANGED_COPY = "the file changed after it was imported; the project keeps the earlier picture"
_CHANGED_REFERENCE = (
    "the file changed after it was imported, but the project refers to the earlier picture; put "
    "that back, or give the new one another name"
)
_AHEAD = 32  # pictures checked ahead of the one being recorded


@dataclass(frozen=True, slots=True)
class ExistingImage:
    """An image that is already in the project."""

    id: int
    label: str
    original_path: str


@dataclass(frozen=True, slots=True)
class NewImage:
    """A row to add. `path` as in ImageRecord; `bytes`, `mtime_ns` are those of the original."""

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

    def add_images(self, rows: Sequence[NewImage]) -> None:
        """Add all rows in one transaction."""

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
        parts = [f"{self.imported:,} image{'' if self.imported == 1 else 's'} imported"]
        if self.skipped_known:
            parts.append(f"{self.skipped_known:,} already in the project")
        if self.refused:
            parts.append(f"{self.refused:,} left out")
        if noted := len(self.problems) - self.refused:
            parts.append(f"{noted:,} with a warning")
        end = " Stopped early; import the folder again to go on." if self.stopped else ""
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

    mode "copy" adopts the file's bytes into the project; "reference" only notes where it is.
    `on_progress(done, total, path)` is called after each file; `should_stop()` is asked before
    each. Repeating an import skips what is known and unchanged. A picture whose bytes are already
    in the project is left out, with a reason that depends on the class it is there in. Raises
    UserError for a wrong layout and EnvironmentProblem (DiskFull…) when the project cannot be
    written; everything recorded before stays.
    """
    scan = scan_folder(folder)
    run = _Import(store, mode == "reference", dict(store.known_sources()))
    for problem in scan.problems:
        run.note(problem.path, problem.reason)
    stopped = False
    checks = _check_ahead(run, scan.files(), max_pixels)
    try:
        for done, (path, label, outcome) in enumerate(checks):
            if should_stop is not None and should_stop():
                stopped = True
                break
            run.take(path, label, outcome)
            if on_progress is not None:
                on_progress(done + 1, scan.count, str(path))
    except OSError as error:
        raise translate_os_error(error, "copying the pictures into the project") from error
    finally:
        checks.close()
        # Also after an error: what was adopted before it is whole and worth keeping.
        run.commit()
    return ImportReport(
        run.imported, run.skipped, tuple(run.problems), run.per_label, stopped, scan.warnings
    )


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A file as it was found: `picture` or the reason why not, or neither when it is known."""

    size: int
    mtime_ns: int
    picture: CheckedPicture | None = None
    refusal: str = ""
    has_changed: bool = False


def _check_ahead(
    run: _Import, files: Iterator[tuple[Path, str]], max_pixels: int
) -> Generator[tuple[Path, str, _Outcome]]:
    """Outcomes in the order of `files`, computed a bounded number ahead in a few threads."""
    waiting: deque[tuple[Path, str, Future[_Outcome]]] = deque()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), "import") as pool:
        try:
            for path, label in files:
                known = run.known.get(str(path))
                waiting.append((path, label, pool.submit(_examine, path, known, max_pixels)))
                if len(waiting) >= _AHEAD:
                    first, its_label, future = waiting.popleft()
                    yield first, its_label, future.result()
            while waiting:
                first, its_label, future = waiting.popleft()
                yield first, its_label, future.result()
        finally:
            for _, _, future in waiting:
                future.cancel()


def _examine(path: Path, known: tuple[int, int] | None, max_pixels: int) -> _Outcome:
    try:
        status = path.stat()
        found = (status.st_size, status.st_mtime_ns)
    except OSError as error:
        return _Outcome(0, 0, refusal=f"the system could not read it ({error.strerror or error})")
    if known == found:
        return _Outcome(*found)
    try:
        picture = check_picture(path, max_pixels)
    except BadPicture as error:
        return _Outcome(*found, refusal=error.reason)
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

    def take(self, path: Path, label: str, outcome: _Outcome) -> None:
        """Record one file: a row, a problem, or nothing because it is known."""
        name = show_name(path)
        picture = outcome.picture
        if outcome.refusal:
            self.note(name, outcome.refusal)
            return
        if picture is None:
            self.skipped += 1
            return
        twin = self._find_twin(picture.sha256)
        if outcome.has_changed:
            if twin is not None and twin[1] == str(path):
                self.skipped += 1  # only the date changed
            else:
                self.note(name, _CHANGED_REFERENCE if self.is_reference else _CHANGED_COPY)
            return
        if twin is not None:
            self.note(name, _twin_reason(label, *twin))
            return
        where = str(path) if self.is_reference else self.store.adopt_file(path, picture.sha256)
        label_id = self.store.add_label(label)
        self._rows.append(
            NewImage(
                path=where,
                is_reference=self.is_reference,
                sha256=picture.sha256,
                width=picture.width,
                height=picture.height,
                mode=picture.mode,
                label_id=label_id,
                original_path=str(path),
                bytes=picture.bytes,
                mtime_ns=outcome.mtime_ns,
            )
        )
        self._new_by_hash[picture.sha256] = (label, str(path))
        self.per_label[label] = self.per_label.get(label, 0) + 1
        for warning in picture.warnings:
            self.note(name, warning, is_refused=False)
        if len(self._rows) >= BATCH:
            self.commit()

    def _find_twin(self, sha256: str) -> tuple[str, str] | None:
        """(label, original path) of the image with the same bytes."""
        if sha256 in self._new_by_hash:
            return self._new_by_hash[sha256]
        existing = self.store.find_by_hash(sha256)
        return (existing.label, existing.original_path) if existing else None

    def commit(self) -> None:
        """Add the waiting rows in one transaction."""
        rows, self._rows = self._rows, []
        if rows:
            self.store.add_images(rows)
            self.imported += len(rows)


def _twin_reason(label: str, its_label: str, its_path: str) -> str:
    if label == its_label:
        return f"exact duplicate of “{its_path}”"
    return (
        f"the same picture is also in class “{its_label}” (“{its_path}”); it stays there. "
        "If that class is the wrong one, remove it there and import again"
    )
