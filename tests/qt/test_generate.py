"""The Generate page: a preview of one photo, masks, recipes, memory, and what cannot start."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app import costs
from app.main_window import MainWindow
from app.pages.curate.page import CuratePage
from app.pages.generate.page import GeneratePage
from app.plans import GenerateChoices, make_plan, queue_concepts, queue_preview
from app.steps import Step, StepState, derive_states, gather_facts
from dafusion_core.api.base_models import describe_model
from dafusion_core.domain.records import Curation, JobState
from dafusion_core.domain.regions import RegionKind
from dafusion_core.domain.specs import ModelSource
from tests.qt.conftest import page_of, states, take_photos, workspace_of


@pytest.fixture
def page(qtbot: QtBot, window: MainWindow, photos: Path) -> GeneratePage:
    take_photos(qtbot, window, photos)
    assert window.session is not None
    window.session.project.make_split()
    workspace_of(window).show_step(Step.GENERATE)
    page = page_of(window, Step.GENERATE, GeneratePage)
    qtbot.waitUntil(lambda: page.preview.image_id is not None)
    return page


def test_one_photo_is_previewed_at_every_t0(
    qtbot: QtBot, window: MainWindow, page: GeneratePage
) -> None:
    page.preview.boxes[0.5].setChecked(False)  # only what is looked at depends on the ticks
    assert "close to the photo" in page.preview.boxes[0.25].accessibleName()
    page.preview.go.click()
    qtbot.waitUntil(lambda: states(window).get("preview") is JobState.SUCCEEDED, timeout=15_000)
    qtbot.waitUntil(lambda: all(t.has_picture for t in page.preview.tiles.values()))
    paths = [tile.path for tile in page.preview.tiles.values()]
    assert len(set(paths)) == 4
    assert "nothing of this trains" in page.preview.note.text()
    assert "with the class name" in page.preview.note.text()  # nothing was learned yet
    assert page.project.synthetic_ids() == []
    assert derive_states(gather_facts(page.project))[Step.GENERATE].state is not StepState.DONE
    page.form.guidance.setValue(9)
    assert "settings have changed" in page.preview.note.text()
    page.form.guidance.setValue(GenerateChoices().guidance)
    assert "nothing of this trains" in page.preview.note.text()
    page.preview.next.click()  # these are pictures of the other photo
    assert not any(tile.has_picture for tile in page.preview.tiles.values())
    page.preview.previous.click()
    assert [tile.path for tile in page.preview.tiles.values()] == paths
    qtbot.mouseClick(page.preview.tiles[0.5], Qt.MouseButton.LeftButton)
    assert page.preview.boxes[0.5].isChecked()


def test_a_preview_can_be_cancelled(
    qtbot: QtBot, page: GeneratePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAFUSION_TEST_STEP_S", "1")
    page.preview.go.click()
    qtbot.waitUntil(lambda: page.preview.stop.isVisible(), timeout=10_000)
    assert not page.preview.go.isEnabled()
    page.preview.stop.click()
    qtbot.waitUntil(lambda: "Stopped" in page.preview.note.text(), timeout=15_000)
    assert page.preview.go.isEnabled()
    assert page.project.jobs()[-1].state is JobState.CANCELLED


def test_only_what_has_regions_can_be_spared(qtbot: QtBot, page: GeneratePage) -> None:
    assert not page.form.masking_line.isVisible()
    assert page.choices().mask == "none"
    photo = page.project.images(part="train")[0]
    page.session.do(
        lambda: page.project.add_region(photo.id, RegionKind.BOX, {"box": [2, 2, 9, 9]}) and None
    )
    qtbot.waitUntil(lambda: not page.session.commands.is_busy)
    page.refresh(None)
    qtbot.waitUntil(page.form.masking_line.isVisible)
    assert not page.form.dilation.isEnabled()
    page.form.may_change.setCurrentIndex(page.form.may_change.findData("background"))
    page.form.dilation.setValue(8)
    plan = make_plan(page.project.current_split(), page.choices(), None)  # type: ignore[arg-type]
    assert (plan.mask, plan.mask_dilation) == ("background", 8)


def test_recipes_and_fields_reach_the_plan(page: GeneratePage) -> None:
    form = page.form
    form.recipe.setCurrentIndex(form.recipe.findData("unidiffda-fine-grained"))
    form.recipe.activated.emit(form.recipe.currentIndex())
    form.negative.setText("blurry")
    form.resolution.setCurrentText("96 px")
    form.aspect.setCurrentIndex(form.aspect.findData("crop"))
    form.memory.setCurrentIndex(form.memory.findData("saving"))
    form.speed.setCurrentIndex(form.speed.findData(True))
    plan = make_plan(page.project.current_split(), page.choices(), None)  # type: ignore[arg-type]
    assert (plan.t0_set, plan.draw, plan.variants) == ((0.9,), "uniform", 5)
    assert (plan.scheduler, plan.steps) == ("dpmsolver++", 25)
    assert (plan.negative_prompt, plan.resolution) == ("blurry", 96)
    assert (plan.aspect, plan.memory, plan.inversion_job) == ("crop", "saving", None)
    assert plan.compile


def test_real_guidance_uses_no_learned_word(page: GeneratePage) -> None:
    learned = queue_concepts(page.project, erase=False)
    split = page.project.current_split()
    assert split is not None
    assert make_plan(split, page.choices(), learned).inversion_job == learned.id
    form = page.form
    form.recipe.setCurrentIndex(form.recipe.findData("real-guidance"))
    form.recipe.activated.emit(form.recipe.currentIndex())
    assert make_plan(split, page.choices(), learned).inversion_job is None


def test_what_cannot_start_says_so(page: GeneratePage) -> None:
    page.form.resolution.setCurrentText("large")
    assert "from 16 to 2048" in page.summary.text()
    page.start()
    page.preview.start()
    assert page.project.jobs() == []
    page.form.resolution.setCurrentIndex(0)
    assert page.summary.text().startswith("This makes 48 synthetic images")
    page.form.prompt.setText(" ")
    assert "prompt is empty" in page.summary.text()


def test_memory_is_told_before_the_start(
    page: GeneratePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "of memory;" in page.summary.text()
    facts = describe_model(ModelSource())
    monkeypatch.setattr(costs, "uses_graphics_card", lambda: False)
    assert "more than this computer has" in costs.memory_sentence(facts, 8, 16_384, "normal")
    assert costs.memory_sentence(None, 8, None, "normal") == ""


def test_a_preview_needs_no_split_before(qtbot: QtBot, window: MainWindow, photos: Path) -> None:
    take_photos(qtbot, window, photos)
    assert window.session is not None
    project = window.session.project
    test_photo = project.images()[0].id
    job = queue_preview(project, GenerateChoices(), test_photo)
    assert project.current_split() is not None
    assert project.image(job.spec["image_id"]).part == "train"


def test_a_picture_of_the_preview_is_kept(
    qtbot: QtBot, window: MainWindow, page: GeneratePage
) -> None:
    strip = page.preview
    assert not any(keep.isVisible() for keep in strip.keeps.values())
    strip.go.click()
    qtbot.waitUntil(lambda: all(keep.isVisible() for keep in strip.keeps.values()), timeout=15_000)
    qtbot.waitUntil(lambda: states(window).get("preview") is JobState.SUCCEEDED, timeout=15_000)
    strip.keeps[0.5].click()
    qtbot.waitUntil(lambda: strip.keeps[0.5].text() == "✓ Kept")
    assert not strip.keeps[0.5].isEnabled()
    assert strip.keeps[0.25].isEnabled()
    (kept,) = page.project.synthetic(page.project.synthetic_ids())
    assert str(page.project.synthetic_path(kept)) == strip.tiles[0.5].path
    strip.next.click()
    assert not strip.keeps[0.5].isVisible()  # of the photo before
    workspace_of(window).show_step(Step.CURATE)
    curate = page_of(window, Step.CURATE, CuratePage)
    assert "kept from a preview" in curate.job_box.currentText()
    assert curate.model.tally.total().by_curation[Curation.KEPT] == 1
    assert list(curate.model.pictures.ids) == [kept.id]
    window.actions_table["undo"].trigger()
    qtbot.waitUntil(lambda: page.project.synthetic([kept.id])[0].curation is Curation.UNDECIDED)
    workspace_of(window).show_step(Step.GENERATE)
    strip.previous.click()
    qtbot.waitUntil(lambda: strip.keeps[0.5].isEnabled() and strip.keeps[0.5].isVisible())
