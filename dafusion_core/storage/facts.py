"""What was measured on pictures, and which findings people dismissed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from dafusion_core.storage.database import Database


class Facts(Protocol):
    """Measurements of one picture; see `datasets.facts.PictureFacts`."""

    @property
    def fingerprint(self) -> str:
        """64 bits as 16 hex digits."""

    @property
    def sharpness(self) -> float:
        """How much detail there is."""

    @property
    def brightness(self) -> float:
        """Mean grey value, 0–1."""

    @property
    def contrast(self) -> float:
        """Deviation of grey values, 0–1."""


def store_facts(db: Database, facts: Mapping[int, Facts]) -> None:
    """Keep the facts of images by id."""
    with db.atomic():
        db.execute_many(
            "INSERT OR REPLACE INTO picture_fact"
            "(image_id, fingerprint, sharpness, brightness, contrast) VALUES (?, ?, ?, ?, ?)",
            [
                (image_id, f.fingerprint, f.sharpness, f.brightness, f.contrast)
                for image_id, f in facts.items()
            ],
        )


def all_facts(db: Database) -> dict[int, tuple[str, float, float, float]]:
    """Image id → (fingerprint, sharpness, brightness, contrast)."""
    rows = db.query(
        "SELECT image_id, fingerprint, sharpness, brightness, contrast FROM picture_fact"
    )
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in rows}


def images_without_facts(db: Database) -> list[tuple[int, str]]:
    """(id, path) of images that were never measured."""
    rows = db.query(
        "SELECT id, path FROM image WHERE id NOT IN (SELECT image_id FROM picture_fact) ORDER BY id"
    )
    return [(row[0], row[1]) for row in rows]


def synthetic_hashes(db: Database) -> dict[str, int]:
    """SHA-256 of every synthetic image → its id."""
    return {row[0]: row[1] for row in db.query("SELECT sha256, id FROM synthetic_image")}


def synthetics_without_facts(db: Database) -> list[tuple[int, str]]:
    """(id, path) of synthetic images that have no fingerprint yet."""
    rows = db.query(
        "SELECT id, path FROM synthetic_image "
        "WHERE id NOT IN (SELECT synthetic_id FROM synthetic_fact)"
    )
    return [(row[0], row[1]) for row in rows]


def store_synthetic_fact(db: Database, synthetic_id: int, fingerprint: str) -> None:
    """Keep the fingerprint of a synthetic image."""
    db.execute("INSERT OR REPLACE INTO synthetic_fact VALUES (?, ?)", [synthetic_id, fingerprint])


def synthetic_facts(db: Database) -> list[tuple[int, str]]:
    """(id, fingerprint) of synthetic images."""
    return [(row[0], row[1]) for row in db.query("SELECT * FROM synthetic_fact ORDER BY 1")]


def synthetic_and_source(db: Database, synthetic_id: int) -> tuple[str, str]:
    """Paths of a synthetic image and of its source."""
    row = db.one(
        "SELECT synthetic_image.path, image.path FROM synthetic_image "
        "JOIN image ON image.id = source_image_id WHERE synthetic_image.id = ?",
        [synthetic_id],
    )
    return ("", "") if row is None else (row[0], row[1])


def dismissed_findings(db: Database) -> set[str]:
    """Keys of findings that somebody looked at and let be."""
    return {row[0] for row in db.query("SELECT key FROM dismissed_finding")}
