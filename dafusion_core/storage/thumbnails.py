"""Small copies of pictures, kept for views: a cache, of which no row speaks.

NAME.files/thumbnails/ab/ab12….jpg   of the object with this SHA-256, or of a picture elsewhere

Any of them may be missing, damaged or thrown away: it is made anew from its picture. A name says
which bytes were made small. That of an object follows from its contents. A picture that the
project only refers to may change, so its name is made of path, size and date: once it has changed,
the old small copy is never found again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

FOLDER = "thumbnails"


class KeptThumbnails:
    """The small copies of one project. May be used from several threads and processes.

    `root`: the NAME.files folder; `is_read_only`: whether new ones are not to be kept.
    """

    def __init__(self, root: Path, is_read_only: bool = False) -> None:
        self.folder = root / FOLDER
        self.is_read_only = is_read_only
        self._root = root
        self._objects = root / "objects"

    def place(self, picture: Path | str) -> Path | None:
        """Where the small copy of the picture at this path is, or would be.

        None for a picture that is not there (the reason is to be shown then) and for files of
        the project that will not stay, such as previews.
        """
        path = Path(picture)
        try:
            status = os.stat(path)
        except OSError:
            return None
        if path.is_relative_to(self._objects):
            return self.place_of_object(path.name)
        if path.is_relative_to(self._root):
            return None
        return self.place_of_reference(path, status.st_size, status.st_mtime_ns)

    def place_of_object(self, name: str) -> Path:
        """`place` of the object with this file name or relative path."""
        return self._named(Path(name).stem)

    def place_of_reference(self, path: Path | str, size: int, mtime_ns: int) -> Path:
        """`place` of a picture outside the project that has this size and date."""
        stamp = os.fsencode(f"{Path(path)}\0{size}\0{mtime_ns}")
        return self._named(hashlib.sha256(stamp).hexdigest())

    def _named(self, digest: str) -> Path:
        return self.folder / digest[:2] / f"{digest}.jpg"

    def write(self, place: Path, data: bytes) -> bool:
        """Keep a small copy; False, and nothing else, where that cannot be done.

        It is whole or not there for others who look. It is not synced: what a power cut leaves
        is found damaged by who reads it.
        """
        if self.is_read_only:
            return False
        temporary = f"{place}.{os.getpid()}-{threading.get_ident()}.tmp"
        try:
            try:
                _write(temporary, data)
            except FileNotFoundError:
                if not self._root.is_dir():
                    return False  # the project was moved away: its folder must not come back
                place.parent.mkdir(parents=True, exist_ok=True)
                _write(temporary, data)
            os.replace(temporary, place)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            return False
        return True

    def remove(self, name: str) -> int:
        """Remove the small copy of an object that is removed too; its bytes."""
        place = self.place_of_object(name)
        try:
            size = place.stat().st_size
            place.unlink()
        except OSError:
            return 0
        return size

    def sweep(self, pictures: Iterable[str]) -> int:
        """Remove all but those of these pictures (paths as in rows); bytes that became free."""
        needed = {self.place(self._root / picture) for picture in pictures}
        size = 0
        for path in self.folder.glob("*/*"):
            if path not in needed:
                with contextlib.suppress(OSError):
                    bytes_ = path.stat().st_size
                    path.unlink()
                    size += bytes_
        return size


def _write(path: str, data: bytes) -> None:
    with open(path, "wb", buffering=0) as file:
        file.write(data)
