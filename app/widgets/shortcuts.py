"""All shortcuts on one sheet, made from the table of actions."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import QDialog, QGridLayout, QVBoxLayout, QWidget

from app.actions import ACTIONS, GROUP_NAMES, MENUS, MORE_SHORTCUTS
from app.text import plain
from app.widgets.parts import button, heading, label, row
from dafusion_core.language import _


def _share(heights: dict[str, int]) -> dict[str, int]:
    """Group → column 0 or 1, so that both are about as long: the longest groups choose first."""
    total, sides = [0, 0], {}
    for name in sorted(heights, key=lambda name: -heights[name]):
        sides[name] = 0 if total[0] < total[1] else 1
        total[sides[name]] += heights[name]
    return sides


class ShortcutsDialog(QDialog):
    """Two columns: keys and what they do. Esc, F1 or ? closes it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(_("Keyboard shortcuts"))
        grid = QGridLayout()
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(4)
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in MENUS}
        for spec in ACTIONS:
            if spec.shortcuts and not spec.key.startswith("rate_"):
                keys = [
                    QKeySequence(k).toString(QKeySequence.SequenceFormat.NativeText)
                    for k in spec.shortcuts
                ]
                text = plain(spec.text).rstrip("…")
                groups[spec.menu].append((_(" or ").join(dict.fromkeys(keys)), text))
        for name, keys_text, text in MORE_SHORTCUTS:
            groups.setdefault(name, []).append((keys_text, text))
        filled = {name: lines for name, lines in groups.items() if lines}
        sides = _share({name: len(lines) + 2 for name, lines in filled.items()})
        places = [0, 0]
        for name, lines in filled.items():
            place, side = places[sides[name]], 3 * sides[name]
            title = heading(plain(GROUP_NAMES[name]), 1.0)
            grid.addWidget(title, place, side, 1, 2)
            place += 1
            for keys_text, text in lines:
                shown = label(keys_text)
                shown.setAlignment(Qt.AlignmentFlag.AlignRight)
                grid.addWidget(shown, place, side)
                grid.addWidget(label(text, "muted"), place, side + 1)
                place += 1
            grid.setRowMinimumHeight(place, 8)
            places[sides[name]] = place + 1
        grid.setColumnMinimumWidth(2, 24)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 20, 24, 16)
        layout.addWidget(heading(_("Keyboard shortcuts"), 1.3))
        layout.addSpacing(6)
        layout.addLayout(grid)
        layout.addStretch(1)
        layout.addLayout(row(None, button(_("Close"), self.close)))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The key that opened it also closes it."""
        if event.key() in (Qt.Key.Key_Question, Qt.Key.Key_F1):
            self.close()
        else:
            super().keyPressEvent(event)
