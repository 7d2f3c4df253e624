"""A few short lines on common axes, painted directly; enough for runs of some dozen epochs."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import scaled_font, theme

STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)


class Curves(QWidget):
    """Lines named by group; groups differ in colour and in dashes. Values are shares, 0–1."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self._lines: list[tuple[str, Sequence[float]]] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        theme.changed.connect(self.update)

    def show_lines(self, lines: Sequence[tuple[str, Sequence[float]]]) -> None:
        """Show these (group, values) lines."""
        self._lines = [(name, values) for name, values in lines if values]
        self.update()

    def sizeHint(self) -> QSize:
        """Wide and low."""
        return QSize(420, 150)

    def minimumSizeHint(self) -> QSize:
        """Still readable."""
        return QSize(240, 120)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Axes, lines, legend."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint(painter)
        painter.end()

    def _paint(self, painter: QPainter) -> None:
        c = theme.colors
        font = scaled_font(self.font(), 0.85)
        painter.setFont(font)
        metrics = painter.fontMetrics()
        legend = metrics.height() + 8
        left = metrics.horizontalAdvance("100 %") + 8
        area = QRectF(self.rect()).adjusted(left, 6, -8, -legend - metrics.height())
        painter.setPen(QColor(c.muted))
        if not self._lines:
            painter.drawText(
                self.rect(), Qt.AlignmentFlag.AlignCenter, "Curves appear with the first run."
            )
            return
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for share in (0.0, 0.5, 1.0):
            y = area.bottom() - share * area.height()
            painter.setPen(QColor(c.border))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(QColor(c.muted))
            box = QRectF(0, y - metrics.height() / 2, left - 6, metrics.height())
            painter.drawText(box, right, f"{share:.0%}".replace("%", " %"))
        longest = max(len(values) for _name, values in self._lines)
        painter.drawText(
            QRectF(area.left(), area.bottom() + 2, area.width(), metrics.height()),
            Qt.AlignmentFlag.AlignRight,
            f"epoch {longest}",
        )
        groups = list(dict.fromkeys(name for name, _values in self._lines))
        for name, values in self._lines:
            painter.setPen(self._pen(groups.index(name)))
            step = area.width() / max(1, longest - 1)
            points = [
                QPointF(area.left() + number * step, area.bottom() - value * area.height())
                for number, value in enumerate(values)
            ]
            if len(points) == 1:
                painter.drawEllipse(points[0], 2, 2)
            else:
                painter.drawPolyline(points)
        x = area.left()
        y = self.height() - legend / 2
        for number, name in enumerate(groups):
            painter.setPen(self._pen(number))
            painter.drawLine(QPointF(x, y), QPointF(x + 24, y))
            painter.setPen(QColor(c.text))
            painter.drawText(QPointF(x + 30, y + metrics.ascent() / 2 - 1), name)
            x += 30 + metrics.horizontalAdvance(name) + 20

    def _pen(self, number: int) -> QPen:
        c = theme.colors
        color = (c.muted, c.accent, c.kept, c.stale)[number % 4]
        return QPen(QColor(color), 1.8, STYLES[(number + 1) % len(STYLES)] if number else STYLES[0])
