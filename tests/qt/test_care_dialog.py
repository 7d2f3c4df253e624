"""Project care from the window: each verb does what it says, and says what it did."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PySide6.QtWidgets import QMessageBox
from pytestqt.qtbot import QtBot

from app.main_window import MainWindow
from app.pages.images.care import CareDialog
from dafusion_core import api
from tests.qt.conftest import take_photos
from tests.qt.test_whole import nameless


@pytest.fixture
def dialog(qtbot: QtBot, window: MainWindow, photos: Path) -> CareDialog:
    take_photos(qtbot, window, photos)
    qtbot.waitUntil(window.actions_table["care"].isEnabled)
    window.actions_table["care"].trigger()
    found = window.findChild(CareDialog)
    assert isinstance(found, CareDialog)
    return found


def settle(qtbot: QtBot, dialog: CareDialog) -> str:
    qtbot.waitUntil(lambda: not dialog.session.imports.is_busy)
    assert dialog.buttons["verify"].isEnabled()
    return dialog.outcome.text()


def test_missing_files_are_told_and_found(
    qtbot: QtBot, dialog: CareDialog, photos: Path, tmp_path: Path
) -> None:
    assert nameless(dialog) == []
    project = dialog.project
    dialog.buttons["verify"].click()
    assert settle(qtbot, dialog) == "All 24 files are there and whole."
    lost, changed = project.images()[:2]
    project.image_path(lost).unlink()
    project.image_path(changed).write_bytes(b"something else")
    dialog.verify()
    assert "1 are missing and 1 are not what they were" in settle(qtbot, dialog)
    assert dialog.lines.count() == 2
    dialog.locate(photos)
    assert settle(qtbot, dialog) == "1 picture found again; none is missing now."
    assert not dialog.lines.isVisible()


def test_rejected_pictures_go_only_after_a_question(
    qtbot: QtBot, dialog: CareDialog, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = dialog.project
    project.reject_images([1, 2])
    answers = iter([QMessageBox.StandardButton.Cancel, QMessageBox.StandardButton.Yes])
    monkeypatch.setattr(QMessageBox, "question", lambda *a, **k: next(answers))
    dialog.buttons["empty"].click()
    assert project.image_count() == 24
    dialog.buttons["empty"].click()
    assert "2 real images" in settle(qtbot, dialog)
    assert project.image_count() == 22
    dialog.buttons["shrink"].click()
    assert "are free again" in settle(qtbot, dialog)


def test_copies_archives_and_other_projects(
    qtbot: QtBot, dialog: CareDialog, photos: Path, tmp_path: Path
) -> None:
    dialog.copy_to(tmp_path / "copy.dafusion")
    assert settle(qtbot, dialog).startswith("Copied")
    with api.open(tmp_path / "copy.dafusion") as copy:
        assert copy.image_count() == 24
    dialog.archive(tmp_path / "all.zip")
    assert settle(qtbot, dialog).startswith("Packed")
    assert (tmp_path / "all.zip").is_file()
    dialog.archive(tmp_path / "all.zip")  # never over something
    assert "all.zip" in settle(qtbot, dialog)
    more = tmp_path / "more" / "sorrel"
    shutil.copytree(photos / "spurge", more)
    for path in more.iterdir():
        path.write_bytes(path.read_bytes() + b" ")
    with api.create(tmp_path / "third") as third:
        third.import_folder(tmp_path / "more")
    dialog.merge(tmp_path / "third.dafusion")
    assert settle(qtbot, dialog).startswith("8 images imported")
    assert dialog.project.image_count() == 32
    dialog.merge(dialog.project.path)
    assert "cannot be merged with itself" in settle(qtbot, dialog)
