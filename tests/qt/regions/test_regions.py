"""Regions drawn in the real window: what is stored, undone, exported and generated from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.main_window import MainWindow
from app.pages.images.page import ImagesPage
from app.regions import brush
from app.regions.editor import RegionEditor
from app.regions.tools import ToolKey
from dafusion_core import api
from dafusion_core.api.project import Project
from dafusion_core.domain.regions import RegionKind
from dafusion_core.domain.specs import GenerationPlan, ModelSource
from dafusion_core.worker.binding import bind_generation
from tests.qt.conftest import wait_imported
from tests.qt.regions.drawing import (
    click,
    drag,
    drawn,
    keys,
    open_large,
    paint_all_kinds,
    settle,
    touched,
)


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
