"""Experiments: their specs, splits and jobs; and artefacts, the other files that jobs leave."""

from __future__ import annotations

import json
import sqlite3

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.experiments import Experiment, ExperimentSpec
from dafusion_core.domain.specs import canonical_json
from dafusion_core.language import _
from dafusion_core.storage.database import Database, utc_now


def add_experiment(db: Database, spec: ExperimentSpec) -> int:
    """Store an experiment and return its id. Raises UserError when the name is taken."""
    if db.value("SELECT 1 FROM experiment WHERE name = ?", [spec.name]):
        raise UserError(
            _("There is an experiment called “{name}” already.").format(name=spec.name),
            _("Choose another name, or extend that one."),
        )
    return db.insert(
        "experiment",
        {
            "name": spec.name,
            "spec_json": canonical_json(spec.to_dict()),
            "created_at": utc_now(),
        },
    )


def change_spec(db: Database, experiment_id: int, spec: ExperimentSpec) -> None:
    """Replace the spec of an experiment that was extended."""
    db.execute(
        "UPDATE experiment SET spec_json = ? WHERE id = ?",
        [canonical_json(spec.to_dict()), experiment_id],
    )


def _experiment(db: Database, row: sqlite3.Row) -> Experiment:
    jobs = db.query(
        "SELECT key, job_id FROM experiment_job WHERE experiment_id = ? ORDER BY job_id",
        [row["id"]],
    )
    return Experiment(
        id=row["id"],
        name=row["name"],
        spec=ExperimentSpec.from_dict(json.loads(row["spec_json"])),
        created_at=row["created_at"],
        jobs={job["key"]: job["job_id"] for job in jobs},
    )


def _are_known(db: Database) -> bool:
    """False in a project of an older version that is only open for reading, hence not migrated."""
    return bool(db.value("SELECT 1 FROM sqlite_master WHERE name = 'experiment'"))


def all_experiments(db: Database) -> list[Experiment]:
    """Experiments, oldest first."""
    if not _are_known(db):
        return []
    return [_experiment(db, row) for row in db.query("SELECT * FROM experiment ORDER BY id")]


def get_experiment(db: Database, experiment_id: int) -> Experiment:
    """One experiment. Raises UserError if there is none of that id."""
    row = db.one("SELECT * FROM experiment WHERE id = ?", [experiment_id])
    if row is None:
        raise UserError(
            _("There is no experiment {experiment_id}.").format(experiment_id=experiment_id)
        )
    return _experiment(db, row)


def find_split(db: Database, experiment_id: int, key: str) -> int | None:
    """The split of an experiment that has this key."""
    found = db.value(
        "SELECT split_id FROM experiment_split WHERE experiment_id = ? AND key = ?",
        [experiment_id, key],
    )
    return None if found is None else int(found)


def add_split_key(db: Database, experiment_id: int, key: str, split_id: int) -> None:
    """Remember a split under its key."""
    db.insert(
        "experiment_split", {"experiment_id": experiment_id, "key": key, "split_id": split_id}
    )


def add_job_key(db: Database, experiment_id: int, key: str, job_id: int) -> None:
    """Remember a job under its key."""
    db.insert("experiment_job", {"experiment_id": experiment_id, "key": key, "job_id": job_id})


def split_ids(db: Database) -> set[int]:
    """Splits that belong to experiments."""
    if not _are_known(db):
        return set()
    return {row[0] for row in db.query("SELECT split_id FROM experiment_split")}
