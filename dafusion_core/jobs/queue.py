"""Every state change of a job: one guarded statement each, safe between processes.

    queued ──claim──► running ──finish──► succeeded | failed | cancelled
      ▲                  │
      ├──── release ─────┤ (held: paused)          interrupted | failed | cancelled
      └──── lose ────────┴──────────────────────►        │
      └──────────────────────── requeue ─────────────────┘

The guard is in the SQL because several processes write; `seq` counts the changes.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from dafusion_core.domain.errors import Stopped, UserError
from dafusion_core.domain.records import Job, JobState, JobUnit
from dafusion_core.domain.specs import canonical_json
from dafusion_core.language import _
from dafusion_core.storage.database import Database, utc_now
from dafusion_core.storage.jobs import all_jobs, get_job
from dafusion_core.storage.lock import process_is_alive

LEASE_S = 30.0
HEARTBEAT_S = 5.0


def current_owner() -> str:
    """This process as an owner of jobs: host, process number, creation time."""
    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def owner_process(owner: str) -> tuple[int, float] | None:
    """(pid, creation time) of an owner on this computer, None for another one's."""
    host, pid, started = owner.rsplit(":", 2)
    return (int(pid), float(started)) if host == socket.gethostname() else None


_IS_CLAIMABLE = """
job.state = 'queued' AND job.is_held = 0 AND NOT EXISTS (
  SELECT 1 FROM job_dependency JOIN job AS needed ON needed.id = needs_job_id
  WHERE job_dependency.job_id = job.id AND needed.state <> 'succeeded')
"""
_CLAIMABLE = f"SELECT id FROM job WHERE {_IS_CLAIMABLE} ORDER BY priority DESC, id LIMIT 1"


def has_work(db: Database) -> bool:
    """True if a job is running or could be claimed now.

    One statement, because it sees one moment: between two of them a worker could claim a job
    that the first still saw waiting and the second no longer does.
    """
    statement = f"SELECT 1 FROM job WHERE state = 'running' OR ({_IS_CLAIMABLE}) LIMIT 1"
    return db.value(statement) is not None


def claim(db: Database, owner: str, device: str) -> Job | None:
    """Take the most urgent job whose needs are met, or None. Each job goes to one claimer."""
    if db.value(_CLAIMABLE) is None:  # the common case must not take the write lock
        return None
    with db.atomic():
        row = db.one(
            f"""
            UPDATE job SET state = 'running', owner = ?, device = ?, attempt = attempt + 1,
              lease_until = ?, started_at = coalesce(started_at, ?), finished_at = NULL,
              error_kind = NULL, error_text = NULL, error_hint = NULL, error_trace = NULL,
              seq = seq + 1
            WHERE id = ({_CLAIMABLE}) AND state = 'queued' RETURNING id
            """,
            [owner, device, time.time() + LEASE_S, utc_now()],
        )
    return None if row is None else get_job(db, row["id"])


def bind_inputs(db: Database, job_id: int, owner: str, inputs: Mapping[str, object]) -> None:
    """Store what the job reads, once; later attempts use the same."""
    with db.atomic():
        db.execute(
            "UPDATE job SET inputs_json = ?, seq = seq + 1 "
            "WHERE id = ? AND owner = ? AND state = 'running' AND inputs_json IS NULL",
            [canonical_json(inputs), job_id, owner],
        )


def heartbeat(db: Database, job_id: int, owner: str) -> bool:
    """Extend the lease and return whether the job is still this owner's."""
    changed = db.execute(
        "UPDATE job SET lease_until = ? WHERE id = ? AND owner = ? AND state = 'running'",
        [time.time() + LEASE_S, job_id, owner],
    )
    return changed == 1


def record_unit(
    db: Database, job_id: int, owner: str, unit: JobUnit, insert: Callable[[], int]
) -> int | None:
    """Set a unit done together with its result row; None if it was done before.

    `insert` adds the row and returns its id; it runs inside the transaction. Raises Stopped if
    the job is no longer this owner's, and then nothing is recorded.
    """
    with db.atomic():
        _require_owner(db, job_id, owner)
        was = db.value("SELECT state FROM job_unit WHERE id = ?", [unit.id])
        if was == "done":
            return None
        db.execute("UPDATE job_unit SET state = 'done', error_text = NULL WHERE id = ?", [unit.id])
        result_id = insert()
        db.execute(
            "UPDATE job SET done = done + 1, failed = failed - ?, losses = 0, seq = seq + 1 "
            "WHERE id = ?",
            [int(was == "failed"), job_id],
        )
    return result_id


def fail_unit(db: Database, job_id: int, owner: str, unit: JobUnit, text: str) -> None:
    """Set a unit failed with a sentence; the job goes on."""
    with db.atomic():
        _require_owner(db, job_id, owner)
        changed = db.execute(
            "UPDATE job_unit SET state = 'failed', error_text = ? WHERE id = ? AND state = 'todo'",
            [text, unit.id],
        )
        db.execute(
            "UPDATE job SET failed = failed + ?, seq = seq + 1 WHERE id = ?", [changed, job_id]
        )


def _require_owner(db: Database, job_id: int, owner: str) -> None:
    if not db.value(
        "SELECT 1 FROM job WHERE id = ? AND owner = ? AND state = 'running'", [job_id, owner]
    ):
        raise Stopped(_("Job {job_id} is no longer this worker's.").format(job_id=job_id))


def finish(
    db: Database,
    job_id: int,
    owner: str,
    state: JobState,
    error: tuple[str, str, str] | None = None,
    trace: str | None = None,
) -> int:
    """End a running job; `error` is (kind, text, hint). Returns the new `seq`.

    A job that was stopped while held (paused) goes back to the queue instead of being
    "interrupted".
    """
    kind, text, hint = error or (None, None, None)
    with db.atomic():
        row = db.one(
            """
            UPDATE job SET state = CASE WHEN ?1 = 'interrupted' AND is_held THEN 'queued'
                ELSE ?1 END,
              owner = NULL, lease_until = NULL, error_kind = ?2, error_text = ?3,
              error_hint = ?4, error_trace = ?5, finished_at = ?6, seq = seq + 1
            WHERE id = ?7 AND owner = ?8 AND state = 'running' RETURNING seq
            """,
            [state.value, kind, text, hint, trace, utc_now(), job_id, owner],
        )
    return int(row["seq"]) if row else 0


def lose(db: Database, job_id: int, text: str) -> JobState | None:
    """The job's worker is gone. Returns the state it went to, None if it was not running.

    Cancelled if that was asked for; queued again the first time; failed when it happens twice
    with no unit finished in between, so that a picture that kills the worker cannot loop.
    """
    with db.atomic():
        row = db.one(
            """
            UPDATE job SET state = CASE WHEN cancel_requested THEN 'cancelled'
                WHEN is_held OR losses = 0 THEN 'queued' ELSE 'failed' END,
              losses = losses + 1, owner = NULL, lease_until = NULL,
              error_kind = 'worker_lost', error_text = ?, finished_at = ?,
              error_hint = 'What was finished is kept. Retry goes on with the rest.',
              seq = seq + 1
            WHERE id = ? AND state = 'running' RETURNING state
            """,
            [text, utc_now(), job_id],
        )
    return JobState(row["state"]) if row else None


def jobs_of_process(db: Database, pid: int) -> list[Job]:
    """Running jobs that a process of this computer owns."""
    running = all_jobs(db, [JobState.RUNNING])
    return [j for j in running if j.owner and (owner_process(j.owner) or (0,))[0] == pid]


def request_cancel(db: Database, job_id: int) -> JobState:
    """Ask for a job to end. Waiting jobs end at once, running ones when their worker sees it."""
    with db.atomic():
        db.execute(
            """
            UPDATE job SET cancel_requested = 1, seq = seq + 1,
              finished_at = CASE WHEN state = 'running' THEN NULL ELSE ? END,
              state = CASE WHEN state = 'running' THEN 'running' ELSE 'cancelled' END
            WHERE id = ? AND state IN ('queued', 'running', 'interrupted')
            """,
            [utc_now(), job_id],
        )
    return get_job(db, job_id).state


def wishes(db: Database, job_id: int) -> tuple[bool, bool]:
    """(to be cancelled, to be paused), as any program may have written it into the job's row."""
    row = db.one("SELECT cancel_requested, is_held FROM job WHERE id = ?", [job_id])
    return (bool(row[0]), bool(row[1])) if row else (False, False)


def hold(db: Database, job_id: int, is_held: bool) -> None:
    """Pause (no worker will claim it) or let go."""
    with db.atomic():
        db.execute("UPDATE job SET is_held = ?, seq = seq + 1 WHERE id = ?", [int(is_held), job_id])


def set_priority(db: Database, job_id: int, priority: int) -> None:
    """Higher is claimed first; jobs of equal priority go by age."""
    with db.atomic():
        db.execute("UPDATE job SET priority = ?, seq = seq + 1 WHERE id = ?", [priority, job_id])


def requeue(db: Database, job_id: int) -> None:
    """Resume or retry: the units that are not done run (again), those done are kept.

    Raises UserError when there is nothing to resume.
    """
    with db.atomic():
        job = get_job(db, job_id)
        if job.state in (JobState.QUEUED, JobState.RUNNING):
            db.execute("UPDATE job SET is_held = 0, seq = seq + 1 WHERE id = ?", [job_id])
            return
        if job.state is JobState.SUCCEEDED:
            raise UserError(
                _("Job {job_id} has succeeded; there is nothing to resume.").format(job_id=job_id)
            )
        db.execute(
            "UPDATE job_unit SET state = 'todo', error_text = NULL "
            "WHERE job_id = ? AND state = 'failed'",
            [job_id],
        )
        db.execute(
            "UPDATE job SET state = 'queued', is_held = 0, cancel_requested = 0, losses = 0, "
            "failed = 0, error_kind = NULL, error_text = NULL, error_hint = NULL, "
            "error_trace = NULL, finished_at = NULL, seq = seq + 1 WHERE id = ?",
            [job_id],
        )


def reap(db: Database, grace_s: float = 3.0) -> list[int]:
    """At open, with the project's lock held: no running job can have a rightful worker.

    A worker whose program died leaves by itself at its next step; one that is still there after
    `grace_s` is ended. Its jobs become interrupted (cancelled if that was asked for). A worker
    on another computer is only believed gone when its lease has run out. In a copy of a project
    somebody works on, the rows name the original's worker, which is left in peace. Returns the
    job ids.
    """
    deadline = time.monotonic() + grace_s
    path = Path(db.value("SELECT file FROM pragma_database_list WHERE name = 'main'"))
    reaped = []
    for job in all_jobs(db, [JobState.RUNNING]):
        process = owner_process(job.owner) if job.owner else None
        if process is None and job.owner:
            lease = db.value("SELECT lease_until FROM job WHERE id = ?", [job.id]) or 0
            if lease > time.time():
                continue
        if process is not None and _works_on(process[0], path):
            _see_off(*process, deadline)
        with db.atomic():
            changed = db.execute(
                """
                UPDATE job SET owner = NULL, lease_until = NULL, seq = seq + 1, finished_at = ?,
                  state = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'interrupted' END,
                  error_kind = 'interrupted',
                  error_text = 'The program ended while this was running.',
                  error_hint = 'What was finished is kept. Resume goes on with the rest.'
                WHERE id = ? AND state = 'running'
                """,
                [utc_now(), job.id],
            )
        if changed:
            reaped.append(job.id)
    return reaped


def _works_on(pid: int, path: Path) -> bool:
    """Whether a process has this very file open, as every worker has its project's."""
    try:
        return any(os.path.samefile(file.path, path) for file in psutil.Process(pid).open_files())
    except (psutil.Error, OSError):  # gone, or not ours to look at and so not our worker
        return False


def _see_off(pid: int, started: float, deadline: float) -> None:
    while process_is_alive(pid, started):
        if time.monotonic() > deadline:
            try:
                psutil.Process(pid).kill()
                psutil.Process(pid).wait(5)
            except psutil.Error:
                pass
            return
        time.sleep(0.05)


def blocked_jobs(db: Database) -> dict[int, list[int]]:
    """Queued job → the ended jobs it waits for in vain (failed, cancelled, interrupted)."""
    rows = db.query(
        """
        SELECT job.id, json_group_array(needed.id) FROM job
        JOIN job_dependency ON job_dependency.job_id = job.id
        JOIN job AS needed ON needed.id = needs_job_id
        WHERE job.state = 'queued' AND needed.state IN ('failed', 'cancelled', 'interrupted')
        GROUP BY job.id
        """
    )
    return {row[0]: json.loads(row[1]) for row in rows}
