"""Real worker processes with quick methods: order, trouble, cancelling, pausing, retrying."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import dafusion_core as df
from dafusion_core.api import Project
from dafusion_core.domain.errors import EnvironmentProblem
from dafusion_core.domain.records import Curation, JobState, UnitState
from dafusion_core.jobs.events import (
    JobCancelled,
    JobEvent,
    JobFailed,
    JobFinished,
    JobInterrupted,
    JobProgress,
    JobStarted,
    UnitFinished,
    WorkerLostEvent,
    WorkerReady,
)
from dafusion_core.jobs.supervisor import JobSupervisor
from tests.e2e.projects import contents, make_project, plan_generation, run_queue
from tests.fake_methods import TARGET


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = make_project(tmp_path)
    yield made
    made.close()


def states(project: Project) -> list[str]:
    return [job.state.value for job in project.jobs()]


class Background:
    """The supervisor in a thread, with its events, as a window has it."""

    def __init__(self, project: Project) -> None:
        self.events: list[JobEvent] = []
        self.supervisor = JobSupervisor(project.file, self.events.append, ("cpu",), TARGET)
        self.thread = threading.Thread(target=self.supervisor.run, kwargs={"until_idle": False})
        self.thread.start()

    def wait_for(self, kind: type, count: int = 1, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while sum(isinstance(event, kind) for event in self.events) < count:
            assert time.monotonic() < deadline, f"no {kind.__name__} in {self.events}"
            time.sleep(0.005)

    def close(self) -> None:
        self.supervisor.stop()
        self.thread.join()
        self.supervisor.close()


@pytest.fixture
def background(project: Project) -> Iterator[Background]:
    made = Background(project)
    yield made
    made.close()


def test_the_whole_chain_runs_in_order(project: Project) -> None:
    jobs = project.plan_chain()
    events: list[JobEvent] = []
    run_queue(project, events)
    assert states(project) == ["succeeded"] * 5
    started = [event.job_id for event in events if isinstance(event, JobStarted)]
    assert started == [job.id for job in jobs]
    assert len([event for event in events if isinstance(event, WorkerReady)]) == 1
    assert len(contents(project)) == jobs[2].total
    assert len(project.runs()) == 2 * len(df.ChainOptions().seeds)
    assert project.metrics(jobs[1].id)
    (verdict,) = project.evaluations()
    assert "DA-Fusion" in str(verdict.result)


def test_generation_uses_training_images_only(project: Project) -> None:
    plan_generation(project)
    run_queue(project)
    train = {image.id for image in project.images(part="train")}
    sources = {image.source_image_id for image in project.synthetic(project.synthetic_ids())}
    assert sources == train


def test_rejected_images_are_left_out_of_training(project: Project) -> None:
    *_, train, _compare = project.plan_chain()
    project.pause(train.id)
    run_queue(project)
    ids = project.synthetic_ids()[::2]
    project.reject(ids)
    project.resume(train.id)
    run_queue(project)
    inputs = project.job(train.id).inputs
    assert inputs is not None
    used = {path for paths in inputs["synthetics"]["DA-Fusion"].values() for path in paths}
    rejected = {image.path for image in project.synthetic(ids)}
    kept = {i.path for i in project.synthetic(project.synthetic_ids()) if i.id not in set(ids)}
    assert used == kept - (rejected - kept)
    assert project.curation_counts()
    assert set(project.synthetic_ids(curation=Curation.REJECTED)) == set(ids)


def test_a_bad_unit_fails_alone_and_is_retried_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = plan_generation(project)
    monkeypatch.setenv("DAFUSION_TEST_BAD_UNIT", "7")
    run_queue(project)
    after = project.job(job.id)
    assert (after.state, after.done, after.failed) == (JobState.FAILED, 59, 1)
    assert "1 of 60" in (after.error_text or "")
    (bad,) = [unit for unit in project.units(job.id) if unit.state is UnitState.FAILED]
    assert (bad.ordinal, "this picture is bad" in (bad.error_text or "")) == (7, True)
    monkeypatch.delenv("DAFUSION_TEST_BAD_UNIT")
    project.retry(job.id)
    events: list[JobEvent] = []
    run_queue(project, events)
    assert project.job(job.id).state is JobState.SUCCEEDED
    assert len([event for event in events if isinstance(event, UnitFinished)]) == 1
    assert len(contents(project)) == 60


def test_a_worker_that_dies_once_is_replaced_and_the_job_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = plan_generation(project)
    monkeypatch.setenv("DAFUSION_TEST_TROUBLE", "die-once@30")
    monkeypatch.setenv("DAFUSION_TEST_FLAG", str(tmp_path / "died"))
    events: list[JobEvent] = []
    run_queue(project, events)
    (lost,) = [event for event in events if isinstance(event, WorkerLostEvent)]
    assert (lost.exit_code, lost.will_retry, lost.job_id) == (9, True, job.id)
    assert project.job(job.id).state is JobState.SUCCEEDED
    assert project.job(job.id).attempt == 2
    assert len(contents(project)) == 60


def test_a_unit_that_kills_every_worker_does_not_loop(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = plan_generation(project)
    monkeypatch.setenv("DAFUSION_TEST_TROUBLE", "die@30")
    run_queue(project)
    after = project.job(job.id)
    assert (after.state, after.error_kind) == (JobState.FAILED, "worker_lost")
    assert after.attempt <= 3
    assert len(contents(project)) == after.done == 30


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [("disk-full@10", "disk_full", "disk is full"), ("memory@10", "out_of_memory", "memory")],
)
def test_machine_trouble_is_said_plainly_and_can_be_resumed(
    project: Project, monkeypatch: pytest.MonkeyPatch, trouble: str, kind: str, words: str
) -> None:
    job = plan_generation(project)
    monkeypatch.setenv("DAFUSION_TEST_TROUBLE", trouble)
    events: list[JobEvent] = []
    run_queue(project, events)
    after = project.job(job.id)
    assert (after.state, after.error_kind, after.done) == (JobState.FAILED, kind, 10)
    assert words in (after.error_text or "")
    assert after.error_hint
    assert any(isinstance(event, JobFailed) for event in events)
    monkeypatch.delenv("DAFUSION_TEST_TROUBLE")
    project.resume(job.id)
    run_queue(project)
    assert len(contents(project)) == 60


def test_after_running_out_of_memory_another_process_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_generation(project)
    project.erase(["thistle"])  # queued behind; must be done by a fresh process
    monkeypatch.setenv("DAFUSION_TEST_TROUBLE", "memory@10")
    events: list[JobEvent] = []
    run_queue(project, events)
    assert states(project) == ["failed", "succeeded"]
    assert len([event for event in events if isinstance(event, WorkerReady)]) == 2


def test_cancel_at_a_step_takes_less_than_two_seconds(
    project: Project, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = plan_generation(project)
    background.supervisor.poke()
    background.wait_for(UnitFinished)
    began = time.monotonic()
    background.supervisor.cancel(job.id)
    background.wait_for(JobCancelled)
    assert time.monotonic() - began < 2
    after = project.job(job.id)
    assert after.state is JobState.CANCELLED
    assert len(contents(project)) == after.done


def test_cancel_of_a_worker_that_does_not_listen_takes_less_than_nine_seconds(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAFUSION_TEST_TROUBLE", "hang@8")
    background = Background(project)
    try:
        job = plan_generation(project)
        background.supervisor.poke()
        background.wait_for(UnitFinished, 8)
        time.sleep(0.5)  # now it hangs; before, it would still have listened
        began = time.monotonic()
        background.supervisor.cancel(job.id)
        background.wait_for(JobCancelled)
        assert time.monotonic() - began < 9
        assert project.job(job.id).state is JobState.CANCELLED
        monkeypatch.delenv("DAFUSION_TEST_TROUBLE")
        background.supervisor.resume(job.id)
        background.wait_for(JobFinished)
        assert len(contents(project)) == 60
    finally:
        background.close()


def test_a_second_program_steers_the_queue_and_nothing_else(
    project: Project, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAFUSION_TEST_STEP_S", "0.02")
    job = plan_generation(project)
    background.supervisor.poke()
    background.wait_for(UnitFinished)
    with df.open(project.path) as second:
        with pytest.raises(EnvironmentProblem, match="in use by"):
            second.reject(second.synthetic_ids())
        second.pause(job.id)
        background.wait_for(JobInterrupted)
        assert second.job(job.id).is_held
        second.resume(job.id)
        background.wait_for(UnitFinished, len(second.synthetic_ids()) + 1)
        began = time.monotonic()
        second.cancel(job.id)
        background.wait_for(JobCancelled)
        assert time.monotonic() - began < 2
        assert second.job(job.id).state is JobState.CANCELLED
    assert 0 < len(contents(project)) < 60


def test_pause_frees_the_worker_and_resume_goes_on(
    project: Project, background: Background
) -> None:
    job = plan_generation(project)
    background.supervisor.poke()
    background.wait_for(UnitFinished)
    background.supervisor.pause(job.id)
    background.wait_for(JobInterrupted)
    paused = project.job(job.id)
    assert (paused.state, paused.is_held) == (JobState.QUEUED, True)
    other = project.erase(["thistle"])
    background.supervisor.poke()
    background.wait_for(JobFinished)
    assert project.job(other.id).state is JobState.SUCCEEDED
    background.supervisor.resume(job.id)
    background.wait_for(JobFinished, 2)
    assert len(contents(project)) == 60


def test_stopping_leaves_the_job_interrupted(project: Project) -> None:
    job = plan_generation(project)
    background = Background(project)
    background.wait_for(UnitFinished)
    background.close()
    after = project.job(job.id)
    assert after.state is JobState.INTERRUPTED
    assert 0 < after.done < 60
    project.resume(job.id)
    run_queue(project)
    assert project.job(job.id).state is JobState.SUCCEEDED


def test_progress_says_how_long_it_will_take(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAFUSION_TEST_STEP_S", "0.1")
    plan_generation(project)
    events: list[JobEvent] = []
    run_queue(project, events)
    progress = [event for event in events if isinstance(event, JobProgress)]
    etas = [event.eta_s for event in progress if event.eta_s is not None]
    assert progress[0].eta_s is None  # nothing is known yet
    assert etas
    assert etas[-1] == 0
    assert max(etas) < 30
    gaps = [after.at - before.at for before, after in pairwise(progress[:-1])]
    assert min(gaps) > 0.09


def test_a_worker_that_cannot_start_is_reported_with_its_last_words(project: Project) -> None:
    plan_generation(project)
    with pytest.raises(EnvironmentProblem, match="no_such_module"):
        run_queue(project, target="tests.no_such_module:run")
    assert states(project) == ["queued"]


def test_changed_weights_and_missing_pictures_are_noticed_before_work_begins(
    project: Project,
) -> None:
    invert = project.invert()
    run_queue(project)
    weights = project.files / project.embeddings(invert.id)[0].path
    right = weights.read_bytes()
    weights.write_bytes(b"something else")
    job = project.generate(inversion_job=invert.id, t0_set=(0.5,), variants=1)
    run_queue(project)
    after = project.job(job.id)
    assert (after.state, after.error_kind, after.done) == (JobState.FAILED, "environment", 0)
    assert str(weights) in (after.error_text or "")
    weights.write_bytes(right)
    source = project.image_path(project.images(part="train")[0])
    source.rename(source.with_suffix(".moved"))
    project.retry(job.id)
    run_queue(project)
    assert f"{source}” is missing" in (project.job(job.id).error_text or "")
    source.with_suffix(".moved").rename(source)
    project.retry(job.id)
    run_queue(project)
    assert project.job(job.id).state is JobState.SUCCEEDED


def test_the_workers_prints_go_to_its_log(project: Project) -> None:
    plan_generation(project)
    run_queue(project)
    assert "(generate), attempt 1" in project.log_path("cpu").read_text()


def test_the_calling_program_is_not_run_again_in_the_worker(tmp_path: Path) -> None:
    """A script without a `__name__` guard, as people write them."""
    import subprocess

    made = make_project(tmp_path)
    plan_generation(made)
    path = made.path
    made.close()
    script = tmp_path / "script.py"
    script.write_text(
        "import dafusion_core as df\n"
        "from dafusion_core.jobs.supervisor import JobSupervisor\n"
        f"project = df.open({str(path)!r})\n"
        "assert not project.is_read_only\n"
        f"s = JobSupervisor(project.file, lambda e: None, ('cpu',), {TARGET!r})\n"
        "s.run()\n"
        "print('ran', project.jobs()[0].state)\n"
        "project.close()\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=True,
        env={**__import__("os").environ, "PYTHONPATH": str(root)},
    )
    assert done.stdout.split() == ["ran", "succeeded"]
