"""What keeps the window quick and small: lazy pages, few repaints, nothing loaded twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, QRect
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.delegates import thumbnail
from app.main_window import MainWindow
from app.models.roles import PATH_ROLE
from app.pages.curate.page import CuratePage
from app.steps import Step
from app.theme import Mode, theme
from app.warm_up import MODULES
from dafusion_core.api.project import Project
from dafusion_core.domain.records import Curation
from tests.qt.conftest import make_pictures, wait_imported, workspace_of
from tests.qt.test_curate import page, project, settle

__all__ = ["page", "project"]

ROOT = Path(__file__).parents[2]


def test_pages_are_made_when_they_are_looked_at(
    qtbot: QtBot, window: MainWindow, photos: Path
) -> None:
    window.new_project(photos)
    wait_imported(qtbot, window, 24)
    workspace = workspace_of(window)
    assert [step for step in Step if workspace.pages.is_made(step)] == [Step.IMAGES]
    workspace.show_step(Step.REPORT)
    assert [step for step in Step if workspace.pages.is_made(step)] == [Step.IMAGES, Step.REPORT]


def test_an_action_of_a_page_that_is_not_made_yet_does_its_work(
    qtbot: QtBot, window: MainWindow, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.pages.train.page import TrainPage

    started: list[object] = []
    monkeypatch.setattr(TrainPage, "start", lambda page: started.append(page))
    window.new_project(photos)
    wait_imported(qtbot, window, 24)
    for _ in range(2):
        window.actions_table.run("train")
    assert started == [workspace_of(window).pages[Step.TRAIN]] * 2


def test_keys_of_curation_do_nothing_elsewhere(
    qtbot: QtBot, window: MainWindow, photos: Path
) -> None:
    window.new_project(photos)
    wait_imported(qtbot, window, 24)
    workspace = workspace_of(window)
    workspace.session.project.make_split()
    job = workspace.session.project.generate(variants=1)
    make_pictures(workspace.session.project, job, 0, 8)
    workspace.refresh()
    assert window.actions_table["reject"].isEnabled()
    qtbot.keyClick(workspace.pages[Step.IMAGES], "x")
    qtbot.wait(50)
    project = workspace.session.project
    assert {i.curation for i in project.synthetic(project.synthetic_ids())} == {Curation.UNDECIDED}


def test_a_decision_paints_its_picture_and_no_other(
    qtbot: QtBot, page: CuratePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.advance_box.setChecked(False)
    page.grid.focus_first()
    qtbot.waitUntil(lambda: not page.session.thumbnails._waiting)
    qtbot.wait(100)
    target = page.grid.current_id()
    painted: list[int | None] = []
    real = thumbnail.look_at

    def look(index):
        cell = page.model.cell(index)
        painted.append(cell.synthetic_id if cell else None)
        return real(index)

    monkeypatch.setattr(thumbnail, "look_at", look)
    page.decide(Curation.REJECTED)
    qtbot.waitUntil(lambda: bool(painted))
    settle(qtbot, page)
    qtbot.wait(50)
    assert set(painted) == {target}


def test_pictures_are_copied_not_scaled(qtbot: QtBot, page: CuratePage) -> None:
    """With the hint for smooth scaling Qt copies in other threads and waits for them: 20 times
    as slow on a busy machine."""
    hints: list[QPainter.RenderHint] = []
    real = page.grid.thumbnails._prepare

    def prepare(*arguments):
        hints.append(painting[-1].renderHints())
        return real(*arguments)

    painting: list[QPainter] = []
    paint = page.grid.thumbnails._paint_look
    page.grid.thumbnails._prepare = prepare

    def paint_look(painter, frame, look):
        painting.append(painter)
        return paint(painter, frame, look)

    page.grid.thumbnails._paint_look = paint_look
    page.grid.viewport().update()
    qtbot.waitUntil(lambda: bool(hints))
    assert not any(found & QPainter.RenderHint.SmoothPixmapTransform for found in hints)


@pytest.mark.parametrize("view_name", ["grid", "list"])
def test_scrolling_paints_what_comes_into_view_and_leaves_it_right(
    qtbot: QtBot, page: CuratePage, view_name: str
) -> None:
    page.resize(900, 560)
    page.show_view(view_name)
    view = page.pictures
    page.decide(Curation.REJECTED)
    settle(qtbot, page)
    qtbot.waitUntil(lambda: not page.session.thumbnails._waiting)
    qtbot.wait(100)
    bar, viewport = view.verticalScrollBar(), view.viewport()
    assert bar.maximum() > 100
    painted: list[int] = []
    view.paintEvent = lambda event: (  # type: ignore[method-assign]
        painted.append(event.rect().height()),
        type(view).paintEvent(view, event),
    )
    for value in (40, 100, 70, 0, bar.maximum()):
        painted.clear()
        before = bar.value()
        bar.setValue(value)
        QApplication.processEvents()
        # Fewer than half of the rows, where fewer than half are new.
        if abs(value - before) < viewport.height() / 4:
            assert max(painted) < viewport.height() / 2
        qtbot.waitUntil(lambda: not page.session.thumbnails._waiting)
        qtbot.wait(60)
        # What is on the screen is what a whole repaint would make of it.
        place = viewport.mapTo(viewport.window(), QPoint(0, 0))
        screen = page.screen().grabWindow(
            page.winId(), place.x(), place.y(), viewport.width(), viewport.height()
        )
        assert screen.toImage() == viewport.grab().toImage().convertToFormat(
            screen.toImage().format()
        )


def test_only_pictures_that_were_missing_are_painted_when_some_arrive(
    qtbot: QtBot, page: CuratePage
) -> None:
    page.grid.focus_first()
    qtbot.waitUntil(lambda: not page.session.thumbnails._waiting)
    qtbot.wait(100)
    loader = page.session.thumbnails
    shown = page.model.index(1, 2)
    path = str(shown.data(PATH_ROLE))
    for key in [key for key in loader._pixmaps if key[0] == path]:
        del loader._pixmaps[key]
    page.grid.update(shown)
    painted: list[QRect] = []
    page.grid.paintEvent = lambda event: (  # type: ignore[method-assign]
        painted.append(event.rect()),
        type(page.grid).paintEvent(page.grid, event),
    )
    qtbot.waitUntil(lambda: len(painted) > 1)
    assert {page.grid.visualRect(shown).united(rect) for rect in painted} == {
        page.grid.visualRect(shown)
    }
    assert not page.grid.thumbnails.take_waiting()


def test_what_is_loaded_beforehand_has_no_torch() -> None:
    code = (
        "import importlib, sys\n"
        f"for name in {MODULES!r}: importlib.import_module(name)\n"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_what_is_needed_first_is_loaded_while_nobody_waits(
    qtbot: QtBot, window: MainWindow
) -> None:
    qtbot.waitUntil(lambda: window.warm_up.is_done, timeout=10_000)
    assert all(name in sys.modules for name in MODULES)
    qtbot.waitUntil(lambda: not window.warm_up._timer.isActive())


@pytest.mark.parametrize("mode", [Mode.LIGHT, Mode.DARK])
def test_the_window_fits_on_a_small_screen(
    qtbot: QtBot, window: MainWindow, photos: Path, mode: Mode
) -> None:
    before = theme.mode
    theme.choose(mode)
    try:
        window.new_project(photos)
        wait_imported(qtbot, window, 24)
        workspace = workspace_of(window)
        workspace.session.project.make_split()
        job = workspace.session.project.generate(variants=1)
        make_pictures(workspace.session.project, job, 0, 40)
        for step in Step:
            workspace.show_step(step)
            qtbot.wait(1)
            assert window.minimumSizeHint().width() <= 1024, step
            assert window.minimumSizeHint().height() <= 700, step
        workspace.show_step(Step.CURATE)
        workspace.curate.toggle_info()
        workspace.curate.open_stage()
        qtbot.wait(1)
        assert window.minimumSizeHint().width() <= 1024
        window.resize(1024, 700)
        qtbot.waitUntil(lambda: window.width() == 1024)
        assert workspace.jobs.isVisible()
    finally:
        theme.choose(before)


def test_projects_keep_their_rows_together(project: Project, page: CuratePage) -> None:
    """Rows come by class and photo, whichever of their pictures are made."""
    assert len(page.model._all_rows) == page.model.rowCount()
    order = [(row.concept_id, row.source_id) for row in page.model._all_rows]
    assert order == sorted(order)
