"""The ordered steps at the left, each with its state, and the main button below them."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QColor, QFontMetrics, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QButtonGroup, QFrame, QWidget

from app.steps import STEP_TITLES, Step, StepState, StepStatus
from app.theme import scaled_font, theme
from app.widgets.parts import action_button, column, label
from app.widgets.state_dot import SIZE, STATE_WORDS, paint_state

WIDTH = 196


class StepButton(QAbstractButton):
    """Name, dot and a few words."""

    def __init__(self, step: Step, number: int) -> None:
        super().__init__()
        self.step = step
        self.status = StepStatus(StepState.EMPTY)
        self._number = number
        self.setText(STEP_TITLES[step])
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.show_status(self.status)

    def show_status(self, status: StepStatus) -> None:
        """Show where the step stands."""
        self.status = status
        words = f"{self.text()}: {STATE_WORDS[status.state]}"
        self.setAccessibleName(words + (f", {status.note}" if status.note else ""))
        self.setToolTip(f"{words}\nAlt+{self._number}")
        self.update()

    def sizeHint(self) -> QSize:
        """Two lines of text."""
        return QSize(WIDTH - 16, 2 * QFontMetrics(self.font()).height() + 18)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the button."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colors, box = theme.colors, self.rect()
        if self.isChecked() or self.underMouse():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colors.accent_soft if self.isChecked() else colors.raised))
            painter.drawRoundedRect(box, 8, 8)
        if self.hasFocus():
            painter.setPen(QColor(colors.accent))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(box.adjusted(1, 1, -2, -2), 8, 8)
        dot = box.adjusted(10, 0, 0, 0)
        dot.setSize(QSize(SIZE, SIZE))
        dot.moveTop(box.center().y() - SIZE // 2)
        paint_state(painter, dot.toRectF().adjusted(1.5, 1.5, -1.5, -1.5), self.status.state)
        text = box.adjusted(10 + SIZE + 10, 0, -8, 0)
        is_quiet = self.status.state is StepState.EMPTY and not self.isChecked()
        painter.setPen(QColor(colors.muted if is_quiet else colors.text))
        title = scaled_font(self.font(), 1.0, bold=self.isChecked())
        painter.setFont(title)
        if not self.status.note:
            painter.drawText(text, Qt.AlignmentFlag.AlignVCenter, self.text())
            painter.end()
            return
        middle = box.center().y()
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom
        painter.drawText(text.adjusted(0, 0, 0, middle - text.bottom()), flags, self.text())
        painter.setFont(scaled_font(self.font(), 0.85))
        painter.setPen(QColor(colors.text if self.isChecked() else colors.muted))
        note = painter.fontMetrics().elidedText(
            self.status.note, Qt.TextElideMode.ElideRight, text.width()
        )
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop
        painter.drawText(text.adjusted(0, middle - text.top() + 2, 0, 0), flags, note)
        painter.end()


class Rail(QFrame):
    """The steps of a project.

    Signals:
        chosen(Step): the user wants to see that page.
    """

    chosen = Signal(object)

    def __init__(self, do_everything: QAction, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("rail")
        self.setFixedWidth(WIDTH)
        self.buttons = {step: StepButton(step, n) for n, step in enumerate(Step, 1)}
        self._group = QButtonGroup(self)
        for made in self.buttons.values():
            self._group.addButton(made)
            made.clicked.connect(lambda _checked=False, step=made.step: self.chosen.emit(step))
        self.main_button = action_button(do_everything, "primary")
        self.hint = label("", "muted", wrap=True)
        self.hint.setFont(scaled_font(self.hint.font(), 0.85))
        layout = column(*self.buttons.values(), None, self.main_button, self.hint, spacing=2)
        layout.setContentsMargins(8, 12, 8, 12)
        layout.setSpacing(4)
        self.setLayout(layout)

    def show_states(self, states: Mapping[Step, StepStatus]) -> None:
        """Show where all steps stand."""
        for step, status in states.items():
            if status != self.buttons[step].status:
                self.buttons[step].show_status(status)

    def select(self, step: Step) -> None:
        """Mark a step as the one shown."""
        self.buttons[step].setChecked(True)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Up and down move through the steps."""
        moves = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}
        focused = self.focusWidget()
        if event.key() in moves and isinstance(focused, StepButton):
            steps = list(Step)
            place = steps.index(focused.step) + moves[Qt.Key(event.key())]
            if 0 <= place < len(steps):
                self.buttons[steps[place]].setFocus()
                self.buttons[steps[place]].click()
            return
        super().keyPressEvent(event)
