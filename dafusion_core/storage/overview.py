"""Counts and ids for views of many images, without making a record of each."""

from __future__ import annotations

from dafusion_core.domain.records import Part
from dafusion_core.storage.database import Database


def image_ids(db: Database, label: str | None = None) -> list[int]:
    """Ids of the real images (of a class), by class and id."""
    rows = db.query(
        "SELECT image.id FROM image LEFT JOIN label ON label.id = image.label_id "
        "WHERE ?1 IS NULL OR coalesce(label.name, '') = ?1 ORDER BY label.ordinal, image.id",
        [label],
    )
    return [row[0] for row in rows]


def part_counts(db: Database, split_id: int | None) -> dict[str, dict[Part | None, int]]:
    """Class → part (None: in no part) → number of real images; every class has an entry.

    Images without a class are under "", which is there only if there are some.
    """
    counts: dict[str, dict[Part | None, int]] = {
        row[0]: {} for row in db.query("SELECT name FROM label WHERE ordinal >= 0 ORDER BY ordinal")
    }
    for name, part, number in db.query(
        "SELECT coalesce(label.name, ''), CASE WHEN split_image.part IS NULL THEN NULL "
        "WHEN image.is_rejected OR label.ordinal < 0 THEN 'unused' ELSE split_image.part END, "
        "count(*) FROM image LEFT JOIN label ON label.id = image.label_id "
        "LEFT JOIN split_image ON split_image.image_id = image.id AND split_image.split_id = ? "
        "GROUP BY 1, 2",
        [split_id],
    ):
        found = counts.setdefault(name, {})
        key = Part(part) if part else None
        found[key] = found.get(key, 0) + number
    return counts
