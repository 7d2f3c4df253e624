"""State changes of jobs: guarded, between threads with connections of their own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dafusion_core import api
from dafusion_core.domain.errors import Stopped, UserError
from dafusion_core.domain.records import JobState, UnitState
from dafusion_core.domain.specs import ErasureSpec
from dafusion_core.jobs import queue
from dafusion_core.storage.database import Database
from dafusion_core.storage.jobs import (
    NewUnit,
    add_job,
    add_metrics,
    get_job,
    get_metrics,
    get_units,
)
from dafusion_core.storage.lock import process_is_alive
from dafusion_core.storage.project import ProjectFile, create_project

ME = "here:1:1.0"
SPEC = ErasureSpec(concepts=("thistle",))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ProjectFile]:
    made = create_project(tmp_path / "weeds")
    yield made
    made.close()


@pytest.fixture
def db(project: ProjectFile) -> Database:
    return project.db


def new_job(db: Database, units: int = 3, **options: object) -> int:
    return add_job(
        db,
        "erase",
        "Erase thistle",
        SPEC,
        [NewUnit(f"u{i}", i) for i in range(units)],
        **options,  # type: ignore[arg-type]
    )


def finish_all(db: Database, job_id: int) -> None:
    for unit in get_units(db, job_id):
        queue.record_unit(db, job_id, ME, unit, lambda: 1)


def test_each_job_is_claimed_once_by_many_claimers(project: ProjectFile) -> None:
    ids = [new_job(project.db, 1) for _ in range(100)]
    claimed: list[int] = []

    def claim_all(name: str) -> None:
        while (job := queue.claim(project.db, name, "cpu")) is not None:
            claimed.append(job.id)
            queue.finish(project.db, job.id, name, JobState.SUCCEEDED)

    threads = [threading.Thread(target=claim_all, args=(f"here:{i}:1.0",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == ids


def test_urgent_jobs_first_then_by_age(db: Database) -> None:
    first, second, third = new_job(db), new_job(db), new_job(db, priority=5)
    order = [queue.claim(db, ME, "cpu").id for _ in range(3)]  # type: ignore[union-attr]
    assert order == [third, first, second]


def test_a_job_waits_for_the_jobs_it_needs(db: Database) -> None:
    needed = new_job(db)
    waiting = new_job(db, needs=[needed], priority=9)
    assert get_job(db, waiting).needs == (needed,)
    assert queue.claim(db, ME, "cpu").id == needed  # type: ignore[union-attr]
    assert queue.claim(db, ME, "cpu") is None
    queue.finish(db, needed, ME, JobState.FAILED, ("bug", "no", ""))
    assert queue.claim(db, ME, "cpu") is None
    assert not queue.has_work(db)
    assert queue.blocked_jobs(db) == {waiting: [needed]}
    queue.requeue(db, needed)
    assert queue.claim(db, ME, "cpu").id == needed  # type: ignore[union-attr]
    queue.finish(db, needed, ME, JobState.SUCCEEDED)
    assert queue.claim(db, ME, "cpu").id == waiting  # type: ignore[union-attr]


def test_work_is_seen_while_a_worker_claims_it(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim between two looks would hide the job from both, and end the queue under it."""
    job_id = new_job(db)
    look = db.value

    def look_then_lose_to_a_claimer(*arguments: object) -> object:
        seen = look(*arguments)  # type: ignore[arg-type]
        db.execute("UPDATE job SET state = 'running' WHERE id = ?", [job_id])
        return seen

    monkeypatch.setattr(db, "value", look_then_lose_to_a_claimer)
    assert queue.has_work(db)


def test_units_are_recorded_once_and_counted(db: Database) -> None:
    job_id = new_job(db)
    queue.claim(db, ME, "cpu")
    unit = get_units(db, job_id)[0]
    assert queue.record_unit(db, job_id, ME, unit, lambda: 7) == 7
    assert queue.record_unit(db, job_id, ME, unit, lambda: 8) is None
    assert get_job(db, job_id).done == 1


def test_a_unit_whose_row_cannot_be_added_is_not_done(db: Database) -> None:
    job_id = new_job(db)
    queue.claim(db, ME, "cpu")
    unit = get_units(db, job_id)[0]

    def fail() -> int:
        raise RuntimeError("no room")

    with pytest.raises(RuntimeError):
        queue.record_unit(db, job_id, ME, unit, fail)
    assert get_units(db, job_id)[0].state is UnitState.TODO
    assert get_job(db, job_id).done == 0


def test_nobody_but_the_owner_records_or_finishes(db: Database) -> None:
    job_id = new_job(db)
    queue.claim(db, ME, "cpu")
    unit = get_units(db, job_id)[0]
    with pytest.raises(Stopped):
        queue.record_unit(db, job_id, "here:2:2.0", unit, lambda: 1)
    queue.finish(db, job_id, "here:2:2.0", JobState.SUCCEEDED)
    assert get_job(db, job_id).state is JobState.RUNNING
    assert not queue.heartbeat(db, job_id, "here:2:2.0")
    assert queue.heartbeat(db, job_id, ME)


def test_retry_runs_only_what_is_not_done(db: Database) -> None:
    job_id = new_job(db)
    queue.claim(db, ME, "cpu")
    done, bad, _ = get_units(db, job_id)
    queue.record_unit(db, job_id, ME, done, lambda: 1)
    queue.fail_unit(db, job_id, ME, bad, "it is bad")
    queue.fail_unit(db, job_id, ME, bad, "it is bad")
    assert (get_job(db, job_id).done, get_job(db, job_id).failed) == (1, 1)
    queue.finish(db, job_id, ME, JobState.FAILED, ("units_failed", "1 failed", ""))
    queue.requeue(db, job_id)
    states = [unit.state for unit in get_units(db, job_id)]
    assert states == [UnitState.DONE, UnitState.TODO, UnitState.TODO]
    job = queue.claim(db, ME, "cpu")
    assert job is not None
    assert (job.done, job.failed, job.attempt, job.error_text) == (1, 0, 2, None)
    finish_all(db, job_id)
    assert get_job(db, job_id).done == 3


def test_a_lost_worker_is_forgiven_once_in_a_row(db: Database) -> None:
    job_id = new_job(db)
    queue.claim(db, ME, "cpu")
    assert queue.lose(db, job_id, "gone") is JobState.QUEUED
    queue.claim(db, ME, "cpu")
    queue.record_unit(db, job_id, ME, get_units(db, job_id)[0], lambda: 1)  # progress: forgiven
    assert queue.lose(db, job_id, "gone") is JobState.QUEUED
    queue.claim(db, ME, "cpu")
    assert queue.lose(db, job_id, "gone") is JobState.FAILED
    assert get_job(db, job_id).error_kind == "worker_lost"
    assert queue.lose(db, job_id, "gone") is None


def test_cancel_ends_waiting_jobs_at_once_and_asks_running_ones(db: Database) -> None:
    running, waiting = new_job(db), new_job(db)
    queue.claim(db, ME, "cpu")
    assert queue.request_cancel(db, waiting) is JobState.CANCELLED
    assert queue.request_cancel(db, running) is JobState.RUNNING
    assert get_job(db, running).cancel_requested
    assert queue.lose(db, running, "killed") is JobState.CANCELLED
    queue.requeue(db, running)
    assert not get_job(db, running).cancel_requested  # a stale flag must not end the new attempt


def test_a_finished_job_cannot_be_cancelled_or_resumed(db: Database) -> None:
    job_id = new_job(db)
    queue.claim(db, ME, "cpu")
    queue.finish(db, job_id, ME, JobState.SUCCEEDED)
    assert queue.request_cancel(db, job_id) is JobState.SUCCEEDED
    with pytest.raises(UserError, match="nothing to resume"):
        queue.requeue(db, job_id)


def test_a_paused_job_waits_and_a_paused_running_one_goes_back_to_the_queue(db: Database) -> None:
    job_id = new_job(db)
    queue.claim(db, ME, "cpu")
    queue.hold(db, job_id, True)
    queue.finish(db, job_id, ME, JobState.INTERRUPTED)
    assert get_job(db, job_id).state is JobState.QUEUED
    assert queue.claim(db, ME, "cpu") is None
    assert not queue.has_work(db)
    queue.requeue(db, job_id)
    assert queue.claim(db, ME, "cpu") is not None


def test_reaping_takes_jobs_from_the_dead_only(db: Database) -> None:
    dead, cancelled, remote = new_job(db), new_job(db), new_job(db)
    gone = queue.current_owner().rsplit(":", 2)[0] + ":999999:1.0"
    assert [queue.claim(db, gone, "cpu").id for _ in range(2)] == [dead, cancelled]  # type: ignore[union-attr]
    queue.claim(db, "other-host:5:1.0", "cpu")
    queue.request_cancel(db, cancelled)
    assert queue.reap(db) == [dead, cancelled]
    assert get_job(db, dead).state is JobState.INTERRUPTED
    assert get_job(db, cancelled).state is JobState.CANCELLED
    assert get_job(db, remote).state is JobState.RUNNING  # its lease still runs
    db.execute("UPDATE job SET lease_until = ?", [time.time() - 1])
    assert queue.reap(db) == [remote]


def test_reaping_ends_the_worker_of_this_project_but_not_of_its_original(
    project: ProjectFile, tmp_path: Path
) -> None:
    hold_open = (
        "import sys, time; file = open(sys.argv[1], 'rb'); print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", hold_open, str(project.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        started = psutil.Process(worker.pid).create_time()
        owner = f"{socket.gethostname()}:{worker.pid}:{started:.2f}"
        new_job(project.db)
        queue.claim(project.db, owner, "cpu")
        project.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(project.path, tmp_path / "copy.dafusion")
        with api.open(tmp_path / "copy.dafusion") as copy:
            assert [job.state for job in copy.jobs()] == [JobState.INTERRUPTED]
        assert process_is_alive(worker.pid, started)
        queue.reap(project.db, grace_s=0)
        assert not process_is_alive(worker.pid, started)


def test_inputs_are_bound_once(db: Database) -> None:
    job_id = new_job(db)
    queue.claim(db, ME, "cpu")
    queue.bind_inputs(db, job_id, ME, {"first": 1})
    queue.bind_inputs(db, job_id, ME, {"second": 2})
    assert get_job(db, job_id).inputs == {"first": 1}


def test_every_change_is_counted(db: Database) -> None:
    job_id = new_job(db)
    seen = [get_job(db, job_id).seq]
    for step in (
        lambda: queue.claim(db, ME, "cpu"),
        lambda: queue.record_unit(db, job_id, ME, get_units(db, job_id)[0], lambda: 1),
        lambda: queue.request_cancel(db, job_id),
        lambda: queue.finish(db, job_id, ME, JobState.CANCELLED),
        lambda: queue.requeue(db, job_id),
    ):
        step()
        seen.append(get_job(db, job_id).seq)
    assert seen == sorted(set(seen))


def test_an_empty_job_is_refused(db: Database) -> None:
    with pytest.raises(UserError, match="nothing to do"):
        new_job(db, units=0)
    assert db.value("SELECT count(*) FROM job") == 0


def test_curves_come_back_by_series_and_step(db: Database) -> None:
    job_id = new_job(db)
    add_metrics(db, [(job_id, None, "loss", 2, 0.5), (job_id, None, "loss", 1, 0.7)])
    assert [(m.step, m.value) for m in get_metrics(db, job_id, "loss")] == [(1, 0.7), (2, 0.5)]
    assert get_metrics(db, job_id, "other") == []
