"""The way of a user through the real window, with real worker processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox
from pytestqt.qtbot import QtBot

from app import ui_state
from app.dialogs.closing import Closing, ask_closing
from app.main_window import MainWindow
from app.pages.report.page import ReportPage
from app.session import Session
from app.steps import Step, StepState
from app.widgets.job_card import JobCard
from dafusion_core.domain.records import Curation, JobState
from dafusion_core.jobs.events import UnitFinished
from tests.fake_methods import TARGET
from tests.qt.conftest import (
    drop,
    page_of,
    states,
    take_photos,
    wait_imported,
    wait_until_done,
    workspace_of,
)


def rejected(window: MainWindow) -> int:
    assert window.session is not None
    return len(window.session.project.synthetic_ids(curation=Curation.REJECTED))


def test_from_a_dropped_folder_to_a_verdict(qtbot: QtBot, window: MainWindow, photos: Path) -> None:
    drop(window.welcome.zone, photos)
    wait_imported(qtbot, window, 24)
    workspace = workspace_of(window)
    qtbot.waitUntil(lambda: workspace.states[Step.IMAGES].state is StepState.DONE)
    everything = window.actions_table["everything"]
    assert everything.isEnabled()

    everything.trigger()
    assert workspace.step is Step.CURATE
    wait_until_done(qtbot, window)
    grid = workspace.curate.grid
    model = workspace.curate.model
    qtbot.waitUntil(lambda: sum(c.waiting for c in model.counts()) == 0 and bool(model.t0_set))
    assert model.t0_set == [0.25, 0.5, 0.75, 1.0]
    assert model.rowCount() == 12

    qtbot.waitUntil(window.actions_table["reject"].isEnabled)
    grid.setFocus()
    grid.focus_first()
    for _ in range(3):
        qtbot.keyClick(grid, Qt.Key.Key_X)
    qtbot.waitUntil(lambda: rejected(window) == 3)
    assert grid.currentIndex().column() == 4  # went on to the neighbour each time
    qtbot.waitUntil(lambda: window.actions_table["undo"].text() == "&Undo: reject 1 image")
    window.actions_table["undo"].trigger()
    qtbot.waitUntil(lambda: rejected(window) == 2)
    # The classifier saw the pictures that are rejected now.
    qtbot.waitUntil(lambda: workspace.states[Step.TRAIN].state is StepState.STALE)

    workspace.show_step(Step.REPORT)
    report = page_of(window, Step.REPORT, ReportPage)
    assert report.stack.currentWidget() is report.content
    assert report.verdict is not None
    assert report.sentence.text() == "\n".join(report.verdict.sentences)
    assert "DA-Fusion" in report.sentence.text()
    assert report.arms.rowCount() == 2
    assert report.classes.rowCount() == 3
    qtbot.waitUntil(report.stale.isVisible)

    # The main button repeats what is out of date, and no more.
    qtbot.waitUntil(lambda: everything.text() == "Bring up to date")
    everything.trigger()
    session = workspace.session
    qtbot.waitUntil(lambda: len(session.project.evaluations()) == 2, timeout=20_000)
    qtbot.waitUntil(lambda: everything.text() == "Up to date")
    assert not everything.isEnabled()
    kinds = [job.kind for job in session.project.jobs()]
    assert kinds == ["erase", "invert", "generate", "train", "compare", "train", "compare"]
    qtbot.waitUntil(lambda: not report.stale.isVisible())
    assert set(states(window).values()) == {JobState.SUCCEEDED}


def test_closing_while_running_keeps_what_is_done_and_resumes(
    qtbot: QtBot,
    make_window: Callable[[], MainWindow],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DAFUSION_TEST_STEP_S", "0.15")
    window = make_window()
    take_photos(qtbot, window, photos)
    assert window.session is not None
    path = window.session.project.path
    window.actions_table["everything"].trigger()

    def made() -> int:
        return len(window.session.project.synthetic_ids()) if window.session else 0

    qtbot.waitUntil(lambda: made() >= 3, timeout=20_000)
    monkeypatch.setattr(MainWindow, "_ask_closing", lambda self, number: "stay")
    window.close()
    assert window.isVisible()
    assert window.session is not None  # kept open
    monkeypatch.setattr(MainWindow, "_ask_closing", lambda self, number: "stop")
    window.close()
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=15_000)
    assert window.session is None
    assert ui_state.recent_projects() == [path]

    monkeypatch.setenv("DAFUSION_TEST_STEP_S", "0")
    again = make_window()
    again.open_project(path)
    message = again.bar.messages["resume"]
    assert message.text.startswith("Interrupted: Generate 48 images, ")
    assert states(again)["generate"] is JobState.INTERRUPTED
    kept = len(again.session.project.synthetic_ids())  # type: ignore[union-attr]
    assert 3 <= kept < 48
    assert not again.session.jobs.is_running  # type: ignore[union-attr]
    assert again.actions_table["everything"].text() == "Resume"
    assert not workspace_of(again).jobs.start_button.isVisible()  # it could start nothing
    qtbot.mouseClick(message.buttons[0], Qt.MouseButton.LeftButton)
    wait_until_done(qtbot, again)
    assert len(again.session.project.synthetic_ids()) == 48  # type: ignore[union-attr]


def test_the_question_when_closing_is_calm(
    qtbot: QtBot, window: MainWindow, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def answer(box: QMessageBox) -> int:
        shown.append(box.text())
        shown.extend(button.text() for button in box.buttons())
        return 0

    monkeypatch.setattr(QMessageBox, "exec", answer)
    assert ask_closing(window, 1) is Closing.STAY
    assert "Stop after this step and close" in shown
    assert "Keep running without the window" in shown
    assert "Keep open" in shown


def test_cancel_says_stopping_at_once_and_retry_finishes(
    qtbot: QtBot, window: MainWindow, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAFUSION_TEST_STEP_S", "0.1")
    take_photos(qtbot, window, photos)
    workspace = workspace_of(window)
    window.actions_table["concepts"].trigger()
    panel = workspace.jobs

    def running() -> int | None:
        found = [j for j in workspace.session.project.jobs() if j.state is JobState.RUNNING]
        return found[0].id if found and found[0].kind == "invert" else None

    qtbot.waitUntil(lambda: running() is not None, timeout=15_000)
    job_id = running()
    assert job_id is not None
    qtbot.waitUntil(lambda: panel.cards[job_id].buttons["cancel"].isVisible())
    qtbot.mouseClick(panel.cards[job_id].buttons["cancel"], Qt.MouseButton.LeftButton)
    assert panel.cards[job_id].state.text() == "Stopping…"
    qtbot.waitUntil(lambda: states(window)["invert"] is JobState.CANCELLED, timeout=10_000)
    qtbot.waitUntil(lambda: panel.cards[job_id].buttons["retry"].isVisible())
    monkeypatch.setenv("DAFUSION_TEST_STEP_S", "0")
    qtbot.mouseClick(panel.cards[job_id].buttons["retry"], Qt.MouseButton.LeftButton)
    wait_until_done(qtbot, window)


def test_a_failed_job_says_why_and_what_to_do(
    qtbot: QtBot, window: MainWindow, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAFUSION_TEST_TROUBLE", "memory@0")
    take_photos(qtbot, window, photos)
    workspace = workspace_of(window)
    window.actions_table["everything"].trigger()
    qtbot.waitUntil(lambda: states(window).get("generate") is JobState.FAILED, timeout=15_000)
    job = next(j for j in workspace.session.project.jobs() if j.kind == "generate")
    card = workspace.jobs.cards[job.id]
    qtbot.waitUntil(card.error.isVisible)
    assert card.error.text().startswith("The computer ran out of memory")
    assert "smaller batch" in card.error.text()
    qtbot.waitUntil(lambda: workspace.states[Step.GENERATE].state is StepState.FAILED)
    waiting = next(j for j in workspace.session.project.jobs() if j.kind == "train")
    assert workspace.jobs.cards[waiting.id].state.text() == "Waits for a job that did not finish"


def test_workers_that_cannot_start_are_reported_and_work_goes_on_later(
    qtbot: QtBot, window: MainWindow, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_photos(qtbot, window, photos)
    workspace = workspace_of(window)
    monkeypatch.setattr(Session, "worker_target", "tests.qt.there_is_no_such_module:run")
    window.actions_table["concepts"].trigger()

    def told() -> bool:
        texts = [message.text for message in window.bar.messages.values()]
        return any("could not be started" in text for text in texts)

    qtbot.waitUntil(told, timeout=30_000)
    assert not workspace.session.jobs.is_running
    assert states(window)["erase"] is JobState.QUEUED
    qtbot.waitUntil(workspace.jobs.start_button.isVisible)
    monkeypatch.setattr(Session, "worker_target", TARGET)
    qtbot.mouseClick(workspace.jobs.start_button, Qt.MouseButton.LeftButton)
    wait_until_done(qtbot, window)


def test_pausing_frees_the_worker_and_resuming_goes_on(
    qtbot: QtBot, window: MainWindow, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAFUSION_TEST_STEP_S", "0.1")
    take_photos(qtbot, window, photos)
    workspace = workspace_of(window)
    window.actions_table["concepts"].trigger()
    panel = workspace.jobs

    def card() -> JobCard | None:
        found = [j for j in workspace.session.project.jobs() if j.kind == "invert"]
        return panel.cards.get(found[0].id) if found else None

    def can(what: str) -> bool:
        shown = card()
        return shown is not None and shown.buttons[what].isVisible()

    qtbot.waitUntil(lambda: can("pause"), timeout=15_000)
    shown = card()
    assert shown is not None
    qtbot.mouseClick(shown.buttons["pause"], Qt.MouseButton.LeftButton)
    assert shown.state.text() == "Stopping…"
    qtbot.waitUntil(lambda: can("resume"), timeout=10_000)
    assert states(window)["invert"] is JobState.QUEUED
    assert shown.state.text().startswith("Paused")
    qtbot.waitUntil(lambda: workspace.states[Step.CONCEPTS].state is StepState.PAUSED)
    qtbot.mouseClick(shown.buttons["resume"], Qt.MouseButton.LeftButton)
    wait_until_done(qtbot, window)


def test_news_that_was_on_its_way_while_closing_is_dropped(
    qtbot: QtBot, window: MainWindow, photos: Path
) -> None:
    take_photos(qtbot, window, photos)
    session = window.session
    assert session is not None
    session.close_now()
    session.jobs.happened.emit(UnitFinished(job_id=1, unit_id=1, result_id=1))
    assert window.session is None  # and pytest-qt saw no exception in the slot


def test_one_closing_is_enough_when_nothing_runs(
    qtbot: QtBot, window: MainWindow, photos: Path
) -> None:
    take_photos(qtbot, window, photos)
    window.close()
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=5_000)
