"""Small copies of pictures, kept for views: a cache, of which no row of the project speaks.

NAME.files/thumbnails/small.sqlite   a row for each: name, contents, and a sum over both

All of them may be missing, damaged or thrown away: they are made anew from their pictures. A
name says which bytes were made small. That of an object follows from its contents. A picture that
the project only refers to may change, so its name is made of path, size and date: once it has
changed, the old small copy is never found again.

One database, because a file for each costs twenty times as much, a tenth of the whole import. It
is not synced. What a kill leaves is rolled back by who comes next; what a power cut leaves is found
by the sums, or the database is begun anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

FOLDER = "thumbnails"
_BUSY_S = 2.0  # the others only read and write for milliseconds
_AT_ONCE = 200  # names in one statement
_Item = TypeVar("_Item")


class KeptThumbnails:
    """The small copies of one project. May be used from several threads and processes.

    `root`: the NAME.files folder; `is_read_only`: whether new ones are not to be kept. No method
    raises for what the disk or the database does: without small copies all goes on.
    """

    def __init__(self, root: Path, is_read_only: bool = False) -> None:
        self.folder = root / FOLDER
        self.path = self.folder / "small.sqlite"
        self.is_read_only = is_read_only
        self._root = root
        self._objects = root / "objects"

    def name(self, picture: Path | str) -> str | None:
        """The name of the small copy of the picture at this path.

        None for a picture that is not there (the reason is to be shown then) and for files of
        the project that will not stay, such as previews.
        """
        path = Path(picture)
        try:
            status = os.stat(path)
        except OSError:
            return None
        if path.is_relative_to(self._objects):
            return self.name_of_object(path.name)
        if path.is_relative_to(self._root):
            return None
        return self.name_of_reference(path, status.st_size, status.st_mtime_ns)

    @staticmethod
    def name_of_object(path: Path | str) -> str:
        """`name` of the object with this path, relative or not."""
        return Path(path).stem

    @staticmethod
    def name_of_reference(path: Path | str, size: int, mtime_ns: int) -> str:
        """`name` of a picture outside the project that has this size and date."""
        stamp = os.fsencode(f"{Path(path)}\0{size}\0{mtime_ns}")
        return hashlib.sha256(stamp).hexdigest()

    def read(self, name: str) -> bytes | None:
        """The small copy with this name, None where there is none or it is damaged."""
        try:
            with closing(self._connect("ro")) as db:
                row = db.execute("SELECT jpeg, sum FROM small WHERE name = ?", [name]).fetchone()
        except sqlite3.Error:
            return None
        if row is None or not isinstance(row[0], bytes) or row[1] != _sum(name, row[0]):
            return None
        return row[0]

    def names(self) -> set[str]:
        """Those of all that are kept."""
        try:
            with closing(self._connect("ro")) as db:
                return {row[0] for row in db.execute("SELECT name FROM small")}
        except sqlite3.Error:
            return set()

    def write(self, copies: Mapping[str, bytes]) -> bool:
        """Keep small copies, by name; False, and nothing else, where that cannot be done."""
        # A project that was moved away meanwhile: its folder must not come back.
        if self.is_read_only or not self._root.is_dir():
            return False
        rows = [(name, data, _sum(name, data)) for name, data in copies.items()]
        try:
            self.folder.mkdir(exist_ok=True)
            try:
                self._insert(rows)
            except sqlite3.OperationalError:
                return False  # the disk is full, or others hold it
            except sqlite3.DatabaseError:
                self._begin_anew()
                self._insert(rows)
        except (OSError, sqlite3.Error):
            return False
        return True

    def remove(self, names: Iterable[str]) -> None:
        """Remove those with these names, for good: nothing of them stays in the file."""
        names = list(names)
        if not names or not self.path.exists():
            return
        with contextlib.suppress(OSError):
            try:
                with self._changing() as db:
                    _delete(db, names)
            except sqlite3.OperationalError:
                pass
            except sqlite3.DatabaseError:
                self._begin_anew()

    def sweep(self, pictures: Iterable[str]) -> int:
        """Remove all but those of these pictures (paths as in rows); bytes that became free."""
        unneeded = self.names()
        if not unneeded:
            return 0
        unneeded -= {self.name(self._root / picture) or "" for picture in pictures}
        before = self._size()
        self.remove(unneeded)
        if unneeded:
            with contextlib.suppress(sqlite3.Error), closing(self._connect("rw")) as db:
                db.execute("VACUUM")
        return max(0, before - self._size())

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def _connect(self, mode: str) -> sqlite3.Connection:
        # Opened for each use, 0.1 ms: nobody has to close it, and nothing holds the folder.
        uri = f"file:{quote(str(self.path.absolute()))}?mode={mode}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_S)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with closing(self._connect("rwc")) as db:
            db.execute("PRAGMA synchronous=OFF")
            db.execute("PRAGMA secure_delete=ON")
            db.execute("BEGIN IMMEDIATE")
            db.execute(
                "CREATE TABLE IF NOT EXISTS small "
                "(name TEXT PRIMARY KEY, jpeg BLOB NOT NULL, sum INTEGER NOT NULL)"
            )
            yield db
            db.execute("COMMIT")  # closing without it takes all back

    def _insert(self, rows: list[tuple[str, bytes, int]]) -> None:
        with self._changing() as db:
            for part in _parts(rows):
                # One statement: after each, Python would wait for its turn among the threads.
                marks = ", ".join(["(?, ?, ?)"] * len(part))
                values = [value for row in part for value in row]
                db.execute(f"INSERT OR REPLACE INTO small VALUES {marks}", values)

    def _begin_anew(self) -> None:
        for ending in ("-journal", ""):
            Path(f"{self.path}{ending}").unlink(missing_ok=True)


def _sum(name: str, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(os.fsencode(name)))


def _delete(db: sqlite3.Connection, names: list[str]) -> None:
    for part in _parts(names):
        db.execute(f"DELETE FROM small WHERE name IN ({', '.join('?' * len(part))})", part)


def _parts(items: list[_Item]) -> Iterator[list[_Item]]:
    for i in range(0, len(items), _AT_ONCE):
        yield items[i : i + _AT_ONCE]
