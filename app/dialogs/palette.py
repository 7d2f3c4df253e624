"""Every action, step and recent project by typing a part of its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QDialog,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.widgets.parts import label
from dafusion_core.language import _

MOST = 60


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the palette. `hint` stands at the right: a shortcut, or where it is."""

    text: str
    hint: str
    act: Callable[[], Any]


def rank(query: str, text: str) -> int:
    """How well a text answers a query: smaller is better, −1 is not at all.

    Every typed word must be the beginning of a word, or else its letters must come in order.
    """
    text = text.casefold()
    words = query.casefold().split()
    if not words:
        return 0
    starts = text.replace("-", " ").split()
    if all(any(part.startswith(word) for part in starts) for word in words):
        return 0 if text.startswith(words[0]) else 1
    if all(word in text for word in words):
        return 2
    place = 0
    for letter in "".join(words):
        place = text.find(letter, place) + 1
        if not place:
            return -1
    return 3


class Palette(QDialog):
    """A field and what fits it; Enter does the first, arrows choose another, Esc leaves."""

    def __init__(self, entries: Sequence[Entry], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(_("Commands"))
        self.setModal(True)
        self.resize(560, 420)
        self.entries = list(entries)
        self.field = QLineEdit()
        self.field.setPlaceholderText(_("Type what you want to do"))
        self.field.setAccessibleName(_("What you want to do"))
        self.field.setClearButtonEnabled(True)
        self.list = QListWidget()
        self.list.setAccessibleName(_("Commands that fit"))
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setUniformItemSizes(True)
        self.list.setAlternatingRowColors(False)
        self.nothing = label(_("Nothing fits."), "muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.addWidget(self.field)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.nothing)
        self.field.textChanged.connect(self._filter)
        self.field.installEventFilter(self)
        self.list.itemActivated.connect(lambda _item: self._run())
        self.list.itemClicked.connect(lambda _item: self._run())
        self._filter("")

    def _filter(self, query: str) -> None:
        found = [(rank(query, entry.text), place) for place, entry in enumerate(self.entries)]
        good = sorted(item for item in found if item[0] >= 0)[:MOST]
        self.list.clear()
        for _rank, place in good:
            entry = self.entries[place]
            item = QListWidgetItem(f"{entry.text}    {entry.hint}" if entry.hint else entry.text)
            item.setData(Qt.ItemDataRole.UserRole, place)
            self.list.addItem(item)
        self.list.setCurrentRow(0)
        self.nothing.setVisible(not good)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrows move in the list while the field keeps the focus."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            steps = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_PageDown: 8,
                     Qt.Key.Key_PageUp: -8}  # fmt: skip
            step = steps.get(Qt.Key(event.key()))
            if step is not None:
                row = self.list.currentRow() + step
                self.list.setCurrentRow(max(0, min(self.list.count() - 1, row)))
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._run()
                return True
        return super().eventFilter(watched, event)

    def _run(self) -> None:
        for item in self.list.selectedItems()[:1]:
            entry = self.entries[item.data(Qt.ItemDataRole.UserRole)]
            self.accept()
            entry.act()
