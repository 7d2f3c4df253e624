"""Calm lines above a page: what happened, what is safe, what can be done. Never modal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from PySide6.QtCore import QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from app.theme import theme
from app.widgets.parts import button, label, row
from dafusion_core.language import _

INFO_MS = 12_000

Choice = tuple[str, Callable[[], Any]]


class Message(QFrame):
    """One line with its buttons. kind "info", "warning" or "error"."""

    def __init__(
        self,
        key: str,
        kind: str,
        text: str,
        choices: Sequence[Choice],
        details: str,
        bar: MessageBar,
    ) -> None:
        super().__init__()
        self.key = key
        self.kind = kind
        self.text = text
        self.details = details
        self.setAccessibleName(text)
        self._label = label(text, wrap=True, select=True)
        self.buttons = [
            button(name, partial(self._choose, bar, act), "small") for name, act in choices
        ]
        if details:
            self.buttons.append(button(_("Copy details"), self._copy, "small"))
        if not choices:
            self.buttons.append(button(_("Close"), lambda: bar.remove(key), "small"))
        layout = row(self._label, *self.buttons)
        layout.setStretch(0, 1)
        layout.setContentsMargins(14, 8, 10, 8)
        self.setLayout(layout)
        self.paint_colors()

    def _choose(self, bar: MessageBar, act: Callable[[], Any]) -> None:
        bar.remove(self.key)
        act()

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.details)

    def set_text(self, text: str) -> None:
        """Say something else, for example how far it is."""
        self.text = text
        self._label.setText(text)
        self.setAccessibleName(text)

    def paint_colors(self) -> None:
        """Follow the theme."""
        c = theme.colors
        back, edge = {
            "info": (c.accent_soft, c.accent),
            "warning": (c.warning_soft, c.stale),
            "error": (c.error_soft, c.rejected),
        }[self.kind]
        self.setStyleSheet(
            f"Message {{ background: {back}; border: none; border-left: 4px solid {edge}; }}"
        )


class MessageBar(QWidget):
    """Messages by key; a new one with a known key takes the old one's place."""

    MAX = 4

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(1)
        self.messages: dict[str, Message] = {}
        theme.changed.connect(self._repaint)
        self.hide()

    def say(
        self,
        key: str,
        kind: str,
        text: str,
        choices: Sequence[Choice] = (),
        details: str = "",
    ) -> Message:
        """Show a line; without choices it has a Close button."""
        self.remove(key)
        message = Message(key, kind, text, choices, details, self)
        self.messages[key] = message
        self._layout.addWidget(message)
        if kind == "info" and not choices:
            # Good news need not be closed by hand.
            QTimer.singleShot(INFO_MS, message, partial(self._fade, message))
        while len(self.messages) > self.MAX:
            self.remove(next(iter(self.messages)))
        self.show()
        return message

    def _fade(self, message: Message) -> None:
        if self.messages.get(message.key) is message:
            self.remove(message.key)

    def remove(self, key: str) -> None:
        """Take a line away."""
        message = self.messages.pop(key, None)
        if message is not None:
            self._layout.removeWidget(message)
            message.hide()
            message.deleteLater()
        self.setVisible(bool(self.messages))

    def clear(self) -> None:
        """Take all lines away."""
        for key in list(self.messages):
            self.remove(key)

    def _repaint(self) -> None:
        for message in self.messages.values():
            message.paint_colors()


def sentence(text: str, hint: str) -> str:
    """What happened and what to do, as one line."""
    return f"{text} {hint}".strip()
