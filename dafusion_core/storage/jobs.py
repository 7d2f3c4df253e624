"""Rows of the queue: reading jobs and units, adding jobs, curves. State changes: `jobs.queue`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Job, JobState, JobUnit, Metric, UnitState
from dafusion_core.domain.specs import AnySpec, canonical_json
from dafusion_core.language import _
from dafusion_core.storage.database import Database, utc_now


@dataclass(frozen=True, slots=True)
class NewUnit:
    """A unit to be made. `key` is unique in its job; `payload` holds JSON values."""

    key: str
    seed: int
    payload: dict[str, Any] = field(default_factory=dict)


def _job(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        kind=row["kind"],
        title=row["title"],
        state=JobState(row["state"]),
        priority=row["priority"],
        is_held=bool(row["is_held"]),
        spec=json.loads(row["spec_json"]),
        spec_hash=row["spec_hash"],
        inputs=json.loads(row["inputs_json"]) if row["inputs_json"] else None,
        device=row["device"],
        owner=row["owner"],
        attempt=row["attempt"],
        cancel_requested=bool(row["cancel_requested"]),
        error_kind=row["error_kind"],
        error_text=row["error_text"],
        error_hint=row["error_hint"],
        seq=row["seq"],
        done=row["done"],
        failed=row["failed"],
        total=row["total"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        needs=tuple(json.loads(row["needs"])),
    )


# Bound inputs of a large plan are megabytes, so a list of jobs leaves them out.
_COLUMNS = """
id, kind, title, state, priority, is_held, spec_json, spec_hash, {inputs} AS inputs_json, device,
owner, attempt, cancel_requested, error_kind, error_text, error_hint, seq, done, failed, total,
created_at, started_at, finished_at,
(SELECT json_group_array(needs_job_id) FROM job_dependency WHERE job_id = job.id) AS needs
"""


def get_job(db: Database, job_id: int) -> Job:
    """One job with its bound inputs. Raises UserError if there is none of that id."""
    columns = _COLUMNS.format(inputs="inputs_json")
    row = db.one(f"SELECT {columns} FROM job WHERE id = ?", [job_id])
    if row is None:
        raise UserError(
            _("There is no job {job_id}.").format(job_id=job_id),
            _("“dafusion jobs” lists those there are."),
        )
    return _job(row)


def all_jobs(db: Database, states: Sequence[JobState] | None = None) -> list[Job]:
    """Jobs in order of id, without their bound inputs."""
    wanted = json.dumps([state.value for state in states or JobState])
    columns = _COLUMNS.format(inputs="NULL")
    rows = db.query(
        f"SELECT {columns} FROM job WHERE state IN (SELECT value FROM json_each(?)) ORDER BY id",
        [wanted],
    )
    return [_job(row) for row in rows]


def get_units(db: Database, job_id: int, state: UnitState | None = None) -> list[JobUnit]:
    """Units of a job in order."""
    rows = db.query(
        "SELECT * FROM job_unit WHERE job_id = ?1 AND (?2 IS NULL OR state = ?2) ORDER BY ordinal",
        [job_id, state.value if state else None],
    )
    return [
        JobUnit(
            id=row["id"],
            job_id=row["job_id"],
            ordinal=row["ordinal"],
            key=row["key"],
            seed=row["seed"],
            state=UnitState(row["state"]),
            payload=json.loads(row["payload_json"]),
            error_text=row["error_text"],
        )
        for row in rows
    ]


def add_job(
    db: Database,
    kind: str,
    title: str,
    spec: AnySpec,
    units: Iterable[NewUnit],
    *,
    needs: Iterable[int] = (),
    priority: int = 0,
    is_held: bool = False,
) -> int:
    """Put a job with its units into the queue, all in one transaction. Returns its id."""
    plain = spec.to_dict()
    rows = list(units)
    if not rows:
        raise UserError(
            _("“{title}” would have nothing to do.").format(title=title),
            _("Check what it is asked to use."),
        )
    with db.atomic():
        job_id = db.insert(
            "job",
            {
                "kind": kind,
                "title": title,
                "spec_json": canonical_json(plain),
                "spec_hash": spec.content_hash(),
                "priority": priority,
                "is_held": int(is_held),
                "total": len(rows),
                "created_at": utc_now(),
            },
        )
        db.execute_many(
            "INSERT INTO job_dependency(job_id, needs_job_id) VALUES (?, ?)",
            [(job_id, need) for need in sorted(set(needs))],
        )
        db.execute_many(
            "INSERT INTO job_unit(job_id, ordinal, key, seed, payload_json) VALUES (?, ?, ?, ?, ?)",
            (
                (job_id, ordinal, unit.key, unit.seed, canonical_json(unit.payload))
                for ordinal, unit in enumerate(rows)
            ),
        )
        if kind == "generate":
            db.insert(
                "plan",
                {
                    "job_id": job_id,
                    "spec_json": canonical_json(plain),
                    "spec_hash": spec.content_hash(),
                    "created_at": utc_now(),
                },
            )
    return job_id


def add_metrics(db: Database, rows: Sequence[tuple[int, int | None, str, int, float]]) -> None:
    """Store points (job id, unit id, series, step, value) of curves."""
    if not rows:
        return
    now = utc_now()
    with db.atomic():
        db.execute_many(
            "INSERT INTO metric(job_id, unit_id, series, step, value, at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            [(*row, now) for row in rows],
        )


def get_metrics(db: Database, job_id: int, series: str | None = None) -> list[Metric]:
    """Points of a job's curves, by series and step."""
    rows = db.query(
        "SELECT job_id, unit_id, series, step, value, at FROM metric "
        "WHERE job_id = ?1 AND (?2 IS NULL OR series = ?2) ORDER BY series, step, id",
        [job_id, series],
    )
    return [Metric(*row) for row in rows]
