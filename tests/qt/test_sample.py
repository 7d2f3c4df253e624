"""The sample in the window: drawn in the background, with its parts and plots."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.main_window import MainWindow
from app.projects import sample_project_path
from dafusion_core.meadow import SAMPLE, sample, write_folder
from tests.qt.conftest import wait_imported, workspace_of

DRAWING_MS = 60_000  # drawing takes seconds, more on a busy machine
COUNTS = {species.name: {"train": 2, "test": 4} for species in SAMPLE}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "TRAIN", 2)
    monkeypatch.setattr(sample, "TEST", 4)


def check(window: MainWindow) -> None:
    assert window.session is not None
    project = window.session.project
    assert project.count_parts() == COUNTS
    assert {image.group for image in project.images()} == {"plot-00", "plot-01", "plot-02"}


def close(qtbot: QtBot, window: MainWindow) -> None:
    window.close_project(is_asking=False)
    qtbot.waitUntil(lambda: window.session is None, timeout=DRAWING_MS)


def test_try_the_sample_draws_it_and_opens_it_again(qtbot: QtBot, window: MainWindow) -> None:
    window.open_sample()
    bar = workspace_of(window).bar
    assert "Drawing" in bar.messages["import"].text
    wait_imported(qtbot, window, 24, DRAWING_MS)
    assert "differently than on other computers" in bar.messages["import"].text
    check(window)
    folder = sample_project_path().with_name("sample-pictures")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    close(qtbot, window)
    window.open_sample()
    assert "import" not in workspace_of(window).bar.messages
    check(window)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_stopped_sample_goes_on_at_the_next_try(qtbot: QtBot, window: MainWindow) -> None:
    window.open_sample()
    assert window.session is not None
    window.session.stop_import()
    qtbot.waitUntil(
        lambda: window.session is not None and not window.session.imports.is_busy,
        timeout=DRAWING_MS,
    )
    assert window.session.project.current_split() is None
    close(qtbot, window)
    window.open_sample()
    wait_imported(qtbot, window, 24, DRAWING_MS)
    check(window)


def test_a_dropped_sample_folder_brings_its_parts(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    write_folder(tmp_path / "weeds", SAMPLE, 2, 4)
    window.take(tmp_path / "weeds")
    wait_imported(qtbot, window, 24, DRAWING_MS)
    check(window)


def test_a_folder_in_the_way_is_left_alone(qtbot: QtBot, window: MainWindow) -> None:
    folder = sample_project_path().with_name("sample-pictures")
    folder.mkdir(parents=True)
    (folder / "letter.txt").write_text("Dear Ann")
    said: list[Exception] = []
    window.errors.show = said.append  # type: ignore[method-assign]
    window.open_sample()
    assert window.session is not None
    window.session.failed.connect(said.append)
    qtbot.waitUntil(lambda: bool(said))
    assert "Nothing was written" in str(said[0])
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]
