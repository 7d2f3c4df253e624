"""Bars of counts per class, and a reliability diagram: painted, because two shapes need no
library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.theme import scaled_font, theme
from dafusion_core.evaluation.metrics import CalibrationBin
from dafusion_core.language import _

ROW = 24


@dataclass(frozen=True, slots=True)
class Balance:
    """What a class brings into training: real images, and synthetic ones that may train."""

    name: str
    real: int
    synthetic: int


class BalanceChart(QWidget):
    """A bar per class: real images filled, synthetic ones hatched behind them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: Sequence[Balance] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def show_rows(self, rows: Sequence[Balance]) -> None:
        """Show these classes."""
        self.rows = list(rows)
        self.setAccessibleName(
            "; ".join(
                _("{name}: {real} real, {synthetic} synthetic").format(
                    name=r.name, real=r.real, synthetic=r.synthetic
                )
                for r in rows
            )
            or _("No classes")
        )
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """As tall as its rows and the legend."""
        return QSize(420, ROW * (len(self.rows) + 1) + 6)

    def minimumSizeHint(self) -> QSize:
        """As tall as its rows and the legend."""
        return QSize(260, ROW * (len(self.rows) + 1) + 6)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Names, bars, numbers, legend."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.rows:
            self._paint(painter)
        painter.end()

    def _paint(self, painter: QPainter) -> None:
        colors = theme.colors
        metrics = QFontMetrics(self.font())
        left = min(190, max(metrics.horizontalAdvance(r.name) for r in self.rows) + 14)
        numbers = metrics.horizontalAdvance("00,000 + 000,000") + 12
        most = max(1, *(r.real + r.synthetic for r in self.rows))
        width = max(20.0, self.width() - left - numbers)
        y = 2.0
        for one in self.rows:
            painter.setPen(QColor(colors.text))
            name = metrics.elidedText(one.name, Qt.TextElideMode.ElideRight, left - 10)
            middle = Qt.AlignmentFlag.AlignVCenter
            painter.drawText(QRectF(0, y, left - 10, ROW), middle, name)
            real = width * one.real / most
            synthetic = width * one.synthetic / most
            box = QRectF(left, y + 5, real, ROW - 10)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.fillRect(box, QColor(colors.accent))
            self._hatch(painter, QRectF(box.right(), box.top(), synthetic, box.height()))
            painter.setPen(QColor(colors.muted))
            text = f"{one.real:,}" + (f" + {one.synthetic:,}" if one.synthetic else "")
            place = QRectF(left + real + synthetic + 8, y, numbers, ROW)
            painter.drawText(place, middle, text)
            y += ROW
        painter.setFont(scaled_font(self.font(), 0.9))
        painter.fillRect(QRectF(left, y + 8, 16, 9), QColor(colors.accent))
        painter.setPen(QColor(colors.muted))
        painter.drawText(QPointF(left + 22, y + 17), _("real"))
        self._hatch(painter, QRectF(left + 70, y + 8, 16, 9))
        painter.setPen(QColor(colors.muted))
        painter.drawText(QPointF(left + 92, y + 17), _("synthetic that may train"))

    @staticmethod
    def _hatch(painter: QPainter, box: QRectF) -> None:
        if box.width() <= 0:
            return
        painter.save()
        painter.setPen(QPen(QColor(theme.colors.accent), 1))
        painter.setBrush(QColor(theme.colors.accent_soft))
        painter.drawRect(box.adjusted(0.5, 0.5, -0.5, -0.5))
        painter.setClipRect(box)
        x = box.left() - box.height()
        while x < box.right():
            painter.drawLine(QPointF(x, box.bottom()), QPointF(x + box.height(), box.top()))
            x += 6
        painter.restore()


class ReliabilityDiagram(QWidget):
    """How often answers of a certainty were right: on the diagonal a network is honest."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bins: Sequence[CalibrationBin] = ()
        self.setMinimumSize(220, 210)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(_("Reliability diagram"))
        theme.changed.connect(self.update)

    def show_bins(self, bins: Sequence[CalibrationBin]) -> None:
        """Show these."""
        self.bins = list(bins)
        self.setAccessibleDescription(
            "; ".join(
                _("{confidence:.0%} sure: {accuracy:.0%} right ({number})").format(
                    confidence=b.confidence, accuracy=b.accuracy, number=b.count
                )
                for b in bins
            )
        )
        self.update()

    def sizeHint(self) -> QSize:
        """Roughly square."""
        return QSize(260, 240)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Diagonal, bars, dots whose area is the number of answers."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(scaled_font(self.font(), 0.85))
        colors, metrics = theme.colors, painter.fontMetrics()
        left, foot = metrics.horizontalAdvance("100 %") + 8, 2 * metrics.height() + 6
        side = max(40.0, min(self.width() - left - 26, self.height() - foot - 16))
        area = QRectF(left, 12, side, side)

        def at(x: float, y: float) -> QPointF:
            return QPointF(area.left() + x * side, area.bottom() - y * side)

        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for share in (0.0, 0.5, 1.0):
            painter.setPen(QColor(colors.border))
            painter.drawLine(at(0, share), at(1, share))
            painter.setPen(QColor(colors.muted))
            text, y = f"{100 * share:.0f}\u00a0%", at(0, share).y()
            painter.drawText(QRectF(0, y - 8, left - 6, 16), right, text)
            box = QRectF(at(share, 0).x() - 25, area.bottom() + 3, 50, metrics.height())
            painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, text)
        words = QRectF(area.left(), area.bottom() + metrics.height() + 3, side, metrics.height())
        painter.drawText(words, Qt.AlignmentFlag.AlignHCenter, _("how sure → how often right"))
        painter.setPen(QPen(QColor(colors.muted), 1, Qt.PenStyle.DashLine))
        painter.drawLine(at(0, 0), at(1, 1))
        most = max((one.count for one in self.bins), default=1)
        for one in self.bins:
            off = QColor(colors.rejected if one.accuracy < one.confidence else colors.kept)
            painter.setPen(QPen(off, 2))
            painter.drawLine(at(one.confidence, one.confidence), at(one.confidence, one.accuracy))
            painter.setPen(QPen(QColor(colors.surface), 1))
            painter.setBrush(QColor(colors.accent))
            radius = 3 + 5 * (one.count / most) ** 0.5
            painter.drawEllipse(at(one.confidence, one.accuracy), radius, radius)
        painter.end()
