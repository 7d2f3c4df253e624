"""Drawing regions in the real window as a hand would, and what should come of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from app.main_window import MainWindow
from app.pages.images.page import ImagesPage
from app.regions.canvas import PictureCanvas
from app.regions.editor import RegionEditor
from app.steps import Step
from dafusion_core.api.project import Project
from tests.qt.conftest import page_of

SIZES = {"lily": (150, 100), "moss": (90, 140)}
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NONE = Qt.KeyboardModifier.NoModifier


def make_pots(folder: Path) -> Path:
    """Two classes of three pictures; one lies on its side and says so."""
    for name, size in SIZES.items():
        (folder / name).mkdir(parents=True)
        for number in range(3):
            values = np.random.default_rng(number + len(name) * size[0]).integers(
                0, 255, (size[1] // 5, size[0] // 5, 3), np.uint8
            )
            image = Image.fromarray(values).resize(size, Image.Resampling.NEAREST)
            exif = Image.Exif()
            if number == 1:
                exif[0x0112] = 6  # to be turned by a quarter
            image.save(folder / name / f"{name}-{number}.png", exif=exif)
    return folder


def open_large(qtbot: QtBot, window: MainWindow, place: int) -> ImagesPage:
    """The `place`-th picture in the editor, opened by key."""
    page = page_of(window, Step.IMAGES, ImagesPage)
    qtbot.waitUntil(lambda: page.model.rowCount() == 6)
    page.grid.setFocus()
    page.grid.go_to_place(place)
    qtbot.keyClick(page.grid, Qt.Key.Key_Return)
    assert page.is_editing
    wait_picture(qtbot, page)
    return page


def wait_picture(qtbot: QtBot, page: ImagesPage) -> None:
    editor = page.editor
    assert editor is not None
    qtbot.waitUntil(lambda: editor.canvas.pixmap is not None)


def settle(qtbot: QtBot, editor: RegionEditor) -> None:
    """Until what was drawn is stored and read again."""
    qtbot.waitUntil(lambda: editor.document.is_saved and not editor.session.commands.is_busy)


def keys(qtbot: QtBot, editor: RegionEditor, *wanted: Qt.Key | str) -> None:
    for key in wanted:
        if isinstance(key, str):
            qtbot.keyClicks(editor.canvas, key)
        else:
            qtbot.keyClick(editor.canvas, key)


def at(canvas: PictureCanvas, x: float, y: float) -> QPoint:
    return canvas.view.to_screen(QPointF(x, y)).toPoint()


def drag(
    editor: RegionEditor,
    path: Sequence[tuple[float, float]],
    button: Qt.MouseButton = LEFT,
    then: Callable[[], None] | None = None,
) -> list[tuple[float, float]]:
    """Press, move along and let go, in image pixels; where the mouse really was."""
    canvas = editor.canvas
    points = [at(canvas, x, y) for x, y in path]
    QTest.mousePress(canvas, button, NONE, points[0])
    for point in points[1:]:
        QTest.mouseMove(canvas, point)
    if then is not None:
        then()
    QTest.mouseRelease(canvas, button, NONE, points[-1])
    real = [canvas.view.to_image(QPointF(point)) for point in points]
    return [(place.x(), place.y()) for place in real]


def click(editor: RegionEditor, *places: tuple[float, float]) -> None:
    for x, y in places:
        QTest.mouseClick(editor.canvas, LEFT, NONE, at(editor.canvas, x, y))


def touched(
    shape: tuple[int, int], path: Iterable[tuple[float, float]], diameter: int
) -> NDArray[np.bool_]:
    """Pixel by pixel, what a brush of that diameter touches along a path."""

    def snapped(value: float) -> float:
        return math.floor(value) + 0.5 if diameter % 2 else float(round(value))

    points = [(snapped(x), snapped(y)) for x, y in path]
    found = np.zeros(shape, bool)
    pairs = list(pairwise(points)) or [(points[0], points[0])]
    reach = diameter / 2 + 1
    left, right = (int(f(x for x, _ in points)) for f in (min, max))
    top, bottom = (int(f(y for _, y in points)) for f in (min, max))
    for row in range(max(0, int(top - reach)), min(shape[0], int(bottom + reach) + 1)):
        for column in range(max(0, int(left - reach)), min(shape[1], int(right + reach) + 1)):
            for (x0, y0), (x1, y1) in pairs:
                dx, dy = x1 - x0, y1 - y0
                px, py = column + 0.5 - x0, row + 0.5 - y0
                along = (px * dx + py * dy) / (dx * dx + dy * dy) if dx or dy else 0.0
                along = min(1.0, max(0.0, along))
                if math.hypot(px - along * dx, py - along * dy) <= diameter / 2 + 1e-6:
                    found[row, column] = True
                    break
    return found


def drawn(project: Project, image_id: int) -> list[tuple[str, str, str | None]]:
    """The regions of an image as plain values."""
    return [
        (region.kind.value, json.dumps(dict(region.data)), region.label)
        for region in project.regions([image_id])
    ]


def paint_all_kinds(qtbot: QtBot, editor: RegionEditor) -> NDArray[np.bool_]:
    """A mask of two strokes less an erased one, a box, a polygon; the pixels of the mask."""
    canvas = editor.canvas
    height, width = (int(side) for side in reversed(canvas.image_size))
    keys(qtbot, editor, Qt.Key.Key_M)
    canvas.set_brush(9)
    expected = np.zeros((height, width), bool)
    for path in ([(20, 20), (60, 42), (40, 70)], [(30, 60), (30, 60)]):
        expected |= touched(expected.shape, drag(editor, path), 9)
    keys(qtbot, editor, "[")
    size = canvas.brush_size
    assert size == 8
    expected &= ~touched(expected.shape, drag(editor, [(45, 20), (45, 80)], RIGHT), size)
    keys(qtbot, editor, Qt.Key.Key_B)
    drag(editor, [(70, 10), (85, 31)])
    keys(qtbot, editor, Qt.Key.Key_P)
    click(editor, (10, 60), (40, 88), (12, 90), (10, 60))
    settle(qtbot, editor)
    return expected


def wheel(canvas: PictureCanvas, place: QPointF, turn: int) -> None:
    from PySide6.QtGui import QWheelEvent

    event = QWheelEvent(
        place, canvas.mapToGlobal(place), QPoint(), QPoint(0, turn), Qt.MouseButton.NoButton,
        NONE, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    canvas.wheelEvent(event)
