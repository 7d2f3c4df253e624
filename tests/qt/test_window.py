"""The window around the work: starting, errors, read-only projects, keys, themes, log."""

from __future__ import annotations

import locale
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication, QKeySequence
from PySide6.QtWidgets import QMessageBox
from pytestqt.qtbot import QtBot

from app import projects, ui_state
from app.actions import ACTIONS, Situation
from app.dialogs.export import ExportDialog
from app.main_window import MainWindow
from app.pages.curate.page import CuratePage
from app.steps import Step
from app.theme import DARK, LIGHT, Mode, theme
from app.widgets.log_view import LogDialog
from app.widgets.shortcuts import ShortcutsDialog
from dafusion_core import api
from dafusion_core.domain.errors import Cancelled, EnvironmentProblem, UserError
from dafusion_core.domain.records import Curation
from tests.qt.conftest import drop, take_photos, wait_imported, wait_until_done, workspace_of

ROOT = Path(__file__).parents[2]


def test_the_window_loads_fast_and_without_torch() -> None:
    code = (
        "import sys, time; import app.main; "
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy', 'sqlite_utils'}; "
        "assert not heavy & set(sys.modules), heavy; print(time.process_time())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert float(answer.stdout) < 2  # seconds of the processor: 0.4 where this was written


def test_no_file_of_the_window_is_too_long() -> None:
    for path in (ROOT / "app").rglob("*.py"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines < 400, f"{path} has {lines} lines"


def test_numbers_keep_their_point(window: MainWindow) -> None:
    assert locale.localeconv()["decimal_point"] == "."


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no polite kill")
def test_a_polite_kill_closes_the_project(tmp_path: Path, photos: Path) -> None:
    with api.create(tmp_path / "killed") as project:
        project.import_folder(photos)
    files = tmp_path / "killed.files"
    process = subprocess.Popen(
        [sys.executable, "-m", "app.main", "--project", str(project.path)], cwd=ROOT
    )
    try:
        deadline = time.monotonic() + 30
        while not (files / "owner.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (files / "owner.json").exists()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
    assert not (files / "owner.json").exists()  # it was closed, not abandoned


# ------------------------------------------------------------------------------- actions


def test_shortcuts_are_unique() -> None:
    keys = [key for spec in ACTIONS for key in spec.shortcuts]
    assert len(keys) == len(set(keys))
    for key in keys:
        assert not QKeySequence(key).isEmpty()


def test_what_is_possible_follows_the_situation() -> None:
    possible = {spec.key for spec in ACTIONS if spec.when(Situation())}
    assert {"new", "open", "sample", "quit", "shortcuts"} <= possible
    assert not possible & {"keep", "everything", "close", "import", "undo"}
    reading = Situation(has_project=True, is_read_only=True, has_images=True, has_pictures=True)
    possible = {spec.key for spec in ACTIONS if spec.when(reading)}
    assert not possible & {"keep", "reject", "everything", "import", "split", "generate"}
    assert {"close", "log"} <= possible


def test_tips_name_the_shortcut(window: MainWindow) -> None:
    assert window.actions_table["undo"].toolTip().endswith("(Ctrl+Z)")
    window.actions_table.follow(Situation(has_project=True, undo_text="Reject 3 images"))
    assert window.actions_table["undo"].text() == "&Undo: reject 3 images"


def test_overlay_lists_every_shortcut(qtbot: QtBot, window: MainWindow) -> None:
    window.actions_table["shortcuts"].trigger()
    dialog = window.findChild(ShortcutsDialog)
    assert isinstance(dialog, ShortcutsDialog)
    qtbot.waitExposed(dialog)
    qtbot.keyClick(dialog, Qt.Key.Key_Question)
    assert not dialog.isVisible()


# ------------------------------------------------------------------------------- errors


def test_errors_of_users_are_one_calm_line(window: MainWindow) -> None:
    window.errors.show(UserError("This cannot be.", "Do that."))
    window.errors.show(UserError("This cannot be.", "Do that."))
    assert [m.text for m in window.bar.messages.values()] == ["This cannot be. Do that."]
    assert [b.text() for b in next(iter(window.bar.messages.values())).buttons] == ["Close"]


def test_errors_of_the_machine_can_be_copied(qtbot: QtBot, window: MainWindow) -> None:
    window.errors.show(EnvironmentProblem("The disk is full.", "Free some space."))
    message = next(iter(window.bar.messages.values()))
    copy = next(button for button in message.buttons if button.text() == "Copy details")
    qtbot.mouseClick(copy, Qt.MouseButton.LeftButton)
    assert "The disk is full." in QGuiApplication.clipboard().text()
    assert "PySide6" in QGuiApplication.clipboard().text()


def test_stopping_is_not_an_error(window: MainWindow) -> None:
    window.errors.show(Cancelled("Cancelled by the user."))
    assert not window.bar.messages


def test_our_own_mistakes_open_a_dialog_with_details(qtbot: QtBot, window: MainWindow) -> None:
    try:
        raise ZeroDivisionError("oops")
    except ZeroDivisionError as error:
        window.errors.show(error)
        window.errors.show(error)  # many at once are one dialog
    boxes = window.findChildren(QMessageBox)
    assert len(boxes) == 1
    assert "ZeroDivisionError" in boxes[0].detailedText()
    boxes[0].done(0)


def test_what_is_no_project_is_refused_in_place(window: MainWindow, tmp_path: Path) -> None:
    path = tmp_path / "holiday.dafusion"
    path.write_text("not a database, but long enough to have a header of one hundred bytes" * 3)
    window.open_project(path)
    assert window.session is None
    assert "is not a DA-Fusion Studio project" in next(iter(window.bar.messages.values())).text


# ------------------------------------------------------------------------------- projects


def test_a_folder_dropped_twice_opens_its_project(
    qtbot: QtBot, make_window: Callable[[], MainWindow], photos: Path
) -> None:
    window = make_window()
    drop(window.welcome.zone, photos)
    wait_imported(qtbot, window, 24)
    path = projects.project_path_for(photos)
    assert path.is_file()
    assert path.parent == photos.parent
    window.actions_table["close"].trigger()
    qtbot.waitUntil(lambda: window.session is None)
    assert [p.name for p in ui_state.recent_projects()] == ["weeds.dafusion"]
    drop(window.welcome.zone, photos)
    assert window.session is not None
    assert window.session.project.image_count() == 24


def test_recent_projects_that_are_gone_can_be_removed(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    ui_state.remember_project(tmp_path / "gone.dafusion")
    window.welcome.refresh()
    assert window.welcome.recent.count() == 1
    window.welcome._forget(tmp_path / "gone.dafusion")
    assert window.welcome.recent.count() == 0
    assert ui_state.recent_projects() == []


def test_a_project_in_use_is_shown_but_not_changed(
    qtbot: QtBot, window: MainWindow, photos: Path, tmp_path: Path
) -> None:
    with api.create(tmp_path / "shared") as project:
        project.import_folder(photos)
        window.open_project(project.path)
        session = window.session
        assert session is not None
        assert session.is_read_only
        texts = [message.text for message in window.bar.messages.values()]
        assert any("open for reading only: it is in use by" in text for text in texts)
        assert "read only" in window.windowTitle()
        assert not window.actions_table["everything"].isEnabled()
        assert not window.actions_table["import"].isEnabled()
        qtbot.waitUntil(lambda: workspace_of(window).pages[Step.IMAGES].stack.count() == 2)
        # What the other program does is seen.
        project.make_split()
        page = workspace_of(window).pages[Step.IMAGES]
        line = page.split_line  # type: ignore[attr-defined]
        qtbot.waitUntil(lambda: line.text().startswith("Split 1"), timeout=5000)
        window.actions_table["close"].trigger()
        qtbot.waitUntil(lambda: window.session is None)


def test_problems_of_an_import_are_listed(qtbot: QtBot, window: MainWindow, photos: Path) -> None:
    (photos / "dandelion" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    drop(window.welcome.zone, photos)
    wait_imported(qtbot, window, 24)
    page = workspace_of(window).pages[Step.IMAGES]
    line = page.problem_line  # type: ignore[attr-defined]
    qtbot.waitUntil(lambda: line.text() == "1 file was left out.")
    page.problem_button.click()  # type: ignore[attr-defined]
    problems = page.problems  # type: ignore[attr-defined]
    assert problems.isVisible()
    assert problems.item(0).text().startswith("broken.png: ")


def test_a_folder_without_pictures_is_explained(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    drop(window.welcome.zone, tmp_path / "empty")
    qtbot.waitUntil(lambda: bool(window.bar.messages) and "import" not in window.bar.messages)
    message = next(iter(window.bar.messages.values()))
    assert message.kind == "warning"
    page = workspace_of(window).pages[Step.IMAGES]
    qtbot.waitUntil(lambda: page.stack.currentWidget() is page.empty)
    assert window.actions_table["import"].isEnabled()
    assert not window.actions_table["everything"].isEnabled()


# ------------------------------------------------------------------------------- looks


def test_dark_and_light_can_be_chosen(qtbot: QtBot, window: MainWindow) -> None:
    window.actions_table["dark"].trigger()
    assert theme.colors is DARK
    assert ui_state.load_text("theme") == "dark"
    window.actions_table["light"].trigger()
    assert theme.colors is LIGHT
    theme.choose(Mode.SYSTEM)


def _luminance(color: str) -> float:
    shares = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_text_is_readable(colors: object) -> None:
    """WCAG 2.1 AA: 4.5 for text, 3 for marks."""
    c = {name: getattr(colors, name) for name in LIGHT.__dataclass_fields__}
    for ground in ("window", "surface", "raised", "accent_soft", "warning_soft", "error_soft"):
        assert _contrast(c["text"], c[ground]) >= 7, ground
    for ground in ("window", "surface"):
        assert _contrast(c["muted"], c[ground]) >= 4.5
        assert _contrast(c["rejected"], c[ground]) >= 4.5
        for mark in ("accent", "kept", "stale", "control"):
            assert _contrast(c[mark], c[ground]) >= 3, (mark, ground)
    assert _contrast(c["on_accent"], c["accent"]) >= 4.5


def test_the_log_stays_at_its_end_only_if_it_was_there(qtbot: QtBot, tmp_path: Path) -> None:
    path = tmp_path / "worker.log"
    dialog = LogDialog(path)
    qtbot.addWidget(dialog)
    dialog.show()
    assert "no log yet" in dialog.view.placeholderText()
    path.write_text("\n".join(f"line {n}" for n in range(500)))
    dialog.refresh()
    bar = dialog.view.verticalScrollBar()
    assert bar.value() == bar.maximum() > 0
    with path.open("a") as file:
        file.write("\n" + "\n".join(f"more {n}" for n in range(50)))
    dialog.refresh()
    assert bar.value() == bar.maximum()
    bar.setValue(10)
    time.sleep(0.01)
    with path.open("a") as file:
        file.write("\nlast")
    dialog.refresh()
    assert bar.value() == 10


# ------------------------------------------------------------------------------- curation


def test_curating_with_the_keyboard(qtbot: QtBot, window: MainWindow, photos: Path) -> None:
    take_photos(qtbot, window, photos)
    window.actions_table["generate"].trigger()  # learns first, because nothing was learned
    wait_until_done(qtbot, window)
    workspace = workspace_of(window)
    workspace.show_step(Step.CURATE)
    page = workspace.curate
    assert isinstance(page, CuratePage)
    project = workspace.session.project
    grid, model = page.grid, page.model
    qtbot.waitUntil(lambda: bool(model.pictures.ids))
    qtbot.waitUntil(window.actions_table["keep"].isEnabled)
    grid.setFocus()
    assert grid.currentIndex() == model.index(0, 1)

    def decided(curation: Curation) -> int:
        return len(project.synthetic_ids(curation=curation))

    qtbot.keyClick(grid, Qt.Key.Key_P)
    qtbot.waitUntil(lambda: decided(Curation.KEPT) == 1)
    assert grid.currentIndex() == model.index(0, 2)
    page.advance_box.setChecked(False)
    qtbot.keyClick(grid, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: decided(Curation.REJECTED) == 1)
    assert grid.currentIndex() == model.index(0, 2)
    qtbot.keyClick(grid, Qt.Key.Key_U)
    qtbot.waitUntil(lambda: decided(Curation.REJECTED) == 0)
    page.advance_box.setChecked(True)

    # a whole column, by its heading
    header = grid.header
    x = header.sectionViewportPosition(4) + 10
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(x, 10))
    qtbot.keyClick(grid, Qt.Key.Key_X)
    qtbot.waitUntil(lambda: decided(Curation.REJECTED) == 12)
    qtbot.waitUntil(lambda: model.counts()[3].by_curation[Curation.REJECTED] == 12)
    qtbot.waitUntil(lambda: window.actions_table["undo"].text() == "&Undo: reject 12 images")
    qtbot.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: decided(Curation.REJECTED) == 0)
    shift = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    qtbot.waitUntil(window.actions_table["redo"].isEnabled)
    qtbot.keyClick(window, Qt.Key.Key_Z, shift)
    qtbot.waitUntil(lambda: decided(Curation.REJECTED) == 12)

    # the loupe decides too, and moves on
    grid.go_to(model.index(1, 1))
    qtbot.keyClick(grid, Qt.Key.Key_Return)
    assert page.views.currentWidget() is page.stage
    qtbot.keyClick(page.stage, Qt.Key.Key_P)
    qtbot.waitUntil(lambda: decided(Curation.KEPT) == 2)
    assert grid.currentIndex() == model.index(1, 2)
    qtbot.keyClick(page.stage, Qt.Key.Key_Left)
    assert grid.currentIndex() == model.index(1, 1)
    qtbot.keyClick(page.stage, Qt.Key.Key_Escape)
    assert page.views.currentWidget() is grid

    # next undecided skips what is decided
    grid.go_to(model.index(0, 1))
    qtbot.keyClick(grid, Qt.Key.Key_N)
    assert grid.currentIndex() == model.index(0, 2)
    # right from the last column goes to the next row
    grid.go_to(model.index(0, 4))
    qtbot.keyClick(grid, Qt.Key.Key_Right)
    assert grid.currentIndex() == model.index(1, 1)

    # the report and the export are written and offered for opening
    window.actions_table["export"].trigger()
    dialog = window.findChild(ExportDialog)
    assert isinstance(dialog, ExportDialog)
    dialog.folder.setText(str(photos.parent / "out"))
    dialog.start.click()
    qtbot.waitUntil(lambda: "made" in window.bar.messages)
    assert len(list((photos.parent / "out").rglob("*.png"))) == 2 + 12
    window.bar.clear()
    workspace.session.save_report(photos.parent / "report.html")
    qtbot.waitUntil(lambda: "made" in window.bar.messages, timeout=15_000)
    assert (photos.parent / "report.html").read_text(encoding="utf-8").startswith("<!")


def test_what_a_report_being_written_forbids_is_allowed_again_after_it(
    qtbot: QtBot, window: MainWindow, photos: Path
) -> None:
    take_photos(qtbot, window, photos)
    divide = window.actions_table["split"]
    qtbot.waitUntil(divide.isEnabled)
    written = threading.Event()
    assert window.session is not None
    window.session.imports.submit(written.wait)
    workspace_of(window).refresh()
    assert not divide.isEnabled()
    written.set()
    qtbot.waitUntil(divide.isEnabled)
