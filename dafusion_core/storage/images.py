"""Real images, their labels and groups, and what an import could not use."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from dafusion_core.domain.records import (
    UNLABELLED,
    ImageRecord,
    ImportProblem,
    Label,
    Part,
)
from dafusion_core.storage.database import Database, utc_now
from dafusion_core.storage.journal import forget_structure

_SELECT = """
SELECT image.*, label.name AS label, image_group.name AS group_name, {part} AS part
FROM image JOIN label ON label.id = image.label_id
LEFT JOIN image_group ON image_group.id = image.group_id {join}
"""
# Whatever the split says: without a class, or rejected, an image neither trains nor tests.
_PART = (
    "CASE WHEN split_image.part IS NULL THEN NULL "
    "WHEN image.is_rejected OR label.ordinal < 0 THEN 'unused' ELSE split_image.part END"
)


def _record(row: sqlite3.Row) -> ImageRecord:
    return ImageRecord(
        id=row["id"],
        path=row["path"],
        is_reference=bool(row["is_reference"]),
        sha256=row["sha256"],
        width=row["width"],
        height=row["height"],
        mode=row["mode"],
        label_id=row["label_id"],
        label=row["label"],
        group_id=row["group_id"],
        original_path=row["original_path"],
        part=Part(row["part"]) if row["part"] else None,
        group=row["group_name"],
        is_unsure=bool(row["is_unsure"]),
        is_rejected=bool(row["is_rejected"]),
        note=row["note"],
    )


def all_labels(db: Database) -> list[Label]:
    """Labels in model-output order, without those that were removed."""
    sql = "SELECT id, name, ordinal FROM label WHERE ordinal >= 0 ORDER BY ordinal, id"
    return [Label(*row) for row in db.query(sql)]


def find_images(
    db: Database,
    *,
    split_id: int | None = None,
    label_id: int | None = None,
    part: Part | None = None,
    ids: Sequence[int] | None = None,
) -> list[ImageRecord]:
    """Images in order of id, each with its part in `split_id` (None without a split)."""
    where, parameters = ["1"], list[Any]()
    join, part_column = "", "NULL"
    if split_id is not None:
        join = (
            "LEFT JOIN split_image ON split_image.image_id = image.id AND split_image.split_id = ?"
        )
        part_column = _PART
        parameters.append(split_id)
    if label_id is not None:
        where.append("image.label_id = ?")
        parameters.append(label_id)
    if part is not None:
        where.append(f"{part_column} = ?")
        parameters.append(part.value)
    if ids is not None:
        where.append("image.id IN (SELECT value FROM json_each(?))")
        parameters.append(str(list(ids)))
    sql = _SELECT.format(join=join, part=part_column)
    rows = db.query(f"{sql} WHERE {' AND '.join(where)} ORDER BY image.id", parameters)
    return [_record(row) for row in rows]


def import_problems(db: Database) -> list[ImportProblem]:
    """Everything imports refused or warned about, by path."""
    rows = db.query("SELECT path, reason, is_refused FROM import_problem ORDER BY path")
    return [ImportProblem(row["path"], row["reason"], bool(row["is_refused"])) for row in rows]


def known_sources(db: Database) -> dict[str, tuple[int, int]]:
    """Original path → (bytes, mtime_ns) of what was imported already."""
    rows = db.query("SELECT original_path, original_size, original_mtime_ns FROM image")
    return {row[0]: (row[1], row[2]) for row in rows}


def find_by_hash(db: Database, sha256: str) -> ImageRecord | None:
    """The image whose original had these bytes."""
    sql = _SELECT.format(join="", part="NULL")
    row = db.one(f"{sql} WHERE sha256 = ?", [sha256])
    return None if row is None else _record(row)


def add_label(db: Database, name: str) -> int:
    """The id of a label, made with the next ordinal if needed; "" gives UNLABELLED.

    The journal keeps the new label only when called inside a recording.
    """
    with db.atomic():
        row = db.one("SELECT id, ordinal FROM label WHERE name = ?", [name])
        if row is not None and (row["ordinal"] >= 0 or row["id"] == UNLABELLED):
            return int(row["id"])
        after = "(SELECT max(ordinal) + 1 FROM label)"
        if row is None:
            db.execute(f"INSERT INTO label(name, ordinal) VALUES (?, {after})", [name])
        else:  # a class that was removed comes back
            db.execute(
                f"UPDATE label SET ordinal = {after}, merged_into = NULL WHERE id = ?", [row["id"]]
            )
        return int(db.value("SELECT id FROM label WHERE name = ?", [name]))


def add_images(db: Database, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Insert rows of the image table (without id and imported_at) in one transaction; their ids."""
    now = utc_now()
    with db.atomic():
        forget_structure(db)
        ids = [db.insert("image", {**row, "imported_at": now}) for row in rows]
        db.execute_many(
            "DELETE FROM import_problem WHERE path = ?",
            [(row["original_path"],) for row in rows],
        )
    return ids


def join_groups(db: Database, groups: Mapping[str, Sequence[int]]) -> None:
    """Put images into groups by name, outside of the journal, as imports do."""
    for name, image_ids in groups.items():
        db.execute("INSERT INTO image_group(name) VALUES (?) ON CONFLICT DO NOTHING", [name])
        group_id = db.value("SELECT id FROM image_group WHERE name = ?", [name])
        db.execute_many(
            "UPDATE image SET group_id = ? WHERE id = ?", [(group_id, i) for i in image_ids]
        )


def add_problem(db: Database, path: str, reason: str, is_refused: bool) -> None:
    """List a file that was not imported, or was with a warning."""
    with db.atomic():
        db.utils.table("import_problem").upsert(
            {"path": path, "reason": reason, "is_refused": int(is_refused), "at": utc_now()},
            pk="path",
        )
