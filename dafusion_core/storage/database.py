"""Connections to the project database: settings, transactions, and errors with sentences."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlite_utils

from dafusion_core.domain.errors import (
    DaFusionError,
    DiskFull,
    EnvironmentProblem,
    ProjectDamaged,
)
from dafusion_core.language import _

APPLICATION_ID = 0x44614675  # "DaFu"; tells our files from other programs' databases
HEADER_MAGIC = b"SQLite format 3\x00"
BUSY_TIMEOUT_MS = 10_000


def utc_now() -> str:
    """The time as stored: UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def translate_sqlite_error(error: sqlite3.Error) -> DaFusionError | None:
    """The sentence for a database error that is the machine's doing, None for our mistakes."""
    text = str(error).lower()
    if "full" in text:
        return DiskFull(
            _("The disk is full: the project file could not be written."),
            _("Nothing that was finished is lost. Free some space, then resume."),
        )
    if "locked" in text or "busy" in text:
        return EnvironmentProblem(
            _("The project file is busy: another program kept it locked for too long."),
            _("Close other programs that use it (also sync tools), then try again."),
        )
    if "readonly" in text or "read-only" in text:
        return EnvironmentProblem(
            _("The project is open for reading only, so it was not changed."),
            _("Close the other program that has it open, or copy the project elsewhere."),
        )
    if "malformed" in text or "not a database" in text or "corrupt" in text:
        return ProjectDamaged(
            _("The project file is damaged: SQLite reports ") + f"“{error}”.",
            _("It was not changed. Restore a backup (NAME.dafusion.backup-…) or a copy."),
        )
    if "disk i/o" in text or "unable to open" in text:
        return EnvironmentProblem(
            _("The project file could not be read or written ({error}).").format(error=error),
            _("Check that the disk is connected and has free space, then try again."),
        )
    return None


@contextmanager
def explaining_errors() -> Iterator[None]:
    """Raise machine-caused sqlite3 errors as DaFusionError; let our mistakes through."""
    try:
        yield
    except sqlite3.Error as error:
        known = translate_sqlite_error(error)
        if known is None:
            raise
        raise known from error


class Database:
    """One connection. Reading methods return rows; writes belong in `with atomic():`.

    A connection is used by one thread at a time; `storage.project` hands one to each thread.
    `utils` is the sqlite-utils view of the same connection, for upserts and bulk inserts.
    """

    def __init__(self, connection: sqlite3.Connection, *, is_read_only: bool) -> None:
        self.connection = connection
        self.is_read_only = is_read_only
        connection.row_factory = sqlite3.Row
        # Looking for plugins reads the metadata of every installed package: 40 ms, for nothing.
        self.utils = sqlite_utils.Database(connection, execute_plugins=False)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a SELECT (or of a statement with RETURNING)."""
        with explaining_errors():
            return self.connection.execute(sql, parameters).fetchall()

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row or None."""
        rows = self.query(sql, parameters)
        return rows[0] if rows else None

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the first row or None."""
        row = self.one(sql, parameters)
        return None if row is None else row[0]

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement and return the number of rows it changed."""
        with explaining_errors():
            return self.connection.execute(sql, parameters).rowcount

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row of parameters."""
        with explaining_errors():
            self.connection.executemany(sql, rows)

    def insert(self, table: str, row: Mapping[str, Any]) -> int:
        """Insert one row and return its id."""
        with explaining_errors():
            names = ", ".join(row)
            marks = ", ".join("?" * len(row))
            cursor = self.connection.execute(
                f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values())
            )
            return int(cursor.lastrowid or 0)

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """A write transaction, all or nothing; inside another one, a part of it.

        BEGIN IMMEDIATE, because a deferred transaction that turns into a write fails at once
        when another process writes, whatever the busy timeout says (datasette issue 2358).
        """
        if self._is_in_transaction():
            yield
            return
        with explaining_errors():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                # A full disk may already have rolled the transaction back.
                if self._is_in_transaction():
                    self.connection.execute("ROLLBACK")
                raise

    def _is_in_transaction(self) -> bool:
        return self.connection.in_transaction

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def connect(
    path: Path,
    *,
    read_only: bool = False,
    immutable: bool = False,
    journal: str = "wal",
    must_exist: bool = False,
) -> Database:
    """Open `path` with the settings every connection shares.

    `immutable` is for read-only places, where not even WAL's shared-memory file can be made.
    A file that is not there is made, unless `must_exist`.
    """
    uri = "file:" + quote(str(path.absolute()))
    if read_only:
        uri += "?mode=ro" + ("&immutable=1" if immutable else "")
    else:
        uri += "?mode=rw" if must_exist else "?mode=rwc"
    with explaining_errors():
        connection = sqlite3.connect(
            uri,
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT_MS / 1000,
        )
        try:
            connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            connection.execute("PRAGMA foreign_keys=ON")
            if not read_only:
                connection.execute(f"PRAGMA journal_mode={journal}")
                connection.execute("PRAGMA synchronous=NORMAL")
            return Database(connection, is_read_only=read_only)
        except BaseException:
            connection.close()
            raise


def read_header(path: Path) -> tuple[int, int]:
    """(application id, schema number) from the first 100 bytes, without opening the database.

    Nothing is created beside the file and nothing is changed. Raises ProjectDamaged when the
    file is not an SQLite database.
    """
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(HEADER_MAGIC):
        raise ProjectDamaged(
            _("“{name}” is not a DA-Fusion Studio project.").format(name=path.name),
            _(
                "It was not changed. Open a file that ends in "
                ".dafusion and was made by this program."
            ),
        )
    return int.from_bytes(header[68:72], "big"), int.from_bytes(header[60:64], "big")
