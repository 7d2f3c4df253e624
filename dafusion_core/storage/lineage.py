"""What synthetic images were made from, for exports; and synthetic images that come back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from dafusion_core.domain.specs import GenerationPlan
from dafusion_core.language import count
from dafusion_core.storage.database import Database, utc_now
from dafusion_core.storage.jobs import NewUnit, add_job

if TYPE_CHECKING:
    from dafusion_core.domain.records import Curation


class Returning(Protocol):
    """A synthetic image of an earlier export; see `datasets.plan.PlannedSynthetic`."""

    @property
    def path(self) -> str: ...  # noqa: D102
    @property
    def sha256(self) -> str: ...  # noqa: D102
    @property
    def source_sha256(self) -> str: ...  # noqa: D102
    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def t0(self) -> float: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def variant(self) -> int: ...  # noqa: D102
    @property
    def curation(self) -> Curation: ...  # noqa: D102
    @property
    def rating(self) -> int: ...  # noqa: D102


def lineages(db: Database) -> dict[tuple[int, int], dict[str, str | int]]:
    """(generation job, concept) → job, hash of its plan, placeholder, erased weights, base model.

    A value is left out where there is none.
    """
    found: dict[tuple[int, int], dict[str, str | int]] = {}
    erasures = {
        row["job_id"]: row for row in db.query("SELECT job_id, sha256, base_hash FROM erasure")
    }
    for row in db.query(
        "SELECT DISTINCT job.id, concept_id, spec_hash, spec_json FROM synthetic_image "
        "JOIN job ON job.id = job_id"
    ):
        spec = json.loads(row["spec_json"])
        spec = spec.get("plan", spec)  # of a preview
        values: dict[str, str | int] = {"job": row["id"], "plan": row["spec_hash"]}
        token = db.one(
            "SELECT placeholder FROM inversion WHERE job_id = ? AND concept_id = ?",
            [spec.get("inversion_job"), row["concept_id"]],
        )
        if token is not None:
            values["placeholder"] = token["placeholder"]
        erasure = erasures.get(spec.get("erasure_job"))
        if erasure is not None:
            values |= {"erasure": erasure["sha256"], "base_model": erasure["base_hash"]}
        found[row["id"], row["concept_id"]] = values
    return found


def add_imported(
    db: Database,
    plan: GenerationPlan,
    images: Sequence[tuple[Returning, str]],
    sources: Mapping[str, int],
    concepts: Mapping[str, int],
) -> int:
    """Record synthetic images (with their stored paths) as a generation that is finished.

    `sources`: SHA-256 of real images → id; `concepts`: name → id. Returns the job's id.
    """
    units = [
        NewUnit(
            f"imported/{number}",
            made.seed,
            {
                "source_image_id": sources[made.source_sha256],
                "concept_id": concepts[made.label],
                "t0": made.t0,
                "variant": made.variant,
                "batch": 0,
            },
        )
        for number, (made, _) in enumerate(images)
    ]
    title = count(len(units), "Imported: {n:,} synthetic image", "Imported: {n:,} synthetic images")
    with db.atomic():
        job_id = add_job(db, "generate", title, plan, units)
        now = utc_now()
        db.execute(
            "UPDATE job SET state = 'succeeded', done = total, started_at = ?1, finished_at = ?1, "
            'inputs_json = \'{"sources":{},"concepts":{}}\' WHERE id = ?2',
            [now, job_id],
        )
        db.execute("UPDATE job_unit SET state = 'done' WHERE job_id = ?", [job_id])
        ids = [r[0] for r in db.query("SELECT id FROM job_unit WHERE job_id = ? ORDER BY ordinal",
                                      [job_id])]  # fmt: skip
        for unit_id, unit, (made, path) in zip(ids, units, images, strict=True):
            with Image.open(Path(made.path)) as picture:
                width, height = picture.size
            db.insert(
                "synthetic_image",
                {
                    "unit_id": unit_id,
                    "job_id": job_id,
                    "source_image_id": unit.payload["source_image_id"],
                    "concept_id": unit.payload["concept_id"],
                    "t0": made.t0,
                    "variant": made.variant,
                    "seed": made.seed,
                    "path": path,
                    "sha256": made.sha256,
                    "width": width,
                    "height": height,
                    "curation": made.curation.value,
                    "rating": made.rating,
                    "created_at": now,
                },
            )
    return job_id
