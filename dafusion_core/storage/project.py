"""Create, open and close a project: NAME.dafusion beside NAME.files/.

Opening checks before it touches: what is not ours, newer than us or damaged is refused with
nothing changed; a read-only place or a second opener gets reading only.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import uuid
from pathlib import Path

import psutil

from dafusion_core.domain.errors import (
    EnvironmentProblem,
    ProjectDamaged,
    UserError,
    translate_os_error,
)
from dafusion_core.language import _
from dafusion_core.storage.database import (
    APPLICATION_ID,
    Database,
    connect,
    read_header,
    translate_sqlite_error,
    utc_now,
)
from dafusion_core.storage.lock import ProjectLock
from dafusion_core.storage.migrations import SCHEMA_VERSION, migrate
from dafusion_core.storage.objects import ObjectStore

SUFFIX = ".dafusion"
NETWORK_FILE_SYSTEMS = {
    "9p", "afs", "afpfs", "ceph", "cifs", "davfs", "fuse.sshfs", "lustre", "ncpfs", "nfs", "nfs4",
    "smb3", "smbfs", "webdav",
}  # fmt: skip


def files_folder(path: Path) -> Path:
    """NAME.files beside NAME.dafusion."""
    return path.with_suffix(".files")


def file_system_of(path: Path) -> str:
    """The type of the file system that holds `path` ("" where unknown)."""
    best, kind = -1, ""
    target = str(path.resolve())
    for part in psutil.disk_partitions(all=True):
        mount = part.mountpoint
        if (target == mount or target.startswith(mount.rstrip(os.sep) + os.sep)) and len(
            mount
        ) > best:
            best, kind = len(mount), part.fstype
    return kind.lower()


class ProjectFile:
    """An open project: a database connection per thread, the object store, and the lock.

    `warnings` are sentences to show once. `was_unclean` says that the last writer did not
    close it, so jobs must be reaped and stray files swept. `is_in_use` says that it is read-only
    because another program has the lock.
    """

    def __init__(
        self,
        path: Path,
        *,
        lock: ProjectLock | None,
        lock_owner: str = "",
        is_in_use: bool = False,
        immutable: bool = False,
        journal: str = "wal",
        was_unclean: bool = False,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self.files = files_folder(path)
        self.objects = ObjectStore(self.files)
        self.lock_owner = lock_owner
        self.is_in_use = is_in_use
        self.was_unclean = was_unclean
        self.warnings = warnings
        self._lock = lock
        self._immutable = immutable
        self._journal = journal
        self._local = threading.local()
        self._all: list[tuple[threading.Thread, Database]] = []
        self._guard = threading.Lock()
        self.is_closed = False

    @property
    def is_read_only(self) -> bool:
        """True when another program has the lock or the place cannot be written to."""
        return self._lock is None

    @property
    def db(self) -> Database:
        """This thread's connection; connections of ended threads are closed on the way."""
        if self.is_closed:
            raise UserError(
                _("The project “{name}” is closed.").format(name=self.path.name),
                _("Open it again."),
            )
        db: Database | None = getattr(self._local, "db", None)
        if db is None:
            db = connect(
                self.path,
                read_only=self.is_read_only,
                immutable=self._immutable,
                journal=self._journal,
                # Moved away meanwhile, it must not come back as an empty file.
                must_exist=bool(self._all),
            )
            self._local.db = db
            with self._guard:
                for thread, old in self._all:
                    if not thread.is_alive():
                        old.close()
                self._all = [pair for pair in self._all if pair[0].is_alive()]
                self._all.append((threading.current_thread(), db))
        return db

    def require_writable(self) -> None:
        """Raise if this project is open for reading only."""
        if not self.is_read_only:
            return
        why = self.lock_owner or _("its place cannot be written to")
        raise EnvironmentProblem(
            _("“{name}” is open for reading only: {why}.").format(name=self.path.name, why=why),
            _("Close it there first, or work on a copy of the pair of file and folder."),
        )

    def close(self) -> None:
        """Fold the write-ahead log into the file, close all connections, give the lock back."""
        if self.is_closed:
            return
        try:
            if self._lock is not None and self._lock.is_owner:
                self.db.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except (sqlite3.Error, EnvironmentProblem):
            pass  # A full or busy disk: the log stays beside the file and is folded in next time.
        finally:
            self.is_closed = True
            with self._guard:
                for _thread, db in self._all:
                    db.close()
                self._all.clear()
            if self._lock is not None:
                self._lock.release()


def _check_path(path: Path) -> Path:
    path = Path(path).expanduser().absolute()
    if path.suffix != SUFFIX:
        path = path.with_name(path.name + SUFFIX)
    return path


def create_project(path: Path, name: str | None = None) -> ProjectFile:
    """Make an empty project. Raises UserError if something of that name is there already."""
    path = _check_path(path)
    if path.exists():
        raise UserError(
            _("“{path}” is there already and was not changed.").format(path=path),
            _("Open it, or choose another name."),
        )
    files = files_folder(path)
    if files.exists() and any(files.iterdir()):
        raise UserError(
            _(
                "The folder “{files}” is there already and is not empty; nothing was changed."
            ).format(files=files),
            _("Choose another project name, or move that folder away."),
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.mkdir(exist_ok=True)
    except OSError as error:
        raise translate_os_error(error, _("creating {name}").format(name=path.name)) from error
    lock = ProjectLock(files)
    if not lock.acquire():
        raise EnvironmentProblem(
            _("Another program is creating “{name}” right now.").format(name=path.name)
        )
    try:
        lock.write_note()
        journal, warnings = _journal_for(path)
        project = ProjectFile(path, lock=lock, journal=journal, warnings=warnings)
        db = project.db
        migrate(db, path, 0)
        with db.atomic():
            db.execute_many(
                "INSERT INTO project(key, value) VALUES (?, ?)",
                [
                    ("id", str(uuid.uuid4())),
                    ("name", name or path.stem),
                    ("created_at", utc_now()),
                ],
            )
        return project
    except BaseException as error:
        lock.release()
        for leftover in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            leftover.unlink(missing_ok=True)
        shutil.rmtree(files, ignore_errors=True)
        if isinstance(error, OSError):
            raise translate_os_error(error, _("creating {name}").format(name=path.name)) from error
        raise


def _journal_for(path: Path) -> tuple[str, tuple[str, ...]]:
    """WAL on local disks; the slower rollback journal on network folders, with a warning.

    WAL shares memory between processes, which network file systems do not (sqlite.org/wal.html).
    """
    if file_system_of(path.parent) not in NETWORK_FILE_SYSTEMS:
        return "wal", ()
    return "delete", (
        _(
            "This project is on a network folder: it is slower there, and it must never be open on "
            "two computers at once. A local disk is better."
        ),
    )


def open_project(path: Path, *, read_only: bool = False) -> ProjectFile:
    """Open a project for writing, or for reading where writing is not possible.

    Raises UserError (not there), ProjectDamaged (foreign, newer or corrupt; nothing changed),
    EnvironmentProblem (cannot be read).
    """
    path = _check_path(path) if not Path(path).is_file() else Path(path).absolute()
    try:
        application, version = read_header(path)
    except FileNotFoundError:
        raise UserError(
            _("There is no project at “{path}”.").format(path=path),
            _("Check the name, or create it first."),
        ) from None
    except OSError as error:
        raise translate_os_error(error, _("opening {name}").format(name=path.name)) from error
    if application != APPLICATION_ID:
        raise ProjectDamaged(
            _("“{name}” is a database of another program, not a DA-Fusion Studio project.").format(
                name=path.name
            ),
            _("It was not changed."),
        )
    if version > SCHEMA_VERSION:
        raise ProjectDamaged(
            _(
                "“{name}” was made by a newer version of this program (schema {version}; this "
                "version knows up to {SCHEMA_VERSION})."
            ).format(name=path.name, version=version, SCHEMA_VERSION=SCHEMA_VERSION),
            _("It was not changed. Update the program to open it."),
        )
    if read_only:
        if version < SCHEMA_VERSION:
            # Older tables cannot be read as they are; opening for writing brings them up to date.
            open_project(path).close()
        return _open_for_reading(path, _("opened for reading as asked"))
    files = files_folder(path)
    is_writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    if not is_writable:
        return _open_for_reading(path, _("its place cannot be written to"))
    warnings: list[str] = []
    if not files.exists():
        files.mkdir()
        warnings.append(
            _(
                "The folder “{name}” was not beside the project: pictures and weights are "
                "missing. Put it back if you moved the project without it."
            ).format(name=files.name)
        )
    lock = ProjectLock(files)
    if not lock.acquire():
        owner = lock.read_note()
        return _open_for_reading(
            path,
            _("it is in use by {describe}").format(
                describe=owner.describe() if owner else _("another program")
            ),
            is_in_use=True,
        )
    was_unclean = lock.has_note()
    try:
        lock.write_note()
        journal, network = _journal_for(path)
        project = ProjectFile(
            path,
            lock=lock,
            journal=journal,
            was_unclean=was_unclean,
            warnings=(*warnings, *network),
        )
        _check_health(project)
        try:
            backup = migrate(project.db, path, version)
        except BaseException:
            _close_quietly(project)
            raise
        if backup is not None:
            project.warnings += (
                _("The project was brought to the current format; a backup is in “{name}”.").format(
                    name=backup.name
                ),
            )
        return project
    except BaseException:
        lock.release(is_clean=not was_unclean)
        raise


def _open_for_reading(path: Path, why: str, *, is_in_use: bool = False) -> ProjectFile:
    # Where no -shm file can be made and no log is left to read, the file cannot change either.
    if read_header(path)[1] < SCHEMA_VERSION:
        raise EnvironmentProblem(
            _(
                "“{name}” was made by an older version of this program and must be brought to "
                "the current format before it can be read, which is not possible now: {why}."
            ).format(name=path.name, why=why),
            _("It was not changed. Open it once where it can be written to and is not in use."),
        )
    immutable = not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists()
    project = ProjectFile(
        path,
        lock=None,
        lock_owner=why,
        is_in_use=is_in_use,
        immutable=immutable,
        warnings=(_("“{name}” is open for reading only: {why}.").format(name=path.name, why=why),),
    )
    _check_health(project)
    return project


def _check_health(project: ProjectFile) -> None:
    """Refuse a corrupt file; a project that was closed properly gets the quick look only."""
    try:
        check = "quick_check" if project.was_unclean else "schema_version"
        result = project.db.value(f"PRAGMA {check}")
        project.db.value("SELECT count(*) FROM job")
        if check == "quick_check" and result != "ok":
            raise ProjectDamaged(
                _("“{name}” is damaged: {result}.").format(name=project.path.name, result=result),
                _("It was not changed. Restore a backup (NAME.dafusion.backup-…) or a copy."),
            )
    except sqlite3.Error as error:
        known = translate_sqlite_error(error) or ProjectDamaged(
            _("“{name}” cannot be read: {error}.").format(name=project.path.name, error=error),
            _("It was not changed."),
        )
        _close_quietly(project)
        raise known from error
    except BaseException:
        _close_quietly(project)
        raise


def _close_quietly(project: ProjectFile) -> None:
    """Close the connections of a project that could not be opened, without writing anything."""
    project.is_closed = True
    for _thread, db in project._all:
        db.close()


def attach_project(path: Path) -> ProjectFile:
    """Open a project under the lock that another program holds, for what many processes may
    write: a worker its results, a second program its wishes about jobs."""
    return ProjectFile(path, lock=_BorrowedLock(path), journal=_journal_for(path)[0])


class _BorrowedLock(ProjectLock):
    """A worker writes because its parent may; it neither takes nor gives back the lock."""

    is_owner = False

    def __init__(self, path: Path) -> None:
        super().__init__(files_folder(path))

    def release(self, *, is_clean: bool = True) -> None:
        """Nothing to give back."""
