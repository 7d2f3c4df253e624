"""Counts and ids for views of many images, without making a record of each."""

from __future__ import annotations

from dafusion_core.domain.records import Part
from dafusion_core.storage.database import Database


def image_ids(db: Database, label: str | None = None) -> list[int]:
    """Ids of the real images (of a class), by class and id."""
    rows = db.query(
        "SELECT image.id FROM image JOIN label ON label.id = image.label_id "
        "WHERE ?1 IS NULL OR label.name = ?1 ORDER BY label.ordinal, image.id",
        [label],
    )
    return [row[0] for row in rows]


def part_counts(db: Database, split_id: int | None) -> dict[str, dict[Part | None, int]]:
    """Class → part (None: in no part) → number of real images; every class has an entry."""
    counts: dict[str, dict[Part | None, int]] = {
        row[0]: {} for row in db.query("SELECT name FROM label ORDER BY ordinal")
    }
    for name, part, number in db.query(
        "SELECT label.name, split_image.part, count(*) FROM image "
        "JOIN label ON label.id = image.label_id "
        "LEFT JOIN split_image ON split_image.image_id = image.id AND split_image.split_id = ? "
        "GROUP BY 1, 2",
        [split_id],
    ):
        counts[name][Part(part) if part else None] = number
    return counts
