"""Labelling real images with keys: classes, doubts, groups, notes, leaving out, and undo."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QInputDialog
from pytestqt.qtbot import QtBot

from app.main_window import MainWindow
from app.models.roles import CURATION_ROLE, UNSURE_ROLE
from app.pages.images.labelling import ClassDialog
from app.pages.images.page import ImagesPage
from app.steps import Step
from dafusion_core.api.project import Project
from dafusion_core.domain.records import Curation
from tests.qt.conftest import page_of, take_photos


@pytest.fixture
def page(qtbot: QtBot, window: MainWindow, photos: Path) -> ImagesPage:
    take_photos(qtbot, window, photos)
    page = page_of(window, Step.IMAGES, ImagesPage)
    qtbot.waitUntil(lambda: page.model.rowCount() == 24)
    page.grid.setFocus()
    page.grid.go_to_place(0)
    return page


def counts(project: Project) -> dict[str, int]:
    return {name: sum(parts.values()) for name, parts in project.part_counts().items()}


def settle(qtbot: QtBot, page: ImagesPage) -> None:
    qtbot.waitUntil(lambda: not page.session.commands.is_busy)


def test_digits_give_classes_and_undo_takes_them_back(
    qtbot: QtBot, window: MainWindow, page: ImagesPage
) -> None:
    first = page.model.ids[0]
    assert page.classes.item(2, 4).text() == "2"
    qtbot.keyClick(page.grid, Qt.Key.Key_2)
    settle(qtbot, page)
    assert counts(page.project) == {"dandelion": 7, "ragwort": 9, "spurge": 8}
    assert page.project.image(first).label == "ragwort"
    qtbot.waitUntil(lambda: page.classes.item(1, 1).text() == "7")
    qtbot.keyClick(page.grid, Qt.Key.Key_0)
    settle(qtbot, page)
    qtbot.waitUntil(lambda: page.classes.rowCount() == 5)
    assert counts(page.project)[""] == 1 or counts(page.project) != {}
    for _ in range(2):
        page.session.do(page.project.undo)
    settle(qtbot, page)
    assert counts(page.project) == {"dandelion": 8, "ragwort": 8, "spurge": 8}


def test_a_class_by_name_may_be_new(qtbot: QtBot, page: ImagesPage) -> None:
    page.grid.selectAll()
    qtbot.keyClick(page.grid, Qt.Key.Key_L)
    dialog = page.grid.findChild(ClassDialog)
    assert isinstance(dialog, ClassDialog)
    assert not dialog.ok.isEnabled()
    dialog.field.setText("rag")
    assert dialog.name == "ragwort"
    dialog.field.setText("Thistle")
    assert dialog.what.text() == "A new class: Thistle"
    dialog.ok.click()
    settle(qtbot, page)
    assert counts(page.project)["Thistle"] == 24
    assert page.project.undo_text() is not None


def test_doubts_and_left_out_are_painted_and_told(qtbot: QtBot, page: ImagesPage) -> None:
    index = page.model.index(0)
    qtbot.keyClick(page.grid, Qt.Key.Key_S)
    settle(qtbot, page)
    assert index.data(UNSURE_ROLE) is True
    assert "not sure" in index.data(Qt.ItemDataRole.AccessibleTextRole)
    qtbot.keyClick(page.grid, Qt.Key.Key_S)
    settle(qtbot, page)
    assert index.data(UNSURE_ROLE) is False
    qtbot.keyClick(page.grid, Qt.Key.Key_X)
    settle(qtbot, page)
    assert index.data(CURATION_ROLE) == Curation.REJECTED
    page.grid.repaint()
    qtbot.keyClick(page.grid, Qt.Key.Key_U)
    settle(qtbot, page)
    assert index.data(CURATION_ROLE) is None


def test_groups_and_notes(qtbot: QtBot, page: ImagesPage, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([("plot 3", True), ("cut at the edge", True), ("", False)])
    monkeypatch.setattr(QInputDialog, "getText", lambda *a, **k: next(answers))
    page.grid.selectionModel().select(
        page.grid.folded.run(0, 4), page.grid.selectionModel().SelectionFlag.ClearAndSelect
    )
    qtbot.keyClick(page.grid, Qt.Key.Key_G, Qt.KeyboardModifier.ControlModifier)
    settle(qtbot, page)
    assert {name: len(ids) for name, ids in page.project.groups().items()} == {"plot 3": 5}
    qtbot.keyClick(page.grid, Qt.Key.Key_T)
    settle(qtbot, page)
    assert page.project.image(page.model.ids[0]).note == "cut at the edge"
    assert "Group: plot 3" in page.model.index(0).data(Qt.ItemDataRole.ToolTipRole)
    before = page.project.undo_text()
    qtbot.keyClick(page.grid, Qt.Key.Key_T)  # cancelled
    settle(qtbot, page)
    assert page.project.undo_text() == before


def test_what_leaves_the_shown_class_leaves_the_focus_in_place(
    qtbot: QtBot, page: ImagesPage
) -> None:
    page.classes.selectRow(1)
    qtbot.waitUntil(lambda: page.model.rowCount() == 8)
    page.grid.go_to_place(3)
    after = page.model.ids[4]
    qtbot.keyClick(page.grid, Qt.Key.Key_3)
    qtbot.waitUntil(lambda: page.model.rowCount() == 7)
    place = page.grid.folded.place(page.grid.currentIndex())
    assert page.model.ids[place] == after
