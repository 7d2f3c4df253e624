"""The Report page: the whole report inside the window, and what is handed on."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtCore import QUrl
from PySide6.QtGui import QColor, QTextDocument
from pytestqt.qtbot import QtBot

from app.dialogs.export import ExportDialog
from app.dialogs.export_model import ExportModelDialog, target_name
from app.main_window import MainWindow
from app.pages.report.page import ReportPage
from app.plans import GenerateChoices, TrainChoices, queue_generation, queue_training
from app.steps import Step
from app.theme import theme
from app.widgets.report_view import ReportView, prepare
from dafusion_core.evaluation.html import page as make_page
from dafusion_core.jobs import queue
from dafusion_core.storage.results import add_result
from tests.qt.conftest import make_pictures, page_of, take_photos, wait_until_done, workspace_of


def jpeg(color: str, width: int = 224) -> str:
    stream = io.BytesIO()
    Image.new("RGB", (width, 112), color).save(stream, "JPEG")
    return base64.b64encode(stream.getvalue()).decode()


def test_drawings_and_pictures_are_shown(qtbot: QtBot) -> None:
    drawing = (
        '<svg viewBox="0 0 100 50" role="img"><rect class="band" x="0" y="0" width="100" '
        'height="50"/><text x="5" y="20">points</text></svg>'
    )
    body = (
        f"<section><h2>Did it help?</h2>{drawing}"
        f'<span><img alt="a" title="a" src="data:image/jpeg;base64,{jpeg("red")}"></span>'
        f'<img alt="sheet" src="data:image/jpeg;base64,{jpeg("green", 600)}">'
        "<details><summary>Settings of job 1</summary><p>steps 100</p></details></section>"
    )
    prepared = prepare(make_page("Weeds & co", "Report of today", [body]))
    assert [kind for kind, _content in prepared.pictures.values()] == [
        "drawing", "image/jpeg", "image/jpeg",
    ]  # fmt: skip
    assert "<svg" not in prepared.html
    assert "data:" not in prepared.html
    view = ReportView()
    qtbot.addWidget(view)
    view.show_page(prepared)
    text = view.toPlainText()
    for words in ("Weeds & co", "Did it help?", "Settings of job 1", "steps 100"):
        assert words in text
    assert theme.colors.muted in view.toHtml()  # the window's colours
    assert "--ink" not in text  # the page's own style sheet is no text
    kind = QTextDocument.ResourceType.ImageResource
    drawn = view.document().resource(kind, QUrl("report:0"))
    wide = view.viewport().width() - 40
    assert (drawn.width(), drawn.height()) == (wide, round(wide / 2))
    assert drawn.pixelColor(wide // 2, wide // 4) == QColor(
        theme.colors.raised
    )  # the band has its colour
    picture = view.document().resource(kind, QUrl("report:1"))
    assert picture.pixelColor(50, 50).red() > 200
    assert 'src="report:1" width="88"' in view.toHtml()
    assert f'src="report:2" width="{wide}"' in view.toHtml()
    view.resize(900, 500)
    view.show()
    qtbot.waitUntil(lambda: 'src="report:2" width="640"' in view.toHtml())
    assert view.loadResource(kind.value, QUrl("file:///etc/hostname")).isNull()  # type: ignore[attr-defined]


@pytest.fixture
def page(qtbot: QtBot, window: MainWindow, photos: Path) -> ReportPage:
    """A project with a verdict."""
    take_photos(qtbot, window, photos)
    page = page_of(window, Step.REPORT, ReportPage)
    queue_training(page.project, TrainChoices(seeds=2, epochs=1))
    page.session.start_queue()
    wait_until_done(qtbot, window)
    workspace_of(window).show_step(Step.REPORT)
    qtbot.waitUntil(lambda: page.verdict is not None)
    return page


def test_the_whole_report_is_shown_and_follows_the_project(
    qtbot: QtBot, window: MainWindow, page: ReportPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.show_part("page")
    qtbot.waitUntil(lambda: "Did it help?" in page.view.toPlainText(), timeout=30_000)
    assert not page.view_note.isVisible()
    assert page.verdict is not None
    assert page.verdict.arms[0].sentence in page.view.toPlainText()
    ids = page.project.synthetic_ids()
    shown: list[str] = []
    monkeypatch.setattr(page.view, "show_page", lambda prepared: shown.append(prepared.html))
    page.session.do(lambda: page.project.reject(ids[:3]))
    qtbot.waitUntil(lambda: bool(shown), timeout=30_000)  # decisions are part of the report

    def broken(*_words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dafusion_core.evaluation.report.render_report", broken)
    page.session.do(lambda: page.project.keep(ids[:1]))
    qtbot.waitUntil(lambda: "cannot be shown" in page.view_note.text(), timeout=10_000)
    assert page.view_note.isVisible()


def test_a_classifier_is_handed_on(
    qtbot: QtBot, window: MainWindow, page: ReportPage, tmp_path: Path
) -> None:
    folder = tmp_path / "handed"
    page.export_model.click()
    dialog = page.findChild(ExportModelDialog)
    assert dialog is not None
    assert dialog.formats == ["safetensors", "onnx"]
    dialog.folder.setText(str(folder))
    run = dialog.chosen
    assert run is not None
    assert "This writes 2 files" in dialog.summary.text()
    assert target_name(run, "onnx") in dialog.summary.text()
    assert "new folder" in dialog.summary.text()
    dialog.boxes["safetensors"].setChecked(False)
    dialog.boxes["onnx"].setChecked(False)
    assert not dialog.go.isEnabled()
    assert dialog.problem.text() == "Tick at least one format."
    dialog.boxes["onnx"].setChecked(True)
    page.session.worker_target = "nobody"  # the engine's part has tests of its own
    page.session.start_queue = lambda: None  # type: ignore[method-assign]
    dialog.go.click()
    qtbot.waitUntil(lambda: bool(page._exports))
    (job_id,) = page._exports
    db, owner = page.project.file.db, queue.current_owner()
    claimed = queue.claim(db, owner, "cpu")
    assert claimed is not None
    assert claimed.id == job_id
    (unit,) = page.project.units(job_id)
    made = page.project.files / "made.onnx"
    made.write_bytes(b"network")
    queue.record_unit(
        db, job_id, owner, unit,
        lambda: add_result(db, claimed, unit, {"onnx": ("made.onnx", "0")}, {"format": "onnx"}),
    )  # fmt: skip
    page.refresh(None)
    assert not folder.exists()
    queue.finish(db, job_id, owner, claimed.state.SUCCEEDED)
    page.refresh(None)
    wanted = folder / target_name(run, "onnx")
    qtbot.waitUntil(wanted.is_file)
    assert wanted.read_bytes() == b"network"
    qtbot.waitUntil(lambda: "made" in window.bar.messages)


def test_what_would_be_written_is_said_before(
    qtbot: QtBot, window: MainWindow, photos: Path, tmp_path: Path
) -> None:
    take_photos(qtbot, window, photos)
    assert window.session is not None
    project = window.session.project
    make_pictures(project, queue_generation(project, GenerateChoices()), 0, 6)
    dialog = ExportDialog(window.session, window)
    dialog.folder.setText(str(tmp_path / "new"))
    qtbot.waitUntil(lambda: "about" in dialog.summary.text())
    assert "into a new folder" in dialog.summary.text()
    assert dialog.start.isEnabled()
    full = tmp_path / "full"
    full.mkdir()
    dialog.folder.setText(str(full))
    assert "into that folder" in dialog.summary.text()
    (full / "mine.txt").write_text("mine")
    dialog.folder.setText(str(full) + "/")
    assert "not empty" in dialog.problem.text()
    assert not dialog.start.isEnabled()
    dialog.folder.setText(str(full / "mine.txt"))
    assert "That is a file" in dialog.problem.text()
