"""Lines over steps: raw and smoothed, log axis, values under the mouse, groups that can be hidden.

Painted directly: some dozen runs of some hundred points need no library for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import scaled_font, theme
from dafusion_core.language import _

STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)


@dataclass(frozen=True, slots=True)
class Line:
    """Points (step, value) of one run. Lines of a group share colour and dashes."""

    group: str
    points: Sequence[tuple[float, float]]
    name: str = ""


def smooth(values: Sequence[float], share: float) -> list[float]:
    """Exponential mean forth and back, so that nothing is shifted; share 0 leaves all as it is."""

    def one_way(given: Sequence[float]) -> list[float]:
        found: list[float] = []
        for value in given:
            found.append(value if not found else share * found[-1] + (1 - share) * value)
        return found

    if share <= 0 or len(values) < 3:
        return list(values)
    forth = one_way(values)
    back = one_way(list(reversed(values)))[::-1]
    return [(a + b) / 2 for a, b in zip(forth, back, strict=True)]


class Plot(QWidget):
    """See the module's text.

    Signals:
        hovered(str): what is under the mouse, in words.
    """

    hovered = Signal(str)

    def __init__(
        self, name: str, *, is_share: bool = False, hint: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.is_share = is_share  # values are shares of 1, shown as per cent from 0 to 100
        self.is_log = False
        self.smoothing = 0.0
        self.unit = _("step")
        self.hint = hint or _("Curves appear with the first results.")
        self.lines: list[Line] = []
        self.hidden: set[str] = set()
        self._at: QPointF | None = None
        self._legend: list[tuple[QRectF, str]] = []
        theme.changed.connect(self.update)

    def show_lines(self, lines: Sequence[Line]) -> None:
        """Show these; groups that were hidden stay so."""
        self.lines = [line for line in lines if line.points]
        self.update()

    def set_log(self, on: bool) -> None:
        """Logarithmic values."""
        self.is_log = on
        self.update()

    def set_smoothing(self, share: float) -> None:
        """0 to just below 1."""
        self.smoothing = min(0.99, max(0.0, share))
        self.update()

    def toggle(self, group: str) -> None:
        """Hide a group, or show it again."""
        self.hidden ^= {group}
        self.update()

    @property
    def groups(self) -> list[str]:
        """Names of the groups in order."""
        return list(dict.fromkeys(line.group for line in self.lines))

    def sizeHint(self) -> QSize:
        """Wide and low."""
        return QSize(420, 170)

    def minimumSizeHint(self) -> QSize:
        """Still readable."""
        return QSize(220, 120)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show the values at this place."""
        self._at = event.position()
        self.update()

    def leaveEvent(self, event: object) -> None:
        """Nothing is under the mouse."""
        self._at = None
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A click on the legend hides a group."""
        for box, group in self._legend:
            if box.contains(event.position()):
                self.toggle(group)

    # Painting -----------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Axes, lines, legend, values under the mouse."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(scaled_font(self.font(), 0.85))
        if not self.lines:
            painter.setPen(QColor(theme.colors.muted))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect(), int(flags), self.hint)
        else:
            self._paint(painter)
        painter.end()

    def _range(self, lines: Sequence[Line]) -> tuple[float, float, float, float]:
        steps = [x for line in lines for x, _y in line.points] or [0.0]
        if self.is_share:
            return min(steps), max(steps), 0.0, 1.0
        values = [y for line in lines for _x, y in line.points if math.isfinite(y)] or [0.0]
        if self.is_log:
            values = [y for y in values if y > 0] or [1.0]
        low, high = min(values), max(values)
        room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        return min(steps), max(steps), low if self.is_log else low - room, high + room

    def _height(self, value: float, low: float, high: float) -> float:
        if self.is_log:
            value, low, high = (math.log10(max(1e-12, x)) for x in (value, low, high))
        return (value - low) / ((high - low) or 1.0)

    def _paint(self, painter: QPainter) -> None:
        c = theme.colors
        metrics = painter.fontMetrics()
        shown = [line for line in self.lines if line.group not in self.hidden]
        first, last, low, high = self._range(shown or self.lines)
        ticks = [low + (high - low) * share for share in (0.0, 0.5, 1.0)]
        if self.is_log:
            ticks = [low, math.sqrt(low * high), high]
        texts = [self._value_text(tick) for tick in ticks]
        left = max(metrics.horizontalAdvance(text) for text in texts) + 8
        legend = metrics.height() + 8
        area = QRectF(self.rect()).adjusted(left, 6, -8, -legend - metrics.height())
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for tick, text in zip(ticks, texts, strict=True):
            y = area.bottom() - self._height(tick, low, high) * area.height()
            painter.setPen(QColor(c.border))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(QColor(c.muted))
            box = QRectF(0, y - metrics.height() / 2, left - 6, metrics.height())
            painter.drawText(box, right, text)
        foot = QRectF(area.left(), area.bottom() + 2, area.width(), metrics.height())
        painter.drawText(foot, Qt.AlignmentFlag.AlignRight, f"{self.unit} {last:g}")
        width = (last - first) or 1.0

        def at(x: float, y: float) -> QPointF:
            share = self._height(y, low, high)
            return QPointF(
                area.left() + (x - first) / width * area.width(),
                area.bottom() - min(1.0, max(0.0, share)) * area.height(),
            )

        for line in shown:
            pen = self._pen(self.groups.index(line.group))
            values = [y for _x, y in line.points]
            if self.smoothing > 0:
                faint = QColor(pen.color())
                faint.setAlphaF(0.28)
                painter.setPen(QPen(faint, 1.0))
                painter.drawPolyline(QPolygonF([at(x, y) for x, y in line.points]))
                values = smooth(values, self.smoothing)
            painter.setPen(pen)
            points = [at(x, y) for (x, _old), y in zip(line.points, values, strict=True)]
            if len(points) == 1:
                painter.drawEllipse(points[0], 2, 2)
            else:
                painter.drawPolyline(QPolygonF(points))
        self._paint_legend(painter, area.left(), self.height() - legend / 2)
        if self._at is not None and area.contains(self._at):
            share = (self._at.x() - area.left()) / area.width()
            self._paint_values(painter, area, first + share * width, shown)

    def _value_text(self, value: float) -> str:
        return f"{value:.0%}".replace("%", " %") if self.is_share else f"{value:.3g}"

    def _paint_legend(self, painter: QPainter, x: float, y: float) -> None:
        c = theme.colors
        metrics = painter.fontMetrics()
        self._legend = []
        for number, name in enumerate(self.groups):
            is_hidden = name in self.hidden
            painter.setPen(QPen(QColor(c.border), 1.8) if is_hidden else self._pen(number))
            painter.drawLine(QPointF(x, y), QPointF(x + 22, y))
            painter.setPen(QColor(c.muted if is_hidden else c.text))
            width = metrics.horizontalAdvance(name)
            painter.drawText(QPointF(x + 27, y + metrics.ascent() / 2 - 1), name)
            self._legend.append((QRectF(x, y - 9, 27 + width, 18), name))
            x += 27 + width + 16

    def _paint_values(
        self, painter: QPainter, area: QRectF, step: float, shown: Sequence[Line]
    ) -> None:
        c = theme.colors
        assert self._at is not None
        painter.setPen(QPen(QColor(c.muted), 1, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(self._at.x(), area.top()), QPointF(self._at.x(), area.bottom()))
        found: dict[str, list[float]] = {}
        nearest = step
        for line in shown:
            x, y = min(line.points, key=lambda point: abs(point[0] - step))
            found.setdefault(line.group, []).append(y)
            nearest = x
        words = [f"{self.unit} {nearest:g}"]
        for group, values in found.items():
            texts = [self._value_text(min(values))]
            if len(values) > 1:
                texts.append(self._value_text(max(values)))
            texts = list(dict.fromkeys(texts))
            if len(texts) > 1:
                texts = [_("{low} to {high}").format(low=texts[0], high=texts[1])]
            words.append(f"{group}: {texts[0]}")
        self.hovered.emit(", ".join(words))
        metrics = painter.fontMetrics()
        width = max(metrics.horizontalAdvance(word) for word in words) + 14
        box = QRectF(self._at.x() + 10, area.top() + 4, width, metrics.height() * len(words) + 8)
        if box.right() > area.right():
            box.moveRight(self._at.x() - 10)
        painter.setPen(QColor(c.border))
        painter.setBrush(QColor(c.surface))
        painter.drawRoundedRect(box, 4, 4)
        painter.setPen(QColor(c.text))
        inner = box.adjusted(7, 4, -7, -4)
        painter.drawText(inner, Qt.AlignmentFlag.AlignLeft, "\n".join(words))

    def _pen(self, number: int) -> QPen:
        c = theme.colors
        color = (c.muted, c.accent, c.kept, c.stale, c.rejected)[number % 5]
        return QPen(QColor(color), 1.8, STYLES[number % len(STYLES)])
