"""What was measured on synthetic images, one row each; the newest measurement wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dafusion_core.storage.database import Database

__all__ = ["SORT_KEYS", "SyntheticCheck", "add_checks", "checks_of", "sort_by_check"]


@dataclass(frozen=True, slots=True)
class SyntheticCheck:
    """Measurements on one synthetic image (§6).

    Distances are cosine distances of `features`, from 0 (the same) to 2: to the source, to the
    nearest training image and to the nearest held-out image, with which these are; None where
    there is none. `agreement`: probability, 0–1, that a classifier trained on real training
    images only gives to the image's class; `predicted` is what it says. `sharpness`: deviation of
    the Laplacian on grey values of 0–255. `is_blank`: hardly anything can be seen.
    """

    synthetic_id: int
    job_id: int
    features: str
    source_distance: float | None
    train_distance: float | None
    train_image_id: int | None
    test_distance: float | None
    test_image_id: int | None
    agreement: float | None
    predicted: str | None
    sharpness: float
    is_blank: bool


_COLUMNS = tuple(SyntheticCheck.__dataclass_fields__)
SORT_KEYS = (
    "source_distance",
    "train_distance",
    "test_distance",
    "agreement",
    "sharpness",
    "is_blank",
)


def add_checks(db: Database, job_id: int, rows: Iterable[Mapping[str, Any]]) -> None:
    """Store measurements (all fields but the job's id), in the place of earlier ones.

    Images that are gone meanwhile are passed over.
    """
    marks = ", ".join("?" for _ in _COLUMNS)
    db.execute_many(
        f"INSERT OR REPLACE INTO synthetic_check({', '.join(_COLUMNS)}) SELECT {marks} "
        "WHERE EXISTS (SELECT 1 FROM synthetic_image WHERE id = ?)",
        [
            (*({**row, "job_id": job_id}[name] for name in _COLUMNS), row["synthetic_id"])
            for row in rows
        ],
    )


def checks_of(db: Database, ids: Sequence[int]) -> dict[int, SyntheticCheck]:
    """{synthetic id: measurements} of those that were measured."""
    rows = db.query(
        f"SELECT {', '.join(_COLUMNS)} FROM synthetic_check "
        "WHERE synthetic_id IN (SELECT value FROM json_each(?))",
        [str(list(ids))],
    )
    found = {row["synthetic_id"]: dict(row) for row in rows}
    for values in found.values():
        values["is_blank"] = bool(values["is_blank"])
    return {key: SyntheticCheck(**values) for key, values in found.items()}


def sort_by_check(db: Database, ids: Sequence[int], key: str, *, descending: bool) -> list[int]:
    """`ids` by one measurement (`SORT_KEYS`); images without it come last, ties as given."""
    if key not in SORT_KEYS:
        raise ValueError(f"{key} is not one of {', '.join(SORT_KEYS)}")
    order = "DESC" if descending else "ASC"
    rows = db.query(
        "SELECT given.value FROM json_each(?) AS given "
        "LEFT JOIN synthetic_check ON synthetic_id = given.value "
        f"ORDER BY {key} IS NULL, {key} {order}, given.key",
        [str(list(ids))],
    )
    return [row[0] for row in rows]
