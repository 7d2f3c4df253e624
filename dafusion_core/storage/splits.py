"""Partitions of the images into train, validation and test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import Part, Split
from dafusion_core.domain.specs import canonical_json
from dafusion_core.language import _
from dafusion_core.storage.database import Database, utc_now
from dafusion_core.storage.journal import note_split, recording


def add_split(
    db: Database, name: str, seed: int, spec: Mapping[str, Any], parts: Mapping[int, Part]
) -> int:
    """Store a partition; it becomes the current one. Returns its id. Not undoable by itself."""
    with db.atomic():
        split_id = db.insert(
            "split",
            {
                "name": name,
                "seed": seed,
                "spec_json": canonical_json(spec),
                "created_at": utc_now(),
            },
        )
        db.execute_many(
            "INSERT INTO split_image(split_id, image_id, part) VALUES (?, ?, ?)",
            [(split_id, image_id, part.value) for image_id, part in parts.items()],
        )
        # An older split may have been chosen; a new one takes its place.
        db.execute("DELETE FROM project WHERE key = 'current_split'")
    return split_id


def draw_split(
    db: Database, name: str, seed: int, spec: Mapping[str, Any], parts: Mapping[int, Part]
) -> int:
    """As `add_split`, as an undoable step, until a job is queued with it."""
    with db.atomic():
        # Its parts are noted as a whole, so they come before the recording of single rows.
        chosen = chosen_split(db)
        split_id = add_split(db, name, seed, spec, parts)
        if chosen is not None:
            db.execute("INSERT INTO project(key, value) VALUES ('current_split', ?)", [str(chosen)])
        with recording(db, _("Divide the images: {name}").format(name=name)):
            note_split(db, split_id)
            db.execute("DELETE FROM project WHERE key = 'current_split'")
    return split_id


def all_splits(db: Database) -> list[Split]:
    """Splits, the newest (current) one last, with counts per part."""
    counts: dict[int, dict[str, int]] = {}
    for row in db.query("SELECT split_id, part, count(*) FROM split_image GROUP BY 1, 2"):
        counts.setdefault(row[0], {})[row[1]] = row[2]
    return [
        Split(
            id=row["id"],
            name=row["name"],
            seed=row["seed"],
            spec=json.loads(row["spec_json"]),
            created_at=row["created_at"],
            counts=counts.get(row["id"], {}),
        )
        for row in db.query("SELECT * FROM split ORDER BY id")
    ]


def parts_of(db: Database, split_id: int) -> dict[int, Part]:
    """Image id → part."""
    rows = db.query("SELECT image_id, part FROM split_image WHERE split_id = ?", [split_id])
    return {row[0]: Part(row[1]) for row in rows}


def chosen_split(db: Database) -> int | None:
    """The split that somebody went back to, None: the newest counts."""
    value = db.value("SELECT value FROM project WHERE key = 'current_split'")
    return None if value is None else int(value)


def choose_split(db: Database, split_id: int, name: str) -> ProjectChanges:
    """Make an existing split the current one, as an undoable step."""
    with recording(db, _("Use “{name}”").format(name=name)) as record:
        db.execute(
            "INSERT INTO project(key, value) VALUES ('current_split', ?1) "
            "ON CONFLICT(key) DO UPDATE SET value = ?1",
            [str(split_id)],
        )
    return record.changes


def set_parts(
    db: Database, split_id: int, image_ids: Sequence[int], part: Part, text: str
) -> ProjectChanges:
    """Put images on a side of a split by hand, as an undoable step."""
    with recording(db, text) as record:
        db.execute_many(
            "INSERT INTO split_image(split_id, image_id, part) VALUES (?1, ?2, ?3) "
            "ON CONFLICT(split_id, image_id) DO UPDATE SET part = ?3 WHERE part <> ?3",
            [(split_id, image_id, part.value) for image_id in image_ids],
        )
    return record.changes


def locked_test(db: Database) -> set[int]:
    """Images that every split keeps for testing."""
    return {row[0] for row in db.query("SELECT image_id FROM locked_test")}


def lock_test(db: Database, image_ids: Sequence[int]) -> ProjectChanges:
    """Lock these images (and no others) for testing, as an undoable step; none unlocks."""
    with recording(db) as record:
        wanted, have = set(image_ids), locked_test(db)
        db.execute_many("DELETE FROM locked_test WHERE image_id = ?",
                        [(i,) for i in sorted(have - wanted)])  # fmt: skip
        db.execute_many("INSERT INTO locked_test(image_id) VALUES (?)",
                        [(i,) for i in sorted(wanted - have)])  # fmt: skip
        record.text = (
            _("Lock the test part: {number:,} images").format(number=len(wanted))
            if wanted
            else _("Unlock the test part")
        )
    return record.changes
