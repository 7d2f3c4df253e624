"""Schema steps, applied in order, with a backup of the file before any that change old data."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from sqlite_utils import Database as UtilsDatabase
from sqlite_utils import Migrations

from dafusion_core.storage.database import APPLICATION_ID, Database, explaining_errors

MIGRATIONS = Migrations("dafusion")


def _run_script(db: UtilsDatabase, name: str) -> None:
    """Execute the statements of a schema file one by one, inside the migration's transaction.

    `executescript` would commit first, and a failed step could then not be undone.
    """
    text = resources.files("dafusion_core.storage").joinpath("schema", name).read_text("utf-8")
    statement = ""
    for line in text.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""


@MIGRATIONS()
def initial(db: UtilsDatabase) -> None:
    """The first schema."""
    _run_script(db, "0001_initial.sql")


@MIGRATIONS()
def curating(db: UtilsDatabase) -> None:
    """Ratings of synthetic images and saved views."""
    _run_script(db, "0002_curating.sql")


@MIGRATIONS()
def annotation(db: UtilsDatabase) -> None:
    """Regions, notes and doubts about images; one journal for every undoable command."""
    _run_script(db, "0003_annotation.sql")


@MIGRATIONS()
def engine(db: UtilsDatabase) -> None:
    """Further files of inversions; measurements on synthetic images."""
    _run_script(db, "0004_engine.sql")


@MIGRATIONS()
def experiments(db: UtilsDatabase) -> None:
    """Experiments and artefacts of jobs."""
    _run_script(db, "0005_experiments.sql")


SCHEMA_VERSION = 5  # how many steps there are; a test counts them


def backup_path(path: Path, version: int) -> Path:
    """Where the copy of a project at schema `version` goes."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return path.with_name(f"{path.name}.backup-{version}-{stamp}")


def migrate(db: Database, path: Path, current: int) -> Path | None:
    """Bring the schema from number `current` to SCHEMA_VERSION; return the backup's path if made.

    A step that fails is rolled back whole, and the file stays at the version it had.
    """
    if current == SCHEMA_VERSION:
        return None
    backup = None
    with explaining_errors():
        if current > 0:
            backup = backup_path(path, current)
            target = sqlite3.connect(backup)
            try:
                db.connection.backup(target)
            finally:
                target.close()
        MIGRATIONS.apply(db.utils)
        db.connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        # The header must say so even if the program dies now: `read_header` reads the main file.
        db.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return backup
