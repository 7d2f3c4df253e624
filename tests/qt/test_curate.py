"""Curation in the window: filters, list, stars, rates, comparing, lineage, undo."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QItemSelectionModel, QPoint, Qt
from PySide6.QtGui import QAction, QGuiApplication
from PySide6.QtWidgets import QInputDialog, QLabel, QMenu
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from app.actions import Actions, Situation
from app.main import make_application
from app.models.curation_filter import CurationFilter, Sort
from app.models.grid_proxy import GridProxyModel
from app.models.synthetic_list import SyntheticListModel
from app.pages.curate.info_panel import breakable
from app.pages.curate.menus import show_picture_menu
from app.pages.curate.page import CuratePage
from app.pages.curate.stage import StageMode
from app.session import Session
from dafusion_core import api
from dafusion_core.api.project import Project
from dafusion_core.domain.records import Curation
from tests.qt.conftest import make_pictures

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, photos: Path) -> Iterator[Project]:
    with api.create(tmp_path / "weeds") as project:
        project.import_folder(photos)
        project.make_split()
        job = project.generate(variants=1)
        make_pictures(project, job, 0, 48)
        yield project


@pytest.fixture
def page(qtbot: QtBot, project: Project) -> Iterator[CuratePage]:
    make_application(["test"])
    session = Session(project)
    actions = Actions()
    actions.follow(Situation(has_project=True, has_images=True, has_pictures=True))
    made = CuratePage(session, actions)
    made.resize(900, 700)
    made.show()
    qtbot.addWidget(made)
    qtbot.waitExposed(made)
    yield made
    session.commands.stop()
    session.imports.stop()
    session.reads.stop()
    session.thumbnails.stop()
    session.changes.close()


def settle(qtbot: QtBot, page: CuratePage) -> None:
    """Until what was asked for is done and shown."""
    qtbot.waitUntil(lambda: not page.session.commands.is_busy)


def states(project: Project) -> dict[int, tuple[Curation, int]]:
    found = project.synthetic(project.synthetic_ids())
    return {image.id: (image.curation, image.rating) for image in found}


# ------------------------------------------------------------------------------- filters


def test_kinds_of_a_filter_narrow_values_of_a_kind_widen(page: CuratePage) -> None:
    concepts = list(page.model.names)
    page.filters.set_filter(CurationFilter(frozenset(concepts[:2]), frozenset({0.25, 0.5})))
    assert len(page.model.matching()) == 2 * 4 * 2
    assert page.model.rowCount() == 8
    assert [page.grid.isColumnHidden(n) for n in range(5)] == [False, False, False, True, True]
    page.filters.reset()
    assert len(page.model.matching()) == 48
    assert not page.grid.isColumnHidden(4)


def test_hidden_columns_are_neither_reached_nor_chosen(page: CuratePage) -> None:
    page.filters.set_filter(CurationFilter(t0s=frozenset({0.25, 1.0})))
    page.grid.go_to(page.model.index(0, 1))
    page.grid.advance()
    assert page.grid.currentIndex().column() == 4
    page.grid.selectAll()
    assert len(page.grid.chosen_ids()) == 24


def test_filters_survive_as_views(page: CuratePage, project: Project) -> None:
    wanted = CurationFilter(
        frozenset(list(page.model.names)[:1]),
        frozenset({0.5}),
        frozenset({Curation.KEPT}),
        min_rating=3,
        sort=Sort.RATING,
    )
    page.filters.set_filter(wanted)
    page.filters.save_as("best")
    (view,) = project.saved_views("curate")
    assert CurationFilter.from_dict(view.spec, page.model.names) == wanted
    assert wanted.describe(page.model.names) == "dandelion, t0 0.5, kept, 3 stars or more"
    project.delete_view("curate", "best")
    assert project.saved_views("curate") == []


# ------------------------------------------------------------------------------- the list


def test_decided_pictures_leave_the_list_and_the_neighbour_takes_the_focus(
    qtbot: QtBot, page: CuratePage
) -> None:
    page.filters.set_filter(CurationFilter(states=frozenset({Curation.UNDECIDED})))
    page.show_view("list")
    ids = list(page.flat.list.ids)
    page.flat.go_to_id(ids[10])
    qtbot.keyClick(page.flat, Qt.Key.Key_X)
    qtbot.waitUntil(lambda: page.flat.list.rowCount() == 47)
    assert page.flat.current_id() == ids[11]
    page.session.do(page.project.undo)
    qtbot.waitUntil(lambda: page.flat.list.rowCount() == 48)
    assert page.flat.current_id() == ids[11]


def test_the_list_is_sorted_and_keys_act_on_runs(qtbot: QtBot, page: CuratePage) -> None:
    page.filters.set_filter(CurationFilter(sort=Sort.T0))
    page.show_view("list")
    far = [page.model.cell_of(i).t0 for i in page.flat.list.ids]  # type: ignore[union-attr]
    assert far == sorted(far)
    run = page.flat.folded.run(3, 20)
    page.flat.selectionModel().select(run, QItemSelectionModel.SelectionFlag.ClearAndSelect)
    page.flat.selectionModel().setCurrentIndex(
        page.flat.folded.cell(20), QItemSelectionModel.SelectionFlag.NoUpdate
    )
    assert sorted(page.flat.chosen_ids()) == sorted(page.flat.list.ids[3:21])
    qtbot.keyClick(page.flat, Qt.Key.Key_4)
    settle(qtbot, page)
    assert sum(stars == 4 for _state, stars in states(page.project).values()) == 18


def test_lists_that_shrink_hold_to_the_rules_of_qt(
    qtbot: QtBot, qtmodeltester: ModelTester, project: Project
) -> None:
    model = SyntheticListModel(project)
    folded = GridProxyModel(model, 5)
    qtmodeltester.check(model)
    ids = project.synthetic_ids()
    model.replace(ids)
    for gone in (ids[0], ids[47], ids[20]):
        model.remove([gone])
    assert (model.rowCount(), folded.rowCount()) == (45, 9)
    model.remove([ids[1]])
    assert folded.rowCount() == 9
    qtmodeltester.check(folded)
    model.remove(ids[2:30])
    assert (model.rowCount(), folded.rowCount()) == (17, 4)
    assert [model.place(i) for i in model.ids] == list(range(17))


# ------------------------------------------------------------------------------- deciding


def test_dragging_over_the_grid_selects_a_rectangle(qtbot: QtBot, page: CuratePage) -> None:
    grid = page.grid
    start = grid.visualRect(page.model.index(0, 2)).center()
    end = grid.visualRect(page.model.index(2, 3)).center()
    qtbot.mousePress(grid.viewport(), Qt.MouseButton.LeftButton, pos=start)
    for share in (0.3, 0.6, 1.0):
        at = start + QPoint(
            round((end.x() - start.x()) * share), round((end.y() - start.y()) * share)
        )
        qtbot.mouseMove(grid.viewport(), at)
    qtbot.mouseRelease(grid.viewport(), Qt.MouseButton.LeftButton, pos=end)
    assert len(grid.chosen_ids()) == 6


def test_rates_count_decide_and_mark_what_cannot_train(qtbot: QtBot, page: CuratePage) -> None:
    page.show_view("rates")
    rates = page.rates
    concept = next(iter(page.model.names))
    rates.table.setCurrentCell(0, 2)
    assert len(rates.chosen_ids()) == 4
    rates.buttons["reject"].click()
    settle(qtbot, page)
    assert rates.table.item(0, 2).text() == "0 %"
    assert rates.table.item(3, 2).text() == "0 %, 8 left"
    assert rates.table.item(0, 6).text() == "4 of 4"
    page.decide(Curation.REJECTED, page.model.ids_where(concept))
    settle(qtbot, page)
    assert rates.table.item(0, 6).text() == "0 of 4 ▲"
    assert "4 photos of this class have none left" in rates.chosen.text()
    rates.show_button.click()
    assert page.view_name == "grid"
    assert page.filters.filter.t0s == {page.model.t0_set[1]}


def test_stars_are_painted_filtered_and_undone(qtbot: QtBot, page: CuratePage) -> None:
    page.grid.go_to(page.model.index(0, 1))
    qtbot.keyClick(page.grid, Qt.Key.Key_5)
    settle(qtbot, page)
    chosen = page.grid.current_id()
    assert states(page.project)[chosen or 0] == (Curation.UNDECIDED, 5)
    assert page.project.undo_text() == "Give 5 stars to 1 image"
    page.filters.set_filter(CurationFilter(min_rating=5))
    assert [cell.synthetic_id for cell in page.model.matching()] == [chosen]
    page.filters.reset()
    page.session.do(page.project.undo)
    settle(qtbot, page)
    assert states(page.project)[chosen or 0] == (Curation.UNDECIDED, 0)


# ------------------------------------------------------------------------------- by hand


def entries(menu: QMenu) -> dict[str, QAction]:
    """What a menu offers, as it is about to be seen."""
    menu.aboutToShow.emit()
    return {action.text(): action for action in menu.actions()}


def test_a_whole_t0_of_a_class_is_rejected_from_the_menu(
    qtbot: QtBot, page: CuratePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QMenu, "popup", lambda *_: None)  # there is nowhere to show one
    page.grid.go_to(page.model.index(0, 2))
    show_picture_menu(page, QPoint(5, 5))
    (menu,) = page.grid.findChildren(QMenu, options=Qt.FindChildOption.FindDirectChildrenOnly)
    entries(menu)["Reject all 4 of dandelion at t0 0.5"].trigger()
    settle(qtbot, page)
    counts = page.model.tally.total([next(iter(page.model.names))], [0.5])
    assert counts.by_curation[Curation.REJECTED] == 4
    assert sum(state is Curation.REJECTED for state, _ in states(page.project).values()) == 4
    assert page.project.undo_text() == "Reject 4 images"


def test_a_view_is_saved_chosen_and_forgotten_by_its_menu(
    qtbot: QtBot, page: CuratePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bar = page.filters
    menus = {kind: made.menu() for kind, made in bar.buttons.items()}
    entries(menus["t0s"])["t0 1, almost nothing left of it"].trigger()
    entries(menus["states"])["Undecided"].trigger()
    wanted = bar.filter
    assert (wanted.t0s, wanted.states) == ({1.0}, {Curation.UNDECIDED})
    assert len(page.model.matching()) == 12
    monkeypatch.setattr(QInputDialog, "getText", lambda *a, **k: ("far ones", True))
    entries(menus["views"])["Save what is shown as…"].trigger()
    bar.reset()
    assert len(page.model.matching()) == 48
    entries(menus["views"])["far ones"].trigger()
    assert bar.filter == wanted
    forget = entries(menus["views"])["Forget"].menu()
    assert isinstance(forget, QMenu)
    entries(forget)["far ones"].trigger()
    assert "far ones" not in entries(menus["views"])


def test_the_slider_of_the_comparison_follows_mouse_and_keys(
    qtbot: QtBot, page: CuratePage
) -> None:
    page.grid.go_to(page.model.index(1, 1))
    qtbot.keyClick(page.grid, Qt.Key.Key_E)
    stage = page.stage
    assert page.view_name == "stage"
    qtbot.keyClick(stage, Qt.Key.Key_M)
    assert stage.mode is StageMode.SLIDER
    middle = stage.rect().center()
    qtbot.mousePress(stage, Qt.MouseButton.LeftButton, pos=middle)
    assert stage.split == pytest.approx(0.5, abs=0.02)
    qtbot.mouseMove(stage, middle + QPoint(60, 0))
    qtbot.mouseRelease(stage, Qt.MouseButton.LeftButton, pos=middle + QPoint(60, 0))
    moved = stage.split
    assert moved > 0.55
    qtbot.keyClick(stage, Qt.Key.Key_Comma)
    assert stage.split == pytest.approx(moved - 0.05)
    qtbot.keyClick(stage, Qt.Key.Key_X)  # decided large as well
    settle(qtbot, page)
    assert page.project.undo_text() == "Reject 1 image"


# ------------------------------------------------------------------------------- looking


def test_comparing_shows_the_photo_and_up_to_four(qtbot: QtBot, page: CuratePage) -> None:
    page.grid.selectColumn(2)
    page.grid.selectionModel().setCurrentIndex(
        page.model.index(0, 2), QItemSelectionModel.SelectionFlag.NoUpdate
    )
    qtbot.keyClick(page.grid, Qt.Key.Key_C)
    assert page.view_name == "stage"
    assert len(page.stage.ids) == 4
    assert page.modes.isVisible()
    for mode in (StageMode.SLIDER, StageMode.FLICKER, StageMode.SIDE):
        qtbot.keyClick(page.stage, Qt.Key.Key_M)
        assert page.stage.mode is mode
        page.stage.repaint()
    qtbot.keyClick(page.stage, Qt.Key.Key_Plus)
    assert page.stage.zoom == pytest.approx(1.5)
    qtbot.keyClick(page.stage, Qt.Key.Key_Escape)
    assert page.view_name == "grid"


def test_w_shows_the_picture_while_it_is_held(qtbot: QtBot, page: CuratePage) -> None:
    page.grid.focus_first()
    qtbot.keyPress(page.grid, Qt.Key.Key_W)
    assert page.view_name == "stage"
    qtbot.keyRelease(page.stage, Qt.Key.Key_W)
    assert page.view_name == "grid"


def test_the_info_panel_tells_the_whole_lineage(qtbot: QtBot, page: CuratePage) -> None:
    page.grid.focus_first()
    page.toggle_info()
    found = dict(page.info.lines)
    assert found["Class"] == "dandelion"
    assert found["t0"].startswith("0.25")
    assert found["Photo"].startswith("dandelion-")
    assert found["Prompt"] == "a photo of a dandelion"
    assert found["Erased"] == "nothing"
    assert breakable("a photo of a dandelion") == "a photo of a dandelion"
    assert breakable("4105065191435142812") == "41050651914351428\u200b12"
    shown = [made.text() for made in page.info.findChildren(QLabel)]
    assert max(len(word) for text in shown for word in re.split(r"[\s\u200b]", text)) <= 24
    page.info.copy_button.click()
    assert "\u200b" not in QGuiApplication.clipboard().text()
    page.toggle_info()
    assert not page.info.isVisible()


# ------------------------------------------------------------------------------- undo


def wander(qtbot: QtBot, page: CuratePage, sequences: int, seed: int, most: int = 5) -> None:
    """Random commands through the page, then undone one by one, then done again."""
    dice = random.Random(seed)
    project, model = page.project, page.model
    ids = project.synthetic_ids()
    for _ in range(sequences):
        before = states(project)
        after = [before]
        for _step in range(dice.randint(1, most)):
            some = dice.sample(ids, dice.randint(1, 12))
            kind = dice.randrange(5)
            if kind == 0:
                page.decide(dice.choice(list(Curation)), some)
            elif kind == 1:
                page.decide(Curation.REJECTED, model.ids_where(None, dice.choice(model.t0_set)))
            elif kind == 2:
                page.grid.go_to_id(some[0])
                page.rate(dice.randint(0, 5))
            elif kind == 3:
                page.model.take_groups([some[:3], some[3:]] if len(some) > 3 else [some])
                page.copies.keep_best()
            else:
                page.grid.go_to_id(some[0])
                page.decide(dice.choice(list(Curation)))
            settle(qtbot, page)
            found = states(project)
            if found != after[-1]:
                after.append(found)
        for then in reversed(after[:-1]):
            page.session.do(project.undo)
            settle(qtbot, page)
            assert states(project) == then
        for then in after[1:]:
            page.session.do(project.redo)
            settle(qtbot, page)
            assert states(project) == then
        for _ in after[1:]:
            page.session.do(project.undo)
        settle(qtbot, page)
        assert states(project) == before
    shown = {i: (c.curation, c.rating) for i in ids if (c := model.cell_of(i))}
    assert shown == states(project)  # what is painted is what is stored
    assert model.tally.total().by_curation[Curation.UNDECIDED] == 48


def test_undo_takes_back_any_sequence(qtbot: QtBot, page: CuratePage) -> None:
    wander(qtbot, page, 8, seed=1)


@pytest.mark.slow
def test_undo_takes_back_a_thousand_sequences(qtbot: QtBot, page: CuratePage) -> None:
    wander(qtbot, page, 1000, seed=2, most=2)


# ------------------------------------------------------------------------------- crashes

FAST_CURATION = """
import faulthandler, os, sys
faulthandler.dump_traceback_later(100, exit=True)  # whatever happens, the test does not wait on
from PySide6.QtCore import QTimer, Qt
from PySide6.QtTest import QTest
from app.main import make_application
from app.main_window import MainWindow
from app.steps import Step
from dafusion_core.domain.records import Curation
app = make_application(["curate"])
window = MainWindow()
window.show()
from pathlib import Path
window.open_project(Path(sys.argv[1]))
window.workspace.show_step(Step.CURATE)
page = window.workspace.curate
window.activateWindow()
QTest.qWaitForWindowActive(window)
page.grid.focus_first()
seen = set()
def work():
    QTest.keyClick(page.grid, Qt.Key.Key_X)
    app.processEvents()
    page.grid.viewport().repaint()
    for cell in page.model.matching():
        if cell.curation is Curation.REJECTED and cell.synthetic_id not in seen:
            seen.add(cell.synthetic_id)
            os.write(1, f"{cell.synthetic_id}\\n".encode())
timer = QTimer()
timer.timeout.connect(work)
timer.start(0)
app.exec()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_what_was_painted_is_there_after_a_kill(project: Project) -> None:
    path = project.path
    project.close()
    process = subprocess.Popen(
        [sys.executable, "-c", FAST_CURATION, str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    painted: list[int] = []
    assert process.stdout is not None
    deadline = time.monotonic() + 90
    while len(painted) < 20 and time.monotonic() < deadline:
        line = process.stdout.readline()
        assert line, "the window ended by itself"
        painted.append(int(line))
    process.send_signal(signal.SIGKILL)
    painted += [int(line) for line in process.stdout.read().splitlines()]
    process.stdout.close()
    process.wait(10)
    with api.open(path) as again:
        assert not again.is_read_only
        rejected = set(again.synthetic_ids(curation=Curation.REJECTED))
    assert len(painted) >= 20
    assert set(painted) <= rejected
