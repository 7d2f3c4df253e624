"""kill -9 at random moments of a generation: nothing is lost, nothing is made twice."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import dafusion_core as df
from dafusion_core.domain.records import JobState
from tests.e2e.projects import contents, make_project, plan_generation, start_driver

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kill -9 is a POSIX thing")

VICTIMS = ("worker", "program", "both")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed project whose queue holds one generation of 60 images."""
    folder = tmp_path_factory.mktemp("planned")
    with make_project(folder) as project:
        plan_generation(project)
        return project.path


@pytest.fixture(scope="module")
def undisturbed(planned: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run that nobody disturbs makes."""
    path = copy_project(planned, tmp_path_factory.mktemp("undisturbed"))
    assert start_driver(path).wait(60) == 0
    with df.open(path) as project:
        return contents(project)


def copy_project(path: Path, folder: Path) -> Path:
    shutil.copy(path, folder / path.name)
    shutil.copytree(path.with_suffix(".files"), folder / path.with_suffix(".files").name)
    return folder / path.name


def workers_of(pid: int) -> list[psutil.Process]:
    try:
        children = psutil.Process(pid).children(recursive=True)
        return [child for child in children if any("spawn_main" in a for a in child.cmdline())]
    except psutil.Error:
        return []


def wait_until_done(path: Path, count: int) -> None:
    """Wait until `count` images are recorded, whatever the speed of the machine."""
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        deadline = time.monotonic() + 60
        while reader.execute("SELECT sum(done) FROM job").fetchone()[0] < count:
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        reader.close()


def kill(driver: subprocess.Popen[bytes], victim: str) -> None:
    workers = workers_of(driver.pid)
    if victim in ("program", "both"):
        driver.send_signal(signal.SIGKILL)
    if victim in ("worker", "both"):
        for worker in workers:
            with suppress(psutil.Error):
                worker.send_signal(signal.SIGKILL)


def check_one_kill(
    planned: Path, expected: dict[str, str], folder: Path, victim: str, moments: random.Random
) -> None:
    """Kill a run somewhere between its start and its last image, resume it, and compare."""
    path = copy_project(planned, folder)
    driver = start_driver(path, DAFUSION_TEST_STEP_S="0.01")
    wait_until_done(path, moments.randrange(60))
    time.sleep(moments.uniform(0, 0.05))
    kill(driver, victim)
    driver.wait(60)
    with df.open(path) as project:
        assert project.file.db.value("PRAGMA integrity_check") == "ok"
        (job,) = project.jobs()
        # A worker that outlived its program may have finished just before it left.
        assert job.state in (JobState.QUEUED, JobState.INTERRUPTED, JobState.SUCCEEDED)
        assert len(contents(project)) == job.done
    assert start_driver(path).wait(60) == 0
    with df.open(path) as project:
        assert project.file.db.value("PRAGMA integrity_check") == "ok"
        assert contents(project) == expected
        assert len(expected) == 60
        assert [job.state for job in project.jobs()] == [JobState.SUCCEEDED]
        stored = {p.name for p in project.files.glob("objects/*/*")}
        named = {Path(i.path).name for i in project.synthetic(project.synthetic_ids())}
        named |= {Path(i.path).name for i in project.images()}
        assert stored == named, "stray files were left"


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_at_a_random_moment(
    planned: Path, undisturbed: dict[str, str], tmp_path: Path, victim: str
) -> None:
    check_one_kill(planned, undisturbed, tmp_path, victim, random.Random())


@pytest.mark.slow
@pytest.mark.parametrize("number", range(30))
@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_at_thirty_random_moments(
    planned: Path, undisturbed: dict[str, str], tmp_path: Path, victim: str, number: int
) -> None:
    check_one_kill(planned, undisturbed, tmp_path, victim, random.Random(f"{victim} {number}"))
