"""Item models: Qt's own checks, folding, the curation grid's layout, and staying in place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QStyleOptionViewItem
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from app.main import make_application
from app.models.curation_filter import CurationFilter
from app.models.curation_grid import CurationGridModel
from app.models.grid_proxy import GridProxyModel
from app.models.image_list import ImageListModel
from app.models.job_table import JobTableModel
from app.models.roles import CURATION_ROLE, ID_ROLE, KIND_ROLE, PATH_ROLE, CellKind
from app.models.rows import KEPT, WINDOW, WindowedRows
from app.models.synthetic_list import SyntheticListModel
from app.pages.curate.grid import CurationGrid
from app.thumbnails import ThumbnailLoader
from app.widgets.picture_grid import FoldedGrid
from dafusion_core import api
from dafusion_core.api.project import Project
from dafusion_core.domain.records import Curation, Job
from tests.qt.conftest import make_pictures


@pytest.fixture
def project(tmp_path: Path, photos: Path) -> Iterator[Project]:
    with api.create(tmp_path / "models") as project:
        project.import_folder(photos)
        project.make_split()
        yield project


@pytest.fixture
def loader(qtbot: QtBot) -> Iterator[ThumbnailLoader]:
    make_application(["test"])
    loader = ThumbnailLoader(8 * 2**20)
    yield loader
    loader.stop()


@pytest.fixture
def filled(project: Project) -> tuple[Project, Job, list[int]]:
    """A plan of 12 photos × 4 t0 × 2 variants of which the first 40 pictures are there."""
    job = project.generate(variants=2, batch_size=4)
    return project, job, make_pictures(project, job, 0, 40)


# ------------------------------------------------------------------------------- rows


class _Row:
    def __init__(self, number: int) -> None:
        self.id = number


def test_rows_are_read_in_windows_and_old_windows_forgotten() -> None:
    reads: list[int] = []

    def fetch(ids: Any) -> list[Any]:
        reads.append(len(ids))
        return [_Row(i) for i in ids]

    rows = WindowedRows[Any](fetch)
    rows.replace(range(10_000))
    assert rows.record(9_999).id == 9_999
    assert rows.record(9_900).id == 9_900
    assert reads == [WINDOW]
    for place in range(0, 10_000, WINDOW):
        rows.record(place)
    assert len(rows._records) == KEPT
    reads.clear()
    rows.forget([9_999])
    rows.record(9_999)
    assert reads == [1]  # only what changed

    rows.remove(5)
    rows.remove(100)
    assert (rows.place(4), rows.place(5), rows.place(6), rows.place(200)) == (4, -1, 5, 198)
    rows.append([20_000])
    assert rows.place(20_000) == len(rows) - 1 == 9_998


# ------------------------------------------------------------------------------- lists


def test_lists_hold_to_the_rules_of_qt(
    qtmodeltester: ModelTester, filled: tuple[Project, Job, list[int]]
) -> None:
    project, _job, ids = filled
    images = ImageListModel(project)
    images.show_images(image.id for image in project.images())
    assert images.rowCount() == 24
    synthetic = SyntheticListModel(project)
    synthetic.replace(ids)
    jobs = JobTableModel(project)
    jobs.refresh()
    for model in (images, synthetic, GridProxyModel(images, 5), jobs):
        qtmodeltester.check(model)


def test_a_grown_list_is_appended_not_reset(qtbot: QtBot, project: Project) -> None:
    model = ImageListModel(project)
    ids = [image.id for image in project.images()]
    model.show_images(ids[:10])
    resets, inserts = QSignalSpy(model.modelReset), QSignalSpy(model.rowsInserted)
    model.show_images(ids)
    assert (resets.count(), inserts.count(), model.rowCount()) == (0, 1, 24)
    model.show_images(ids[5:])
    assert resets.count() == 1


def test_folding(qtbot: QtBot, project: Project) -> None:
    model = ImageListModel(project)
    ids = [image.id for image in project.images()]
    model.show_images(ids[:10])
    grid = GridProxyModel(model, 4)
    assert (grid.rowCount(), grid.columnCount()) == (3, 4)
    assert grid.cell(9).data(ID_ROLE) == ids[9]
    tail = grid.index(2, 2)
    assert tail.data(KIND_ROLE) is CellKind.NOTHING
    assert not grid.flags(tail)
    model.show_images(ids)
    assert grid.rowCount() == 6
    assert tail.data(ID_ROLE) == ids[10]
    grid.set_columns(5)
    assert (grid.rowCount(), grid.place(grid.index(4, 3))) == (5, 23)


@pytest.mark.parametrize(("first", "last"), [(1, 2), (1, 9), (0, 23), (14, 3), (7, 8)])
def test_a_run_of_a_list_is_at_most_three_rectangles(
    qtbot: QtBot, project: Project, first: int, last: int
) -> None:
    model = ImageListModel(project)
    model.show_images(image.id for image in project.images())
    grid = GridProxyModel(model, 5)
    run = grid.run(first, last)
    assert len(run.toList()) <= 3
    assert sorted(grid.place(index) for index in run.indexes()) == list(
        range(min(first, last), max(first, last) + 1)
    )


def test_shift_selects_in_reading_order_and_arrows_wrap(
    qtbot: QtBot, project: Project, loader: ThumbnailLoader
) -> None:
    model = ImageListModel(project)
    model.show_images(image.id for image in project.images())
    view = FoldedGrid(model, loader)
    qtbot.addWidget(view)
    view.resize(5 * view.thumbnails.cell_size().width() + 20, 600)
    view.show()
    qtbot.waitExposed(view)
    columns = view.folded.columns
    assert columns == 5
    view.setCurrentIndex(view.folded.cell(columns - 1))
    qtbot.keyClick(view, Qt.Key.Key_Right)
    assert view.folded.place(view.currentIndex()) == columns
    qtbot.keyClick(view, Qt.Key.Key_Left)
    assert view.folded.place(view.currentIndex()) == columns - 1
    start = view.visualRect(view.folded.cell(3)).center()
    end = view.visualRect(view.folded.cell(11)).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseClick(
        view.viewport(),
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.ShiftModifier,
        pos=end,
    )
    chosen = sorted(view.folded.place(index) for index in view.selectedIndexes())
    assert chosen == list(range(3, 12))


# ------------------------------------------------------------------------------- the grid


def test_grid_layout_packs_variants_below_each_other(
    qtmodeltester: ModelTester, filled: tuple[Project, Job, list[int]]
) -> None:
    project, job, ids = filled
    model = CurationGridModel(project)
    model.show_job(job.id)
    assert (model.rowCount(), model.columnCount()) == (24, 5)
    assert model.index(0, 0).data(KIND_ROLE) is CellKind.PHOTO
    kinds = [model.index(r, c).data(KIND_ROLE) for r in range(24) for c in range(1, 5)]
    assert kinds.count(CellKind.SYNTHETIC) == 40
    assert kinds.count(CellKind.WAITING) == 56
    photo, below = model.index(0, 0), model.index(1, 0)
    assert photo.data(PATH_ROLE) == below.data(PATH_ROLE)
    assert {model.index_of(i).isValid() for i in ids} == {True}
    qtmodeltester.check(model)


def test_a_plan_that_draws_one_t0_leaves_few_gaps(qtbot: QtBot, project: Project) -> None:
    job = project.generate(variants=10, draw="uniform")
    model = CurationGridModel(project)
    model.show_job(job.id)
    planned = sum(counts.waiting for counts in model.counts())
    assert planned == 120
    assert model.rowCount() < 60  # one row for each variant would be 120


def test_arriving_pictures_move_nothing(
    qtbot: QtBot, filled: tuple[Project, Job, list[int]], loader: ThumbnailLoader
) -> None:
    project, job, ids = filled
    model = CurationGridModel(project)
    view = CurationGrid(model, loader)
    qtbot.addWidget(view)
    view.resize(700, 400)
    view.show()
    qtbot.waitExposed(view)
    model.show_job(job.id)
    view.verticalScrollBar().setValue(300)
    view.setCurrentIndex(model.index_of(ids[5]))
    view.verticalScrollBar().setValue(310)
    resets = QSignalSpy(model.modelReset)
    new = make_pictures(project, job, 40, 44)
    model.take_new(new)
    assert resets.count() == 0
    assert view.verticalScrollBar().value() == 310
    assert view.currentIndex() == model.index_of(ids[5])
    assert view.chosen_ids() == [ids[5]]
    assert model.index_of(new[0]).data(KIND_ROLE) is CellKind.SYNTHETIC
    assert sum(counts.waiting for counts in model.counts()) == 52


def test_decisions_are_shown_and_filters_keep_rows(
    qtbot: QtBot, filled: tuple[Project, Job, list[int]]
) -> None:
    project, job, ids = filled
    model = CurationGridModel(project)
    model.show_job(job.id)
    project.keep(ids[:3])
    project.reject(ids[3:5])
    model.take_decisions(ids[:5])
    assert model.index_of(ids[0]).data(CURATION_ROLE) == Curation.KEPT
    assert model.index_of(ids[4]).data(CURATION_ROLE) == Curation.REJECTED
    totals = [counts.by_curation for counts in model.counts()]
    assert sum(by[Curation.KEPT] for by in totals) == 3
    assert sum(by[Curation.REJECTED] for by in totals) == 2
    concept = project.concepts()[1]
    model.set_filter(CurationFilter(frozenset({concept.id})))
    assert model.rowCount() == 8
    sources = {model.source(model.index(row, 0)).label for row in range(8)}  # type: ignore[union-attr]
    assert sources == {concept.name}


def test_a_selection_is_read_from_its_rectangles(
    qtbot: QtBot, filled: tuple[Project, Job, list[int]]
) -> None:
    project, job, ids = filled
    model = CurationGridModel(project)
    model.show_job(job.id)
    everything = QItemSelection(model.index(0, 0), model.index(23, 4))
    assert sorted(model.ids_in(everything)) == sorted(ids)
    column = QItemSelection(model.index(0, 2), model.index(23, 2))
    assert model.ids_in(column) == model.ids_of_column(2)


def test_keys_act_on_the_selection_only_if_the_focus_is_in_it(
    qtbot: QtBot, filled: tuple[Project, Job, list[int]], loader: ThumbnailLoader
) -> None:
    project, job, ids = filled
    model = CurationGridModel(project)
    view = CurationGrid(model, loader)
    qtbot.addWidget(view)
    model.show_job(job.id)
    first, second, third = (model.index_of(i) for i in ids[:3])
    flags = QItemSelectionModel.SelectionFlag
    view.selectionModel().select(first, flags.ClearAndSelect)
    view.selectionModel().select(second, flags.Select)
    view.selectionModel().setCurrentIndex(second, flags.NoUpdate)
    assert sorted(view.chosen_ids()) == sorted(ids[:2])
    view.selectionModel().setCurrentIndex(third, flags.NoUpdate)
    assert view.chosen_ids() == [ids[2]]
    view.clearSelection()
    view.setCurrentIndex(QModelIndex())
    assert view.chosen_ids() == []


def test_painting_twenty_thousand_items_does_not_end_the_program(
    qtbot: QtBot, filled: tuple[Project, Job, list[int]], loader: ThumbnailLoader
) -> None:
    """PySide6 6.12.0 lost a reference to None with each call into C++ and aborted after 7,000."""
    project, job, _ids = filled
    model = CurationGridModel(project)
    view = CurationGrid(model, loader)
    qtbot.addWidget(view)
    view.set_picture_size(24)
    model.show_job(job.id)
    canvas = QImage(view.thumbnails.cell_size(), QImage.Format.Format_RGB32)
    delegate = view.itemDelegate()
    painter = QPainter(canvas)
    option = QStyleOptionViewItem()
    option.rect = canvas.rect()
    cells = [model.index(row, column) for row in range(20) for column in range(5)]
    for _ in range(200):
        for index in cells:
            delegate.paint(painter, option, index)
    painter.end()
