"""The region editor: points, zoom, keys, names, pictures that cannot be shown, the overlay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtTest import QTest
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from app.main_window import MainWindow
from app.pages.images.page import ImagesPage
from app.regions.editor import RegionEditor
from app.regions.list_model import RegionListModel
from app.regions.tools import ToolKey
from app.steps import Step
from app.widgets.region_overlay import describe_regions, overlay_of
from tests.qt.conftest import workspace_of
from tests.qt.regions.drawing import (
    NONE,
    at,
    click,
    drag,
    drawn,
    keys,
    open_large,
    paint_all_kinds,
    settle,
    wait_picture,
    wheel,
)
from tests.qt.test_whole import nameless


def test_points_of_a_polygon(qtbot: QtBot, editor: RegionEditor) -> None:
    keys(qtbot, editor, Qt.Key.Key_P)
    click(editor, (20, 20), (100, 20), (100, 80), (20, 80), (5, 50))
    keys(qtbot, editor, Qt.Key.Key_Backspace)  # the last one was a slip
    click(editor, (20, 20))
    settle(qtbot, editor)
    item = editor.document.items[0]
    scale = editor.canvas.view.scale
    assert np.allclose(item.polygons()[0], [20, 20, 100, 20, 100, 80, 20, 80], atol=1 / scale)
    keys(qtbot, editor, Qt.Key.Key_V)
    drag(editor, [(100, 80), (120, 90)])
    settle(qtbot, editor)
    assert np.allclose(item.polygons()[0][4:6], [120, 90], atol=1 / scale)
    drag(editor, [(60, 20), (60, 10)])  # the middle of the upper edge: a new point
    settle(qtbot, editor)
    assert len(item.polygons()[0]) == 10
    assert np.allclose(item.polygons()[0][2:4], [60, 10], atol=1 / scale)
    assert editor.remove.text() == "Remove point"
    keys(qtbot, editor, Qt.Key.Key_Delete)
    settle(qtbot, editor)
    assert len(item.polygons()[0]) == 8
    keys(qtbot, editor, ".", "i")
    settle(qtbot, editor)
    assert len(item.polygons()[0]) == 10
    stored = editor.project.regions([editor.document.image.id])[0]  # type: ignore[union-attr]
    assert dict(stored.data) == item.data


def test_zoomed_and_moved_the_pixels_are_the_same(qtbot: QtBot, editor: RegionEditor) -> None:
    canvas = editor.canvas
    fit = canvas.view.scale
    qtbot.keyClick(canvas, Qt.Key.Key_1, Qt.KeyboardModifier.ControlModifier)
    assert canvas.view.scale == 1.0
    keys(qtbot, editor, "+", "+", "+", "+", "+", "+", "+", "+", "+", "+", "+", "+")
    assert canvas.view.scale > fit
    start = canvas.view.to_screen(QPointF(70, 50)).toPoint()
    QTest.mousePress(canvas, Qt.MouseButton.MiddleButton, NONE, start)
    QTest.mouseMove(canvas, start + QPoint(60, 35))
    QTest.mouseRelease(canvas, Qt.MouseButton.MiddleButton, NONE, start + QPoint(60, 35))
    moved = canvas.view.to_screen(QPointF(70, 50)) - QPointF(start)
    assert (moved - QPointF(60, 35)).manhattanLength() < 1
    keys(qtbot, editor, Qt.Key.Key_B)
    drag(editor, [(66, 44), (72, 51)])
    settle(qtbot, editor)
    assert editor.document.items[0].data == {"box": [66.0, 44.0, 6.0, 7.0]}
    place = QPointF(at(canvas, 70, 50))
    held = canvas.view.to_image(place)
    wheel(canvas, place, 240)
    assert (canvas.view.to_image(place) - held).manhattanLength() < 0.01
    keys(qtbot, editor, "f")
    assert canvas.view.scale == pytest.approx(fit)
    assert canvas.view.is_fit


def test_everything_can_be_done_with_keys_alone(
    qtbot: QtBot, page: ImagesPage, editor: RegionEditor
) -> None:
    big = Qt.KeyboardModifier.ShiftModifier

    def go(*ways: Qt.Key) -> None:
        for way in ways:
            qtbot.keyClick(editor.canvas, way, big)

    enter, right, down = Qt.Key.Key_Return, Qt.Key.Key_Right, Qt.Key.Key_Down
    keys(qtbot, editor, "b", enter)  # from the middle, 75 × 50
    go(right, right, down)
    keys(qtbot, editor, enter)
    settle(qtbot, editor)
    assert editor.document.items[0].data == {"box": [75.0, 50.0, 20.0, 10.0]}
    keys(qtbot, editor, Qt.Key.Key_Escape, "p", enter)
    go(right)
    keys(qtbot, editor, enter)
    go(down)
    keys(qtbot, editor, enter, enter)
    settle(qtbot, editor)
    assert editor.document.items[1].polygons() == [[95.0, 60.0, 105.0, 60.0, 105.0, 70.0]]
    keys(qtbot, editor, "v", right, ".", down)
    settle(qtbot, editor)
    assert editor.document.items[1].polygons() == [[96.0, 61.0, 106.0, 60.0, 106.0, 70.0]]
    keys(qtbot, editor, "n")
    assert editor.document.selected is editor.document.items[0]
    qtbot.keyClick(editor.canvas, Qt.Key.Key_M, big)
    editor.canvas.set_brush(3)
    keys(qtbot, editor, enter, down, down, down, down, enter)
    settle(qtbot, editor)
    mask = editor.document.items[2].mask
    assert mask is not None
    assert mask.sum() == 18
    keys(qtbot, editor, Qt.Key.Key_Delete)
    settle(qtbot, editor)
    assert len(editor.document.items) == 2
    keys(qtbot, editor, Qt.Key.Key_Escape, Qt.Key.Key_Escape)
    assert not page.is_editing
    assert page.grid.hasFocus()


def test_next_picture_and_its_class(
    qtbot: QtBot, window: MainWindow, page: ImagesPage, editor: RegionEditor
) -> None:
    assert page.title.text() == "lily-0.png"
    assert page.subtitle.text().startswith("1 of 6 · lily")
    keys(qtbot, editor, Qt.Key.Key_A)
    assert "first picture" in editor.hint.text()
    keys(qtbot, editor, Qt.Key.Key_PageDown)
    wait_picture(qtbot, page)
    assert page.title.text() == "lily-1.png"
    assert "100 × 150" in page.subtitle.text()  # upright
    keys(qtbot, editor, "2")
    settle(qtbot, editor)
    qtbot.waitUntil(lambda: "moss" in page.subtitle.text())
    keys(qtbot, editor, "s")
    settle(qtbot, editor)
    qtbot.waitUntil(lambda: "not sure" in page.subtitle.text())
    qtbot.waitUntil(window.actions_table["undo"].isEnabled)
    window.actions_table["undo"].trigger()
    window.actions_table["undo"].trigger()
    settle(qtbot, editor)
    qtbot.waitUntil(lambda: "lily" in page.subtitle.text().split(" · ")[1])
    editor.back.click()
    assert not page.is_editing
    assert page.title.text() == "Images"
    assert page.grid.folded.place(page.grid.currentIndex()) == 1
    workspace_of(window).show_step(Step.TRAIN)
    window.actions_table["regions"].trigger()
    assert workspace_of(window).step is Step.IMAGES
    assert page.is_editing


def test_names_and_the_list(
    qtbot: QtBot, page: ImagesPage, editor: RegionEditor, qtmodeltester: ModelTester
) -> None:
    assert "Nothing is marked" in editor.nothing.text()
    assert nameless(editor) == []
    for made in (editor.previous, editor.next, editor.fit, *editor.tools.buttons.values()):
        assert made.toolTip()
    model = RegionListModel(editor.document)
    qtmodeltester.check(model)
    paint_all_kinds(qtbot, editor)
    qtmodeltester.check(model)
    assert model.rowCount() == 3
    assert not editor.nothing.isVisible()
    editor.list.setCurrentIndex(editor.model.index(1))
    assert editor.document.selected is editor.document.items[1]
    assert editor.what.text() == "lily: 15 × 21 pixels at 70, 10"
    editor.class_box.setCurrentIndex(2)
    editor.class_box.activated.emit(2)
    settle(qtbot, editor)
    assert model.index(1).data() == "2  Box · moss"
    editor.remove.click()
    settle(qtbot, editor)
    assert model.rowCount() == 2
    qtmodeltester.check(model)


def test_two_windows_the_second_only_looks(
    qtbot: QtBot, make_window: Callable[[], MainWindow], window: MainWindow, editor: RegionEditor
) -> None:
    keys(qtbot, editor, "b")
    drag(editor, [(20, 20), (60, 60)])
    settle(qtbot, editor)
    other = make_window()
    other.open_project(editor.project.path)
    page = open_large(qtbot, other, 0)
    second = page.editor
    assert second is not None
    assert len(second.document.items) == 1
    assert "reading only" in second.notice.text()
    assert second.notice.isVisible()
    assert not second.tool_button(ToolKey.BRUSH).isEnabled()
    keys(qtbot, second, "m")
    assert second.canvas.tool.key is ToolKey.SELECT
    drag(second, [(40, 40), (80, 60)])
    keys(qtbot, second, Qt.Key.Key_Delete, "k", "2")
    qtbot.wait(20)
    assert len(second.document.items) == 1
    assert drawn(page.project, page.model.ids[0]) == drawn(editor.project, page.model.ids[0])


def test_a_picture_that_cannot_be_shown_says_why(
    qtbot: QtBot, page: ImagesPage, editor: RegionEditor
) -> None:
    project = editor.project
    second, third = project.images_by_id(page.model.ids[1:3])
    project.image_path(second).write_bytes(b"no picture")
    Image.new("RGB", (20, 10)).save(project.image_path(third), "PNG")
    project.add_region(second.id, "box", {"box": [1, 1, 5, 5]})
    keys(qtbot, editor, Qt.Key.Key_PageDown)
    qtbot.waitUntil(lambda: "cannot be shown" in editor.notice.text())
    assert not editor.tool_button(ToolKey.BOX).isEnabled()
    editor.canvas.grab()
    keys(qtbot, editor, Qt.Key.Key_PageDown)
    qtbot.waitUntil(lambda: "20 × 10 pixels now" in editor.notice.text())
    keys(qtbot, editor, "b")
    drag(editor, [(2, 2), (9, 9)])
    assert project.regions([third.id]) == []
    keys(qtbot, editor, Qt.Key.Key_PageDown)
    wait_picture(qtbot, page)
    assert editor.notice.text() == ""


def test_regions_are_painted_over_thumbnails_and_switched_off(
    qtbot: QtBot, page: ImagesPage, editor: RegionEditor
) -> None:
    image = editor.document.image
    assert image is not None
    paint_all_kinds(qtbot, editor)
    overlay = overlay_of(editor.session)
    assert overlay is overlay_of(editor.session)
    assert describe_regions(overlay.regions(image.id)) == "1 box, 1 polygon, 1 mask"

    def painted(part: QRectF | None = None) -> NDArray[np.uint8]:
        picture = QImage(300, 200, QImage.Format.Format_ARGB32)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        size = (image.width, image.height)
        overlay.paint(painter, QRectF(0, 0, 300, 200), image.id, size, part)
        painter.end()
        return np.array(picture.constBits(), np.uint8).reshape(200, 300, 4)[..., 3]

    mask = editor.project.region_mask(editor.project.regions([image.id])[0])
    whole = painted()
    rows, columns = np.nonzero(mask)
    assert (whole[2 * rows, 2 * columns] > 0).all()
    assert whole[190, 290] == 0  # nothing is marked there
    assert painted(QRectF(100, 70, 50, 30)).sum() == 0
    assert painted(QRectF(20, 15, 30, 20)).sum() > 0
    page.close_editor()
    place = page.grid.folded.cell(0)
    box = page.grid.visualRect(place)
    path = str(page.project.image_path(image))
    size = page.grid.thumbnails.size
    qtbot.waitUntil(lambda: page.session.thumbnails.get(path, size) is not None)

    def shot() -> QImage:
        qtbot.wait(30)
        return page.grid.viewport().grab(box).toImage()

    with_regions = shot()
    qtbot.keyClick(page.grid, Qt.Key.Key_O)
    without = shot()
    assert with_regions != without
    qtbot.keyClick(page.grid, Qt.Key.Key_O)
    assert shot() == with_regions
