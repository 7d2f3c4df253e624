"""Forms and results of the steps: costs, recipes, base models, curves, mistakes, health."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QPointF, Qt
from pytestqt.qtbot import QtBot

from app import costs
from app.dialogs.export import ExportDialog
from app.dialogs.health import HealthDialog
from app.main_window import MainWindow
from app.models.curation_filter import CurationFilter, Mark, Sort
from app.pages.concepts.page import ConceptsPage
from app.pages.generate.page import GeneratePage
from app.pages.train.experiments import ExperimentDialog, ExperimentsView
from app.pages.train.mistakes import answers_of
from app.pages.train.page import TrainPage
from app.pages.train.runs import arm_words
from app.plans import DEFAULTS, ConceptChoices, queue_concepts
from app.steps import Step
from app.widgets.model_picker import ModelPicker
from app.widgets.plot import Line, Plot, smooth
from dafusion_core.domain.records import JobState
from dafusion_core.evaluation.few_shot import Cell, ExperimentTable, Point
from dafusion_core.storage.checks import add_checks
from tests.qt.conftest import make_pictures, page_of, take_photos, wait_until_done, workspace_of

# ------------------------------------------------------------------------------- forms


def test_the_base_model_says_what_is_wrong(qtbot: QtBot, tmp_path: Path) -> None:
    picker = ModelPicker()
    qtbot.addWidget(picker)
    assert picker.source.kind == "bundled"
    assert picker.problem == ""
    picker.kind.setCurrentIndex(picker.kind.findData("folder"))
    assert picker.problem == "Say where the base model is."
    picker.place.setText(str(tmp_path))
    assert "no model_index.json" in picker.problem
    (tmp_path / "model_index.json").write_text("{}")
    assert picker.problem == ""
    assert picker.source.location == str(tmp_path)
    picker.kind.setCurrentIndex(picker.kind.findData("file"))
    picker.place.setText(str(tmp_path / "none.safetensors"))
    assert picker.problem == "There is no such file."
    picker.kind.setCurrentIndex(picker.kind.findData("bundled"))
    assert "64 px, 13\u00a0MB, licence: Apache-2.0" in picker.note.text()


def test_recipes_fill_the_form_and_the_cost_follows(
    qtbot: QtBot, window: MainWindow, photos: Path
) -> None:
    take_photos(qtbot, window, photos)
    workspace_of(window).show_step(Step.CONCEPTS)
    page = page_of(window, Step.CONCEPTS, ConceptsPage)
    assert page.form.choices() == ConceptChoices()
    assert "on a laptop without a GPU" in page.form.cost.text()
    page.form.recipe.setCurrentIndex(page.form.recipe.findData("paper"))
    assert page.form.choices().method == "esd"
    assert page.form.eta.isEnabled()
    page.form.model.kind.setCurrentIndex(page.form.model.kind.findData("hub"))
    page.form.model.place.setText("a/b")
    assert "How long it takes shows" in page.form.cost.text()
    job = queue_concepts(page.project, page.form.choices())
    assert job.spec["model"] == {"kind": "hub", "location": "a/b", "revision": ""}
    erasure = page.project.job(job.spec["erasure_job"])
    assert (erasure.spec["method"], erasure.spec["iterations"]) == ("esd", 1000)


def test_another_t0_can_be_added(qtbot: QtBot, window: MainWindow, photos: Path) -> None:
    take_photos(qtbot, window, photos)
    window.session.project.make_split()  # type: ignore[union-attr]
    workspace_of(window).show_step(Step.GENERATE)
    page = page_of(window, Step.GENERATE, GeneratePage)
    page.slider.setValue(40)
    page.add_t0.click()
    assert page.choices().t0_set == (0.25, 0.4, 0.5, 0.75, 1.0)
    assert not page.add_t0.isEnabled()
    assert page.summary.text().startswith("This makes 60 synthetic images from 12 training photos")


def test_costs_speak_plainly() -> None:
    assert costs.Cost(130, 4_200_000, True).sentence == (
        "Takes about 2\u00a0min and 4.2\u00a0MB on disk, going by the last time."
    )
    assert costs.size_words(999) == "999\u00a0bytes"
    assert costs.size_words(270e6) == "270\u00a0MB"


# ------------------------------------------------------------------------------- curves


def test_smoothing_keeps_constants_ends_and_order() -> None:
    assert smooth([3.0] * 9, 0.9) == pytest.approx([3.0] * 9)
    assert smooth([1.0, 5.0, 2.0], 0.0) == [1.0, 5.0, 2.0]
    line = smooth([float(n) for n in range(50)], 0.8)
    assert line == sorted(line)
    assert line[25] == pytest.approx(25, abs=0.5)  # nothing is shifted


def test_plots_hide_groups_and_tell_values(qtbot: QtBot) -> None:
    plot = Plot("Loss")
    qtbot.addWidget(plot)
    plot.resize(500, 220)
    plot.show()
    said: list[str] = []
    plot.hovered.connect(said.append)
    plot.show_lines(
        [
            Line("a", [(0, 1.0), (10, 0.1)]),
            Line("a", [(0, 2.0), (10, 0.2)]),
            Line("b", [(0, 4.0), (10, 0.4)]),
        ]
    )
    for is_log in (False, True):
        plot.set_log(is_log)
        plot.set_smoothing(0.5)
        plot.grab()  # paints it, shown or not
    box, group = plot._legend[0]
    qtbot.mouseClick(plot, Qt.MouseButton.LeftButton, pos=box.center().toPoint())
    assert plot.hidden == {group} == {"a"}
    plot._at = QPointF(470, 60)
    plot.grab()
    assert said[-1] == "step 10, b: 0.4"


# ------------------------------------------------------------------------------- results


def test_cells_of_the_matrix_open_their_pictures(
    qtbot: QtBot, window: MainWindow, photos: Path
) -> None:
    take_photos(qtbot, window, photos)
    window.actions_table["everything"].trigger()
    wait_until_done(qtbot, window)
    workspace_of(window).show_step(Step.TRAIN)
    page = page_of(window, Step.TRAIN, TrainPage)
    qtbot.waitUntil(lambda: page.table.rowCount() == 2 * len(DEFAULTS.seeds))
    assert page.table.item(0, 1).text() == "real images only"
    page.show_part("mistakes")
    view = page.mistakes
    answers = answers_of(page.project.runs())
    cells = [(a.truth, a.said) for a in answers]
    truth, said = max(set(cells), key=cells.count)
    view.table.setCurrentCell(truth, said)
    ids = set(view.model.ids)
    assert ids
    arm = view.chooser.arm.currentText()
    runs = [run for run in page.project.runs() if run.arm == arm]
    assert ids == {a.image_id for a in answers_of(runs) if (a.truth, a.said) == (truth, said)}
    assert arm_words({"generation_job": 3, "alpha": 0.5}) == "α 0.5, pictures of job 3"


def test_checks_mark_filter_and_sort(qtbot: QtBot, window: MainWindow, photos: Path) -> None:
    take_photos(qtbot, window, photos)
    project = window.session.project  # type: ignore[union-attr]
    project.make_split()
    job = project.generate(variants=1)
    ids = make_pictures(project, job, 0, 8)
    other = project.images(part="train")[-1].id
    names = {concept.id: concept.name for concept in project.concepts()}
    classes = [names[image.concept_id] for image in project.synthetic(ids)]
    rows = [
        {
            "synthetic_id": i,
            "features": "test",
            "source_distance": 0.5 - 0.01 * n,
            "train_distance": 0.1,
            "train_image_id": other,
            "test_distance": None,
            "test_image_id": None,
            "agreement": 0.9,
            "predicted": "dock" if n == 3 else classes[n],
            "sharpness": 10.0,
            "is_blank": n == 5,
        }
        for n, i in enumerate(ids)
    ]
    check = project.check(job.id)
    with project.file.db.atomic():
        add_checks(project.file.db, check.id, rows)
    workspace_of(window).show_step(Step.CURATE)
    page = workspace_of(window).curate
    page.filters.set_filter(CurationFilter(marks=frozenset({Mark.OTHER_CLASS})))
    assert [cell.synthetic_id for cell in page.model.matching()] == [ids[3]]
    page.filters.set_filter(CurationFilter(marks=frozenset({Mark.BLANK, Mark.OTHER_CLASS})))
    assert len(page.model.matching()) == 2
    page.filters.set_filter(CurationFilter(sort=Sort.COPY))
    page.show_view("list")
    assert list(page.flat.list.ids) == ids[::-1]
    page.flat.go_to_id(ids[5])
    page.toggle_info()
    assert ("Sharpness", "10, blank") in page.info.lines
    page.toggle_info()
    page.filters.check_wanted.emit()
    qtbot.waitUntil(lambda: [found.kind for found in project.jobs()].count("check") == 2)


def test_findings_come_with_remedies(qtbot: QtBot, window: MainWindow, photos: Path) -> None:
    copied = (photos / "ragwort" / "ragwort-00.png").read_bytes()
    take_photos(qtbot, window, photos)
    assert copied
    window.actions_table["health"].trigger()
    dialog = window.findChild(HealthDialog)
    assert isinstance(dialog, HealthDialog)
    qtbot.waitUntil(lambda: not dialog.title.text().startswith("Looking"), timeout=15_000)
    before = len(dialog.findings)
    if before:
        dialog.dismiss.click()
        qtbot.waitUntil(lambda: len(dialog.findings) == before - 1, timeout=15_000)
    dialog.close()


def test_a_waiting_job_can_be_put_first(qtbot: QtBot, window: MainWindow, photos: Path) -> None:
    take_photos(qtbot, window, photos)
    project = window.session.project  # type: ignore[union-attr]
    first, second = project.erase(["thistle"]), project.erase(["dock"])
    panel = workspace_of(window).jobs
    panel.model.refresh()
    panel.ask("first", second.id)
    qtbot.waitUntil(lambda: project.job(second.id).priority > project.job(first.id).priority)
    assert project.job(first.id).state is JobState.QUEUED


def test_experiments_are_asked_for_and_shown(
    qtbot: QtBot, window: MainWindow, photos: Path
) -> None:
    take_photos(qtbot, window, photos)
    project = window.session.project  # type: ignore[union-attr]
    view = ExperimentsView(window.session)  # type: ignore[arg-type]
    qtbot.addWidget(view)
    view.refresh()
    assert view.state.text() == "Nothing was asked yet."
    dialog = ExperimentDialog(window.session, view)  # type: ignore[arg-type]
    dialog.shots.setText("1, two")
    assert dialog.problem.text().startswith("Write whole numbers")
    assert not dialog.go.isEnabled()
    dialog.shots.setText("1, 2")
    dialog.seeds.setValue(2)
    assert dialog.plan.text().startswith("2 ways of training × 1 shot, 2 shots × 2 seeds: 8 fits.")
    table = ExperimentTable(
        "quick",
        "standard augmentation",
        ("standard augmentation", "DA-Fusion"),
        (
            Cell(
                1,
                (
                    Point("standard augmentation", 0.5, 0.4, 0.6, (0.45, 0.55)),
                    Point("DA-Fusion", 0.6, None, None, (0.6,)),
                ),
                None,
                3,
                4,
            ),
        ),
        3,
        8,
    )
    view.show_table(table)
    assert view.state.text() == "3 of 8 fits are there"
    cells = [view.table.item(0, column).text() for column in range(3)]
    assert cells == ["1 shot", "50.0 % ± 10.0", "60.0 %"]
    assert [line.group for line in view.plot.lines] == ["standard augmentation", "DA-Fusion"]
    assert project.jobs() == []


def test_a_dropped_picture_is_asked_about(qtbot: QtBot, window: MainWindow, photos: Path) -> None:
    take_photos(qtbot, window, photos)
    window.actions_table["everything"].trigger()
    wait_until_done(qtbot, window)
    workspace_of(window).show_step(Step.TRAIN)
    page = page_of(window, Step.TRAIN, TrainPage)
    page.show_part("try")
    assert page.try_it.run.count() == 2 * len(DEFAULTS.seeds)
    page.try_it.ask(photos / "spurge" / "spurge-01.png")
    qtbot.waitUntil(
        lambda: any(job.kind == "predict" for job in page.project.jobs()), timeout=10_000
    )


def test_exports_have_a_form_and_a_summary(qtbot: QtBot, window: MainWindow, photos: Path) -> None:
    take_photos(qtbot, window, photos)
    project = window.session.project  # type: ignore[union-attr]
    project.make_split()
    ids = make_pictures(project, project.generate(variants=1), 0, 6)
    project.keep(ids[:3])
    dialog = ExportDialog(window.session, window)  # type: ignore[arg-type]
    assert dialog.summary.text().startswith("This writes 3 synthetic images and 12 training photos")
    dialog.all.setChecked(True)
    dialog.real.setChecked(False)
    assert dialog.summary.text().startswith("This writes 6 synthetic images and 0 training photos")
    dialog.form.setCurrentIndex(dialog.form.findData("csv"))
    dialog.folder.setText(str(photos.parent / "out"))
    dialog.start.click()
    qtbot.waitUntil(lambda: "made" in window.bar.messages, timeout=15_000)
    lines = (photos.parent / "out" / "labels.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 6


def test_ctrl_enter_does_the_step_that_is_shown(
    qtbot: QtBot, window: MainWindow, photos: Path
) -> None:
    take_photos(qtbot, window, photos)
    assert window.session is not None
    project, actions = window.session.project, window.actions_table
    workspace_of(window).show_step(Step.REPORT)
    qtbot.keyClick(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert project.jobs() == []  # there is no verdict to save
    kinds = ["erase", "invert", "generate"]
    for step, key, more in (
        (Step.GENERATE, "generate", []),
        (Step.TRAIN, "train", ["train", "compare"]),
    ):
        workspace_of(window).show_step(step)
        qtbot.waitUntil(lambda key=key: actions[key].isEnabled())
        qtbot.keyClick(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
        wanted = kinds + more
        qtbot.waitUntil(lambda wanted=wanted: [job.kind for job in project.jobs()] == wanted)
