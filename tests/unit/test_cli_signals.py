"""Ctrl-C, SIGTERM and a closed pipe, with the command line as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dafusion_core import api as df
from dafusion_core.domain.records import JobState
from tests.unit.cli_driver import CommandLine, make_pictures

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are not sent this way there")


@pytest.fixture
def project(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A project with a generation of 36 images waiting in its queue."""
    monkeypatch.chdir(tmp_path)
    dafusion = CommandLine(capsys)
    dafusion.ok("new", "weeds.dafusion")
    dafusion.ok("import", make_pictures(tmp_path / "photos"))
    dafusion.ok("split")
    dafusion.ok("generate", "--real-guidance", "--variants", 1, "--queue", "--batch-size", 1)
    return tmp_path / "weeds.dafusion"


@pytest.fixture
def slow_worker(project: Path) -> Iterator[subprocess.Popen[str]]:
    """`dafusion worker` on it, after its first images, at 0.1 s a step."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.cli_driver", "worker", "--project", str(project)],
        cwd=ROOT,
        env=os.environ | {"DAFUSION_TEST_STEP_S": "0.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while count(project) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def count(project: Path) -> int:
    with df.open(project, read_only=True) as opened:
        return len(opened.synthetic_ids())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_keeps_what_is_done_and_says_how_to_go_on(
    slow_worker: subprocess.Popen[str],
    project: Path,
    number: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    begin = time.monotonic()
    # A terminal sends it to the whole group, workers included.
    os.killpg(slow_worker.pid, number)
    _out, err = slow_worker.communicate(timeout=20)
    took = time.monotonic() - begin
    assert slow_worker.returncode == 130, err
    assert took < 5
    assert f"To go on: dafusion worker --project {project}" in err
    assert "Traceback" not in err
    with df.open(project) as opened:
        assert [job.state for job in opened.jobs()] == [JobState.INTERRUPTED]
    kept = count(project)
    assert 2 <= kept < 36
    dafusion = CommandLine(capsys)
    assert dafusion.ok("worker", "--project", project)["jobs"][0]["state"] == "succeeded"
    assert count(project) == 36


def test_a_second_ctrl_c_stops_at_once(slow_worker: subprocess.Popen[str], project: Path) -> None:
    for _ in range(2):
        slow_worker.send_signal(signal.SIGINT)
        time.sleep(0.02)
    _out, err = slow_worker.communicate(timeout=20)
    assert slow_worker.returncode == 130, err
    assert "Traceback" not in err
    with df.open(project) as opened:
        assert opened.jobs()[0].state in (JobState.INTERRUPTED, JobState.QUEUED)
        assert not opened.is_read_only


def test_a_second_program_may_read_and_is_told_why_it_may_not_write(
    slow_worker: subprocess.Popen[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dafusion = CommandLine(capsys)
    assert dafusion.ok("jobs", "--project", project)["jobs"][0]["state"] == "running"
    answer = dafusion("split", "--project", project)
    assert answer.code == 3
    assert str(slow_worker.pid) in answer.err
    assert "Nothing was done" in answer.err


def test_a_reader_that_leaves_causes_no_noise(project: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.cli_driver", "--help"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    process.wait(20)
    assert err == ""
