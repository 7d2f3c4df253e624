"""Labels, buttons and boxes with the styles that `app.theme` knows by role."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QButtonGroup,
    QDialog,
    QFileDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from app.text import plain
from app.theme import scaled_font
from dafusion_core.language import _


def label(text: str = "", role: str = "", *, wrap: bool = False, select: bool = False) -> QLabel:
    """A label; role "muted", "error" or ""."""
    made = QLabel(text)
    made.setTextFormat(Qt.TextFormat.PlainText)
    if role:
        made.setProperty("role", role)
    made.setWordWrap(wrap)
    if select:
        made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return made


def heading(text: str, factor: float = 1.55) -> QLabel:
    """A title."""
    made = label(text)
    made.setFont(scaled_font(made.font(), factor, bold=True))
    return made


def button(text: str, on_click: Callable[[], Any], role: str = "", tip: str = "") -> QPushButton:
    """A push button; role "primary", "small", "link" or ""."""
    made = QPushButton(text)
    if role:
        made.setProperty("role", role)
    if role == "link":
        made.setCursor(Qt.CursorShape.PointingHandCursor)
        made.setFlat(True)
    made.setToolTip(tip)
    made.setAutoDefault(False)
    made.clicked.connect(lambda _checked=False: on_click())
    return made


def action_button(action: QAction, role: str = "", text: str = "") -> QPushButton:
    """A button that does, names and enables what an action does; its tip has the shortcut."""
    made = button(text or plain(action.text()), action.trigger, role)

    def follow() -> None:
        made.setEnabled(action.isEnabled())
        made.setToolTip(action.toolTip())
        if not text:
            made.setText(plain(action.text()))

    follow()
    following = action.changed.connect(follow)
    # Actions outlive the pages of a project.
    made.destroyed.connect(lambda: QObject.disconnect(following))
    return made


def row(*items: QWidget | int | None, spacing: int = 8) -> QHBoxLayout:
    """A line of widgets; None stretches, a number is a gap."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for item in items:
        if item is None:
            layout.addStretch(1)
        elif isinstance(item, int):
            layout.addSpacing(item)
        else:
            layout.addWidget(item)
    return layout


def column(*items: QWidget | QHBoxLayout | int | None, spacing: int = 8) -> QVBoxLayout:
    """A stack of widgets and lines; None stretches, a number is a gap."""
    layout = QVBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for item in items:
        if item is None:
            layout.addStretch(1)
        elif isinstance(item, int):
            layout.addSpacing(item)
        elif isinstance(item, QWidget):
            layout.addWidget(item)
        else:
            layout.addLayout(item)
    return layout


def card(*items: QWidget | QHBoxLayout | int | None, spacing: int = 8) -> QFrame:
    """A framed box."""
    made = QFrame()
    made.setObjectName("card")
    layout = column(*items, spacing=spacing)
    layout.setContentsMargins(16, 14, 16, 14)
    made.setLayout(layout)
    return made


def scrolled(inner: QWidget) -> QScrollArea:
    """The widget with scroll bars where it does not fit."""
    made = QScrollArea()
    made.setWidgetResizable(True)
    made.setWidget(inner)
    return made


class _WheelGuard(QObject):
    """Scrolling over a page must not change the numbers it passes."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let the wheel through to the page unless the field has the focus."""
        if (
            event.type() == QEvent.Type.Wheel
            and isinstance(watched, QWidget)
            and not watched.hasFocus()
        ):
            event.ignore()
            return True
        return False


def form(*lines: tuple[str | QWidget, QWidget]) -> QFormLayout:
    """Names at the left, fields at the right, on one middle line."""
    made = QFormLayout()
    made.setContentsMargins(0, 0, 0, 0)
    made.setHorizontalSpacing(14)
    made.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    made.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
    for name, field in lines:
        shown = label(name) if isinstance(name, str) else name
        if isinstance(name, str) and name and not field.accessibleName():
            field.setAccessibleName(name)
        shown.setMinimumHeight(field.sizeHint().height())
        edit = field.lineEdit() if isinstance(field, QAbstractSpinBox) else None
        if edit is not None:
            edit.setTextMargins(5, 0, 0, 0)  # the style sheet's padding does not reach it
        made.addRow(shown, field)
    return made


def guard_wheel(*fields: QWidget) -> None:
    """Make fields take the mouse wheel only while they have the focus."""
    for field in fields:
        field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        field.installEventFilter(_WheelGuard(field))


class Segments(QFrame):
    """A few buttons of which one is on.

    Signals:
        chosen(str): the user chose another one.
    """

    chosen = Signal(str)

    def __init__(self, choices: Sequence[tuple[str, str, str]], name: str) -> None:
        super().__init__()
        self.setObjectName("segments")
        self.setAccessibleName(name)
        self.buttons: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        layout = row(spacing=0)
        for key, text, tip in choices:
            made = button(text, partial(self.chosen.emit, key), "segment", tip)
            made.setCheckable(True)
            made.setAccessibleName(f"{name}: {text}")
            self._group.addButton(made)
            self.buttons[key] = made
            layout.addWidget(made)
        self.setLayout(layout)
        self.buttons[choices[0][0]].setChecked(True)

    def select(self, key: str) -> None:
        """Show that this one is on."""
        self.buttons[key].setChecked(True)


class EmptyState(QWidget):
    """Says what is missing and what to do about it."""

    def __init__(self, title: str, text: str, *buttons: QPushButton) -> None:
        super().__init__()
        self.title = heading(title, 1.25)
        self.text = label(text, "muted", wrap=True)
        for made in (self.title, self.text):
            made.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text.setFixedWidth(420)
        self.text.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Minimum)
        layout = column(None, self.title, row(None, self.text, None), 8, spacing=8)
        if buttons:
            layout.addLayout(row(None, *buttons, None))
        layout.addStretch(2)
        layout.setContentsMargins(24, 24, 24, 24)
        self.setLayout(layout)


def dialog_layout(dialog: QDialog, title: str, words: str = "", spacing: int = 10) -> QVBoxLayout:
    """The frame of a dialog: its title, also on the window, a muted paragraph, then what follows.

    Returns the layout to add the rest to.
    """
    dialog.setWindowTitle(title)
    layout = QVBoxLayout(dialog)
    layout.setContentsMargins(20, 18, 20, 16)
    layout.setSpacing(spacing)
    layout.addWidget(heading(title, 1.2))
    if words:
        layout.addWidget(label(words, "muted", wrap=True))
    return layout


def folder_row(field: QLineEdit, question: str) -> QHBoxLayout:
    """A field for a folder, typed, or chosen with the button beside it."""
    field.setAccessibleName(_("Folder"))

    def choose() -> None:
        chosen = QFileDialog.getExistingDirectory(field, question)
        if chosen:
            field.setText(chosen)

    made = row(field, button(_("Choose…"), choose))
    made.setStretch(0, 1)
    return made
