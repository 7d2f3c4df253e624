"""How the region editor looks: the picture, its regions, handles, the brush's ring."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPainterPath, QPen, QPixmap

from app.regions.document import Item
from app.regions.shapes import handles
from app.regions.tools import ToolKey, paint_handle
from app.theme import scaled_font, theme
from app.widgets.region_overlay import CASING, mask_image, region_color, shape_path, stroke_path
from dafusion_core.domain.regions import Region, RegionKind
from dafusion_core.language import _

if TYPE_CHECKING:
    from app.regions.canvas import PictureCanvas

PIXELS_FROM = 3.0  # screen points per pixel from which single pixels are to be seen


def paint_canvas(canvas: PictureCanvas, painter: QPainter, rect: QRectF) -> None:
    """Paint what of the canvas is inside `rect`."""
    painter.fillRect(rect, QColor(theme.colors.placeholder))
    pixmap = canvas.pixmap
    problem = canvas.problem()
    if canvas.document.image is None:
        return
    if pixmap is None or problem:
        words = problem or _("The picture is being read…")
        if problem and canvas.document.items:
            words += _("\nIts regions are kept.")
        _paint_words(canvas, painter, words)
        return
    _paint_picture(canvas, painter, pixmap, rect)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if canvas.shows_regions:
        for number, item in enumerate(canvas.document.items):
            _paint_item(canvas, painter, item, number, rect)
    canvas.tool.paint(painter)
    _paint_cursor(canvas, painter)


def _paint_words(canvas: PictureCanvas, painter: QPainter, words: str) -> None:
    painter.setPen(QColor(theme.colors.text))
    box = QRectF(canvas.rect()).adjusted(30, 30, -30, -30)
    flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
    painter.drawText(box, int(flags), words)


def _paint_picture(canvas: PictureCanvas, painter: QPainter, pixmap: QPixmap, rect: QRectF) -> None:
    view = canvas.view
    # Far out, a picture of many pixels is painted from a smaller one: sharper, and fast.
    halvings = max(0, math.floor(math.log2(1 / view.scale))) if view.scale < 0.5 else 0
    if halvings:
        if halvings not in canvas.shrunk:
            canvas.shrunk.clear()
            size = pixmap.size() / (1 << halvings)
            canvas.shrunk[halvings] = pixmap.scaled(
                size.expandedTo(size.__class__(1, 1)),
                Qt.AspectRatioMode.IgnoreAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
        shown = canvas.shrunk[halvings]
    else:
        shown = pixmap
    is_smooth = view.scale < PIXELS_FROM
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, is_smooth)
    area = view.area
    if area.width() * area.height() < 4e6:
        painter.drawPixmap(area, shown, QRectF(shown.rect()))
        return
    # Zoomed in far: only the pixels that can be seen.
    part = QRectF(view.to_image(rect.topLeft()), view.to_image(rect.bottomRight()))
    part = part.intersected(QRectF(0, 0, view.size.width(), view.size.height()))
    if part.isEmpty():
        return
    left, top = math.floor(part.left()), math.floor(part.top())
    whole = QRectF(left, top, math.ceil(part.right()) - left, math.ceil(part.bottom()) - top)
    share = shown.width() / view.size.width(), shown.height() / view.size.height()
    source = QRectF(
        whole.x() * share[0], whole.y() * share[1],
        whole.width() * share[0], whole.height() * share[1],
    )  # fmt: skip
    painter.drawPixmap(canvas.on_screen(whole), shown, source)


def _paint_item(
    canvas: PictureCanvas, painter: QPainter, item: Item, number: int, rect: QRectF
) -> None:
    color = region_color(number)
    is_chosen = item is canvas.document.selected
    if item.kind is RegionKind.MASK:
        if item.mask is not None:
            _paint_mask(canvas, painter, item.mask, color, rect)
    else:
        region = Region(0, 0, item.kind, item.data)
        scale = canvas.view.scale
        path = shape_path(region, canvas.view.origin, scale, scale)
        if is_chosen:
            soft = QColor(color)
            soft.setAlpha(46)
            painter.fillPath(path, soft)
        stroke_path(painter, path, color, 2.4 if is_chosen else 1.6)
    if is_chosen and canvas.document.can_edit and canvas.tool.key is not ToolKey.BRUSH:
        for kind, which, point, (x, y) in handles(item):
            at = canvas.point_on_screen((x, y))
            is_point = kind == "point" and (which, point) == canvas.document.point
            size = 4.0 if kind == "edge" else 8.0
            paint_handle(painter, at, color, is_point, size)
    if not item.problem and not (item.kind is RegionKind.MASK and canvas.tool.is_active):
        at = canvas.point_on_screen(item.anchor()) - QPointF(0, 5 if is_chosen else 0)
        _paint_number(canvas, painter, at, number, color)


def _paint_mask(
    canvas: PictureCanvas,
    painter: QPainter,
    mask: np.ndarray,
    color: QColor,
    rect: QRectF,
) -> None:
    """Only what can be seen, and no finer than the screen: a stroke on a picture of many pixels
    costs no more than one on a small picture."""
    view = canvas.view
    step = max(1, math.floor(1 / view.scale))
    height, width = mask.shape
    # A border of one cell more on each side, so that the edge of a mask is not seen where only
    # the edge of what is painted anew is.
    seen = QRectF(view.to_image(rect.topLeft()), view.to_image(rect.bottomRight()))
    left = max(0, (math.floor(seen.left()) // step - 1) * step)
    top = max(0, (math.floor(seen.top()) // step - 1) * step)
    right = min(width, math.ceil(seen.right()) + 2 * step)
    bottom = min(height, math.ceil(seen.bottom()) + 2 * step)
    if right <= left or bottom <= top:
        return
    part = mask[top:bottom:step, left:right:step]
    if not part.any():
        return
    image = mask_image(part, color)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
    area = QRectF(left, top, part.shape[1] * step, part.shape[0] * step)
    painter.drawImage(canvas.on_screen(area), image)


def _paint_number(
    canvas: PictureCanvas, painter: QPainter, at: QPointF, number: int, color: QColor
) -> None:
    """The region's number on its colour: nobody has to tell colours apart."""
    font = scaled_font(canvas.font(), 0.85, bold=True)
    text = str(number + 1)
    metrics = QFontMetricsF(font)
    width = max(14.0, metrics.horizontalAdvance(text) + 8)
    box = QRectF(at.x(), at.y() - 17, width, 16)
    box.moveLeft(min(max(box.left(), 2.0), canvas.width() - width - 2))
    box.moveTop(min(max(box.top(), 2.0), canvas.height() - 18.0))
    path = QPainterPath()
    path.addRoundedRect(box, 3, 3)
    painter.fillPath(path, color)
    painter.setPen(QColor("#000000" if color.lightnessF() > 0.38 else "#ffffff"))
    painter.setFont(font)
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def _paint_cursor(canvas: PictureCanvas, painter: QPainter) -> None:
    """The brush's ring, and the keyboard's cross."""
    if canvas.here is None:
        return
    at = canvas.view.to_screen(canvas.here)
    if canvas.tool.key in (ToolKey.BRUSH, ToolKey.ERASER) and canvas.can_edit:
        radius = max(1.5, canvas.brush_size / 2 * canvas.view.scale)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        is_eraser = canvas.tool.key is ToolKey.ERASER
        style = Qt.PenStyle.DashLine if is_eraser else Qt.PenStyle.SolidLine
        painter.setPen(QPen(CASING, 3))
        painter.drawEllipse(at, radius, radius)
        painter.setPen(QPen(QColor("#ffffff"), 1.4, style))
        painter.drawEllipse(at, radius, radius)
    if canvas.is_cross_shown and canvas.tool.key is not ToolKey.SELECT:
        path = QPainterPath()
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            path.moveTo(at + QPointF(dx, dy) * 4)
            path.lineTo(at + QPointF(dx, dy) * 14)
        stroke_path(painter, path, QColor("#ffffff"), 1.4)
