"""What finished units leave behind, one table per kind of job."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Artefact, Curation, Evaluation, Job, JobUnit, TrainingRun
from dafusion_core.domain.specs import canonical_json
from dafusion_core.language import _
from dafusion_core.storage.checks import add_checks
from dafusion_core.storage.database import Database, utc_now
from dafusion_core.storage.previews import is_kept_in_preview

StoredFiles = Mapping[str, tuple[str, str]]
"""Role → (relative path, sha256)."""


def _add_erasure(db: Database, base: dict[str, Any], files: StoredFiles, record: Any) -> int:
    path, sha256 = files["weights"]
    return db.insert(
        "erasure",
        base
        | {
            "method": record["method"],
            "concepts_json": canonical_json(record["concepts"]),
            "path": path,
            "sha256": sha256,
            "base_hash": record["base_hash"],
            "sheet_path": files["sheet"][0] if "sheet" in files else None,
            "record_json": canonical_json(record),
        },
    )


def _add_inversion(db: Database, base: dict[str, Any], files: StoredFiles, record: Any) -> int:
    path, sha256 = files["embedding"]
    inversion_id = db.insert(
        "inversion",
        base
        | {
            "concept_id": base.pop("payload")["concept_id"],
            "placeholder": record["placeholder"],
            "path": path,
            "sha256": sha256,
            "record_json": canonical_json(record),
        },
    )
    db.execute_many(
        "INSERT INTO inversion_file(inversion_id, role, path, sha256) VALUES (?, ?, ?, ?)",
        [(inversion_id, role, *file) for role, file in files.items() if role != "embedding"],
    )
    return inversion_id


def _add_synthetic(db: Database, base: dict[str, Any], files: StoredFiles, record: Any) -> int:
    path, sha256 = files["image"]
    payload = base.pop("payload")
    return db.insert(
        "synthetic_image",
        base
        | {
            "source_image_id": payload["source_image_id"],
            "concept_id": payload["concept_id"],
            "t0": payload["t0"],
            "variant": payload["variant"],
            "seed": base.pop("seed"),
            "path": path,
            "sha256": sha256,
            "width": record["width"],
            "height": record["height"],
            "curation": base.pop("curation"),
        },
    )


def _add_check(db: Database, base: dict[str, Any], files: StoredFiles, record: Any) -> int:
    add_checks(db, base["job_id"], record["rows"])
    return int(base["unit_id"])


def _add_run(db: Database, base: dict[str, Any], files: StoredFiles, record: Any) -> int:
    path, sha256 = files["weights"]
    payload = base.pop("payload")
    return db.insert(
        "training_run",
        base
        | {
            "arm": payload["arm"],
            "seed": payload["seed"],
            "path": path,
            "sha256": sha256,
            "record_json": canonical_json(record),
        },
    )


def _add_evaluation(db: Database, base: dict[str, Any], files: StoredFiles, record: Any) -> int:
    return db.insert("evaluation", base | {"result_json": canonical_json(record)})


def _add_artefacts(db: Database, base: dict[str, Any], files: StoredFiles, record: Any) -> int:
    row_id = 0
    for role, (path, sha256) in files.items():
        row = {"role": role, "path": path, "sha256": sha256, "record_json": canonical_json(record)}
        row_id = db.insert("artefact", base | row)
    return row_id


def _add_preview(db: Database, base: dict[str, Any], files: StoredFiles, record: Any) -> int:
    payload = base.pop("payload")
    return _add_artefacts(db, base, files, {**record, **payload})


def _add_nothing(db: Database, base: dict[str, Any], files: StoredFiles, record: Any) -> int:
    return int(base["unit_id"])


_ADDERS: dict[str, Callable[[Database, dict[str, Any], StoredFiles, Any], int]] = {
    "erase": _add_erasure,
    "invert": _add_inversion,
    "generate": _add_synthetic,
    "preview": _add_preview,
    "check": _add_check,
    "train": _add_run,
    "compare": _add_evaluation,
    "predict": _add_artefacts,
    "export": _add_artefacts,
    "download": _add_nothing,
}


def add_result(
    db: Database, job: Job, unit: JobUnit, files: StoredFiles, record: Mapping[str, Any]
) -> int:
    """Insert the result row of a unit (inside the caller's transaction) and return its id."""
    base: dict[str, Any] = {"unit_id": unit.id, "job_id": job.id, "created_at": utc_now()}
    if job.kind in ("invert", "generate", "preview", "train"):
        base["payload"] = unit.payload
    if job.kind == "generate":
        base["seed"] = unit.seed
        # Who kept it when it was only a preview is not asked again.
        kept = is_kept_in_preview(db, job.spec, unit.payload, unit.seed)
        base["curation"] = (Curation.KEPT if kept else Curation.UNDECIDED).value
    return _ADDERS[job.kind](db, base, files, record)


def training_runs(db: Database, job_id: int | None = None) -> list[TrainingRun]:
    """Classifier fits, by job, arm and seed."""
    rows = db.query(
        "SELECT id, job_id, arm, seed, path, sha256, record_json FROM training_run "
        "WHERE ?1 IS NULL OR job_id = ?1 ORDER BY job_id, arm, seed",
        [job_id],
    )
    return [
        TrainingRun(
            id=row["id"],
            job_id=row["job_id"],
            arm=row["arm"],
            seed=row["seed"],
            path=row["path"],
            sha256=row["sha256"],
            record=json.loads(row["record_json"]),
        )
        for row in rows
    ]


def get_run(db: Database, run_id: int) -> TrainingRun:
    """One classifier fit. Raises UserError if there is none of that id."""
    for run in training_runs(db):
        if run.id == run_id:
            return run
    raise UserError(
        _("There is no training run {run_id}.").format(run_id=run_id),
        _("Train a classifier first."),
    )


def artefacts(db: Database, job_id: int | None = None) -> list[Artefact]:
    """Files that jobs left, oldest first."""
    rows = db.query(
        "SELECT id, job_id, role, path, sha256, record_json FROM artefact "
        "WHERE ?1 IS NULL OR job_id = ?1 ORDER BY id",
        [job_id],
    )
    return [
        Artefact(
            id=row["id"],
            job_id=row["job_id"],
            role=row["role"],
            path=row["path"],
            sha256=row["sha256"],
            record=json.loads(row["record_json"]),
        )
        for row in rows
    ]


def evaluations(db: Database) -> list[Evaluation]:
    """Comparisons, oldest first."""
    rows: list[sqlite3.Row] = db.query(
        "SELECT id, job_id, result_json, created_at FROM evaluation ORDER BY id"
    )
    return [Evaluation(row[0], row[1], json.loads(row[2]), row[3]) for row in rows]


def stored_paths(db: Database) -> set[str]:
    """Every path that a row names, to tell stray files from kept ones."""
    rows = db.query(
        "SELECT path FROM image WHERE is_reference = 0 UNION SELECT path FROM erasure "
        "UNION SELECT sheet_path FROM erasure UNION SELECT path FROM inversion "
        "UNION SELECT path FROM synthetic_image UNION SELECT path FROM training_run "
        "UNION SELECT path FROM inversion_file UNION SELECT path FROM artefact"
    )
    return {row[0] for row in rows if row[0]}
