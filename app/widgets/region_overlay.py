"""Boxes, polygons and masks painted over a picture, for every view that shows one.

`overlay_of(session)` is the one overlay of an open project. A view calls
`overlay.paint(painter, area, image_id, size)` after it painted the picture into `area`, and
connects `overlay.changed` to its `update`. Where it shows only a part of the picture (zoomed), it
names that part in pixels of the upright image.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath, QPen

from app import ui_state
from app.session import Session
from dafusion_core.datasets.masks import sample_mask
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import DaFusionError
from dafusion_core.domain.regions import Region, RegionKind
from dafusion_core.language import count

#: After Okabe and Ito: they stay apart for colour-blind eyes, and number and place tell as well.
COLORS = ("#56b4e9", "#f0e442", "#cc79a7", "#e69f00", "#009e73", "#d55e00", "#0072b2")
CASING = QColor(0, 0, 0, 190)
FILL = 88  # of 255: how much a filled region covers the picture
MOST_IMAGES = 2000
SAMPLE_BYTES = 48 * 2**20
MOST_PIXELS = 1024  # a mask is sampled this finely at most, along each side


def region_color(number: int) -> QColor:
    """The colour of the region with this number in its image (from 0)."""
    return QColor(COLORS[number % len(COLORS)])


def mask_image(mask: NDArray[np.bool_], color: QColor, has_edge: bool = True) -> QImage:
    """A mask, bool [height, width], as a see-through picture with a firm edge."""
    height, width = mask.shape
    part = FILL / 255
    soft = (FILL << 24) | (round(color.red() * part) << 16) | (round(color.green() * part) << 8)
    soft |= round(color.blue() * part)
    pixels = np.where(mask, np.uint32(soft), np.uint32(0))
    if has_edge:
        # Beyond the border of what is shown, the mask goes on as it is at the border.
        wide = np.pad(mask, 1, mode="edge")
        inner = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
        firm = 0xFF000000 | (color.rgb() & 0xFFFFFF)
        pixels[mask & ~inner] = np.uint32(firm)
    data = np.ascontiguousarray(pixels)
    image = QImage(data.data, width, height, 4 * width, QImage.Format.Format_ARGB32_Premultiplied)
    return image.copy()  # the pixels end with this function


def stroke_path(painter: QPainter, path: QPainterPath, color: QColor, width: float = 1.8) -> None:
    """A line that is seen on any picture: colour on a dark casing."""
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for pen_color, pen_width in ((CASING, width + 2), (color, width)):
        pen = QPen(pen_color, pen_width)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        painter.drawPath(path)


def shape_path(region: Region, origin: QPointF, scale_x: float, scale_y: float) -> QPainterPath:
    """The outline of a box or polygon where (0, 0) of the image is at `origin`."""
    path = QPainterPath()
    if region.kind is RegionKind.BOX:
        x, y, w, h = region.data["box"]
        path.addRect(origin.x() + x * scale_x, origin.y() + y * scale_y, w * scale_x, h * scale_y)
    elif region.kind is RegionKind.POLYGON:
        for points in region.data["polygons"]:
            found = [
                QPointF(origin.x() + x * scale_x, origin.y() + y * scale_y)
                for x, y in zip(points[::2], points[1::2], strict=True)
            ]
            path.moveTo(found[0])
            for point in found[1:]:
                path.lineTo(point)
            path.closeSubpath()
    return path


class RegionOverlay(QObject):
    """Paints the regions of images, while it is on. What it read it keeps until it changes.

    Signals:
        changed(): other regions, or switched on or off; repaint.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._project = session.project
        self.is_on = ui_state.load_text("regions", "on") == "on"
        self._has_any: bool | None = None
        self._regions: OrderedDict[int, list[Region]] = OrderedDict()
        self._samples: OrderedDict[tuple[object, ...], QImage | None] = OrderedDict()
        self._sample_bytes = 0
        session.changes.changed.connect(self._on_changed)

    def show_regions(self, is_on: bool) -> None:
        """Switch the overlay on or off, in all views and for the next start."""
        if is_on is not self.is_on:
            self.is_on = is_on
            ui_state.store_text("regions", "on" if is_on else "off")
            self.changed.emit()

    def toggle(self) -> None:
        """Off if it is on, on if it is off."""
        self.show_regions(not self.is_on)

    @property
    def has_any(self) -> bool:
        """Whether any image of the project has a region; asked once, not for each picture."""
        if self._has_any is None:
            self._has_any = bool(self._project.count_regions())
        return self._has_any

    def regions(self, image_id: int) -> list[Region]:
        """The regions of an image, oldest first."""
        if not self.has_any:
            return []
        found = self._regions.get(image_id)
        if found is None:
            found = self._regions[image_id] = self._project.regions([image_id])
            if len(self._regions) > MOST_IMAGES:
                self._regions.popitem(last=False)
        return found

    def paint(
        self,
        painter: QPainter,
        area: QRectF,
        image_id: int,
        size: tuple[int, int],
        part: QRectF | None = None,
    ) -> None:
        """Paint the regions of an image over its picture.

        `area`: where the picture is, in the painter's coordinates. `size`: width and height of
        the upright image in pixels. `part`: what of the image is shown in `area`, in its pixels;
        None for all of it. Does nothing while the overlay is off.
        """
        found = self.regions(image_id) if self.is_on else []
        if not found or area.isEmpty() or min(size) < 1:
            return
        whole = QRectF(0, 0, *size)
        part = (part or whole).intersected(whole)
        if part.isEmpty():
            return
        scale_x, scale_y = area.width() / part.width(), area.height() / part.height()
        origin = QPointF(area.left() - part.left() * scale_x, area.top() - part.top() * scale_y)
        painter.save()
        painter.setClipRect(area, Qt.ClipOperation.IntersectClip)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for number, region in enumerate(found):
            color = region_color(number)
            if region.kind is RegionKind.MASK:
                image = self._sampled(region, size, area, part, color)
                if image is not None:
                    painter.drawImage(area, image)
            else:
                width = 1.8 if area.width() > 200 else 1.2
                stroke_path(painter, shape_path(region, origin, scale_x, scale_y), color, width)
        painter.restore()

    def _sampled(
        self, region: Region, size: tuple[int, int], area: QRectF, part: QRectF, color: QColor
    ) -> QImage | None:
        width = min(MOST_PIXELS, max(1, round(area.width())))
        height = min(MOST_PIXELS, max(1, round(area.height())))
        place = (part.left(), part.top(), part.width(), part.height())
        key = (region.id, hash(region.data["counts"]), width, height, place, color.rgb())
        if key in self._samples:
            self._samples.move_to_end(key)
            return self._samples[key]
        rows = part.top() + (np.arange(height) + 0.5) * part.height() / height
        columns = part.left() + (np.arange(width) + 0.5) * part.width() / width
        made: QImage | None = None
        if list(region.data["size"]) == [size[1], size[0]]:
            try:
                mask = sample_mask(
                    region.data,
                    np.clip(rows.astype(np.int64), 0, size[1] - 1),
                    np.clip(columns.astype(np.int64), 0, size[0] - 1),
                )
                made = mask_image(mask, color)
            except DaFusionError:
                made = None  # the editor says what is wrong with it
        self._samples[key] = made
        self._sample_bytes += made.sizeInBytes() if made is not None else 0
        while self._sample_bytes > SAMPLE_BYTES and len(self._samples) > 1:
            _, old = self._samples.popitem(last=False)
            self._sample_bytes -= old.sizeInBytes() if old is not None else 0
        return made

    def _on_changed(self, changes: ProjectChanges) -> None:
        if not (changes.regions or changes.images):
            return
        self._has_any = None
        if changes.regions and changes.image_ids and not changes.images:
            for image_id in changes.image_ids:
                self._regions.pop(image_id, None)
        else:
            self._regions.clear()
        self.changed.emit()


def overlay_of(session: Session) -> RegionOverlay:
    """The one overlay of an open project, so that all views show and hide together."""
    found = session.findChild(RegionOverlay)
    return found if isinstance(found, RegionOverlay) else RegionOverlay(session)


def describe_regions(regions: Sequence[Region]) -> str:
    """“2 masks, 1 box”, "" for none."""
    numbers = Counter(region.kind for region in regions)
    words = {
        RegionKind.BOX: count(numbers[RegionKind.BOX], "{n:,} box", "{n:,} boxes"),
        RegionKind.POLYGON: count(numbers[RegionKind.POLYGON], "{n:,} polygon", "{n:,} polygons"),
        RegionKind.MASK: count(numbers[RegionKind.MASK], "{n:,} mask", "{n:,} masks"),
    }
    return ", ".join(text for kind, text in words.items() if numbers[kind])
