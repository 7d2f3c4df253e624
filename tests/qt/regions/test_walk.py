"""Random gestures in the region editor: what is shown is what is stored, and undo leads back."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.main_window import MainWindow
from app.regions.editor import RegionEditor
from dafusion_core.api.project import Project
from dafusion_core.domain.regions import RegionKind
from tests.qt.conftest import wait_imported
from tests.qt.regions.drawing import (
    LEFT,
    RIGHT,
    click,
    drag,
    keys,
    make_pots,
    open_large,
    settle,
)

KEYS: tuple[Qt.Key | str, ...] = (
    "v", "b", "p", "m", "e", "n", "k", ".", ",", "i", "1", "2", "0", "o", "f", "+", "-", "[", "]",
    "a", "d", Qt.Key.Key_Delete, Qt.Key.Key_Backspace, Qt.Key.Key_Return, Qt.Key.Key_Escape,
    Qt.Key.Key_Right, Qt.Key.Key_Down,
)  # fmt: skip


def rows(project: Project) -> list[tuple[object, ...]]:
    db = project.file.db
    found = [tuple(row) for row in db.query("SELECT * FROM region ORDER BY id")]
    return found + [tuple(row) for row in db.query("SELECT id, label_id FROM image ORDER BY id")]


def check_shown(editor: RegionEditor) -> None:
    """The editor shows exactly what is stored, pixel for pixel."""
    image = editor.document.image
    assert image is not None
    stored = editor.project.regions([image.id])
    items = editor.document.items
    assert [item.id for item in items] == [region.id for region in stored]
    for item, region in zip(items, stored, strict=True):
        assert (item.kind, item.label) == (region.kind, region.label)
        if item.kind is RegionKind.MASK:
            assert item.mask is not None
            assert np.array_equal(item.mask, editor.project.region_mask(region))
        else:
            assert item.data == dict(region.data)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_random_gestures(
    qtbot: QtBot, make_window: Callable[[], MainWindow], tmp_path: Path, seed: int
) -> None:
    window = make_window()
    window.take(make_pots(tmp_path / "pots"))
    wait_imported(qtbot, window, 6)
    page = open_large(qtbot, window, 0)
    editor = page.editor
    assert editor is not None
    project, dice = page.project, random.Random(seed)
    start = rows(project)

    def place() -> tuple[float, float]:
        width, height = editor.canvas.image_size
        return dice.uniform(-5, width + 5), dice.uniform(-5, height + 5)

    for _ in range(90):
        what = dice.random()
        if what < 0.35:
            path = [place() for _ in range(dice.randint(2, 4))]
            drag(editor, path, RIGHT if dice.random() < 0.2 else LEFT)
        elif what < 0.45:
            click(editor, place())
        elif what < 0.5:
            window.actions_table[dice.choice(("undo", "redo"))].trigger()
        else:
            key = dice.choice(KEYS)
            is_leaving = key == Qt.Key.Key_Escape or key == Qt.Key.Key_Return
            idle = editor.document.selected is None and editor.canvas.tool.key == "select"
            if not (is_leaving and idle):
                keys(qtbot, editor, key)
        if dice.random() < 0.3:
            settle(qtbot, editor)
            if not editor.canvas.tool.is_active:
                check_shown(editor)
    editor.canvas.cancel()
    settle(qtbot, editor)
    check_shown(editor)
    end, steps = rows(project), 0
    while project.undo() is not None:
        steps += 1
    assert rows(project) == start
    for _ in range(steps):
        project.redo()
    assert rows(project) == end
    assert steps > 3, "too little was drawn to say anything"
