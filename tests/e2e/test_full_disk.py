"""A disk that is full for real: a small memory file system, filled to the last byte."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import dafusion_core as df
from dafusion_core.domain.errors import DaFusionError, DiskFull
from dafusion_core.domain.records import JobState
from dafusion_core.jobs.events import JobEvent, JobFailed, UnitFinished
from dafusion_core.jobs.supervisor import JobSupervisor
from tests.e2e.projects import contents, make_folder, make_project, plan_generation, run_queue
from tests.fake_methods import TARGET


class SmallDisk:
    """A mounted file system of a few megabytes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.filler = root / "filler"

    def fill(self, leave_bytes: int = 0) -> None:
        """Take all room but `leave_bytes` (whole blocks)."""
        free = shutil.disk_usage(self.root).free - leave_bytes
        with self.filler.open("wb") as file:
            file.write(b"\0" * max(free, 0))

    def free(self) -> None:
        self.filler.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    root = tmp_path / "disk"
    root.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4M", "tmpfs", str(root)]
    if not sys.platform.startswith("linux") or subprocess.run(command, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here (needs root on Linux)")
    try:
        yield SmallDisk(root)
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


def plain_sentence(error: DaFusionError) -> None:
    assert "disk is full" in error.text.lower()
    assert "resume" in error.hint.lower() or "again" in error.hint.lower()


def test_creating_a_project_leaves_nothing_behind(disk: SmallDisk) -> None:
    disk.fill()
    with pytest.raises(DiskFull) as caught:
        df.create(disk.root / "weeds")
    plain_sentence(caught.value)
    assert {path.name for path in disk.root.iterdir()} == {"filler"}
    disk.free()
    df.create(disk.root / "weeds").close()


@pytest.mark.parametrize("leave_bytes", [0, 16_384, 65_536, 131_072])
def test_an_import_keeps_what_it_got_and_goes_on_later(
    disk: SmallDisk, tmp_path: Path, leave_bytes: int
) -> None:
    folder = make_folder(tmp_path / "pictures", 20)
    with df.create(disk.root / "weeds") as project:
        disk.fill(leave_bytes)
        with pytest.raises(DiskFull) as caught:
            project.import_folder(folder)
        plain_sentence(caught.value)
        got = project.image_count()
    disk.free()
    with df.open(disk.root / "weeds.dafusion") as project:
        assert project.file.db.value("PRAGMA integrity_check") == "ok"
        report = project.import_folder(folder)
        assert report.imported == 60 - got
        assert project.image_count() == 60
        assert all(project.image_path(image).is_file() for image in project.images())


def test_commands_that_write_rows_say_so_and_change_nothing(disk: SmallDisk) -> None:
    project = make_project(disk.root)
    disk.fill()
    for command in (
        lambda: [project.make_split(seed) for seed in range(200)],
        lambda: [plan_generation(project) for _ in range(200)],
        lambda: [project.set_group([1], f"g{n}" * 50) for n in range(2000)],
    ):
        with pytest.raises(DiskFull) as caught:
            command()
        plain_sentence(caught.value)
    jobs, splits = len(project.jobs()), len(project.splits())
    project.close()
    disk.free()
    with df.open(project.path) as again:
        assert again.file.db.value("PRAGMA integrity_check") == "ok"
        assert (len(again.jobs()), len(again.splits())) == (jobs, splits)
        assert all(job.total == len(again.units(job.id)) for job in again.jobs())
        plan_generation(again)


@pytest.mark.parametrize("leave_bytes", [0, 20_000, 40_000, 60_000, 90_000])
def test_a_generation_that_fills_the_disk_can_be_resumed(
    disk: SmallDisk, tmp_path: Path, leave_bytes: int
) -> None:
    twin = make_project(tmp_path / "twin")
    plan_generation(twin)
    run_queue(twin)
    expected = contents(twin)
    twin.close()

    project = make_project(disk.root)
    plan_generation(project)
    disk.fill(leave_bytes)
    events: list[JobEvent] = []
    message = ""
    try:
        run_queue(project, events)
    except DaFusionError as error:  # there may be no room left even to store what happened
        message = str(error)
    message += " ".join(e.text for e in events if isinstance(e, JobFailed))
    assert "disk is full" in message
    assert project.jobs()[0].done != 60
    announced = sum(isinstance(event, UnitFinished) for event in events)
    project.close()

    disk.free()
    with df.open(project.path) as again:
        assert again.file.db.value("PRAGMA integrity_check") == "ok"
        (job,) = again.jobs()
        assert job.state in (JobState.FAILED, JobState.INTERRUPTED, JobState.QUEUED)
        assert job.done == len(contents(again)) == announced
        again.resume(job.id)
        run_queue(again)
        assert contents(again) == expected


def test_a_disk_that_fills_while_running_and_is_freed_in_time(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window stays open: free some room and press Resume."""
    monkeypatch.setenv("DAFUSION_TEST_STEP_S", "0.05")  # slow enough to be stopped half way
    project = make_project(disk.root)
    job = plan_generation(project)

    def fill_after_ten(event: JobEvent) -> None:
        is_time = isinstance(event, UnitFinished) and project.job(job.id).done >= 10
        if is_time and not disk.filler.exists():
            disk.fill(4096)

    supervisor = JobSupervisor(project.file, fill_after_ten, ("cpu",), TARGET)
    with suppress(DiskFull):
        supervisor.run()
    assert project.job(job.id).done < 60
    disk.free()
    if project.job(job.id).state is not JobState.QUEUED:
        supervisor.resume(job.id)
    monkeypatch.setattr(disk, "fill", lambda leave_bytes: None)
    supervisor.run()
    supervisor.close()
    assert project.job(job.id).state is JobState.SUCCEEDED
    assert len(contents(project)) == 60
    project.close()
