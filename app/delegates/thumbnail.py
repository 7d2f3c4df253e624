"""Paints one picture of a grid: the pixmap or a placeholder, the decision, focus and selection."""

from __future__ import annotations

import math
from collections import OrderedDict

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QPointF, QRect, QRectF, Qt
from PySide6.QtCore import QSize as Size
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPainterPath, QPen, QPixmap, QPolygonF
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from app.models.roles import CellKind, Look, look_at
from app.theme import scaled_font, theme
from app.thumbnails import ThumbnailLoader
from dafusion_core.domain.records import Curation
from dafusion_core.language import _

MARGIN = 5
RADIUS = 6
PREPARED_BYTES = 24 * 2**20  # several screens full; each grid has its own
REJECTED_OPACITY = 0.32


class ThumbnailDelegate(QStyledItemDelegate):
    """Kept has a tick in a disc, rejected a cross and a faded picture, undecided neither: three
    shapes, so that nobody has to tell colours apart.

    What a cell shows is drawn once into a pixmap of its own; a repaint copies it. Only the frames
    of selection and focus are drawn each time.
    """

    def __init__(self, loader: ThumbnailLoader, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._loader = loader
        self._prepared: OrderedDict[tuple[object, ...], QPixmap] = OrderedDict()
        self._prepared_bytes = 0
        self._waiting: set[tuple[int, int]] = set()
        self.size = 128
        self.has_captions = False
        theme.changed.connect(self.forget)

    def forget(self) -> None:
        """Colours have changed: draw everything anew."""
        self._prepared.clear()
        self._prepared_bytes = 0

    def take_waiting(self) -> set[tuple[int, int]]:
        """Row and column of the cells painted without their picture since this was last asked."""
        waiting, self._waiting = self._waiting, set()
        return waiting

    def cell_size(self) -> Size:
        """Width and height of every cell."""
        return Size(self.size + 2 * MARGIN, self.size + 2 * MARGIN)

    def sizeHint(
        self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> Size:
        """All cells are the same size, so nothing is measured."""
        return self.cell_size()

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        """Paint a cell; a picture that is not loaded yet is asked for."""
        look = look_at(index)
        if look is None:
            return
        state = option.state
        cell = QRect(option.rect)
        is_selected = bool(state & QStyle.StateFlag.State_Selected)
        has_focus = bool(state & QStyle.StateFlag.State_HasFocus)
        if is_selected or has_focus:
            painter.save()
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if is_selected:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(theme.colors.accent_soft))
            painter.drawRoundedRect(QRectF(cell).adjusted(1, 1, -1, -1), RADIUS + 2, RADIUS + 2)
        if not self._paint_look(painter, cell.adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN), look):
            self._waiting.add((index.row(), index.column()))
        if is_selected or has_focus:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            pen = QPen(QColor(theme.colors.accent), 2.5 if has_focus else 1.5)
            painter.setPen(pen)
            inset = 1.5
            ring = QRectF(cell).adjusted(inset, inset, -inset, -inset)
            painter.drawRoundedRect(ring, RADIUS + 2, RADIUS + 2)
            painter.restore()
        self.paint_over(painter, cell, index)

    def paint_over(
        self, painter: QPainter, cell: QRect, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """For delegates that add something to a cell when it has been painted."""

    def _paint_look(self, painter: QPainter, frame: QRect, look: Look) -> bool:
        """Paint the picture; False if it is not loaded yet and something else stands for it."""
        device = painter.device()
        ratio = device.devicePixelRatio() if device else 1.0
        pixmap = None
        if look.path:
            pixmap = self._loader.get(look.path, round(self.size * ratio))
        if pixmap is None:
            painter.save()
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint_stand_in(painter, QRectF(frame), look)
            painter.restore()
            return not look.path
        area = fitted(pixmap, QRectF(frame)).toRect()
        # No hint for smooth scaling here: nothing is scaled, and with that hint Qt hands every
        # copy of a pixmap with soft corners to other threads and waits for them.
        painter.drawPixmap(area.topLeft(), self._prepare(pixmap, area.size(), ratio, look))
        return True

    def _paint_stand_in(self, painter: QPainter, frame: QRectF, look: Look) -> None:
        if look.kind == CellKind.WAITING:
            paint_outline(painter, frame, "")
        elif look.kind == CellKind.FAILED:
            paint_outline(painter, frame, _("could not\nbe made"))
        elif look.path and self._loader.problem(look.path):
            paint_outline(painter, frame, _("cannot be\nshown"))
            self._paint_marks(painter, frame, look)
        else:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(theme.colors.placeholder))
            painter.drawRoundedRect(frame, RADIUS, RADIUS)
            self._paint_marks(painter, frame, look)

    def _paint_marks(self, painter: QPainter, area: QRectF, look: Look) -> None:
        """What stands over a picture: name, decision, doubt, stars."""
        if look.caption and self.has_captions:
            self._paint_caption(painter, area, look.caption)
        if look.curation == Curation.KEPT:
            paint_badge(painter, area, is_kept=True)
        elif look.curation == Curation.REJECTED:
            paint_badge(painter, area, is_kept=False)
        elif look.is_unsure:
            paint_doubt(painter, area)
        if look.rating:
            paint_stars(painter, area, look.rating)

    def _prepare(self, pixmap: QPixmap, size: Size, ratio: float, look: Look) -> QPixmap:
        """A picture in exactly the size it is painted in, round corners and marks included."""
        key = (
            pixmap.cacheKey(),
            size.width(),
            size.height(),
            ratio,
            look.curation,
            look.rating,
            look.is_unsure,
            look.caption if self.has_captions else "",
        )
        found = self._prepared.get(key)
        if found is not None:
            self._prepared.move_to_end(key)
            return found
        made = QPixmap(size * ratio)
        made.setDevicePixelRatio(ratio)
        made.fill(Qt.GlobalColor.transparent)
        painter = QPainter(made)
        painter.setRenderHints(
            QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform
        )
        clip = QPainterPath()
        box = QRectF(0, 0, size.width(), size.height())
        clip.addRoundedRect(box, RADIUS, RADIUS)
        painter.save()
        painter.setClipPath(clip)
        painter.setOpacity(REJECTED_OPACITY if look.curation == Curation.REJECTED else 1.0)
        painter.drawPixmap(box, pixmap, QRectF(pixmap.rect()))
        painter.restore()
        self._paint_marks(painter, box, look)
        painter.end()
        self._prepared[key] = made
        self._prepared_bytes += 4 * made.width() * made.height()
        while self._prepared_bytes > PREPARED_BYTES and len(self._prepared) > 1:
            _, old = self._prepared.popitem(last=False)
            self._prepared_bytes -= 4 * old.width() * old.height()
        return made

    def _paint_caption(self, painter: QPainter, area: QRectF, caption: str) -> None:
        """On a strip over the foot of the picture, readable on any picture."""
        font = scaled_font(painter.font(), 0.85)
        metrics = QFontMetrics(font)
        text = metrics.elidedText(
            caption, Qt.TextElideMode.ElideMiddle, round(area.width()) - 2 * RADIUS
        )
        strip = QRectF(area)
        strip.setTop(area.bottom() - metrics.height() - 6)
        clip = QPainterPath()
        clip.addRoundedRect(area, RADIUS, RADIUS)
        painter.save()
        painter.setClipPath(clip)
        painter.fillRect(strip, QColor(16, 18, 22, 170))
        painter.setPen(QColor("#ffffff"))
        painter.setFont(font)
        painter.drawText(strip, Qt.AlignmentFlag.AlignCenter, text)
        painter.restore()


def fitted(pixmap: QPixmap, frame: QRectF) -> QRectF:
    """Where a picture goes inside `frame`, keeping its proportions, centred."""
    if pixmap.isNull():
        return frame
    scale = min(frame.width() / pixmap.width(), frame.height() / pixmap.height())
    width, height = pixmap.width() * scale, pixmap.height() * scale
    return QRectF(frame.center().x() - width / 2, frame.center().y() - height / 2, width, height)


def paint_outline(painter: QPainter, frame: QRectF, text: str) -> None:
    """A dashed box for a picture that is not there, with a word."""
    pen = QPen(QColor(theme.colors.border), 1.2, Qt.PenStyle.DashLine)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(frame.adjusted(1, 1, -1, -1), RADIUS, RADIUS)
    if text:
        painter.setPen(QColor(theme.colors.muted))
        painter.setFont(scaled_font(painter.font(), 0.85))
        painter.drawText(frame, Qt.AlignmentFlag.AlignCenter, text)


def paint_badge(painter: QPainter, area: QRectF, *, is_kept: bool) -> None:
    """The decision in the top right corner of a picture."""
    size = max(16.0, min(26.0, area.width() * 0.2))
    disc = QRectF(area.right() - size - 4, area.top() + 4, size, size)
    paint_mark(painter, disc, is_kept=is_kept)


def paint_doubt(painter: QPainter, area: QRectF) -> None:
    """A question mark in the top right corner."""
    size = max(16.0, min(26.0, area.width() * 0.2))
    disc = QRectF(area.right() - size - 4, area.top() + 4, size, size)
    painter.setPen(QPen(QColor(theme.colors.surface), 1.5))
    painter.setBrush(QColor(theme.colors.stale))
    painter.drawEllipse(disc)
    painter.setPen(QColor(theme.colors.surface))
    painter.setFont(scaled_font(painter.font(), 0.9, bold=True))
    painter.drawText(disc, Qt.AlignmentFlag.AlignCenter, "?")


def paint_stars(painter: QPainter, area: QRectF, rating: int) -> None:
    """One to five stars on a strip in the lower left corner, readable on any picture."""
    size = max(9.0, min(14.0, area.width() * 0.09))
    strip = QRectF(area.left() + 4, area.bottom() - size - 10, rating * (size + 1) + 7, size + 6)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(16, 18, 22, 190))
    painter.drawRoundedRect(strip, 4, 4)
    painter.setBrush(QColor("#ffd257"))
    for number in range(rating):
        painter.drawPolygon(
            star(strip.left() + 4 + number * (size + 1) + size / 2, strip.center().y(), size / 2)
        )


def star(x: float, y: float, radius: float) -> QPolygonF:
    """A five-pointed star around (x, y)."""
    points = []
    for number in range(10):
        reach = radius if number % 2 == 0 else radius * 0.42
        angle = math.pi * (number / 5 - 0.5)
        points.append(QPointF(x + reach * math.cos(angle), y + reach * math.sin(angle)))
    return QPolygonF(points)


def paint_mark(painter: QPainter, disc: QRectF, *, is_kept: bool) -> None:
    """A tick or a cross in a disc with a light rim, readable on any picture."""
    colors = theme.colors
    fill = QColor(colors.kept if is_kept else colors.rejected)
    painter.setPen(QPen(QColor(colors.surface), 1.5))
    painter.setBrush(fill)
    painter.drawEllipse(disc)
    pen = QPen(QColor(colors.surface), max(1.8, disc.width() * 0.11))
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)

    def at(x: float, y: float) -> QPointF:
        return QPointF(disc.left() + x * disc.width(), disc.top() + y * disc.height())

    if is_kept:
        painter.drawPolyline([at(0.28, 0.53), at(0.44, 0.69), at(0.73, 0.34)])
    else:
        painter.drawLine(at(0.33, 0.33), at(0.67, 0.67))
        painter.drawLine(at(0.67, 0.33), at(0.33, 0.67))
