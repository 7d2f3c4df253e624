"""The files folder: finished files by content hash, unfinished ones in scratch.

NAME.files/objects/ab/ab12….png   named by SHA-256, never changed after being put there
NAME.files/scratch/job-7/         what a worker is making now; emptied when nobody owns it
NAME.files/kept/job-7/            what lets a stopped job go on; removed when it has succeeded
NAME.files/logs/                  worker logs
NAME.files/thumbnails/            small copies for views; see `storage.thumbnails`
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

from dafusion_core.domain.errors import translate_os_error
from dafusion_core.language import _
from dafusion_core.storage.thumbnails import KeptThumbnails

CHUNK_BYTES = 1 << 20


def hash_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush_folder(folder: Path) -> None:
    """Make a rename durable. Not needed (and not possible) on Windows."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_through(file: IO[bytes], data: bytes) -> None:
    """Write and wait until the disk has it."""
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


class ObjectStore:
    """Content-addressed files under `root` (the NAME.files folder)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects = root / "objects"
        self.thumbnails = KeptThumbnails(root)

    def path(self, relative: str) -> Path:
        """Real path of a stored (relative) or referenced (absolute) file."""
        return self.root / relative

    def scratch(self, job_id: int) -> Path:
        """The scratch folder of a job, made if needed."""
        folder = self.root / "scratch" / f"job-{job_id}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def kept(self, job_id: int) -> Path:
        """The folder, not made here, of what lets a stopped job go on."""
        return self.root / "kept" / f"job-{job_id}"

    def forget_kept(self, job_id: int) -> None:
        """Remove it."""
        shutil.rmtree(self.kept(job_id), ignore_errors=True)

    def adopt(self, path: Path) -> tuple[str, str]:
        """Move a finished file in; return (relative path, sha256). `path` is gone afterwards.

        Order matters for crashes: bytes on disk, then the name, then (by the caller) the row.
        Raises DiskFull or EnvironmentProblem.
        """
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
            target = self._target(digest, path.suffix)
            os.replace(path, target)
            _flush_folder(target.parent)
        except OSError as error:
            raise translate_os_error(error, _("storing {name}").format(name=path.name)) from error
        return self._relative(target), digest

    def copy_in(self, path: Path, digest: str) -> str:
        """Copy a file whose SHA-256 is known; return its relative path.

        The copy is hashed while it is written: a file that changed meanwhile is an OSError,
        not a wrong object.
        """
        target = self._target(digest, path.suffix.lower())
        if target.exists():
            return self._relative(target)
        handle, name = tempfile.mkstemp(dir=target.parent, suffix=".tmp")
        temporary = Path(name)
        try:
            seen = hashlib.sha256()
            with os.fdopen(handle, "wb") as out, path.open("rb") as source:
                while chunk := source.read(CHUNK_BYTES):
                    seen.update(chunk)
                    out.write(chunk)
                out.flush()
                os.fsync(out.fileno())
            if seen.hexdigest() != digest:
                raise OSError(_("{name} changed while it was being copied").format(name=path.name))
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return self._relative(target)

    def put(self, data: bytes, digest: str, suffix: str) -> str:
        """Write bytes whose SHA-256 is known to the disk; return their relative path.

        The name is only safe after `flush_name`. May be called from several threads at once.
        """
        target = self._target(digest, suffix)
        try:
            # Straight to its name: no row speaks of it yet, and a rest that a crash leaves is
            # swept, or found out here.
            with target.open("xb") as file:
                _write_through(file, data)
        except FileExistsError:
            if target.stat().st_size == len(data) and target.read_bytes() == data:
                with target.open("r+b") as file:
                    os.fsync(file.fileno())  # what a crash left may never have been
            else:
                temporary = target.with_name(f"{target.name}.tmp")
                with temporary.open("wb") as file:
                    _write_through(file, data)
                os.replace(temporary, target)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return self._relative(target)

    def restore(self, path: Path, relative: str) -> None:
        """Copy a file whose contents were checked to where a row says that it is."""
        target = self.path(relative)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{target.name}.tmp")
        shutil.copyfile(path, temporary)
        os.replace(temporary, target)

    def flush_name(self, relative: str) -> None:
        """Make the name of a stored file durable."""
        _flush_folder(self.path(relative).parent)

    def place(self, digest: str, suffix: str) -> str:
        """The relative path of the object with this SHA-256, also before it is there."""
        return f"objects/{digest[:2]}/{digest}{suffix}"

    def _target(self, digest: str, suffix: str) -> Path:
        folder = self.objects / digest[:2]
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            _flush_folder(self.objects)
        return folder / f"{digest}{suffix}"

    def _relative(self, path: Path) -> str:
        # What `path.relative_to(self.root).as_posix()` gives, at a tenth of its time.
        return str(path)[len(str(self.root)) + 1 :].replace(os.sep, "/")

    def empty_scratch(self) -> None:
        """Remove unfinished files that no worker owns."""
        shutil.rmtree(self.root / "scratch", ignore_errors=True)

    def remove(self, relative: Collection[str]) -> None:
        """Delete stored files, those that are there, and their thumbnails."""
        for path in relative:
            self.path(path).unlink(missing_ok=True)
        self.thumbnails.remove(map(self.thumbnails.name_of_object, relative))

    def sweep(self, known: Collection[str]) -> int:
        """Delete stored files that no row names (`known`: relative paths); return how many.

        A crash between storing a file and committing its row leaves such a file.
        """
        found = map(self._relative, self.objects.glob("*/*"))
        unknown = [path for path in found if path not in known]
        self.remove(unknown)
        return len(unknown)
