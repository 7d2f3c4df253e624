"""The Concepts page: looks while learning, erasures one by one, embeddings, a model to fetch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtGui import QColor, QImage
from pytestqt.qtbot import QtBot

from app.dialogs.before_after import BeforeAfterDialog
from app.dialogs.embeddings import EmbeddingsDialog, match_files
from app.main_window import MainWindow
from app.pages.concepts.looks import LooksView, read_looks, stored_looks
from app.pages.concepts.page import ConceptsPage
from app.plans import DEFAULTS, ConceptChoices, queue_concepts
from app.steps import Step
from app.widgets.helper import Helper
from dafusion_core.api.chain import erasure_spec
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import ErasedModel, JobState, TokenEmbedding
from dafusion_core.jobs.events import PreviewReady
from tests.qt.conftest import drop, page_of, states, take_photos, workspace_of


@pytest.fixture
def page(qtbot: QtBot, window: MainWindow, photos: Path) -> ConceptsPage:
    take_photos(qtbot, window, photos)
    workspace_of(window).show_step(Step.CONCEPTS)
    return page_of(window, Step.CONCEPTS, ConceptsPage)


def sheet(rows: int) -> QImage:
    """A contact sheet: row r, column c in the colour (r, c, 7)."""
    image = QImage(4 * 132 + 4, rows * 132 + 4, QImage.Format.Format_RGB888)
    image.fill(QColor("white"))
    for row in range(rows):
        for column in range(4):
            for y in range(128):
                for x in (0, 64, 127):
                    image.setPixelColor(
                        4 + 132 * column + x, 4 + 132 * row + y, QColor(row, column, 7)
                    )
    return image


def test_looks_go_to_their_class_and_step(qtbot: QtBot) -> None:
    text = "dock (leaf) (0a1b2c3d), ivy, common (ffffffff): step 25 of 100"
    found = read_looks(text, sheet(2))
    assert [(n, k.step, k.digest) for n, k in found.items()] == [
        ("dock (leaf)", 25, "0a1b2c3d"),
        ("ivy, common", 25, "ffffffff"),
    ]
    corner = found["ivy, common"].pictures.pixelColor(0, 0)
    assert (corner.red(), corner.green(), corner.blue()) == (1, 0, 7)
    assert read_looks("before (left) and after (right): dock", sheet(1)) == {}
    assert read_looks(text, QImage()) == {}
    view = LooksView()
    qtbot.addWidget(view)
    for name, look in found.items():
        view.add(name, look)
    view.show_classes(["ivy, common", "dock (leaf)", "unseen"])
    assert list(view.tiles) == [("ivy, common", 25), ("dock (leaf)", 25)]
    for column in (1, 2, 3, 0):
        view.other.click()
        pixmap = view.tiles["dock (leaf)", 25]._pixmap
        assert pixmap.toImage().pixelColor(0, 0).green() == column


def test_looks_appear_while_a_class_is_learned(
    qtbot: QtBot, window: MainWindow, page: ConceptsPage, tmp_path: Path
) -> None:
    assert page.looks.isHidden()
    page.start()
    qtbot.waitUntil(lambda: states(window).get("invert") is JobState.SUCCEEDED, timeout=20_000)
    job = page.project.jobs()[-1]
    page._begin_looks(0)  # what the worker showed meanwhile may have been late or not
    page._begin_looks(job.id)
    names = ("dandelion", "ragwort", "spurge")
    path = tmp_path / "look.png"
    assert sheet(3).save(str(path))
    for step in (2, 4):
        text = ", ".join(f"{name} (0000000{step})" for name in names)
        look = PreviewReady(job_id=job.id, path=str(path), text=f"{text}: step {step} of 5")
        page.session.jobs.happened.emit(look)
    assert list(page.looks.tiles) == [(name, step) for name in names for step in (2, 4)]
    assert page.looks.isVisible()
    path.write_bytes(b"written over")  # what was seen stays
    page.refresh(None)
    assert page.looks.tiles["spurge", 4].has_picture
    assert "00000004" in page.looks.tiles["spurge", 4].toolTip()
    assert [page.table.item(row, 3).text() for row in range(3)] == ["yes"] * 3
    queue_concepts(page.project)  # a new erasure is waiting: the old one no longer says anything
    page.refresh(None)
    assert page.table.item(0, 3).text() == "waiting"


def test_kept_looks_are_shown_again(page: ConceptsPage) -> None:
    project = page.project
    job = queue_concepts(project, erase=False)
    concept = project.concepts()[0]
    path = project.files / "looks.png"
    assert sheet(2).save(str(path))
    db = project.file.db
    record = {"previews": [{"step": 5, "hash": "aa"}, {"step": 9, "hash": "bb"}]}
    row = {
        "unit_id": project.units(job.id)[0].id, "job_id": job.id, "concept_id": concept.id,
        "placeholder": concept.placeholder, "path": "x", "sha256": "x",
        "record_json": json.dumps(record), "created_at": "2026-01-01T00:00:00.000+00:00",
    }  # fmt: skip
    number = db.insert("inversion", row)
    db.execute(
        "INSERT INTO inversion_file(inversion_id, role, path, sha256) VALUES (?, ?, ?, ?)",
        [number, "previews", "looks.png", "x"],
    )
    learned = project.embeddings()[0]
    assert [(k.step, k.digest) for k in stored_looks(project, learned)] == [(5, "aa"), (9, "bb")]
    page.refresh(None)
    assert list(page.looks.tiles) == [(concept.name, 5), (concept.name, 9)]
    path.unlink()
    assert stored_looks(project, learned) == []
    assert isinstance(learned, TokenEmbedding)


def test_each_model_of_an_erasure_has_its_sheet(qtbot: QtBot, tmp_path: Path) -> None:
    models = []
    for number, name in enumerate(("dock", "ivy")):
        path = tmp_path / f"{name}.png"
        Image.new("RGB", (40 + number, 30)).save(path)
        line = {"prompt": name, "role": "concept", "pixel_change": 0.25, "prediction_change": 0.5}
        record = {"check": {"prompts": [line]}}
        models.append((ErasedModel(number, 1, "uce", (name,), "", "", "", record), path))
    dialog = BeforeAfterDialog(models)
    qtbot.addWidget(dialog)
    assert dialog.choice.count() == 2
    for number, name in enumerate(("dock", "ivy")):
        dialog.choice.setCurrentIndex(number)
        assert dialog.picture.pixmap().width() == 40 + number
        assert dialog.table.item(0, 0).text() == f"{name}  (erased)"
    alone = BeforeAfterDialog([(models[0][0], None)])
    qtbot.addWidget(alone)
    assert not alone.choice.isVisibleTo(alone)
    assert "no picture" in alone.picture.text()


def test_embeddings_find_their_class_by_name(
    qtbot: QtBot, page: ConceptsPage, tmp_path: Path
) -> None:
    assert match_files(["leafy spurge"], [Path("Leafy_Spurge.pt")]) == {
        "leafy spurge": Path("Leafy_Spurge.pt")
    }
    file = tmp_path / "Spurge.pt"
    file.write_bytes(b"vectors")
    page.form.embeddings.click()
    dialog = page.findChild(EmbeddingsDialog)
    assert dialog is not None
    drop(dialog, file)
    assert "1 class of 3 will be read" in dialog.summary.text()
    dialog._accept()
    assert "1 file" in page.form.embeddings.text()
    job = queue_concepts(page.project, page.form.choices())
    (imported,) = job.spec["imported"]
    assert (imported["concept"], imported["path"]) == ("spurge", str(file))
    assert imported["sha256"]
    file.unlink()
    before = len(page.project.jobs())
    with pytest.raises(UserError, match="no embedding file"):
        queue_concepts(page.project, page.form.choices())
    assert len(page.project.jobs()) == before  # not half of it


def test_one_model_per_class_reaches_the_erasure(page: ConceptsPage) -> None:
    page.form.per_concept.setChecked(True)
    page.form.previews.setValue(7)
    page.form.neighbours.setText("daisy, ivy,, daisy")
    job = queue_concepts(page.project, page.form.choices())
    assert job.spec["preview_every"] == 7
    erasure = page.project.job(job.spec["erasure_job"])
    assert erasure.spec["per_concept"] is True
    always = erasure_spec(DEFAULTS, [label.name for label in page.project.labels()]).preserve
    assert always
    assert erasure.spec["preserve"] == ["daisy", "ivy", *always]
    assert ConceptChoices().per_concept is False


HELPER = """
import json, os, pathlib, sys, time
cache = pathlib.Path(os.environ["HF_HUB_CACHE"]) / "models--owner--name"
if "--look" in sys.argv:
    if "HF_HUB_OFFLINE" in os.environ:
        sys.exit("offline")
    print(json.dumps({"model": "owner/name", "bytes": 1000, "licence": "openrail"}))
elif os.environ["HF_HUB_OFFLINE"] != "0":
    sys.exit("offline")
elif pathlib.Path(os.environ["HUB_CONTROL"]).read_text() == "away":
    print(json.dumps({"error": {"text": "It could not be downloaded.", "hint": "Try again."}}))
else:
    (cache / "blobs").mkdir(parents=True, exist_ok=True)
    (cache / "blobs" / "x").write_bytes(b"0" * 500)
    time.sleep(float(pathlib.Path(os.environ["HUB_CONTROL"]).read_text()))
    snapshot = cache / "snapshots" / "c0"
    snapshot.mkdir(parents=True, exist_ok=True)
    (cache / "refs").mkdir(exist_ok=True)
    (cache / "refs" / "main").write_text("c0")
    (snapshot / "model_index.json").write_text("{}")
    (snapshot / "README.md").write_text("license: openrail")
    print(json.dumps({"model": "owner/name"}))
"""


def test_a_model_is_looked_up_then_fetched_as_a_job(
    qtbot: QtBot, window: MainWindow, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, control = tmp_path / "helper.py", tmp_path / "control"
    program.write_text(HELPER)
    control.write_text("away")
    monkeypatch.setattr(Helper, "program", (sys.executable, str(program)))
    for name, value in (
        ("HF_HUB_CACHE", tmp_path / "cache"),
        ("HF_HUB_OFFLINE", 1),
        ("HUB_CONTROL", control),
        ("DAFUSION_TEST_HUB", program),
    ):
        monkeypatch.setenv(name, str(value))
    take_photos(qtbot, window, photos)
    workspace_of(window).show_step(Step.CONCEPTS)
    page = page_of(window, Step.CONCEPTS, ConceptsPage)
    page.form.fold.open(True)
    picker, hub = page.form.model, page.hub
    picker.kind.setCurrentIndex(picker.kind.findData("hub"))
    picker.place.setText("owner")
    assert picker.problem == "Ids look like owner/name."
    assert not hub.isVisible()
    picker.place.setText("owner/name")
    assert "not on this computer yet" in picker.problem
    assert not hub.go.isVisible()  # size and licence come first
    hub.look.click()
    qtbot.waitUntil(hub.go.isVisible)
    assert "1.0\u00a0kB, licence: openrail" in hub.note.text()
    hub.go.click()
    qtbot.waitUntil(lambda: "could not be downloaded" in hub.note.text(), timeout=15_000)
    (job,) = page.project.jobs()
    assert (job.kind, job.state, job.error_hint) == ("download", JobState.FAILED, "Try again.")
    assert hub.go.isVisible()
    control.write_text("30")
    hub.go.click()  # the same job again
    qtbot.waitUntil(lambda: hub.bar.value() == 500, timeout=15_000)
    dock = workspace_of(window).jobs
    qtbot.waitUntil(lambda: "0 of 0 MB" in dock.model.view(0).detail)
    picker.place.setText("owner/other")  # it goes on, of another one nothing is known
    assert not hub.bar.isVisible()
    picker.place.setText("owner/name")
    qtbot.waitUntil(lambda: hub.bar.isVisible() and hub.stop.isVisible())
    hub.stop.click()
    qtbot.waitUntil(lambda: "500\u00a0bytes are kept" in hub.note.text(), timeout=15_000)
    assert page.project.job(job.id).state is JobState.CANCELLED
    control.write_text("0")
    page.session.resume([job.id])  # as the jobs dock does
    qtbot.waitUntil(lambda: picker.problem == "", timeout=15_000)
    qtbot.waitUntil(lambda: "licence: openrail" in hub.note.text())
    assert not hub.go.isVisible()
    assert [one.id for one in page.project.jobs()] == [job.id]


def test_a_model_is_dropped_on_the_picker(page: ConceptsPage, tmp_path: Path) -> None:
    picker = page.form.model
    drop(picker, tmp_path)  # no model: nothing happens
    assert picker.source.kind == "bundled"
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    drop(picker, folder)
    assert (picker.source.kind, picker.source.location) == ("folder", str(folder))
    (tmp_path / "one.safetensors").write_bytes(b"")
    drop(picker, tmp_path / "one.safetensors")
    assert (picker.source.kind, picker.problem) == ("file", "")
