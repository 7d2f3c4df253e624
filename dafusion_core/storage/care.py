"""Which files a project's rows name, and deleting what was rejected."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dafusion_core.domain.records import JobState
from dafusion_core.language import _
from dafusion_core.storage.database import Database
from dafusion_core.storage.results import stored_paths


def recorded_files(db: Database) -> list[tuple[str, str, str]]:
    """(what it is, path, SHA-256) of every file that has a recorded hash."""
    found: list[tuple[str, str, str]] = []
    for what, table in (
        ("image", "image"),
        (_("synthetic image"), "synthetic_image"),
        (_("erased model"), "erasure"),
        (_("token embedding"), "inversion"),
        ("classifier", "training_run"),
    ):
        rows = db.query(f"SELECT id, path, sha256 FROM {table} ORDER BY id")
        found += [(f"{what} {row[0]}", row[1], row[2]) for row in rows]
    return found


def image_files(db: Database) -> list[tuple[int, str, str, int]]:
    """(id, path, SHA-256, bytes of the original) of every real image."""
    rows = db.query("SELECT id, path, sha256, original_size FROM image ORDER BY id")
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def set_image_path(db: Database, image_id: int, path: str) -> None:
    """A referenced picture was found at another place."""
    db.execute("UPDATE image SET path = ?1, original_path = ?1 WHERE id = ?2", [path, image_id])


def known_paths(db: Database) -> set[str]:
    """Relative paths of all files that must stay."""
    return stored_paths(db)


def jobs_in(db: Database, states: Sequence[JobState]) -> list[int]:
    """Ids of jobs in one of these states."""
    rows = db.query(
        "SELECT id FROM job WHERE state IN (SELECT value FROM json_each(?)) ORDER BY id",
        [json.dumps([state.value for state in states])],
    )
    return [row[0] for row in rows]


def delete_rejected(db: Database) -> tuple[int, int]:
    """Delete the rows of rejected synthetic images, and of rejected real images that are the
    source of none; (synthetic, real)."""
    with db.atomic():
        made = db.execute("DELETE FROM synthetic_image WHERE curation = 'rejected'")
        real = db.execute(
            "DELETE FROM image WHERE is_rejected AND id NOT IN "
            "(SELECT source_image_id FROM synthetic_image)"
        )
    return made, real
