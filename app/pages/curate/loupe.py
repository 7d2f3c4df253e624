"""One synthetic image large, the photo it was made from beside it."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from app.delegates.thumbnail import fitted, paint_badge, paint_outline
from app.models.curation_grid import CurationGridModel
from app.text import CURATION_NAMES, t0_words
from app.theme import scaled_font, theme
from app.thumbnails import FULL_SIZE, ThumbnailLoader
from dafusion_core.domain.records import Curation

GAP = 24
LINE = 26


class Loupe(QWidget):
    """Follows the current picture of the grid; Esc or Enter goes back.

    Signals:
        closed(): back to the grid.
        moved(int): the next (1) or previous (−1) picture is wanted.
    """

    closed = Signal()
    moved = Signal(int)

    def __init__(
        self, model: CurationGridModel, loader: ThumbnailLoader, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._model = model
        self._loader = loader
        self._index = QPersistentModelIndex()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        loader.ready.connect(self.update)
        theme.changed.connect(self.update)
        model.dataChanged.connect(self.update)

    def show_picture(self, index: QModelIndex) -> None:
        """Show the picture of a cell, or a photo alone."""
        self._index = QPersistentModelIndex(index)
        self.setAccessibleName(str(index.data(Qt.ItemDataRole.AccessibleTextRole) or ""))
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move, Esc and Enter close."""
        key = event.key()
        if key in (Qt.Key.Key_Escape, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.closed.emit()
        elif key in (Qt.Key.Key_Right, Qt.Key.Key_Down):
            self.moved.emit(1)
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Up):
            self.moved.emit(-1)
        else:
            super().keyPressEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Back to the grid."""
        self.closed.emit()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Photo at the left, synthetic image at the right, captions below."""
        painter = QPainter(self)
        painter.setRenderHints(
            QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform
        )
        if self._index.isValid():
            self._paint_pair(painter)
        painter.end()

    def _paint_pair(self, painter: QPainter) -> None:
        whole = QRectF(self.rect()).adjusted(GAP, GAP / 2, -GAP, -GAP / 2)
        frame = QRectF(whole.left(), whole.top(), (whole.width() - GAP) / 2, whole.height() - LINE)
        cell = self._model.cell(self._index)
        source = self._model.source(self._index)
        if cell is None:
            frame.setWidth(whole.width())
        area = self._paint(painter, frame, self._model.source_path(self._index))
        self._caption(painter, area, f"Photo: {source.label}" if source else "Photo")
        if cell is None or cell.synthetic_id is None:
            return
        frame = frame.translated(frame.width() + GAP, 0)
        area = self._paint(painter, frame, self._model.picture_path(self._index))
        if cell.curation in (Curation.KEPT, Curation.REJECTED):
            paint_badge(painter, area, is_kept=cell.curation is Curation.KEPT)
        state = CURATION_NAMES[cell.curation or Curation.UNDECIDED]
        self._caption(painter, area, f"t0 {cell.t0:g}, {t0_words(cell.t0)}: {state}")

    def _paint(self, painter: QPainter, frame: QRectF, path: str) -> QRectF:
        # The thumbnail stands in until the whole picture has been read.
        pixmap = self._loader.get(path, FULL_SIZE) or self._loader.get(path, 128) if path else None
        if pixmap is None:
            problem = self._loader.problem(path) if path else "The picture is missing."
            paint_outline(painter, frame, problem)
            return frame
        area = fitted(pixmap, frame)
        painter.drawPixmap(area, pixmap, QRectF(pixmap.rect()))
        return area

    def _caption(self, painter: QPainter, area: QRectF, text: str) -> None:
        painter.setPen(QColor(theme.colors.text))
        painter.setFont(scaled_font(self.font(), 1.0))
        box = QRectF(area.left(), area.bottom() + 4, area.width(), LINE - 4)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
