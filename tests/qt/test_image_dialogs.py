"""Classes, groups and splits by menu and dialog; every step in the one undo."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QInputDialog, QMenu, QPushButton
from pytestqt.qtbot import QtBot

from app.dialogs.split import SplitDialog
from app.main_window import MainWindow
from app.pages.images.grouping import GroupingDialog
from app.pages.images.page import ImagesPage
from app.steps import Step
from dafusion_core.domain.records import Part
from tests.qt.conftest import page_of, take_photos, wait_imported, workspace_of
from tests.qt.test_images import counts, settle
from tests.qt.test_whole import nameless


@pytest.fixture
def page(qtbot: QtBot, window: MainWindow, photos: Path) -> ImagesPage:
    take_photos(qtbot, window, photos)
    page = page_of(window, Step.IMAGES, ImagesPage)
    qtbot.waitUntil(lambda: page.model.rowCount() == 24)
    return page


def answer(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    answers = iter(texts)
    monkeypatch.setattr(QInputDialog, "getText", lambda *a, **k: (next(answers), True))


def names(page: ImagesPage) -> list[str]:
    return page.labelling.class_names()


def test_classes_by_menu_and_key(
    qtbot: QtBot, page: ImagesPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, "sorrel", "dock", "late dandelion")
    table = page.classes
    qtbot.keyClick(table, Qt.Key.Key_Insert)
    settle(qtbot, page)
    qtbot.waitUntil(lambda: table.rowCount() == 5)
    table.selectRow(4)
    qtbot.keyClick(table, Qt.Key.Key_F2)
    settle(qtbot, page)
    assert names(page) == ["dandelion", "ragwort", "spurge", "dock"]
    qtbot.keyClick(table, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    settle(qtbot, page)
    assert names(page) == ["dandelion", "ragwort", "dock", "spurge"]
    qtbot.waitUntil(lambda: page.class_name() == "dock")
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    settle(qtbot, page)
    assert names(page) == ["dandelion", "ragwort", "spurge"]
    qtbot.waitUntil(lambda: table.rowCount() == 4)
    table.selectRow(1)
    page.grid.go_to_place(0)
    page.class_care.split_off()
    settle(qtbot, page)
    assert counts(page.project)["late dandelion"] == 1
    table.selectRow(2)
    assert page.class_name() == "ragwort"
    menu = page.class_care.menu(table)
    texts = [action.text() for action in menu.actions()]
    assert "Rename “ragwort”…\tF2" in texts
    (merge,) = [m for m in menu.findChildren(QMenu) if m.title().startswith("Merge")]
    next(action for action in merge.actions() if action.text() == "spurge").trigger()
    settle(qtbot, page)
    assert counts(page.project)["spurge"] == 16
    menu.deleteLater()
    undone = 0
    while page.project.undo_text() is not None:
        page.session.do(page.project.undo)
        settle(qtbot, page)
        undone += 1
    assert undone == 6
    assert names(page) == ["dandelion", "ragwort", "spurge"]
    assert counts(page.project) == {"dandelion": 8, "ragwort": 8, "spurge": 8}


def test_groups_by_pattern_folder_and_day(qtbot: QtBot, page: ImagesPage) -> None:
    page.grid.go_to_place(0)
    page.grid.selectionModel().select(
        page.grid.folded.run(0, 7), page.grid.selectionModel().SelectionFlag.ClearAndSelect
    )
    dialog = GroupingDialog(page.session, page.labelling.chosen(), page)
    dialog.open()
    assert nameless(dialog) == []
    qtbot.waitUntil(dialog.start.isEnabled)
    assert dialog.what.text() == "3 groups of 24 pictures."
    dialog.pattern.setText("(")
    qtbot.waitUntil(lambda: "regular expression" in dialog.what.text())
    assert not dialog.start.isEnabled()
    dialog.way.setCurrentIndex(dialog.way.findData("date"))
    qtbot.waitUntil(lambda: dialog.what.text().startswith("No picture fits"))
    dialog.way.setCurrentIndex(dialog.way.findData("folder"))
    qtbot.waitUntil(dialog.start.isEnabled)
    assert dialog.found.rowCount() == 3
    dialog.way.setCurrentIndex(dialog.way.findData("name"))
    dialog.pattern.setText(r"-0([01])\.")
    dialog.only.setChecked(True)
    qtbot.waitUntil(lambda: dialog.what.text().startswith("2 groups of 2 pictures."))
    dialog.start.click()
    settle(qtbot, page)
    assert {name: len(ids) for name, ids in page.project.groups().items()} == {"0": 1, "1": 1}
    page.session.do(page.project.undo)
    settle(qtbot, page)
    assert page.project.groups() == {}


def test_what_a_split_would_be(qtbot: QtBot, window: MainWindow, page: ImagesPage) -> None:
    project = page.project
    project.mark_unsure([1, 2])
    project.make_split()
    dialog = SplitDialog(page.session, window)
    dialog.open()
    assert nameless(dialog) == []
    qtbot.waitUntil(lambda: dialog.counts.rowCount() == 4)

    def line(row: int) -> list[str]:
        return [dialog.counts.item(row, column).text() for column in range(5)]

    assert line(3) == ["All", "12", "0", "12", "0"]
    dialog.unsure.setChecked(False)
    qtbot.waitUntil(lambda: line(3)[4] == "2")
    dialog.unsure.setChecked(True)
    dialog.few.setChecked(True)
    dialog.shots.setValue(2)
    qtbot.waitUntil(lambda: line(3) == ["All", "6", "0", "12", "6"])
    dialog.test.setValue(0)
    qtbot.waitUntil(lambda: "nothing to test" in dialog.stale.text())
    assert not dialog.start.isEnabled()
    dialog.test.setValue(25)
    qtbot.waitUntil(lambda: dialog.start.isEnabled() and line(3)[3] == "6")
    assert len(project.splits()) == 1  # nothing was made yet
    dialog.lock.click()
    settle(qtbot, page)
    assert len(project.locked_test()) == 12
    qtbot.waitUntil(lambda: dialog.lock.text() == "Unlock" and line(3)[3] == "12")
    assert not dialog.test.isEnabled()
    dialog.start.click()
    settle(qtbot, page)
    assert len(project.splits()) == 2
    assert [image.id for image in project.images(part="test")] == sorted(project.locked_test())
    again = SplitDialog(page.session, window)
    again.open()
    assert again.earlier.itemText(0).startswith("Split 1: ")
    again.use.click()
    settle(qtbot, page)
    split = project.current_split()
    assert split is not None
    assert split.name == "Split 1"


def test_a_split_by_list_and_parts_by_hand(
    qtbot: QtBot, window: MainWindow, page: ImagesPage, tmp_path: Path
) -> None:
    rows = [f"{image.original_path},{'test' if image.id % 3 else 'train'}\n" for image in
            page.project.images()]  # fmt: skip
    (tmp_path / "parts.csv").write_text("path,split\n" + "".join(rows))
    dialog = SplitDialog(page.session, window)
    dialog.divide_by_list(tmp_path / "parts.csv")
    settle(qtbot, page)
    assert len(page.project.images(part="train")) == 8
    qtbot.waitUntil(lambda: "From parts.csv" in page.split_line.text())
    page.grid.go_to_place(0)
    (chosen,) = page.labelling.chosen()
    page.labelling.set_part(Part.UNUSED)
    settle(qtbot, page)
    assert page.project.image(chosen).part is Part.UNUSED


def test_an_import_is_taken_back_by_one_click(
    qtbot: QtBot, window: MainWindow, page: ImagesPage, tmp_path: Path
) -> None:
    (tmp_path / "more" / "sorrel").mkdir(parents=True)
    for number in range(3):
        picture = Image.effect_noise((20, 20 + number), 60)
        picture.save(tmp_path / "more" / "sorrel" / f"{number}.png")
    page.project.set_note([1], "stays")
    workspace = workspace_of(window)
    workspace.import_folder(tmp_path / "more")
    wait_imported(qtbot, window, 27)
    qtbot.waitUntil(lambda: "imported" in workspace.bar.messages["import"].text)
    assert "sorrel" in names(page)
    chosen = [b for b in workspace.bar.messages["import"].findChildren(QPushButton)
              if b.text() == "Undo import"]  # fmt: skip
    chosen[0].click()
    settle(qtbot, page)
    assert page.project.image_count() == 24
    assert names(page) == ["dandelion", "ragwort", "spurge"]
    assert page.project.image(1).note == "stays"
    qtbot.waitUntil(lambda: page.model.rowCount() == 24)
    assert "import" not in workspace.bar.messages
