"""The dot that says where a step or job stands: a shape for each state, the colour beside it."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from app.delegates.thumbnail import paint_mark
from app.steps import StepState
from app.theme import theme
from dafusion_core.language import _

SIZE = 18

STATE_WORDS = {
    StepState.EMPTY: _("not possible yet"),
    StepState.READY: _("ready"),
    StepState.WAITING: _("waiting"),
    StepState.RUNNING: _("running"),
    StepState.PAUSED: _("paused"),
    StepState.FAILED: _("failed"),
    StepState.STALE: _("out of date"),
    StepState.DONE: _("done"),
}


class StateDot(QWidget):
    """Ring: empty or ready; dots: waiting; arc: running; bars: paused; tick; cross; triangle."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._state = StepState.EMPTY
        self.setFixedSize(SIZE, SIZE)

    @property
    def state(self) -> StepState:
        """What it shows."""
        return self._state

    def show_state(self, state: StepState) -> None:
        """Show another state."""
        if state is not self._state:
            self._state = state
            self.setAccessibleName(STATE_WORDS[state])
            self.update()

    def sizeHint(self) -> QSize:
        """Fixed."""
        return QSize(SIZE, SIZE)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the shape."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        paint_state(painter, QRectF(self.rect()).adjusted(1.5, 1.5, -1.5, -1.5), self._state)
        painter.end()


def paint_state(painter: QPainter, box: QRectF, state: StepState) -> None:
    """Paint the shape of a state into `box`."""
    colors = theme.colors
    if state in (StepState.DONE, StepState.FAILED):
        paint_mark(painter, box, is_kept=state is StepState.DONE)
        return
    if state is StepState.STALE:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colors.stale))
        top = QPointF(box.center().x(), box.top())
        painter.drawPolygon(QPolygonF([top, box.bottomRight(), box.bottomLeft()]))
        pen = QPen(QColor(colors.surface), 1.8)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        painter.setPen(pen)
        x = box.center().x()
        painter.drawLine(QPointF(x, box.top() + 5.5), QPointF(x, box.top() + 9.0))
        painter.drawPoint(QPointF(x, box.top() + 12.0))
        return
    is_quiet = state is StepState.EMPTY
    ring = QColor(colors.border if is_quiet else colors.running)
    pen = QPen(ring, 2.0)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    inner = box.adjusted(1, 1, -1, -1)
    if state is StepState.RUNNING:
        painter.setPen(QPen(QColor(colors.border), 2.0))
        painter.drawEllipse(inner)
        painter.setPen(pen)
        painter.drawArc(inner, 90 * 16, -230 * 16)
        return
    painter.setPen(pen)
    painter.drawEllipse(inner)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(ring)
    centre = box.center()
    if state is StepState.WAITING:
        for offset in (-3.4, 0.0, 3.4):
            painter.drawEllipse(QPointF(centre.x() + offset, centre.y()), 1.1, 1.1)
    elif state is StepState.PAUSED:
        for offset in (-2.6, 0.9):
            painter.drawRect(QRectF(centre.x() + offset, centre.y() - 3, 1.8, 6))
