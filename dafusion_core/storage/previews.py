"""Pictures of previews that are kept: synthetic images of the preview that made them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Curation
from dafusion_core.language import _
from dafusion_core.storage import synthetic
from dafusion_core.storage.database import Database, utc_now
from dafusion_core.storage.journal import recording

__all__ = ["find_kept", "is_kept_in_preview", "keep_preview", "previews_with_images"]

# What may differ between a preview and a generation that paints the same picture.
_AMOUNTS = ("t0_set", "draw", "variants", "batch_size", "memory", "compile", "spec_version")


def keep_preview(db: Database, job_id: int, t0: float) -> ProjectChanges:
    """Keep the picture that a preview made at `t0`, as a synthetic image of that preview.

    One undoable step: undo leaves the image undecided. Raises UserError if there is no such
    picture.
    """
    row = db.one(
        "SELECT unit.id, seed, path, sha256, record_json, artefact.created_at FROM artefact "
        "JOIN job ON job.id = artefact.job_id JOIN job_unit AS unit ON unit.id = unit_id "
        "WHERE job.id = ? AND job.kind = 'preview' AND json_extract(record_json, '$.t0') = ?",
        [job_id, t0],
    )
    if row is None:
        raise UserError(
            _("Job {job_id} is no preview that has a picture at t0 {t0:g}.").format(
                job_id=job_id, t0=t0
            ),
            _("Make the preview again."),
        )
    made = json.loads(row["record_json"])
    names = ("source_image_id", "concept_id", "t0", "variant", "width", "height")
    with recording(db) as record:
        found = db.value("SELECT id FROM synthetic_image WHERE unit_id = ?", [row["id"]])
        if found is None:
            found = db.insert(
                "synthetic_image",
                {name: made[name] for name in names}
                | {name: row[name] for name in ("seed", "path", "sha256")}
                | {"unit_id": row["id"], "job_id": job_id, "created_at": utc_now()},
            )
        synthetic.decide(db, [int(found)], Curation.KEPT)
        record.text = f"Keep the preview at t0 {t0:g}"
    # Without ids: the picture has no place yet in what a view may show of the preview.
    return ProjectChanges(synthetic=True, curation=True, jobs=True, text=record.text)


def find_kept(db: Database, job_id: int) -> set[float]:
    """The t0 whose pictures of this preview are kept."""
    rows = db.query(
        "SELECT t0 FROM synthetic_image WHERE job_id = ? AND curation = 'kept'", [job_id]
    )
    return {row[0] for row in rows}


def previews_with_images(db: Database) -> list[int]:
    """Ids of previews of which a picture was kept at some time, oldest first."""
    rows = db.query(
        "SELECT id FROM job WHERE kind = 'preview' "
        "AND EXISTS (SELECT 1 FROM synthetic_image WHERE job_id = job.id) ORDER BY id"
    )
    return [row[0] for row in rows]


def is_kept_in_preview(
    db: Database, plan: Mapping[str, Any], payload: Mapping[str, Any], seed: int
) -> bool:
    """Whether a preview by the same plan made this very picture and it was kept."""
    rows = db.query(
        "SELECT json_extract(spec_json, '$.plan') FROM job JOIN synthetic_image AS made "
        "ON made.job_id = job.id WHERE kind = 'preview' AND concept_id = ? "
        "AND source_image_id = ? AND t0 = ? AND variant = ? AND made.seed = ? "
        "AND curation = 'kept'",
        [*(payload[k] for k in ("concept_id", "source_image_id", "t0", "variant")), seed],
    )
    wanted = _painting(plan)
    return any(_painting(json.loads(row[0])) == wanted for row in rows)


def _painting(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in plan.items() if key not in _AMOUNTS}
