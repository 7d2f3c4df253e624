"""What holds everywhere: names for screen readers, contrast, palette, settings, leaving."""

from __future__ import annotations

import json
import sys
import zipfile
from dataclasses import fields
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QSlider,
    QWidget,
)
from pytestqt.qtbot import QtBot

from app import ui_state
from app.actions import ACTIONS
from app.dialogs.closing import background_command, run_in_background
from app.dialogs.palette import Palette, rank
from app.dialogs.settings import SettingsDialog
from app.main_window import MainWindow
from app.steps import Step
from app.theme import DARK, LIGHT, Colors, Mode, theme
from app.widgets.hardware_card import HardwareCard, allows
from dafusion_core import api
from dafusion_core.settings import SETTINGS, Settings
from tests.qt.conftest import make_pictures, take_photos, workspace_of

# ------------------------------------------------------------------------------- contrast


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""

    def linear(value: float) -> float:
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    c = QColor(color)
    return 0.2126 * linear(c.redF()) + 0.7152 * linear(c.greenF()) + 0.0722 * linear(c.blueF())


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


TEXT_ON = [
    ("text", ("window", "surface", "raised", "accent_soft", "warning_soft", "error_soft")),
    ("muted", ("window", "surface", "accent_soft", "raised")),
    ("accent", ("window", "surface")),
    ("on_accent", ("accent",)),
    ("rejected", ("window", "surface")),
    ("kept", ("window", "surface")),
]
SHAPES_ON = [
    ("control", ("window", "surface")),
    ("running", ("window", "surface", "accent_soft")),
    ("stale", ("window", "surface", "accent_soft")),
    ("surface", ("kept", "rejected")),  # the tick and the cross in their discs
]


@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast_meets_wcag_aa(colors: Colors) -> None:
    assert {field.name for field in fields(colors)} >= {name for name, _ in TEXT_ON + SHAPES_ON}
    for pairs, least in ((TEXT_ON, 4.5), (SHAPES_ON, 3.0)):
        for front, backs in pairs:
            for back in backs:
                found = contrast(getattr(colors, front), getattr(colors, back))
                assert found >= least, f"{front} on {back}: {found:.2f} < {least}"


# ------------------------------------------------------------------------------- names


def is_header(widget: QWidget) -> bool:
    return isinstance(widget, QHeaderView)


def is_inner(widget: QWidget) -> bool:
    """A part of a field that is named as a whole."""
    parent = widget.parent()
    while parent is not None:
        if isinstance(parent, (QComboBox, QAbstractSpinBox, QAbstractItemView)):
            return True
        parent = parent.parent()
    return False


def nameless(root: QWidget) -> list[str]:
    """Widgets that a screen reader could not name, and buttons without words and tip."""
    found = []
    buddies = [x.buddy() for x in root.findChildren(QLabel)]
    for widget in root.findChildren(QWidget):
        if widget.objectName().startswith("qt_") or is_inner(widget):
            continue
        name = widget.accessibleName()
        if isinstance(widget, QAbstractButton):
            if not (name or widget.text()):
                found.append(f"button {widget.objectName()} {type(widget).__name__}")
            if not widget.text() and not widget.toolTip() and not widget.icon().isNull():
                found.append(f"icon button without tip: {name}")
        elif isinstance(widget, (QLineEdit, QComboBox, QAbstractSpinBox, QSlider)):
            buddy = widget in buddies
            if not (name or buddy):
                found.append(f"field {type(widget).__name__} in {type(widget.parent()).__name__}")
        elif not name and isinstance(widget, QAbstractItemView) and not is_header(widget):
            found.append(f"view {type(widget).__name__} in {type(widget.parent()).__name__}")
    return found


def test_everything_has_a_name(qtbot: QtBot, window: MainWindow, photos: Path) -> None:
    take_photos(qtbot, window, photos)
    for step in Step:
        workspace_of(window).show_step(step)
        qtbot.wait(10)
    dialog = SettingsDialog(window)
    assert nameless(window) == []
    dialog.deleteLater()


class ShownWindows(QObject):
    """Notes every widget that is shown as a window of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        if (
            event.type() == QEvent.Type.Show
            and isinstance(watched, QWidget)
            and watched.isWindow()
            and not isinstance(watched, MainWindow)
        ):
            self.names.append(f"{type(watched).__name__} {watched.accessibleName()}")
        return False


def test_no_part_of_a_page_flashes_up_as_a_window(
    qtbot: QtBot, window: MainWindow, photos: Path
) -> None:
    with api.create(photos.parent / "calm") as project:
        project.import_folder(photos)
        project.make_split()
        make_pictures(project, project.generate(variants=1), 0, 48)
    app = QApplication.instance()
    assert app is not None
    shown = ShownWindows()
    app.installEventFilter(shown)
    window.open_project(project.path)
    for step in Step:
        workspace_of(window).show_step(step)
        qtbot.wait(10)
    app.removeEventFilter(shown)
    assert shown.names == []


def test_every_action_has_words_and_can_be_reached(window: MainWindow) -> None:
    in_menus = {action for menu in window.menuBar().actions() for action in menu.menu().actions()}
    for spec in ACTIONS:
        action = window.actions_table[spec.key]
        assert action.text()
        assert action.toolTip()
        assert action in in_menus  # Alt and letters reach every menu


# ------------------------------------------------------------------------------- palette


def test_ranks() -> None:
    assert rank("", "Quit") == 0
    assert rank("rep sa", "Save report") == 1
    assert rank("keyb", "Keyboard shortcuts") == 0
    assert rank("port", "Save report") == 2
    assert rank("svrp", "Save report") == 3
    assert rank("zebra", "Save report") == -1


def test_the_palette_runs_what_is_typed(qtbot: QtBot, window: MainWindow, photos: Path) -> None:
    take_photos(qtbot, window, photos)
    window.actions_table["palette"].trigger()
    palette = window.findChild(Palette)
    assert isinstance(palette, Palette)
    assert "Find a command" not in [entry.text for entry in palette.entries]
    qtbot.keyClicks(palette.field, "go report")
    assert palette.list.item(0).text().startswith("Go to Report")
    qtbot.keyClick(palette.field, Qt.Key.Key_Return)
    assert workspace_of(window).step is Step.REPORT
    assert not palette.isVisible()


# ------------------------------------------------------------------------------- settings


def test_settings_come_from_their_declarations(qtbot: QtBot, window: MainWindow) -> None:
    window.actions_table["settings"].trigger()
    dialog = window.findChild(SettingsDialog)
    assert isinstance(dialog, SettingsDialog)
    assert set(dialog.fields) == {setting.key for setting in SETTINGS}
    with qtbot.waitSignal(dialog.stored):
        dialog.fields["thumbnail_cache_mb"].setValue(512)  # type: ignore[attr-defined]
    assert Settings().get("thumbnail_cache_mb") == 512
    dialog.fields["auto_advance"].click()  # type: ignore[attr-defined]
    assert Settings().overrides() == {"thumbnail_cache_mb": 512, "auto_advance": False}
    theme.choose(Mode.SYSTEM)
    dialog.close()


# ------------------------------------------------------------------------------- layout


def test_the_layout_is_remembered(qtbot: QtBot, window: MainWindow, photos: Path) -> None:
    take_photos(qtbot, window, photos)
    path = window.session.project.path  # type: ignore[union-attr]
    workspace_of(window).show_step(Step.TRAIN)
    window.actions_table["jobs_panel"].trigger()
    window.close_project()
    qtbot.waitUntil(lambda: window.session is None)
    window.open_project(path)
    assert workspace_of(window).step is Step.TRAIN
    assert not workspace_of(window).jobs.isVisible()
    window.actions_table["jobs_panel"].trigger()
    assert workspace_of(window).jobs.isVisible()


def test_missing_projects_are_marked(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    ui_state.remember_project(tmp_path / "gone.dafusion")
    window.welcome.refresh()
    line = window.welcome.recent.itemAt(0).widget()
    texts = [button.text() for button in line.findChildren(QAbstractButton)]
    assert texts == ["gone", "Remove"]
    line.findChildren(QAbstractButton)[1].click()
    assert ui_state.recent_projects() == []


# ------------------------------------------------------------------------------- this computer


def test_the_hardware_card_reads_the_doctor(qtbot: QtBot) -> None:
    card = HardwareCard()
    qtbot.addWidget(card)
    assert "cores" in card.text.text()
    card.take(
        {
            "findings": [
                {"topic": "torch", "value": "2.13.0", "state": "fine", "text": ""},
                {
                    "topic": "Device cuda:0",
                    "value": "Card, 7.0 GB of 8.0 GB free",
                    "state": "fine",
                    "text": "",
                    "total_bytes": 8_000_000_000,
                },
                {"topic": "Disk", "value": "0 GB", "state": "problem", "text": "It is full."},
            ]
        }
    )
    assert card.verdict.text() == f"Disk: It is full.\n{allows(8.0)}"
    assert allows(None) != allows(4) != allows(8) != allows(80)


def test_a_helper_that_is_checking_ends_with_the_window(qtbot: QtBot) -> None:
    card = HardwareCard()
    qtbot.addWidget(card)
    card.start()
    assert not card.more.isEnabled()
    card.stop()
    assert not card.helper.is_busy


# ------------------------------------------------------------------------------- leaving


def test_the_debug_bundle_has_no_pictures_and_no_home(
    qtbot: QtBot, window: MainWindow, photos: Path, tmp_path: Path
) -> None:
    from app.bundle import write_bundle

    take_photos(qtbot, window, photos)
    project = window.session.project  # type: ignore[union-attr]
    log = project.log_path()
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"reading {Path.home()}/photos\n")
    write_bundle(tmp_path / "debug.zip", project)
    with zipfile.ZipFile(tmp_path / "debug.zip") as archive:
        names = archive.namelist()
        assert "PySide6-Essentials" in json.loads(archive.read("versions.json"))
        text = archive.read(f"logs/{log.name}").decode()
    assert text == "reading ~/photos\n"
    assert not [name for name in names if name.endswith(".png")]


@pytest.mark.skipif(sys.platform == "win32", reason="posix processes")
def test_work_can_go_on_without_the_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    with api.create(tmp_path / "alone") as project:
        path = project.path
    assert background_command(path)[1:] == [
        "-m", "dafusion_core", "worker", "--project", str(path)
    ]  # fmt: skip
    log = tmp_path / "logs" / "background.log"
    run_in_background(path, log)  # an empty queue: it says so and ends
    qtbot.waitUntil(lambda: log.exists() and log.stat().st_size > 0, timeout=15_000)
    qtbot.waitUntil(lambda: not (tmp_path / "alone.files" / "owner.json").exists(), timeout=15_000)


def test_a_project_that_is_moved_away_is_told(
    qtbot: QtBot, window: MainWindow, photos: Path
) -> None:
    take_photos(qtbot, window, photos)
    session = window.session
    assert session is not None
    session._watch.setInterval(20)
    path = session.project.path
    away = path.with_name("away.dafusion")
    path.rename(away)
    qtbot.waitUntil(lambda: "lost" in window.bar.messages)
    assert "What was decided before is in it" in window.bar.messages["lost"].text
    away.rename(path)
    qtbot.waitUntil(lambda: "lost" not in window.bar.messages)
