"""The real window with a worker that needs no torch."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from PIL import Image
from PySide6.QtCore import QMimeData, QPoint, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from app.main import make_application
from app.main_window import MainWindow
from app.session import Session
from app.steps import Step
from app.workspace import Workspace
from dafusion_core.api.project import Project
from dafusion_core.domain.records import Job, JobState
from tests.fake_methods import TARGET


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three classes of eight small pictures."""
    folder = tmp_path / "weeds"
    for number, name in enumerate(("dandelion", "ragwort", "spurge")):
        (folder / name).mkdir(parents=True)
        for picture in range(8):
            dice = random.Random(100 * number + picture)
            base = [dice.randrange(256) for _ in range(3)]
            image = Image.new("RGB", (32, 24 + number * 4), tuple(base))
            image.putpixel((picture, 1), (255, 255, 255))
            image.save(folder / name / f"{name}-{picture:02}.png")
    return folder


@pytest.fixture
def fake_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "worker_target", TARGET)
    monkeypatch.setattr(Session, "devices", ("cpu",))


@pytest.fixture
def make_window(qtbot: QtBot, fake_worker: None) -> Iterator[Callable[[], MainWindow]]:
    """Make windows; whatever is open at the end is closed properly."""
    make_application(["test"])
    windows: list[MainWindow] = []

    def make() -> MainWindow:
        window = MainWindow()
        windows.append(window)
        window.show()
        qtbot.waitExposed(window)
        return window

    yield make
    for window in windows:
        if window.session is not None:
            window.session.close_now()
        window.close()
        window.deleteLater()
    qtbot.wait(1)


@pytest.fixture
def window(make_window: Callable[[], MainWindow]) -> MainWindow:
    return make_window()


def drop(widget: QWidget, path: Path) -> None:
    """Drop a file or folder on a widget, as the window system would."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDropEvent(
        QPoint(10, 10).toPointF(),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    widget.dropEvent(event)


def workspace_of(window: MainWindow) -> Workspace:
    assert window.workspace is not None
    return window.workspace


P = TypeVar("P", bound=QWidget)


def page_of(window: MainWindow, step: Step, kind: type[P]) -> P:
    """The page of a step, which must be of this kind."""
    page = workspace_of(window).pages[step]
    assert isinstance(page, kind)
    return page


def states(window: MainWindow) -> dict[str, JobState]:
    """The newest job of each kind."""
    assert window.session is not None
    return {job.kind: job.state for job in window.session.project.jobs()}


def wait_imported(qtbot: QtBot, window: MainWindow, number: int, timeout: int = 10_000) -> None:
    def done() -> bool:
        session = window.session
        return (
            session is not None
            and session.project.image_count() == number
            and not session.imports.is_busy
        )

    qtbot.waitUntil(done, timeout=timeout)


def take_photos(qtbot: QtBot, window: MainWindow, photos: Path) -> None:
    """Import the folder of the fixture `photos`, as if it were dropped."""
    window.take(photos)
    wait_imported(qtbot, window, 24)


def wait_until_done(qtbot: QtBot, window: MainWindow, timeout: int = 30_000) -> None:
    """Until every job has succeeded; fails at once when one fails."""

    def done() -> bool:
        found = states(window)
        if JobState.FAILED in found.values():  # an AssertionError would be waited out
            jobs = window.session.project.jobs() if window.session else []
            pytest.fail(str([job.error_text for job in jobs]))
        return bool(found) and set(found.values()) == {JobState.SUCCEEDED}

    qtbot.waitUntil(done, timeout=timeout)


def make_pictures(project: Project, job: Job, first: int, last: int) -> list[int]:
    """Rows as a worker would add them for these units, with the photo as the picture."""
    db = project.file.db
    ids = []
    with db.atomic():
        for unit in project.units(job.id)[first:last]:
            source = project.image(unit.payload["source_image_id"])
            row = {
                "unit_id": unit.id,
                "job_id": job.id,
                "source_image_id": source.id,
                "concept_id": unit.payload["concept_id"],
                "t0": unit.payload["t0"],
                "variant": unit.payload["variant"],
                "seed": unit.seed,
                "path": source.path,
                "sha256": source.sha256,
                "width": source.width,
                "height": source.height,
                "created_at": "2026-01-01T00:00:00.000+00:00",
            }
            ids.append(db.insert("synthetic_image", row))
            db.execute("UPDATE job_unit SET state = 'done' WHERE id = ?", [unit.id])
    return ids
