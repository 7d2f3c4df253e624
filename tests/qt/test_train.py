"""The Train page: what will train, each class, certainty, and what differs between runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QItemSelectionModel
from pytestqt.qtbot import QtBot

from app.main_window import MainWindow
from app.pages.train.balance import class_balance
from app.pages.train.classes import calibration_words, pool
from app.pages.train.page import TrainPage
from app.pages.train.runs import differences, value_words
from app.plans import GenerateChoices, TrainChoices, queue_generation, queue_training
from app.steps import Step, newest
from app.widgets.bars import ReliabilityDiagram
from dafusion_core.domain.records import Curation, JobState, Part, TrainingRun
from tests.qt.conftest import (
    make_pictures,
    page_of,
    states,
    take_photos,
    wait_until_done,
    workspace_of,
)


@pytest.fixture
def page(qtbot: QtBot, window: MainWindow, photos: Path) -> TrainPage:
    take_photos(qtbot, window, photos)
    return page_of(window, Step.TRAIN, TrainPage)


def run_of(probabilities: list[list[float]], truth: list[int], seed: int = 0) -> TrainingRun:
    record = {
        "labels": ["dock", "ivy"], "arm": "a", "seed": seed,
        "test": {"image_ids": list(range(len(truth))), "truth": truth,
                 "probabilities": probabilities},
    }  # fmt: skip
    return TrainingRun(seed, 1, "a", seed, "", "", record)


def test_certainty_is_compared_with_being_right(qtbot: QtBot) -> None:
    sure = [[0.95, 0.05]] * 4
    found = pool([run_of(sure, [0, 0, 1, 1]), run_of(sure, [0, 0, 1, 1], seed=1)])
    assert found is not None
    assert [(b.count, b.accuracy) for b in found.calibration] == [(8, 0.5)]
    assert found.calibration_error == pytest.approx(0.45)
    assert "too sure" in calibration_words(found)
    assert "Few answers" in calibration_words(found)
    modest = pool([run_of([[0.6, 0.4]] * 4, [0, 0, 0, 0])])
    assert modest is not None
    assert "too modest" in calibration_words(modest)
    assert pool([]) is None
    diagram = ReliabilityDiagram()
    qtbot.addWidget(diagram)
    diagram.show_bins(found.calibration)
    diagram.resize(260, 240)
    before = diagram.grab().toImage()
    diagram.show_bins(modest.calibration)
    assert diagram.grab().toImage() != before
    assert "60% sure: 100% right (4)" in diagram.accessibleDescription()


def test_differences_name_what_is_not_the_same() -> None:
    configs = [{"alpha": 0.5, "seed": 0, "t0_set": []}, {"alpha": 0.5, "seed": 1, "t0_set": [0.5]}]
    assert differences(configs) == [("seed", [0, 1]), ("t0_set", [[], [0.5]])]
    assert [value_words(v) for v in (None, [], 0.25, True, [0.5, 1.0])] == [
        "–", "–", "0.25", "yes", "0.5, 1",
    ]  # fmt: skip


def test_the_balance_is_shown_before_training(
    qtbot: QtBot, window: MainWindow, page: TrainPage
) -> None:
    job = queue_generation(page.project, GenerateChoices())
    ids = make_pictures(page.project, job, 0, 12)
    workspace_of(window).show_step(Step.TRAIN)
    assert page.parts.currentWidget() is page.balance
    rows = page.balance.chart.rows
    assert [r.name for r in rows] == ["dandelion", "ragwort", "spurge"]
    train = page.project.part_counts()
    assert [r.real for r in rows] == [train[r.name][Part.TRAIN] for r in rows]
    assert sum(r.synthetic for r in rows) == 12
    page.project.reject(ids[:5])
    page.project.keep(ids[5:7])
    assert sum(r.synthetic for r in class_balance(page.project, only_kept=False)) == 7
    page.only_kept.setChecked(True)
    assert sum(r.synthetic for r in page.balance.chart.rows) == 2
    assert "may train" in page.balance.words.text()
    assert len(page.project.synthetic_ids(curation=Curation.REJECTED)) == 5


def test_chosen_runs_tell_what_differs(qtbot: QtBot, window: MainWindow, page: TrainPage) -> None:
    queue_training(page.project, TrainChoices(seeds=2, epochs=1))
    queue_training(page.project, TrainChoices(seeds=2, epochs=3, alpha=0.25))
    page.session.start_queue()
    wait_until_done(qtbot, window)
    workspace_of(window).show_step(Step.TRAIN)
    qtbot.waitUntil(lambda: page.runs.table.rowCount() == 4)
    assert page.parts.currentWidget() is page.runs
    assert not page.runs.differences.isVisible()
    page.runs.earlier.setChecked(True)
    assert page.runs.table.rowCount() == 8
    table = page.runs.table
    last = [run.arm for run in page.runs.shown].index("DA-Fusion")
    for number in (last, last + 4):
        table.selectionModel().select(
            table.model().index(number, 0),
            QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows,
        )
    shown = page.runs.differences
    assert shown.isVisible()
    found = {shown.item(row, 0).text(): [shown.item(row, c).text() for c in (1, 2)]
             for row in range(shown.rowCount())}  # fmt: skip
    assert found["epochs"] == ["3", "1"]
    assert found["alpha"] == ["0.25", "0.5"]
    assert "backbone" not in found
    page.runs.clear.click()
    assert not shown.isVisible()
    page.show_part("classes")
    assert page.classes.table.rowCount() == 3
    assert "Calibration error" in page.classes.words.text()
    assert page.classes.diagram.bins


def test_stopping_early_needs_validation_images(
    qtbot: QtBot, window: MainWindow, page: TrainPage
) -> None:
    page.project.make_split(0, 0.5, 0.0)
    page.refresh(None)
    assert not page.patience.isEnabled()
    assert "validation images" in page.patience.toolTip()
    page.project.make_split(0, 0.25, 0.25)
    page.refresh(None)
    page.patience.setValue(4)
    page.start()
    qtbot.waitUntil(lambda: newest(page.project.jobs(), "train") is not None)
    job = newest(page.project.jobs(), "train")
    assert job is not None
    assert job.spec["patience"] == 4


def test_a_training_can_be_stopped_from_its_page(
    qtbot: QtBot, window: MainWindow, page: TrainPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue_training(page.project, TrainChoices())
    workspace_of(window).show_step(Step.TRAIN)
    page.refresh(None)
    assert page.stop.isVisible()
    page.stop.click()
    qtbot.waitUntil(lambda: bool(newest(page.project.jobs(), "train").is_held))  # type: ignore[union-attr]
    qtbot.waitUntil(lambda: not page.stop.isVisible())
    assert states(window)["train"] is JobState.QUEUED


def test_a_running_fit_can_be_cut_short(
    qtbot: QtBot, window: MainWindow, page: TrainPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAFUSION_TEST_STEP_S", "0.08")
    workspace_of(window).show_step(Step.TRAIN)
    assert not page.finish.isVisible()
    choices = TrainChoices(seeds=2)
    page.session.run(lambda: queue_training(page.project, choices))
    qtbot.waitUntil(page.finish.isVisible, timeout=15_000)
    page.finish.click()
    assert not page.finish.isEnabled()
    wait_until_done(qtbot, window)
    cut = [run for run in page.project.runs() if run.record["stopped_at"]]
    assert len(cut) == 1
    qtbot.waitUntil(lambda: not page.finish.isVisible())
    qtbot.waitUntil(lambda: page.table.rowCount() == 4)
    words = [page.table.item(n, 1).text() for n in range(page.table.rowCount())]  # type: ignore[union-attr]
    assert sum("ended by hand after epoch 1" in text for text in words) == 1
    (found,) = page.project.evaluations()
    assert any("Ended by hand" in note for note in found.result["notes"])
