"""Loupe and comparison: synthetic images large, the photo they were made from always beside."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from PySide6.QtCore import QPointF, QRectF, QSizeF, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.delegates.thumbnail import fitted, paint_badge, paint_outline, paint_stars
from app.models.curation_grid import CurationGridModel
from app.text import CURATION_NAMES, t0_words
from app.theme import scaled_font, theme
from app.thumbnails import FULL_SIZE, ThumbnailLoader
from app.widgets.region_overlay import RegionOverlay
from dafusion_core.domain.records import Curation
from dafusion_core.language import _

GAP = 16
LINE = 26
MOST = 4
MAX_ZOOM = 16.0


class StageMode(StrEnum):
    """How photo and picture are compared."""

    SIDE = "side"
    SLIDER = "slider"
    FLICKER = "flicker"


MODE_NAMES = {
    StageMode.SIDE: _("Side by side"),
    StageMode.SLIDER: _("Slider"),
    StageMode.FLICKER: _("In turn"),
}


class Stage(QWidget):
    """One picture or up to four; zoom and place are the same for all of them.

    Signals:
        closed(): back to the grid.
        moved(int): the next (1) or previous (−1) picture is wanted.
        mode_changed(): another way of comparing was chosen.
    """

    closed = Signal()
    moved = Signal(int)
    mode_changed = Signal()

    def __init__(
        self,
        model: CurationGridModel,
        loader: ThumbnailLoader,
        overlay: RegionOverlay,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._model = model
        self._loader = loader
        self._overlay = overlay
        self._source: int | None = None
        self.ids: list[int] = []
        self.mode = StageMode.SIDE
        self.split = 0.5  # where the slider is, as a share of the width
        self.shows_photo = False  # in turn: the photo now, else the picture
        self.zoom = 1.0
        self.center = QPointF(0.5, 0.5)  # what is in the middle, as shares of the picture
        self._drag: QPointF | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setToolTip(
            _(
                "Wheel: zoom · drag: move · M: another way of comparing · O: regions on "
                "or off · Esc: back"
            )
        )
        overlay.changed.connect(self.update)
        loader.ready.connect(self.update)
        theme.changed.connect(self.update)
        model.dataChanged.connect(self.update)

    def show_pictures(self, source_id: int | None, ids: Sequence[int]) -> None:
        """Show pictures beside their photo (the first one's), or the photo alone."""
        self._source = source_id
        self.ids = list(ids[:MOST])
        cell = self._model.cell_of(self.ids[0]) if self.ids else None
        if cell is not None:
            self._source = cell.source_id
        name = self._model.names.get(cell.concept_id, "") if cell else _("the photo")
        self.setAccessibleName(
            _("Large view: {name}, {caption}").format(
                name=name, caption=self._caption_of(self.ids[:1])
            )
        )
        self.update()

    def _caption_of(self, ids: Sequence[int]) -> str:
        cell = self._model.cell_of(ids[0]) if ids else None
        if cell is None:
            return ""
        state = CURATION_NAMES[cell.curation or Curation.UNDECIDED]
        return f"t0 {cell.t0:g}, {t0_words(cell.t0)}: {state}"

    def choose(self, mode: StageMode) -> None:
        """Compare in this way."""
        self.mode = mode
        self.mode_changed.emit()
        self.update()

    def next_mode(self) -> None:
        """The next way of comparing."""
        modes = list(StageMode)
        self.choose(modes[(modes.index(self.mode) + 1) % len(modes)])

    # Keys and mouse -----------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move, M compares in another way, Esc and Enter close."""
        key = event.key()
        if key in (Qt.Key.Key_Escape, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.closed.emit()
        elif key in (Qt.Key.Key_Right, Qt.Key.Key_Down):
            self.moved.emit(1)
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Up):
            self.moved.emit(-1)
        elif key == Qt.Key.Key_M:
            self.next_mode()
        elif key == Qt.Key.Key_O:
            self._overlay.toggle()
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self._zoom_to(self.zoom * 1.5)
        elif key == Qt.Key.Key_Minus:
            self._zoom_to(self.zoom / 1.5)
        elif key in (Qt.Key.Key_Comma, Qt.Key.Key_Period):
            self._split_to(self.split + (0.05 if key == Qt.Key.Key_Period else -0.05))
        elif key == Qt.Key.Key_Space and self.mode is StageMode.FLICKER:
            self.shows_photo = not self.shows_photo
            self.update()
        else:
            super().keyPressEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Back to the grid."""
        self.closed.emit()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Start moving the picture or the slider."""
        self._drag = event.position()
        if self.mode is StageMode.FLICKER:
            self.shows_photo = True
            self.update()
        elif self.mode is StageMode.SLIDER and self.zoom == 1.0:
            self._split_to(self._share(event.position()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move the slider, or what is in view."""
        if self._drag is None:
            return
        if self.mode is StageMode.SLIDER and self.zoom == 1.0:
            self._split_to(self._share(event.position()))
            return
        way = event.position() - self._drag
        self._drag = event.position()
        frame = self._frames(1 if self.mode is not StageMode.SIDE else len(self.ids) + 1)[0]
        self.center -= QPointF(
            way.x() / (frame.width() * self.zoom), way.y() / (frame.height() * self.zoom)
        )
        self._zoom_to(self.zoom)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        self._drag = None
        self.shows_photo = False
        self.update()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom all pictures together."""
        self._zoom_to(self.zoom * (1.2 if event.angleDelta().y() > 0 else 1 / 1.2))
        event.accept()

    def _zoom_to(self, zoom: float) -> None:
        self.zoom = min(MAX_ZOOM, max(1.0, zoom))
        edge = 0.5 / self.zoom
        self.center = QPointF(
            min(1 - edge, max(edge, self.center.x())), min(1 - edge, max(edge, self.center.y()))
        )
        self.update()

    def _split_to(self, share: float) -> None:
        self.split = min(1.0, max(0.0, share))
        self.update()

    def _share(self, at: QPointF) -> float:
        frame = self._frames(1)[0]
        side = min(frame.width(), frame.height())
        return (at.x() - (frame.center().x() - side / 2)) / side

    # Painting -----------------------------------------------------------------------------

    def _frames(self, number: int) -> list[QRectF]:
        """Equal places beside each other, in two rows from four on."""
        whole = QRectF(self.rect()).adjusted(GAP, GAP / 2, -GAP, -GAP / 2)
        rows = 2 if number > 3 else 1
        columns = -(-number // rows)
        width = (whole.width() - GAP * (columns - 1)) / columns
        height = whole.height() / rows - LINE
        return [
            QRectF(
                whole.left() + (place % columns) * (width + GAP),
                whole.top() + (place // columns) * (height + LINE),
                width,
                height,
            )
            for place in range(number)
        ]

    def paintEvent(self, event: QPaintEvent) -> None:
        """Photo first, then the pictures; or both in one place."""
        painter = QPainter(self)
        painter.setRenderHints(
            QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform
        )
        if self._source is not None:
            if self.mode is StageMode.SIDE or not self.ids:
                self._paint_side(painter)
            else:
                self._paint_one_place(painter)
        painter.end()

    def _paint_side(self, painter: QPainter) -> None:
        frames = self._frames(len(self.ids) + 1)
        self._paint_photo(painter, frames[0])
        for frame, synthetic_id in zip(frames[1:], self.ids, strict=True):
            self._paint_picture(painter, frame, synthetic_id)

    def _paint_one_place(self, painter: QPainter) -> None:
        frame = self._frames(1)[0]
        if self.mode is StageMode.FLICKER:
            if self.shows_photo:
                self._paint_photo(painter, frame)
            else:
                self._paint_picture(painter, frame, self.ids[0])
            return
        area = self._paint_picture(painter, frame, self.ids[0])
        edge = area.left() + self.split * area.width()
        painter.save()
        painter.setClipRect(QRectF(frame.left(), frame.top(), edge - frame.left(), frame.height()))
        self._paint_photo(painter, area, with_caption=False)
        painter.restore()
        painter.setPen(QPen(QColor(theme.colors.surface), 4))
        painter.drawLine(QPointF(edge, area.top()), QPointF(edge, area.bottom()))
        painter.setPen(QPen(QColor(theme.colors.accent), 2))
        painter.drawLine(QPointF(edge, area.top()), QPointF(edge, area.bottom()))
        painter.setBrush(QColor(theme.colors.accent))
        painter.drawEllipse(QPointF(edge, area.center().y()), 6, 6)

    def _paint_photo(self, painter: QPainter, frame: QRectF, with_caption: bool = True) -> None:
        assert self._source is not None
        area = self._paint(painter, frame, self._model.source_path(self._source))
        photo = self._model.photo(self._source)
        if photo is not None:
            size = (photo.width, photo.height)
            self._overlay.paint(painter, area, photo.id, size, self._part(QSizeF(*size)))
        if with_caption:
            self._caption(
                painter,
                area,
                _("Photo: {label}").format(label=photo.label) if photo else _("Photo"),
            )

    def _paint_picture(self, painter: QPainter, frame: QRectF, synthetic_id: int) -> QRectF:
        area = self._paint(painter, frame, self._model.picture_path(synthetic_id))
        cell = self._model.cell_of(synthetic_id)
        if cell is not None:
            if cell.curation in (Curation.KEPT, Curation.REJECTED):
                paint_badge(painter, area, is_kept=cell.curation is Curation.KEPT)
            if cell.rating:
                paint_stars(painter, area, cell.rating)
            self._caption(painter, area, self._caption_of([synthetic_id]))
        return area

    def _paint(self, painter: QPainter, frame: QRectF, path: str) -> QRectF:
        # The thumbnail stands in until the whole picture has been read.
        pixmap = self._loader.get(path, FULL_SIZE) or self._loader.get(path, 128) if path else None
        if pixmap is None:
            problem = self._loader.problem(path) if path else _("The picture is missing.")
            paint_outline(painter, frame, problem)
            return frame
        area = fitted(pixmap, frame)
        painter.drawPixmap(area, pixmap, self._part(QSizeF(pixmap.size())))
        return area

    def _part(self, whole: QSizeF) -> QRectF:
        """What of a picture of this size is in view."""
        part = QRectF(0, 0, whole.width() / self.zoom, whole.height() / self.zoom)
        part.moveCenter(QPointF(self.center.x() * whole.width(), self.center.y() * whole.height()))
        return part

    def _caption(self, painter: QPainter, area: QRectF, text: str) -> None:
        painter.setPen(QColor(theme.colors.text))
        painter.setFont(scaled_font(self.font(), 1.0))
        box = QRectF(area.left(), area.bottom() + 4, area.width(), LINE - 4)
        shown = painter.fontMetrics().elidedText(
            text, Qt.TextElideMode.ElideRight, int(area.width())
        )
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, shown)
