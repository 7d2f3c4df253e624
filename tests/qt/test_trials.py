"""What goes wrong outside of the program, tried on the real window: each says what happened,
what is safe and what to do, and the window goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from app.main_window import MainWindow
from app.pages.concepts.page import ConceptsPage
from app.steps import Step
from app.workspace import Workspace
from dafusion_core import api
from dafusion_core.domain.records import Curation, JobState
from tests.qt.conftest import (
    make_pictures,
    page_of,
    states,
    take_photos,
    wait_until_done,
    workspace_of,
)


@pytest.fixture
def curating(qtbot: QtBot, window: MainWindow, photos: Path) -> Workspace:
    """The window on a project with 48 pictures, the curation page shown."""
    with api.create(photos.parent / "weeds") as project:
        project.import_folder(photos)
        project.make_split()
        make_pictures(project, project.generate(variants=1), 0, 48)
        project.file.db.execute("UPDATE job SET state = 'succeeded', done = total")
    window.open_project(project.path)
    workspace = workspace_of(window)
    workspace.show_step(Step.CURATE)
    qtbot.waitUntil(lambda: workspace.curate.model.rowCount() > 0)
    thumbnails = workspace.session.thumbnails
    qtbot.waitUntil(lambda: bool(thumbnails._pixmaps))
    qtbot.waitUntil(lambda: not thumbnails._waiting and not thumbnails._in_work)
    workspace.refresh()
    return workspace


def texts(workspace: Workspace) -> list[str]:
    return [message.text for message in workspace.bar.messages.values()]


def card_text(workspace: Workspace, kind: str) -> str:
    job = next(job for job in workspace.session.project.jobs() if job.kind == kind)
    return workspace.jobs.cards[job.id].error.text()


def test_a_model_folder_that_is_missing(
    qtbot: QtBot, window: MainWindow, photos: Path, tmp_path: Path
) -> None:
    take_photos(qtbot, window, photos)
    workspace = workspace_of(window)
    workspace.show_step(Step.CONCEPTS)
    page = page_of(window, Step.CONCEPTS, ConceptsPage)
    model = page.form.model
    model.kind.setCurrentIndex(model.kind.findData("folder"))
    model.place.setText(str(tmp_path / "unplugged" / "model"))
    window.actions_table["concepts"].trigger()
    # The place to mend is opened, has the focus, and says what is wrong with it.
    assert model.problem
    assert model.note.text() == model.problem
    assert model.place.isVisible()
    assert workspace.session.project.jobs() == []
    model.kind.setCurrentIndex(model.kind.findData("bundled"))
    window.actions_table["concepts"].trigger()
    wait_until_done(qtbot, window)


def test_a_full_disk_while_deciding(qtbot: QtBot, curating: Workspace) -> None:
    page, session = curating.curate, curating.session
    project = session.project

    def fill() -> None:
        # No page more than there are: SQLite answers as it does on a full disk.
        pages = project.file.db.value("PRAGMA page_count")
        project.file.db.value(f"PRAGMA max_page_count = {pages}")
        db = project.file.db
        db.execute("CREATE TEMP TABLE filler(x)")

    session.do(fill)
    number = 0
    while not texts(curating) and number < 40:
        number += 1
        page.decide(list(Curation)[number % 2 + 1], page.model.ids_where())
        qtbot.waitUntil(lambda: not session.commands.is_busy)
    (text,) = texts(curating)
    assert text.startswith("The disk is full")
    assert "Nothing that was finished is lost" in text
    stored = {image.id: image.curation for image in project.synthetic(page.model.ids_where())}
    shown = {i: page.model.cell_of(i).curation for i in stored}
    assert shown == stored  # nothing is painted that was not written
    session.do(lambda: project.file.db.value("PRAGMA max_page_count = 1073741823") and None)
    page.decide(Curation.KEPT, page.model.ids_where())
    qtbot.waitUntil(lambda: not session.commands.is_busy)
    assert {i.curation for i in project.synthetic(list(stored))} == {Curation.KEPT}


def test_a_full_disk_while_generating(
    qtbot: QtBot, window: MainWindow, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAFUSION_TEST_TROUBLE", "disk-full@5")
    take_photos(qtbot, window, photos)
    workspace = workspace_of(window)
    window.actions_table["everything"].trigger()
    stopped = {JobState.FAILED, JobState.INTERRUPTED}
    qtbot.waitUntil(lambda: states(window).get("generate") in stopped, timeout=20_000)

    def said() -> str:
        return card_text(workspace, "generate") + " ".join(texts(workspace))

    qtbot.waitUntil(lambda: "disk is full" in said().lower())
    made = len(workspace.session.project.synthetic_ids())
    assert made > 0
    monkeypatch.setenv("DAFUSION_TEST_TROUBLE", "")
    job = next(job for job in workspace.session.project.jobs() if job.kind == "generate")
    workspace.session.jobs.stop()
    qtbot.waitUntil(lambda: not workspace.session.jobs.is_running, timeout=15_000)
    workspace.session.resume([job.id])
    succeeded = JobState.SUCCEEDED
    qtbot.waitUntil(lambda: set(states(window).values()) == {succeeded}, timeout=30_000)
    assert len(workspace.session.project.synthetic_ids()) > made


def test_a_worker_that_dies_is_replaced_and_its_job_goes_on(
    qtbot: QtBot,
    window: MainWindow,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DAFUSION_TEST_TROUBLE", "die-once@6")
    monkeypatch.setenv("DAFUSION_TEST_FLAG", str(tmp_path / "died"))
    take_photos(qtbot, window, photos)
    window.actions_table["everything"].trigger()
    wait_until_done(qtbot, window)
    assert (tmp_path / "died").exists()


def test_a_worker_that_dies_each_time_says_so(
    qtbot: QtBot, window: MainWindow, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAFUSION_TEST_TROUBLE", "die@6")
    take_photos(qtbot, window, photos)
    workspace = workspace_of(window)
    window.actions_table["everything"].trigger()
    qtbot.waitUntil(lambda: states(window).get("generate") is JobState.FAILED, timeout=30_000)
    qtbot.waitUntil(lambda: bool(card_text(workspace, "generate")))
    said = card_text(workspace, "generate")
    assert "worker process ended unexpectedly" in said
    assert "finished is kept" in said


def test_pictures_whose_place_is_gone(qtbot: QtBot, curating: Workspace, photos: Path) -> None:
    """The folder beside the project is unplugged: decisions go on, pictures say why."""
    page = curating.curate
    folder = curating.session.project.path.with_suffix(".files")
    path = page.model.picture_path(page.model.ids_where()[0])
    assert path.startswith(str(folder))
    shutil.move(folder / "objects", photos.parent / "away")
    curating.session.thumbnails._pixmaps.clear()
    page.grid.viewport().update()
    qtbot.waitUntil(lambda: bool(curating.session.thumbnails.problem(path)))
    page.grid.focus_first()
    page.open_stage()
    qtbot.wait(30)
    page.close_stage()
    focused = page.grid.current_id()
    qtbot.keyClick(page.grid, Qt.Key.Key_X)
    qtbot.waitUntil(lambda: not curating.session.commands.is_busy)
    (image,) = curating.session.project.synthetic([focused or 0])
    assert image.curation is Curation.REJECTED
    shutil.move(photos.parent / "away", folder / "objects")


def test_a_picture_that_cannot_be_read_stays_in_its_place(
    qtbot: QtBot, curating: Workspace
) -> None:
    page = curating.curate
    first = page.model.ids_where()[0]
    path = page.model.picture_path(first)
    Path(path).chmod(0o644)
    Path(path).write_bytes(b"this is no picture")
    curating.session.thumbnails._pixmaps.clear()
    page.grid.viewport().update()
    qtbot.waitUntil(lambda: bool(curating.session.thumbnails.problem(path)))
    page.grid.go_to_id(first)
    row = page.grid.currentIndex().row()
    page.decide(Curation.KEPT)
    qtbot.waitUntil(lambda: not curating.session.commands.is_busy)
    assert page.model.cell_of(first).curation is Curation.KEPT
    assert page.model.index_of(first).row() == row
    assert texts(curating) == []
