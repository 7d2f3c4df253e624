"""Partitions of the images into train, validation and test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dafusion_core.domain.records import Part, Split
from dafusion_core.domain.specs import canonical_json
from dafusion_core.storage.database import Database, utc_now


def add_split(
    db: Database, name: str, seed: int, spec: Mapping[str, Any], parts: Mapping[int, Part]
) -> int:
    """Store a partition; it becomes the current one. Returns its id."""
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
