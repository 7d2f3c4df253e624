"""Synthetic images and the decisions on them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from operator import itemgetter

from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import Curation, GridCell, SyntheticImage, UnitState
from dafusion_core.language import count, ngettext
from dafusion_core.storage.database import Database
from dafusion_core.storage.journal import recording


def _record(row: sqlite3.Row) -> SyntheticImage:
    return SyntheticImage(
        **{key: row[key] for key in row.keys() if key != "curation"},  # noqa: SIM118
        curation=Curation(row["curation"]),
    )


def find_synthetic_ids(
    db: Database,
    *,
    job_id: int | None = None,
    concept_id: int | None = None,
    source_image_id: int | None = None,
    t0: float | None = None,
    curation: Curation | None = None,
) -> list[int]:
    """Ids that match all given filters, in grid order: concept, source, variant, t0."""
    filters = {
        "job_id": job_id,
        "concept_id": concept_id,
        "source_image_id": source_image_id,
        "t0": t0,
        "curation": None if curation is None else curation.value,
    }
    given = {key: value for key, value in filters.items() if value is not None}
    where = " AND ".join(f"{key} = ?" for key in given) or "1"
    rows = db.query(
        f"SELECT id FROM synthetic_image WHERE {where} "
        "ORDER BY job_id, concept_id, source_image_id, variant, t0",
        list(given.values()),
    )
    return [row[0] for row in rows]


def get_synthetic(db: Database, ids: Sequence[int]) -> list[SyntheticImage]:
    """Records in the order of `ids`; unknown ids are left out."""
    rows = db.query(
        "SELECT * FROM synthetic_image WHERE id IN (SELECT value FROM json_each(?))",
        [str(list(ids))],
    )
    by_id = {row["id"]: _record(row) for row in rows}
    return [by_id[i] for i in ids if i in by_id]


def grid_cells(db: Database, job_id: int) -> list[GridCell]:
    """Every picture that a generation plans, made or not, by concept and source; those of one
    source and t0 by variant. Of a preview only what was kept of it.

    Pictures that are made come in the order of their index, so nothing is sorted and no plan is
    read; with some still to be made, both lists are merged.
    """
    curations = {c.value: c for c in Curation}
    done, make = UnitState.DONE, GridCell._make
    found = [
        make((unit, source, concept, t0, variant, done, made, curations[state], rating))
        for unit, source, concept, t0, variant, made, state, rating in db.query(
            "SELECT unit_id, source_image_id, concept_id, t0, variant, id, curation, rating "
            "FROM synthetic_image WHERE job_id = ? "
            "ORDER BY job_id, concept_id, source_image_id, t0, variant",
            [job_id],
        )
    ]
    to_come = db.query(
        "SELECT id, json_extract(payload_json, '$.source_image_id'), "
        "json_extract(payload_json, '$.concept_id'), json_extract(payload_json, '$.t0'), "
        "json_extract(payload_json, '$.variant'), state FROM job_unit AS unit WHERE job_id = ?1 "
        "AND NOT EXISTS (SELECT 1 FROM synthetic_image WHERE unit_id = unit.id) "
        "AND NOT EXISTS (SELECT 1 FROM job WHERE id = ?1 AND kind = 'preview')",
        [job_id],
    )
    if to_come:
        found += [
            make((unit, source, concept, t0, variant, UnitState(state), None, None, 0))
            for unit, source, concept, t0, variant, state in to_come
        ]
        found.sort(key=itemgetter(2, 1, 3, 4))
    return found


def trainable_paths(db: Database, job_id: int, use_undecided: bool) -> set[str]:
    """Files of a generation that a training would be given now, relative."""
    rows = db.query(
        "SELECT path FROM synthetic_image WHERE job_id = ?1 "
        "AND (curation = 'kept' OR (?2 AND curation = 'undecided'))",
        [job_id, use_undecided],
    )
    return {row[0] for row in rows}


def curation_counts(
    db: Database, job_id: int | None = None
) -> dict[tuple[int, float], dict[Curation, int]]:
    """(concept id, t0) → how many are kept, rejected and undecided."""
    counts: dict[tuple[int, float], dict[Curation, int]] = {}
    for row in db.query(
        "SELECT concept_id, t0, curation, count(*) FROM synthetic_image "
        "WHERE ?1 IS NULL OR job_id = ?1 GROUP BY 1, 2, 3",
        [job_id],
    ):
        counts.setdefault((row[0], row[1]), {})[Curation(row[2])] = row[3]
    return counts


def decide(db: Database, ids: Sequence[int], curation: Curation) -> ProjectChanges:
    """Set the decision of many images as one undoable operation.

    What was undone before can no longer be redone afterwards, as users expect of any editor.
    """

    def words(number: int) -> str:
        if curation is Curation.KEPT:
            return count(number, "Keep {n} image", "Keep {n} images")
        if curation is Curation.REJECTED:
            return count(number, "Reject {n} image", "Reject {n} images")
        return count(number, "Undecide {n} image", "Undecide {n} images")

    return _change(db, ids, "curation", curation.value, words)


def rate(db: Database, ids: Sequence[int], rating: int) -> ProjectChanges:
    """Give many images 1 to 5 stars (0: none) as one undoable operation, like `decide`."""

    def words(number: int) -> str:
        if not rating:
            return count(number, "Unrate {n} image", "Unrate {n} images")
        given = ngettext("Give {stars} to {n} image", "Give {stars} to {n} images", number)
        return given.format(n=number, stars=count(rating, "{n} star", "{n} stars"))

    return _change(db, ids, "rating", rating, words)


def _change(
    db: Database, ids: Sequence[int], field: str, value: str | int, words: Callable[[int], str]
) -> ProjectChanges:
    """Set a column of `synthetic_image` (never a name from outside) and write it in the journal."""
    with recording(db) as record:
        changed = db.query(
            f"UPDATE synthetic_image SET {field} = ?2 "
            f"WHERE id IN (SELECT value FROM json_each(?1)) AND {field} <> ?2 RETURNING id",
            [str(list(ids)), value],
        )
        record.text = words(len(changed))
    return record.changes
