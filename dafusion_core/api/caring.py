"""Looking after a project's files: check, find again, empty, shrink, move, copy, merge, archive."""

from __future__ import annotations

import os
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dafusion_core.datasets.naming import is_hidden_name, show_name
from dafusion_core.domain.errors import EnvironmentProblem, UserError, translate_os_error
from dafusion_core.domain.records import JobState
from dafusion_core.language import _
from dafusion_core.storage import care, journal
from dafusion_core.storage.objects import hash_file
from dafusion_core.storage.project import SUFFIX, files_folder
from dafusion_core.storage.thumbnails import FOLDER as THUMBNAILS

if TYPE_CHECKING:
    from dafusion_core.storage.project import ProjectFile

Progress = Callable[[int, int, str], None]
_LOCK_FILES = ("project.lock", "owner.json")
#: An archive may unpack to this many times its size; pictures hardly shrink, text ten times.
MAX_RATIO = 50


@dataclass(frozen=True, slots=True)
class Verified:
    """What verifying found: files that were looked at, and (what it is, path) of bad ones."""

    checked: int
    missing: tuple[tuple[str, str], ...]
    changed: tuple[tuple[str, str], ...]

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        if not self.missing and not self.changed:
            return _("All {checked:,} files are there and whole.").format(checked=self.checked)
        return _(
            "Of {checked:,} files {missing:,} are missing and {changed:,} are not what they were."
        ).format(checked=self.checked, missing=len(self.missing), changed=len(self.changed))


@dataclass(frozen=True, slots=True)
class Freed:
    """What was thrown away: synthetic images, real images, stray files, and bytes in all."""

    synthetic: int = 0
    real: int = 0
    files: int = 0
    bytes: int = 0

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        return _(
            "{synthetic:,} synthetic and {real:,} real images and {files:,} stray files "
            "were deleted; {bytes:,.1f} MB are free again."
        ).format(synthetic=self.synthetic, real=self.real, files=self.files, bytes=self.bytes / 1e6)


class Caring:
    """A part of `Project`."""

    file: ProjectFile

    def verify(self, on_progress: Progress | None = None) -> Verified:
        """Read every file that the project knows and compare it with its recorded hash."""
        rows = care.recorded_files(self.file.db)
        missing, changed = [], []
        for done, (what, relative, sha256) in enumerate(rows, start=1):
            path = self.file.objects.path(relative)
            try:
                if hash_file(path) != sha256:
                    changed.append((what, str(path)))
            except OSError:
                missing.append((what, str(path)))
            if on_progress is not None:
                on_progress(done, len(rows), str(path))
        return Verified(len(rows), tuple(missing), tuple(changed))

    def missing_images(self) -> list[tuple[int, Path]]:
        """(id, path) of real images whose files are not there."""
        found = care.image_files(self.file.db)
        paths = [(image_id, self.file.objects.path(path)) for image_id, path, *_ in found]
        return [(image_id, path) for image_id, path in paths if not path.is_file()]

    def locate(
        self, folder: Path | str, on_progress: Progress | None = None
    ) -> tuple[int, list[tuple[int, Path]]]:
        """Look for missing pictures below `folder`, by size and contents, never by name alone.

        Referenced images get the new path, copied ones are copied in again. Returns how many were
        found and (id, path) of those still missing.
        """
        self.file.require_writable()
        wanted = {
            sha256: (image_id, path, size)
            for image_id, path, sha256, size in care.image_files(self.file.db)
            if not self.file.objects.path(path).is_file()
        }
        sizes = {size for _, _, size in wanted.values()}
        found = 0
        for done, path in enumerate(_all_files(Path(folder))):
            try:
                if not wanted or path.stat().st_size not in sizes:
                    continue
                sha256 = hash_file(path)
            except OSError:
                continue
            if sha256 in wanted:
                image_id, old, _ = wanted.pop(sha256)
                if Path(old).is_absolute():
                    care.set_image_path(self.file.db, image_id, str(path.absolute()))
                else:
                    self.file.objects.restore(path, old)
                found += 1
            if on_progress is not None:
                on_progress(done, 0, str(path))
        return found, self.missing_images()

    def empty_rejected(self) -> Freed:
        """Delete rejected synthetic images, and rejected real ones that nothing was made from.

        This cannot be undone, and what was done before can no longer be undone either. Raises
        UserError while jobs are unfinished: they may still need the files.
        """
        self.file.require_writable()
        self._require_quiet("emptying")
        made, real = care.delete_rejected(self.file.db)
        journal.forget(self.file.db)
        files, size = self._sweep()
        # The files of the deleted images are among those swept.
        return Freed(made, real, max(files - made - real, 0), size)

    def shrink(self) -> Freed:
        """Delete files that no row names, and give free space in the database back."""
        self.file.require_writable()
        self._require_quiet("shrinking")
        files, size = self._sweep()
        before = self.path_size()
        self.file.db.execute("VACUUM")
        self.file.db.query("PRAGMA wal_checkpoint(TRUNCATE)")
        return Freed(files=files, bytes=size + max(before - self.path_size(), 0))

    def path_size(self) -> int:
        """Bytes of the project file."""
        return self.file.path.stat().st_size

    def _require_quiet(self, doing: str) -> None:
        states = (JobState.RUNNING, JobState.QUEUED, JobState.INTERRUPTED)
        busy = care.jobs_in(self.file.db, states)
        if busy:
            raise UserError(
                _("Job {busy} is not finished, and {doing} could take files that it needs.").format(
                    busy=busy[0], doing=doing
                ),
                _("Let it finish or cancel it first."),
            )

    def _sweep(self) -> tuple[int, int]:
        known = care.known_paths(self.file.db)
        count = size = 0
        for path in self.file.objects.objects.glob("*/*"):
            if path.relative_to(self.file.objects.root).as_posix() not in known:
                size += path.stat().st_size
                path.unlink(missing_ok=True)
                count += 1
        # Of thumbnails only the bytes count: they are no files that anybody knows.
        pictures = known.union(image[1] for image in care.image_files(self.file.db))
        return count, size + self.file.objects.thumbnails.sweep(pictures)

    # The pair of file and folder ----------------------------------------------------------

    def copy_to(self, path: Path | str, on_progress: Progress | None = None) -> Path:
        """Copy the project, open as it is, to a new place; the path of the copy.

        The database is copied by SQLite's own backup, so that the copy is whole also while a
        worker writes. Raises UserError when something is there already, EnvironmentProblem when
        the disk is full; what was copied is then removed again.
        """
        target = Path(path).expanduser().absolute()
        if target.suffix != SUFFIX:
            target = target.with_name(target.name + SUFFIX)
        folder = files_folder(target)
        if target.exists() or folder.exists():
            raise UserError(
                _("“{name}” is there already and was not changed.").format(name=show_name(target)),
                _("Choose another name."),
            )
        try:
            folder.mkdir(parents=True)
            _backup(self.file, target)
            files = [
                path for path in _all_files(self.file.files) if _belongs(path, self.file.files)
            ]
            for done, source in enumerate(files, start=1):
                place = folder / source.relative_to(self.file.files)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, place)
                if on_progress is not None:
                    on_progress(done, len(files), str(source))
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            target.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise translate_os_error(
                    error, _("copying to {name}").format(name=show_name(target))
                ) from error
            raise
        return target

    def archive(self, path: Path | str, on_progress: Progress | None = None) -> Path:
        """Write the whole project into one .zip, referenced pictures left out; its path.

        Raises UserError when there is something of that name already.
        """
        target = Path(path).expanduser().absolute()
        if target.suffix.lower() != ".zip":
            target = target.with_name(target.name + ".zip")
        if target.exists():
            raise UserError(
                _("“{name}” is there already and was not changed.").format(name=show_name(target)),
                _("Choose another name."),
            )
        partial = target.with_name(target.name + ".tmp")
        snapshot = target.with_name(target.name + ".snapshot.tmp")
        stem = self.file.path.stem
        try:
            _backup(self.file, snapshot)
            files = [
                path for path in _all_files(self.file.files) if _belongs(path, self.file.files)
            ]
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
                out.write(snapshot, f"{stem}{SUFFIX}")
                for done, source in enumerate(files, start=1):
                    name = f"{stem}.files/{source.relative_to(self.file.files).as_posix()}"
                    # Pictures and weights are compressed already.
                    out.write(source, name, zipfile.ZIP_STORED)
                    if on_progress is not None:
                        on_progress(done, len(files), str(source))
            os.replace(partial, target)
        except OSError as error:
            raise translate_os_error(
                error, _("writing {name}").format(name=show_name(target))
            ) from error
        finally:
            partial.unlink(missing_ok=True)
            snapshot.unlink(missing_ok=True)
        return target


def unpack_archive(archive: Path | str, folder: Path | str) -> Path:
    """Unpack a project that `archive` wrote below `folder`; the path of its file.

    Raises UserError when it is no such archive, when a name in it leads out of the folder, when
    it would unpack to far more than it can hold, or when something is there already. Nothing is
    left behind then.
    """
    source, place = Path(archive).expanduser(), Path(folder).expanduser().absolute()
    try:
        with zipfile.ZipFile(source) as packed:
            names = _checked_names(packed, source)
            project = place / next(name for name in names if name.endswith(SUFFIX))
            there = [p for p in (project, files_folder(project)) if p.exists()]
            if there:
                raise UserError(
                    _("“{name}” is there already and was not changed.").format(
                        name=show_name(there[0])
                    ),
                    _("Choose another folder."),
                )
            try:
                for name in names:
                    target = place / PurePosixPath(name)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with packed.open(name) as inner, target.open("xb") as out:
                        shutil.copyfileobj(inner, out)
            except BaseException:
                project.unlink(missing_ok=True)
                shutil.rmtree(files_folder(project), ignore_errors=True)
                raise
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        raise UserError(
            _("“{name}” is no whole zip archive.").format(name=show_name(source))
        ) from error
    except OSError as error:
        raise translate_os_error(
            error, _("unpacking {name}").format(name=show_name(source))
        ) from error
    return project


def _checked_names(packed: zipfile.ZipFile, source: Path) -> list[str]:
    infos = [info for info in packed.infolist() if not info.is_dir()]
    names = [info.filename for info in infos]
    tops = [name for name in names if "/" not in name and name.endswith(SUFFIX)]
    if len(tops) != 1:
        raise UserError(_("“{name}” is no archive of a project.").format(name=show_name(source)))
    inside = f"{tops[0].removesuffix(SUFFIX)}.files/"
    for info in infos:
        name = info.filename
        parts = PurePosixPath(name.replace("\\", "/")).parts
        is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
        if (
            name.startswith("/") or "\\" in name or ":" in name or ".." in parts or is_link
            or (name != tops[0] and not name.startswith(inside))
        ):  # fmt: skip
            raise UserError(
                _(
                    "“{name}” was refused: “{entry}” in it leads out of the folder. "
                    "Nothing was unpacked."
                ).format(name=show_name(source), entry=show_name(name)),
                _("It was damaged, or made to do harm."),
            )
    if sum(info.file_size for info in infos) > MAX_RATIO * max(source.stat().st_size, 1 << 20):
        raise UserError(
            _(
                "“{name}” was refused: it would unpack to far more than an archive of its "
                "size can hold. Nothing was unpacked."
            ).format(name=show_name(source))
        )
    if len(set(names)) != len(names):
        raise UserError(
            _("“{name}” was refused: it holds a name twice.").format(name=show_name(source))
        )
    return names


def _backup(file: ProjectFile, target: Path) -> None:
    copy = sqlite3.connect(target)
    try:
        file.db.connection.backup(copy)
        # What runs, runs here: who opens the copy must not take these workers for its own dead.
        with copy:
            copy.execute(
                "UPDATE job SET state = 'interrupted', owner = NULL, lease_until = NULL "
                "WHERE state = 'running'"
            )
    finally:
        copy.close()


def _all_files(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden_name(name))
        for name in sorted(files):
            yield Path(place, name)


def _belongs(path: Path, folder: Path) -> bool:
    """Whether a file goes along: not locks, scratch, half-written ones, and thumbnails."""
    inner = path.relative_to(folder)
    return inner.parts[0] not in (*_LOCK_FILES, "scratch", THUMBNAILS) and path.suffix != ".tmp"


def move_project(path: Path | str, target: Path | str) -> Path:
    """Move a closed project, file and folder, to a new place; its new path.

    Across disks it is copied, checked and only then removed. Raises UserError when something is
    there already, EnvironmentProblem when the project is in use.
    """
    from dafusion_core.api.project import open as open_project

    old = Path(path).expanduser().absolute()
    with open_project(old) as project:
        if project.is_read_only:
            raise EnvironmentProblem(
                _("“{name}” cannot be moved now: {lock_owner}.").format(
                    name=old.name, lock_owner=project.lock_owner
                ),
                _("Close it there first."),
            )
        new = project.copy_to(target)
    try:
        with open_project(new) as copy:
            bad = copy.verify()
            if copied_badly := [
                p for _, p in bad.missing + bad.changed if Path(p).is_relative_to(copy.files)
            ]:
                raise EnvironmentProblem(
                    _(
                        "The copy of “{name}” is not whole "
                        "({copied_badly}), so the old one was left "
                        "in place."
                    ).format(name=old.name, copied_badly=copied_badly[0]),
                    _("Check the disk; verify the project."),
                )
    except BaseException:
        new.unlink(missing_ok=True)
        shutil.rmtree(files_folder(new), ignore_errors=True)
        raise
    for leftover in (old, Path(f"{old}-wal"), Path(f"{old}-shm")):
        leftover.unlink(missing_ok=True)
    shutil.rmtree(files_folder(old), ignore_errors=True)
    return new
