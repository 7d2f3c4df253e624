"""The jobs panel: speed, how busy the computer is, and notices for who looks elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QSystemTrayIcon
from pytestqt.qtbot import QtBot

from app import notices
from app.machine import Usage, parse_gpu, read_usage
from app.main_window import MainWindow
from app.models.job_table import speed_words
from app.widgets.job_card import JobCard
from dafusion_core.domain.records import JobState
from dafusion_core.jobs.events import (
    JobFailed,
    JobFinished,
    JobLog,
    JobProgress,
    JobStarted,
    PreviewReady,
)
from dafusion_core.settings import Settings
from tests.qt.conftest import take_photos, wait_imported, wait_until_done, workspace_of


def progress(at: float, done: float) -> JobProgress:
    return JobProgress(job_id=1, at=at, done=done, total=100, phase="")


@pytest.mark.parametrize(
    ("seconds", "done", "words"),
    [
        (1.0, 50, ""),
        (10.0, 0, ""),
        (10.0, 32, "3.2 a second · "),
        (10.0, 5, "30 a minute · "),
        (600.0, 2, "12 an hour · "),
    ],
)
def test_speed_is_told_in_the_unit_that_fits(seconds: float, done: float, words: str) -> None:
    assert speed_words(progress(100.0, 7), progress(100.0 + seconds, 7 + done)) == words


def test_the_graphics_card_is_read_without_torch() -> None:
    text = "512, 8192, 37\n1024, 16384, 0\n"
    assert parse_gpu(text, 0) == (512 * 2**20, 8192 * 2**20, 0.37)
    assert parse_gpu(text, 1) == (1024 * 2**20, 16384 * 2**20, 0.0)


def test_usage_is_within_its_bounds() -> None:
    usage = read_usage()
    assert 0 <= usage.processor <= 1
    assert 0 < usage.memory_used <= usage.memory_total
    assert usage.gpu_used is None


def test_bars_are_there_while_jobs_run(qtbot: QtBot, window: MainWindow, photos: Path) -> None:
    window.new_project(photos)
    wait_imported(qtbot, window, 24)
    workspace = workspace_of(window)
    bars = workspace.jobs.usage
    seen: list[bool] = []
    workspace.jobs.model.dataChanged.connect(lambda *_: seen.append(bars.isVisible()))
    assert not bars.isVisible()
    workspace.do_next()
    wait_until_done(qtbot, window)
    qtbot.waitUntil(lambda: not bars.isVisible())
    assert True in seen
    assert not bars._timer.isActive()
    bars.show_usage(Usage(0.5, 2**30, 4 * 2**30, 2**29, 2**30, 8 * 2**30, 0.25))
    _title, bar, words = bars.lines["memory"]
    assert bar.value() == 250
    assert words.text() == "1.0 of 4 GB"  # type: ignore[attr-defined]
    assert bar.accessibleName() == "Memory: 1.0 of 4 GB, 0.5 by jobs"
    assert bars.lines["gpu"][1].toolTip() == "Graphics card: 1.0 of 8 GB, 25% busy"


@pytest.fixture
def finish(
    qtbot: QtBot, window: MainWindow, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Have a job end while another window is in front; returns what the bar says."""
    monkeypatch.setattr(notices, "LONG_S", 0.0)
    monkeypatch.setattr(QSystemTrayIcon, "isSystemTrayAvailable", lambda: False)
    monkeypatch.setattr(QApplication, "alert", lambda *_: None)
    window.new_project(photos)
    wait_imported(qtbot, window, 24)
    workspace = workspace_of(window)

    def act(event: object, *, in_front: bool = False) -> str:
        monkeypatch.setattr(workspace, "isActiveWindow", lambda: in_front, raising=False)
        workspace.bar.remove("notice")
        workspace.session.jobs.happened.emit(JobStarted(job_id=1, kind="train", attempt=1))
        workspace.session.jobs.happened.emit(event)
        found = workspace.bar.messages.get("notice")
        return found.text if found else ""

    return act


def test_the_end_of_long_work_is_told(finish: Callable[..., str]) -> None:
    assert finish(JobFinished(job_id=1)).startswith("Done")
    failed = JobFailed(job_id=1, kind="DiskFull", text="The disk is full.")
    assert finish(failed) == "Stopped by a problem: The disk is full."


def test_nobody_is_told_what_they_see(finish: Callable[..., str]) -> None:
    assert finish(JobFinished(job_id=1), in_front=True) == ""


def test_short_work_is_not_worth_a_notice(
    finish: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "LONG_S", 20.0)
    assert finish(JobFinished(job_id=1)) == ""


def test_notices_can_be_switched_off(finish: Callable[..., str]) -> None:
    Settings().set("notify", False)
    assert finish(JobFinished(job_id=1)) == ""


def test_a_running_job_samples_and_saves_when_asked(
    qtbot: QtBot, window: MainWindow, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAFUSION_TEST_STEP_S", "0.3")
    take_photos(qtbot, window, photos)
    workspace = workspace_of(window)
    said: list[str] = []

    def hear(event: object) -> None:
        if isinstance(event, PreviewReady | JobLog):
            said.append(event.text)

    workspace.session.jobs.happened.connect(hear)
    window.actions_table["concepts"].trigger()

    def running() -> JobCard | None:
        jobs = [j for j in workspace.session.project.jobs() if j.state is JobState.RUNNING]
        return workspace.jobs.cards.get(jobs[0].id) if jobs and jobs[0].kind == "invert" else None

    qtbot.waitUntil(lambda: running() is not None, timeout=15_000)
    card = running()
    assert card is not None
    qtbot.waitUntil(card.buttons["save"].isVisible)
    qtbot.mouseClick(card.buttons["save"], Qt.MouseButton.LeftButton)
    assert "saving at the next step" in card.detail.text()
    qtbot.waitUntil(lambda: any(text.startswith("saved at step") for text in said))
    usual = {"step 2 of 5", "step 4 of 5"}
    for _ in range(20):  # until one is taken at a step that is not shown anyway
        if card.buttons["sample"].isVisible():
            qtbot.mouseClick(card.buttons["sample"], Qt.MouseButton.LeftButton)
        qtbot.wait(200)
        extra = [x for x in said if " of 5" in x and x.rpartition(": ")[2] not in usual]
        if extra:
            break
    assert extra
    monkeypatch.setenv("DAFUSION_TEST_STEP_S", "0")
