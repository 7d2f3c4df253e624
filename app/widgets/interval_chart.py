"""Differences to the baseline with their intervals, on one axis around zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import scaled_font, theme
from dafusion_core.evaluation.verdict import ArmVerdict, points
from dafusion_core.evaluation.wording import arm_title
from dafusion_core.language import _

ROW = 34
AXIS = 22
#: A difference that matters, as the comparison counts it.
RELEVANT = 0.05


class IntervalChart(QWidget):
    """One row per arm: a dot for the difference, a line for the interval."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._arms: Sequence[ArmVerdict] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def show_arms(self, arms: Sequence[ArmVerdict], sentences: Sequence[str] = ()) -> None:
        """Show these comparisons; `sentences` say them to those who do not see the chart."""
        self._arms = arms
        self.setAccessibleName("; ".join(sentences or [arm.sentence for arm in arms]))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """As tall as its rows."""
        return QSize(420, ROW * len(self._arms) + AXIS)

    def minimumSizeHint(self) -> QSize:
        """As tall as its rows."""
        return QSize(260, ROW * len(self._arms) + AXIS)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Axis, band of irrelevance, rows."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._arms:
            self._paint(painter)
        painter.end()

    def _reach(self) -> float:
        """The largest distance from zero to show, in steps of 5 points."""
        values = [RELEVANT]
        for arm in self._arms:
            values += [abs(v) for v in (arm.difference, arm.low, arm.high) if v is not None]
        return min(1.0, (int(max(values) / 0.05) + 1) * 0.05)

    def _paint(self, painter: QPainter) -> None:
        colors = theme.colors
        names = QFontMetrics(self.font())
        left = min(
            170, max(names.horizontalAdvance(arm_title(arm.name)) for arm in self._arms) + 14
        )
        reach = self._reach()
        area = QRectF(left, 2, self.width() - left - 48, ROW * len(self._arms))

        def x(value: float) -> float:
            return area.center().x() + value / reach * area.width() / 2

        band = QRectF(x(-RELEVANT), area.top(), x(RELEVANT) - x(-RELEVANT), area.height())
        painter.fillRect(band, QColor(colors.raised))
        painter.setFont(scaled_font(self.font(), 0.85))
        for value in (-reach, 0.0, reach):
            color = QColor(colors.muted if value == 0 else colors.border)
            painter.setPen(QPen(color, 1))
            painter.drawLine(QPointF(x(value), area.top()), QPointF(x(value), area.bottom()))
            painter.setPen(QColor(colors.muted))
            box = QRectF(x(value) - 60, area.bottom() + 3, 120, AXIS - 4)
            text = "0" if value == 0 else _("{points} points").format(points=points(value)[:-2])
            painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, text)
        painter.setFont(self.font())
        for number, arm in enumerate(self._arms):
            self._paint_arm(painter, arm, area.top() + (number + 0.5) * ROW, left, x)

    def _paint_arm(
        self,
        painter: QPainter,
        arm: ArmVerdict,
        y: float,
        left: float,
        x: Callable[[float], float],
    ) -> None:
        colors = theme.colors
        painter.setPen(QColor(colors.text))
        name = QFontMetrics(self.font()).elidedText(
            arm_title(arm.name), Qt.TextElideMode.ElideRight, int(left) - 10
        )
        box = QRectF(0, y - ROW / 2, left - 10, ROW)
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, name)
        color = {"helps": colors.kept, "hurts": colors.rejected}.get(arm.finding, colors.accent)
        painter.setPen(QPen(QColor(color), 2.4))
        if arm.low is not None and arm.high is not None:
            painter.drawLine(QPointF(x(arm.low), y), QPointF(x(arm.high), y))
            for end in (arm.low, arm.high):
                painter.drawLine(QPointF(x(end), y - 5), QPointF(x(end), y + 5))
        painter.setBrush(QColor(color))
        painter.setPen(QPen(QColor(colors.surface), 1.5))
        painter.drawEllipse(QPointF(x(arm.difference), y), 5.5, 5.5)
