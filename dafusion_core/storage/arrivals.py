"""What one import brought: which rows are its own, and taking them away again."""

from __future__ import annotations

import json
from dataclasses import dataclass

from dafusion_core.storage.annotation import renumber_labels
from dafusion_core.storage.database import Database

_TABLES = ("image", "label", "image_group", "split", "operation", "job")


@dataclass(frozen=True, slots=True)
class ArrivalMark:
    """The newest id of each table at one moment; rows of later ones came after it."""

    image: int
    label: int
    image_group: int
    split: int
    operation: int
    job: int


def take_mark(db: Database) -> ArrivalMark:
    """The mark of this moment."""
    return ArrivalMark(
        *(int(db.value(f"SELECT coalesce(max(id), 0) FROM {table}")) for table in _TABLES)
    )


def remove_arrivals(db: Database, before: ArrivalMark, after: ArrivalMark) -> tuple[int, list[str]]:
    """Delete the images that came between two marks, with the classes, groups and splits made for
    them that nothing else uses; how many images, and the paths of their copies.

    Steps of undo since then are forgotten: they may speak of these rows.
    """
    span = [before.image, after.image]
    where = "id > ? AND id <= ?"
    with db.atomic():
        rows = db.query(
            f"SELECT path, is_reference, label_id, group_id FROM image WHERE {where}", span
        )
        labels = {row["label_id"] for row in rows}
        labels |= {
            row[0]
            for row in db.query(
                "SELECT label_id FROM region WHERE image_id > ? AND image_id <= ?", span
            )
        }
        groups = {row["group_id"] for row in rows}
        db.execute("DELETE FROM operation WHERE id > ?", [before.operation])
        db.execute(f"DELETE FROM split WHERE {where}", [before.split, after.split])
        db.execute(f"DELETE FROM image WHERE {where}", span)
        unused = (
            "id IN (SELECT value FROM json_each(?)) AND id > ? AND id <= ? "
            "AND id NOT IN (SELECT {0} FROM image WHERE {0} IS NOT NULL)"
        )
        gone = [
            row[0]
            for row in db.query(
                f"SELECT id FROM label WHERE {unused.format('label_id')} "
                "AND id NOT IN (SELECT label_id FROM region WHERE label_id IS NOT NULL) "
                "AND id NOT IN (SELECT merged_into FROM label WHERE merged_into IS NOT NULL)",
                [json.dumps(sorted(labels - {None})), before.label, after.label],
            )
        ]
        listed = json.dumps(gone)
        for table, column in (("concept", "label_id"), ("label", "id")):
            db.execute(
                f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))", [listed]
            )
        db.execute(
            f"DELETE FROM image_group WHERE {unused.format('group_id')}",
            [json.dumps(sorted(groups - {None})), before.image_group, after.image_group],
        )
        renumber_labels(db)
    return len(rows), [row["path"] for row in rows if not row["is_reference"]]
