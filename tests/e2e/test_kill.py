"""kill -9 at random moments of a generation: nothing is lost, nothing is made twice.

Once with quick methods, so that many moments can be tried, and once with `dafusion worker` and
the bundled model. DAFUSION_TEST_MOMENTS says how many moments of each the slow tests try.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

import dafusion_core as df
from dafusion_core.domain.records import JobState
from dafusion_core.meadow import SAMPLE, write_folder
from tests.e2e.projects import ROOT, contents, make_project, plan_generation, start_driver

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kill -9 is a POSIX thing")

VICTIMS = ("worker", "program", "both")
MOMENTS = int(os.environ.get("DAFUSION_TEST_MOMENTS", "0"))
Start = Callable[[Path], subprocess.Popen[bytes]]


@dataclass(frozen=True)
class Scene:
    """A closed project whose queue holds one generation of 60 images, how to start the program
    that works on it, and what it makes when nobody disturbs it."""

    path: Path
    start: Start
    expected: dict[str, str]


def play_undisturbed(path: Path, folder: Path, start: Start) -> Scene:
    copy = copy_project(path, folder)
    assert start(copy).wait(300) == 0
    with df.open(copy) as project:
        return Scene(path, start, contents(project))


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Methods without torch."""
    with make_project(tmp_path_factory.mktemp("planned")) as project:
        plan_generation(project)

    def start(path: Path) -> subprocess.Popen[bytes]:
        return start_driver(path, DAFUSION_TEST_STEP_S="0.01")

    return play_undisturbed(project.path, tmp_path_factory.mktemp("undisturbed"), start)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The command line, the engine and the bundled model."""
    with df.create(tmp_path_factory.mktemp("planned") / "weeds") as project:
        write_folder(project.path.parent / "pictures", SAMPLE, 5, 2)
        project.import_data(project.path.parent / "pictures")
        job = project.generate(t0_set=(0.25, 0.5, 1.0), variants=1, steps=8, batch_size=4)
        assert job.total == 60

    return play_undisturbed(project.path, tmp_path_factory.mktemp("undisturbed"), start_worker)


def start_worker(path: Path, **environment: str) -> subprocess.Popen[bytes]:
    """`dafusion worker` on a project."""
    return subprocess.Popen(
        [sys.executable, "-m", "dafusion_core", "worker", "--project", str(path)],
        cwd=ROOT,
        env=os.environ | environment,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


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
        deadline = time.monotonic() + 300
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


def check_one_kill(scene: Scene, folder: Path, victim: str, moments: random.Random) -> None:
    """Kill a run somewhere between its start and its last image, resume it, and compare."""
    path = copy_project(scene.path, folder)
    driver = scene.start(path)
    try:
        wait_until_done(path, moments.randrange(60))
        time.sleep(moments.uniform(0, 0.05))
        kill(driver, victim)
        driver.wait(300)
    finally:
        driver.kill()
        driver.wait()
    with df.open(path) as project:
        assert project.file.db.value("PRAGMA integrity_check") == "ok"
        (job,) = project.jobs()
        # A worker that outlived its program may have finished just before it left.
        assert job.state in (JobState.QUEUED, JobState.INTERRUPTED, JobState.SUCCEEDED)
        assert len(contents(project)) == job.done
    assert scene.start(path).wait(300) == 0
    with df.open(path) as project:
        assert project.file.db.value("PRAGMA integrity_check") == "ok"
        assert contents(project) == scene.expected
        assert len(scene.expected) == 60
        assert [job.state for job in project.jobs()] == [JobState.SUCCEEDED]
        stored = {p.name for p in project.files.glob("objects/*/*")}
        named = {Path(i.path).name for i in project.synthetic(project.synthetic_ids())}
        named |= {Path(i.path).name for i in project.images()}
        assert stored == named, "stray files were left"


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_at_a_random_moment(quick: Scene, tmp_path: Path, victim: str) -> None:
    check_one_kill(quick, tmp_path, victim, random.Random())


@pytest.mark.slow
@pytest.mark.parametrize("number", range(MOMENTS or 30))
@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_at_thirty_random_moments(
    quick: Scene, tmp_path: Path, victim: str, number: int
) -> None:
    check_one_kill(quick, tmp_path, victim, random.Random(f"{victim} {number}"))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(MOMENTS or 1))
@pytest.mark.parametrize("victim", VICTIMS)
def test_the_real_program_killed_at_random_moments(
    real: Scene, tmp_path: Path, victim: str, number: int
) -> None:
    check_one_kill(real, tmp_path, victim, random.Random(f"{victim} {number}"))
