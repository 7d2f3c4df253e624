"""Notices of the system, with a stand-in for its tray: when one is sent, and when none is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication, QSystemTrayIcon
from pytestqt.qtbot import QtBot

from app import notices
from app.main_window import MainWindow
from dafusion_core.domain.records import JobState
from dafusion_core.jobs.events import JobFailed, JobFinished, JobStarted
from dafusion_core.settings import Settings
from tests.qt.conftest import states, take_photos, wait_until_done, workspace_of

ICONS = QSystemTrayIcon.MessageIcon


class Tray(QObject):
    """What a tray icon is asked."""

    MessageIcon = ICONS
    activated = Signal(object)
    messageClicked = Signal()  # noqa: N815
    is_there: ClassVar[bool] = True
    made: ClassVar[list[Tray]] = []
    sent: ClassVar[list[tuple[str, str, QSystemTrayIcon.MessageIcon]]] = []

    def __init__(self, icon: QIcon, parent: QObject) -> None:
        super().__init__(parent)
        assert not icon.isNull()
        Tray.made.append(self)

    @staticmethod
    def isSystemTrayAvailable() -> bool:  # noqa: N802
        return Tray.is_there

    def show(self) -> None: ...

    def showMessage(  # noqa: N802
        self, title: str, text: str, icon: QSystemTrayIcon.MessageIcon, shown_ms: int
    ) -> None:
        assert shown_ms >= 5000
        Tray.sent.append((title, text, icon))


@pytest.fixture
def alerts(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Put the stand-in in its place; the windows that asked for attention in the task bar."""
    found: list[object] = []
    monkeypatch.setattr(notices, "QSystemTrayIcon", Tray)
    monkeypatch.setattr(notices, "LONG_S", 0.0)
    monkeypatch.setattr(QApplication, "alert", found.append)
    monkeypatch.setattr(Tray, "is_there", True)
    Tray.made.clear()
    Tray.sent.clear()
    return found


@pytest.fixture
def end(
    qtbot: QtBot,
    alerts: list[object],
    window: MainWindow,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., None]:
    """Have a job end, by default while another window is in front."""
    take_photos(qtbot, window, photos)
    workspace = workspace_of(window)

    def act(event: object, *, in_front: bool = False) -> None:
        monkeypatch.setattr(workspace, "isActiveWindow", lambda: in_front, raising=False)
        workspace.session.jobs.happened.emit(JobStarted(job_id=1, kind="train", attempt=1))
        workspace.session.jobs.happened.emit(event)

    return act


FAILED = JobFailed(job_id=1, kind="disk_full", text="The disk is full.")


def test_the_end_and_a_problem_are_sent(window: MainWindow, end: Callable[..., None]) -> None:
    end(JobFinished(job_id=1))
    end(FAILED)
    assert [(title, icon) for title, _text, icon in Tray.sent] == [
        ("weeds", ICONS.Information),
        ("weeds", ICONS.Warning),
    ]
    assert Tray.sent[1][1] == "Stopped by a problem: The disk is full."
    assert len(Tray.made) == 1  # one icon, however many notices


def test_a_click_on_it_brings_the_window(
    window: MainWindow, end: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: list[bool] = []
    workspace = workspace_of(window)
    monkeypatch.setattr(workspace, "activateWindow", lambda: brought.append(True), raising=False)
    end(FAILED)
    Tray.made[0].messageClicked.emit()
    assert brought == [True]


@pytest.mark.parametrize("why", ["in front", "short", "switched off", "a job waits"])
def test_none_is_sent(
    window: MainWindow, end: Callable[..., None], monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if why == "short":
        monkeypatch.setattr(notices, "LONG_S", 20.0)
    if why == "switched off":
        Settings().set("notify", False)
    if why == "a job waits":
        project = workspace_of(window).session.project
        project.make_split()
        project.generate(variants=1)
    end(JobFinished(job_id=1), in_front=why == "in front")
    if why != "a job waits":
        end(FAILED, in_front=why == "in front")
    assert Tray.sent == []


def test_without_a_tray_the_task_bar_calls(
    end: Callable[..., None], alerts: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tray, "is_there", False)
    end(JobFinished(job_id=1))
    assert (Tray.sent, len(alerts)) == ([], 1)


def test_a_real_chain_sends_one_notice_at_its_end(
    qtbot: QtBot, window: MainWindow, alerts: list[object], photos: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    take_photos(qtbot, window, photos)
    monkeypatch.setattr(workspace_of(window), "isActiveWindow", lambda: False, raising=False)
    window.actions_table["everything"].trigger()
    wait_until_done(qtbot, window)
    qtbot.waitUntil(lambda: bool(Tray.sent))
    assert states(window)["compare"] is JobState.SUCCEEDED
    assert [text.startswith("Done: Compare") for _, text, _ in Tray.sent] == [True]
