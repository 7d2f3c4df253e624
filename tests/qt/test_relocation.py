"""Copying the open project, and moving or renaming it, also while work is running."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QFileDialog, QMessageBox
from pytestqt.qtbot import QtBot

from app import ui_state
from app.main_window import MainWindow
from app.relocation import Relocation
from dafusion_core.api.project import open as open_project
from dafusion_core.domain.records import JobState
from tests.qt.conftest import states, take_photos, wait_until_done


def ask_for(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(target), ""))


def wait_opened(qtbot: QtBot, window: MainWindow, path: Path) -> None:
    qtbot.waitUntil(
        lambda: window.session is not None and window.session.project.path == path, timeout=15_000
    )


def test_a_project_is_copied_and_stays_open(
    qtbot: QtBot, window: MainWindow, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert not window.actions_table["copy_project"].isEnabled()
    take_photos(qtbot, window, photos)
    here = window.session.project.path  # type: ignore[union-attr]
    qtbot.waitUntil(window.actions_table["copy_project"].isEnabled)
    ask_for(monkeypatch, tmp_path / "elsewhere" / "second.dafusion")
    window.actions_table["copy_project"].trigger()
    qtbot.waitUntil(lambda: "made" in window.bar.messages)
    assert "Copied to" in window.bar.messages["made"].text
    wait_opened(qtbot, window, here)
    with open_project(tmp_path / "elsewhere" / "second.dafusion") as copy:
        assert copy.image_count() == 24
        assert not copy.verify().missing
    # a name that is taken is refused, and nothing is lost
    window.actions_table["copy_project"].trigger()
    qtbot.waitUntil(lambda: any("there already" in m.text for m in window.bar.messages.values()))


def test_a_project_is_renamed_while_work_runs(
    qtbot: QtBot, window: MainWindow, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAFUSION_TEST_STEP_S", "0.1")
    take_photos(qtbot, window, photos)
    old = window.session.project.path  # type: ignore[union-attr]
    new = old.with_name("renamed.dafusion")
    window.actions_table["everything"].trigger()
    qtbot.waitUntil(lambda: JobState.RUNNING in states(window).values(), timeout=15_000)
    ask_for(monkeypatch, new)
    asked: list[int] = []
    monkeypatch.setattr(
        Relocation, "_may_stop", lambda self, n: bool(asked.append(n)) or len(asked) > 1
    )
    window.actions_table["move_project"].trigger()
    assert asked == [1]
    wait_opened(qtbot, window, old)  # the user kept it where it is
    assert JobState.RUNNING in states(window).values()
    window.actions_table["move_project"].trigger()
    wait_opened(qtbot, window, new)
    assert not window.relocation.is_moving
    assert not old.exists()
    assert not old.with_name(f"{old.stem}.files").exists()
    assert ui_state.recent_projects()[0] == new
    assert old not in ui_state.recent_projects()
    assert "Moved to" in window.bar.messages["moved"].text
    assert "resume" in window.bar.messages
    monkeypatch.setenv("DAFUSION_TEST_STEP_S", "0.001")
    window.workspace._resume_unfinished()  # type: ignore[union-attr]
    wait_until_done(qtbot, window)


def test_a_move_that_fails_opens_the_project_where_it_was(
    qtbot: QtBot, window: MainWindow, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    take_photos(qtbot, window, photos)
    old = window.session.project.path  # type: ignore[union-attr]
    taken = tmp_path / "taken.dafusion"
    taken.write_text("mine")
    ask_for(monkeypatch, taken)
    qtbot.waitUntil(window.actions_table["move_project"].isEnabled)
    first = window.session
    window.actions_table["move_project"].trigger()
    qtbot.waitUntil(
        lambda: window.session is not None and window.session is not first, timeout=15_000
    )
    assert window.session.project.path == old  # type: ignore[union-attr]
    assert window.session.project.image_count() == 24  # type: ignore[union-attr]
    assert taken.read_text() == "mine"
    assert any("there already" in m.text for m in window.bar.messages.values())


def test_the_question_says_what_becomes_of_the_work(
    window: MainWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def answer(box: QMessageBox) -> int:
        said.extend([box.text(), box.informativeText()])
        return 0

    monkeypatch.setattr(QMessageBox, "exec", answer)
    assert not window.relocation._may_stop(2)
    assert said[0] == "2 jobs are running."
    assert "resume it at the new place" in said[1]
