"""A place to drop a folder of pictures or a project file."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QMimeData, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QFrame, QWidget

from app.theme import theme


def dropped_paths(mime: QMimeData) -> list[Path]:
    """Local folders and project files among what is dragged."""
    paths = [Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()]
    return [path for path in paths if path.is_dir() or path.suffix == ".dafusion"]


class DropZone(QFrame):
    """A dashed box that takes folders and project files.

    Signals:
        dropped(Path): one for each thing dropped.
    """

    dropped = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_over = False
        self.setAcceptDrops(True)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take only what can be used."""
        if dropped_paths(event.mimeData()):
            event.acceptProposedAction()
            self._is_over = True
            self.update()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Back to rest."""
        self._is_over = False
        self.update()

    def dropEvent(self, event: QDropEvent) -> None:
        """Tell what came."""
        self._is_over = False
        self.update()
        event.acceptProposedAction()
        for path in dropped_paths(event.mimeData()):
            self.dropped.emit(path)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The dashed box."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        c = theme.colors
        painter.setBrush(QColor(c.accent_soft if self._is_over else c.surface))
        color = QColor(c.accent if self._is_over else c.border)
        painter.setPen(QPen(color, 2, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1.5, 1.5, -1.5, -1.5), 12, 12)
        painter.end()
