"""The first page: what this computer can do, and projects that are gone."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QLabel, QPushButton
from pytestqt.qtbot import QtBot

from app import ui_state
from app.main import make_application
from app.main_window import MainWindow
from app.widgets import hardware_card
from app.widgets.hardware_card import HardwareCard

CPU = {
    "findings": [
        {
            "topic": "torch",
            "value": "2.13.0+cpu",
            "state": "note",
            "text": "There is an NVIDIA card, but this build of torch cannot use it.",
        },
        {"topic": "Device cpu", "value": "2 threads", "state": "fine", "text": ""},
    ]
}
CARD = {
    "findings": [
        {"topic": "torch", "value": "2.13.0+cu130", "state": "fine", "text": ""},
        {"topic": "Device cuda:0", "value": "8.0 of 8.0 GB", "state": "fine", "text": "",
         "total_bytes": 8_000_000_000},
        {"topic": "Disk", "value": "", "state": "problem", "text": "is full."},
    ]
}  # fmt: skip


def test_the_last_check_is_remembered(qtbot: QtBot) -> None:
    make_application(["test"])
    ui_state.store_text(hardware_card.STORED, "")
    first = HardwareCard()
    qtbot.addWidget(first)
    assert "not been looked at" in first.verdict.text()
    assert "Memory" in first.text.text()
    first.take(CARD)
    assert "Disk: is full." in first.verdict.text()
    assert "fits for learning and generating" in first.verdict.text()
    second = HardwareCard()
    qtbot.addWidget(second)
    assert "2.13.0+cu130" in second.text.text()
    assert "Looked at on 20" in second.verdict.text()
    assert second.more.text() == "Check again"
    ui_state.store_text(hardware_card.STORED, "{ broken")
    third = HardwareCard()
    qtbot.addWidget(third)
    assert "not been looked at" in third.verdict.text()


def test_a_card_that_torch_cannot_use_is_said(qtbot: QtBot) -> None:
    make_application(["test"])
    card = HardwareCard()
    qtbot.addWidget(card)
    card.take(CPU)
    assert card.verdict.text().startswith("torch: There is an NVIDIA card, but")
    card.take(CARD)
    assert "NVIDIA" not in card.verdict.text()


def test_projects_that_are_gone_are_marked(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    here, gone = tmp_path / "here.dafusion", tmp_path / "moved" / "gone.dafusion"
    here.write_text("")
    for path in (here, gone):
        ui_state.remember_project(path)
    window.welcome.refresh()
    lines = {
        line.findChild(QPushButton).text(): line  # type: ignore[union-attr]
        for line in (
            window.welcome.recent.itemAt(n).widget() for n in range(window.welcome.recent.count())
        )
        if line is not None
    }
    assert not lines["gone"].findChild(QPushButton).isEnabled()  # type: ignore[union-attr]
    words = [found.text() for found in lines["gone"].findChildren(QLabel)]
    assert words == [f"not found in {gone.parent}"]
    assert lines["here"].findChild(QPushButton).isEnabled()  # type: ignore[union-attr]
    remove = next(b for b in lines["gone"].findChildren(QPushButton) if b.text() == "Remove")
    remove.click()
    assert gone not in ui_state.recent_projects()
    assert here in ui_state.recent_projects()
