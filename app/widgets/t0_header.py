"""The header of the curation grid: what each column is, how far from the photo, what is left."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPixmap
from PySide6.QtWidgets import QHeaderView, QWidget

from app.models.curation_counts import Counts
from app.models.curation_grid import CurationGridModel
from app.models.curation_layout import FIRST_T0_COLUMN
from app.text import t0_words
from app.theme import scaled_font, theme
from dafusion_core.domain.records import Curation
from dafusion_core.language import _


class T0Header(QHeaderView):
    """Three lines per column: its t0, a bar and words for the distance, and the counts.

    Each column is drawn into a pixmap, and anew only when its counts or its width have changed.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setSectionsClickable(True)
        self.setHighlightSections(False)
        self.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.setAccessibleName(_("How far from the photo"))
        self._counts: list[Counts] = []
        self._drawn: dict[int, tuple[object, QPixmap]] = {}
        theme.changed.connect(self._draw_anew)

    def _draw_anew(self) -> None:
        self._drawn.clear()
        self.viewport().update()

    def refresh_counts(self) -> None:
        """Count again; only columns that have other counts now are painted."""
        model = self.model()
        before, self._counts = self._counts, []
        if isinstance(model, CurationGridModel):
            self._counts = model.counts()
        if len(before) != len(self._counts):
            self._draw_anew()
            return
        for place, (old, new) in enumerate(zip(before, self._counts, strict=True)):
            if old != new:
                self.update_section(place + FIRST_T0_COLUMN)

    def update_section(self, section: int) -> None:
        """Paint one column again."""
        left, width = self.sectionViewportPosition(section), self.sectionSize(section)
        self.viewport().update(left, 0, width, self.viewport().height())

    def _small(self) -> QFont:
        return scaled_font(self.font(), 0.85)

    def sizeHint(self) -> QSize:
        """Three lines."""
        line = QFontMetrics(self.font()).height()
        small = QFontMetrics(self._small()).height()
        return QSize(super().sizeHint().width(), line + 2 * small + 24)

    def paintSection(self, painter: QPainter, rect: QRect, section: int) -> None:
        """Paint one column's header."""
        model = self.model()
        if not isinstance(model, CurationGridModel) or not rect.isValid():
            return
        device = painter.device()
        ratio = device.devicePixelRatio() if device else 1.0
        place = section - FIRST_T0_COLUMN
        counts = self._counts[place] if 0 <= place < len(self._counts) else Counts()
        shown = tuple(counts.by_curation.values())
        t0 = model.t0_set[place] if place >= 0 else None
        key = (rect.width(), rect.height(), ratio, t0, counts.waiting, shown)
        known, pixmap = self._drawn.get(section, (None, None))
        if pixmap is None or known != key:
            pixmap = QPixmap(rect.size() * ratio)
            pixmap.setDevicePixelRatio(ratio)
            pixmap.fill(QColor(theme.colors.window))
            drawing = QPainter(pixmap)
            drawing.setFont(self.font())
            self._draw(drawing, QRect(0, 0, rect.width(), rect.height()), t0, counts)
            drawing.end()
            self._drawn[section] = (key, pixmap)
        painter.drawPixmap(rect.topLeft(), pixmap)

    def _draw(self, painter: QPainter, rect: QRect, t0: float | None, counts: Counts) -> None:
        colors = theme.colors
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QColor(colors.border))
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        box = rect.adjusted(7, 6, -7, -6)
        title = scaled_font(self.font(), 1.0, bold=True)
        line = QFontMetrics(title).height()
        small = QFontMetrics(self._small()).height()
        painter.setFont(title)
        painter.setPen(QColor(colors.text))
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        first = QRect(box.left(), box.top(), box.width(), line)
        second = QRect(box.left(), first.bottom() + 4, box.width(), small)
        third = QRect(box.left(), second.bottom() + 2, box.width(), small)
        if t0 is None:
            painter.drawText(first, left, _("Photo"))
            self._paint_small(painter, second, _("the real picture"))
            self._paint_small(painter, third, _("how far from it →"))
            return
        text = f"t0 {t0:g}"
        painter.drawText(first, left, text)
        self._paint_bar(painter, first, QFontMetrics(title).horizontalAdvance(text), t0)
        self._paint_small(painter, second, t0_words(t0))
        self._paint_counts(painter, third, counts)

    def _paint_small(self, painter: QPainter, box: QRect, text: str) -> None:
        painter.setFont(self._small())
        painter.setPen(QColor(theme.colors.muted))
        text = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, box.width())
        painter.drawText(box, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)

    def _paint_bar(self, painter: QPainter, line: QRect, text_width: int, t0: float) -> None:
        """How far: a track from the photo (left) to noise (right), filled to t0."""
        track = QRectF(line.left() + text_width + 10, line.center().y() - 1, 0, 4)
        track.setRight(line.right())
        if track.width() < 12:
            return
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.colors.border))
        painter.drawRoundedRect(track, 2, 2)
        painter.setBrush(QColor(theme.colors.accent))
        filled = QRectF(track)
        filled.setWidth(track.width() * t0)
        painter.drawRoundedRect(filled, 2, 2)

    def _paint_counts(self, painter: QPainter, box: QRect, counts: Counts) -> None:
        """“✓ 12  ✕ 3  9 left”, the marks drawn because not every font has them."""
        painter.setFont(self._small())
        metrics = painter.fontMetrics()
        colors = theme.colors
        x = float(box.left())
        middle = box.center().y() + 0.5
        marks = ((Curation.KEPT, colors.kept), (Curation.REJECTED, colors.rejected))
        for curation, color in marks:
            number = counts.by_curation[curation]
            if not number:
                continue
            pen = painter.pen()
            pen.setColor(QColor(color))
            pen.setWidthF(1.8)
            painter.setPen(pen)
            if curation is Curation.KEPT:
                points = [
                    QPointF(x, middle),
                    QPointF(x + 3, middle + 3),
                    QPointF(x + 8, middle - 4),
                ]
                painter.drawPolyline(points)
            else:
                painter.drawLine(QPointF(x, middle - 3.5), QPointF(x + 7, middle + 3.5))
                painter.drawLine(QPointF(x + 7, middle - 3.5), QPointF(x, middle + 3.5))
            text = f"{number:,}"
            painter.drawText(QPointF(x + 12, box.bottom() - metrics.descent()), text)
            x += 12 + metrics.horizontalAdvance(text) + 9
        left = counts.by_curation[Curation.UNDECIDED]
        rest = (
            _("{left:,} undecided").format(left=left)
            if left
            else ("" if counts.waiting else _("all decided"))
        )
        if counts.waiting and not left:
            rest = _("{waiting:,} to come").format(waiting=counts.waiting)
        room = box.right() - int(x)
        if metrics.horizontalAdvance(rest) > room and left:
            rest = _("{left:,} left").format(left=left)
        painter.setPen(QColor(colors.muted))
        painter.drawText(QPointF(x, box.bottom() - metrics.descent()), rest)
