"""Regions drawn with the mouse and with keys in the real window, and what becomes of them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

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
from app.regions import brush
from app.regions.canvas import PictureCanvas
from app.regions.editor import RegionEditor
from app.regions.list_model import RegionListModel
from app.regions.tools import ToolKey
from app.steps import Step
from app.widgets.region_overlay import describe_regions, overlay_of
from dafusion_core import api
from dafusion_core.api.project import Project
from dafusion_core.domain.regions import RegionKind
from dafusion_core.domain.specs import GenerationPlan, ModelSource
from dafusion_core.worker.binding import bind_generation
from tests.qt.conftest import wait_imported, workspace_of
from tests.qt.test_whole import nameless

SIZES = {"lily": (150, 100), "moss": (90, 140)}
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NONE = Qt.KeyboardModifier.NoModifier


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of three pictures; one lies on its side and says so."""
    folder = tmp_path / "pots"
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


@pytest.fixture
def page(qtbot: QtBot, window: MainWindow, pictures: Path) -> ImagesPage:
    window.take(pictures)
    wait_imported(qtbot, window, 6)
    return open_large(qtbot, window, 0)


@pytest.fixture
def editor(page: ImagesPage) -> RegionEditor:
    assert page.editor is not None
    return page.editor


def open_large(qtbot: QtBot, window: MainWindow, place: int) -> ImagesPage:
    """The `place`-th picture in the editor, opened by key."""
    page = workspace_of(window).pages[Step.IMAGES]
    assert isinstance(page, ImagesPage)
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


@pytest.mark.parametrize("place", [0, 4], ids=["as it lies", "turned by EXIF"])
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_what_is_painted_comes_back_identical(
    qtbot: QtBot,
    make_window: Callable[[], MainWindow],
    pictures: Path,
    tmp_path: Path,
    place: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pycocotools = pytest.importorskip("pycocotools.coco")
    window = make_window()
    window.take(pictures)
    wait_imported(qtbot, window, 6)
    page = open_large(qtbot, window, place)
    editor = page.editor
    assert editor is not None
    image = editor.document.image
    assert image is not None
    expected = paint_all_kinds(qtbot, editor)
    assert expected.shape == (image.height, image.width)
    assert 400 < expected.sum() < 3000
    path = page.project.path

    # Close, and open again in another window.
    window.close()
    qtbot.waitUntil(lambda: window.session is None)
    again = make_window()
    again.open_project(path)
    page = open_large(qtbot, again, place)
    assert page.editor is not None
    items = page.editor.document.items
    assert [item.kind for item in items] == [RegionKind.MASK, RegionKind.BOX, RegionKind.POLYGON]
    assert np.array_equal(items[0].mask, expected)
    project = page.project
    mask, box, polygon = project.regions([image.id])
    assert np.array_equal(project.region_mask(mask), expected)
    assert dict(box.data) == {"box": [70.0, 10.0, 15.0, 21.0]}
    assert len(polygon.data["polygons"][0]) == 6

    # Out as COCO, read by the COCO API.
    out = tmp_path / "coco"
    project.export(out, "coco", what="real")
    coco = pycocotools.COCO(str(out / "labels.coco.json"))
    capsys.readouterr()
    sizes = {found["id"]: found for found in coco.loadImgs(coco.getImgIds())}
    own = [
        found
        for found in coco.loadAnns(coco.getAnnIds())
        if not found.get("whole_image")
        and (sizes[found["image_id"]]["width"], sizes[found["image_id"]]["height"])
        == (image.width, image.height)
    ]
    assert len(own) == 3
    assert np.array_equal(coco.annToMask(own[0]).astype(bool), expected)
    assert own[1]["bbox"] == [70.0, 10.0, 15.0, 21.0]
    assert np.array_equal(coco.annToMask(own[2]).astype(bool), project.region_mask(polygon))

    # And into a new project.
    with api.create(tmp_path / "third") as third:
        third.import_data(out)
        (same,) = [found for found in third.images() if third.regions([found.id])]
        assert (same.width, same.height) == (image.width, image.height)
        found = third.regions([same.id])
        assert np.array_equal(third.region_mask(found[0]), expected)
        assert [dict(r.data) for r in found[1:]] == [dict(box.data), dict(polygon.data)]


def test_generation_gets_the_painted_mask(qtbot: QtBot, editor: RegionEditor) -> None:
    project, image = editor.project, editor.document.image
    assert image is not None
    keys(qtbot, editor, Qt.Key.Key_M)
    editor.canvas.set_brush(12)
    expected = touched((image.height, image.width), drag(editor, [(30, 30), (60, 50)]), 12)
    settle(qtbot, editor)
    split = project.make_split()
    project.set_part([image.id], "train")
    plan = GenerationPlan(split_id=split.id, model=ModelSource("bundled"), mask="object")
    inputs = bind_generation(project.file.db, plan)
    assert set(inputs.regions) == {str(image.id)}
    (region,) = inputs.regions[str(image.id)]
    from dafusion_core.datasets.masks import decode_mask

    assert region.kind == "mask"
    assert np.array_equal(decode_mask(region.data), expected)


def test_every_stroke_is_one_step_of_the_one_undo(
    qtbot: QtBot, window: MainWindow, page: ImagesPage, editor: RegionEditor
) -> None:
    image = editor.document.image
    assert image is not None
    project = editor.project
    canvas = editor.canvas
    seen = [drawn(project, image.id)]

    def note() -> None:
        settle(qtbot, editor)
        seen.append(drawn(project, image.id))
        assert seen[-1] != seen[-2]

    keys(qtbot, editor, Qt.Key.Key_M)
    drag(editor, [(20, 20), (50, 30)])
    note()
    drag(editor, [(20, 60), (50, 60)])
    note()
    keys(qtbot, editor, Qt.Key.Key_E)
    drag(editor, [(20, 20), (50, 30)])
    note()
    keys(qtbot, editor, Qt.Key.Key_Escape, Qt.Key.Key_B)
    drag(editor, [(80, 20), (120, 60)])
    note()
    keys(qtbot, editor, Qt.Key.Key_V)
    drag(editor, [(100, 40), (110, 50)])  # move
    note()
    drag(editor, [(130, 70), (140, 80)])  # the lower right handle
    note()
    assert json.loads(seen[-1][1][1]) == {"box": [90.0, 30.0, 50.0, 50.0]}
    keys(qtbot, editor, "2")  # its class
    note()
    assert seen[-1][1][2] == "moss"
    keys(qtbot, editor, Qt.Key.Key_K)
    note()
    assert seen[-1][1][0] == "mask"
    keys(qtbot, editor, Qt.Key.Key_Delete)
    note()
    assert len(seen[-1]) == 1
    texts = []
    for before in reversed(seen[:-1]):
        texts.append(project.undo_text())
        window.actions_table["undo"].trigger()
        settle(qtbot, editor)
        assert drawn(project, image.id) == before
        assert len(editor.document.items) == len(before)
    assert texts == [
        "Remove 1 region", "Turn a box into a mask", "Give a region “moss”", "Resize a box",
        "Move a box", "Draw a box", "Erase from a mask", "Paint on a mask", "Draw a mask",
    ]  # fmt: skip
    assert editor.document.items == []
    for after in seen[1:]:
        window.actions_table["redo"].trigger()
        settle(qtbot, editor)
        assert drawn(project, image.id) == after
    mask = editor.document.items[0].mask
    assert mask is not None
    assert np.array_equal(mask, project.region_mask(project.regions([image.id])[0]))
    assert canvas.tool.key is ToolKey.SELECT


def test_many_quick_strokes_are_all_kept(
    qtbot: QtBot, editor: RegionEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The echo of one stroke must not take the next ones back."""
    image = editor.document.image
    assert image is not None
    store = Project.change_region

    def slowly(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.05)
        return store(*arguments, **options)

    monkeypatch.setattr(Project, "change_region", slowly)
    keys(qtbot, editor, Qt.Key.Key_M)
    editor.canvas.set_brush(5)
    expected = np.zeros((image.height, image.width), bool)
    for number in range(12):
        x = 10 + 10 * number
        expected |= touched(expected.shape, drag(editor, [(x, 20), (x, 70)]), 5)
        qtbot.wait(20)
    settle(qtbot, editor)
    (region,) = editor.project.regions([image.id])
    assert np.array_equal(editor.project.region_mask(region), expected)
    assert np.array_equal(editor.document.items[0].mask, expected)


def test_what_is_on_its_way_stays_in_view(
    qtbot: QtBot, editor: RegionEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading what is stored while more is on its way would make it vanish for a moment."""
    store = Project.draw_region

    def slowly(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.1)
        return store(*arguments, **options)

    monkeypatch.setattr(Project, "draw_region", slowly)
    keys(qtbot, editor, Qt.Key.Key_B)
    for x in (20, 60, 100):
        drag(editor, [(x, 20), (x + 20, 60)])
    numbers = []
    editor.document.changed.connect(lambda: numbers.append(len(editor.document.items)))
    last = editor.document.selected
    settle(qtbot, editor)
    assert numbers
    assert set(numbers) == {3}
    assert editor.document.selected is last


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


def test_a_gesture_given_up_leaves_no_trace(
    qtbot: QtBot, window: MainWindow, editor: RegionEditor
) -> None:
    project = editor.project
    before = project.undo_text()

    def give_up() -> None:
        keys(qtbot, editor, Qt.Key.Key_Escape)

    keys(qtbot, editor, Qt.Key.Key_M)
    drag(editor, [(20, 20), (60, 60)], then=give_up)
    keys(qtbot, editor, Qt.Key.Key_B)
    drag(editor, [(20, 20), (60, 60)], then=give_up)
    keys(qtbot, editor, Qt.Key.Key_P)
    click(editor, (20, 20), (60, 20), (60, 60))
    qtbot.keyClick(editor.canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert editor.canvas.tools[ToolKey.POLYGON].points.__len__() == 2  # type: ignore[attr-defined]
    give_up()
    settle(qtbot, editor)
    assert editor.document.items == []
    assert project.undo_text() == before
    # What was there before is as it was.
    keys(qtbot, editor, Qt.Key.Key_B)
    drag(editor, [(20, 20), (60, 60)])
    settle(qtbot, editor)
    kept = dict(editor.document.items[0].data)
    keys(qtbot, editor, Qt.Key.Key_V)
    drag(editor, [(40, 40), (90, 70)], then=give_up)
    settle(qtbot, editor)
    assert editor.document.items[0].data == kept
    assert project.undo_text() == "Draw a box"


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


def wheel(canvas: PictureCanvas, place: QPointF, turn: int) -> None:
    from PySide6.QtGui import QWheelEvent

    event = QWheelEvent(
        place, canvas.mapToGlobal(place), QPoint(), QPoint(0, turn), Qt.MouseButton.NoButton,
        NONE, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    canvas.wheelEvent(event)


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


def test_a_stroke_that_cannot_be_stored_is_not_shown_as_stored(
    qtbot: QtBot, page: ImagesPage, editor: RegionEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[Exception] = []
    editor.session.failed.connect(errors.append)

    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Project, "draw_region", full)
    keys(qtbot, editor, "b")
    drag(editor, [(20, 20), (60, 60)])
    settle(qtbot, editor)
    assert len(errors) == 1
    assert editor.document.items == []


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


@pytest.mark.parametrize("diameter", [1, 2, 5, 16])
def test_a_brush_touches_the_pixels_near_its_line(diameter: int) -> None:
    dice = np.random.default_rng(diameter)
    for _ in range(8):
        start, end = (tuple(map(float, dice.uniform(-6, 46, 2))) for _ in range(2))
        mask = np.zeros((30, 40), bool)
        left, top, right, bottom = brush.paint_stroke(mask, start, end, diameter, True)
        assert np.array_equal(mask, touched(mask.shape, [start, end], diameter))
        inside = np.zeros_like(mask)
        inside[top:bottom, left:right] = True
        assert not (mask & ~inside).any()
    mask = np.zeros((30, 40), bool)
    brush.paint_stroke(mask, (12.3, 7.9), (12.3, 7.9), diameter, True)
    assert mask.any()  # the smallest brush touches a pixel, too
