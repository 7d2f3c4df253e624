"""Pictures in a row, each with a caption or a field below; rows break where they are too wide."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
)
from PySide6.QtWidgets import QLayout, QLayoutItem, QSizePolicy, QVBoxLayout, QWidget

from app.theme import scaled_font, theme
from app.thumbnails import ThumbnailLoader

SIDE = 112


class FlowLayout(QLayout):
    """Widgets from left to right, on as many lines as they need."""

    def __init__(self, spacing: int = 10) -> None:
        super().__init__()
        self._items: list[QLayoutItem] = []
        self.setSpacing(spacing)
        self.setContentsMargins(0, 0, 0, 0)

    def addItem(self, item: QLayoutItem) -> None:
        """At the end."""
        self._items.append(item)

    def insert_widget(self, place: int, widget: QWidget) -> None:
        """Before the widget that is at `place` now."""
        self.addWidget(widget)
        self._items.insert(place, self._items.pop())
        self.invalidate()

    def count(self) -> int:
        """How many there are."""
        return len(self._items)

    def itemAt(self, place: int) -> QLayoutItem | None:
        """The item at a place."""
        return self._items[place] if 0 <= place < len(self._items) else None

    def takeAt(self, place: int) -> QLayoutItem | None:
        """Remove the item at a place."""
        return self._items.pop(place) if 0 <= place < len(self._items) else None

    def hasHeightForWidth(self) -> bool:
        """Narrower is taller."""
        return True

    def heightForWidth(self, width: int) -> int:
        """How tall at a width."""
        return self._arrange(QRect(0, 0, width, 0), is_real=False)

    def setGeometry(self, rect: QRect) -> None:
        """Place the widgets."""
        super().setGeometry(rect)
        self._arrange(rect, is_real=True)

    def sizeHint(self) -> QSize:
        """All on one line."""
        sizes = [item.sizeHint() for item in self._items]
        width = sum(size.width() for size in sizes) + self.spacing() * max(0, len(sizes) - 1)
        return QSize(width, max((size.height() for size in sizes), default=0))

    def minimumSize(self) -> QSize:
        """The largest of them."""
        size = QSize()
        for item in self._items:
            size = size.expandedTo(item.minimumSize())
        return size

    def _arrange(self, rect: QRect, *, is_real: bool) -> int:
        x, y, line = rect.x(), rect.y(), 0
        for item in self._items:
            widget = item.widget()
            if widget is not None and widget.isHidden():
                continue
            size = item.sizeHint()
            if x > rect.x() and x + size.width() > rect.right() + 1:
                x, y, line = rect.x(), y + line + self.spacing(), 0
            if is_real:
                item.setGeometry(QRect(QPoint(x, y), size))
            x += size.width() + self.spacing()
            line = max(line, size.height())
        return y + line - rect.y()


class PictureTile(QWidget):
    """One picture, fitted into a square; where there is none yet, a few words in a dashed frame.

    Signals:
        clicked(): with the mouse, or Enter or Space while it has the focus.
    """

    clicked = Signal()

    def __init__(self, name: str, loader: ThumbnailLoader | None = None, side: int = SIDE) -> None:
        super().__init__()
        self._loader = loader
        self._path = ""
        self._pixmap = QPixmap()
        self.words = ""
        self.side = side
        self.is_clickable = False
        self.setFixedSize(side, side)
        self.setAccessibleName(name)
        theme.changed.connect(self.update)
        if loader is not None:
            loader.ready.connect(self.update)

    def make_clickable(self, tip: str) -> None:
        """From now on a button."""
        self.is_clickable = True
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip(tip)

    @property
    def has_picture(self) -> bool:
        """Whether there is something to look at."""
        return bool(self._path) or not self._pixmap.isNull()

    @property
    def path(self) -> str:
        """The file that is shown, "" if none."""
        return self._path

    def show_path(self, path: str) -> None:
        """Show a file; "" for none."""
        if path != self._path:
            self._path, self._pixmap = path, QPixmap()
            self.update()

    def show_image(self, image: QImage) -> None:
        """Show a picture that is in memory."""
        self._path, self._pixmap = "", QPixmap.fromImage(image)
        self.update()

    def show_words(self, words: str) -> None:
        """What stands in the frame while there is no picture."""
        self.words = words
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A click."""
        if self.is_clickable and self.rect().contains(event.position().toPoint()):
            self.clicked.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """A click by keyboard."""
        keys = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)
        if self.is_clickable and event.key() in keys and not event.modifiers():
            self.clicked.emit()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The picture, or the frame with words."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        pixmap, words = self._pixmap, self.words
        if self._path and self._loader is not None:
            pixmap = self._loader.get(self._path, 2 * self.side) or QPixmap()
            words = self._loader.problem(self._path)
        box = QRectF(self.rect()).adjusted(1, 1, -1, -1)
        if pixmap.isNull():
            painter.setPen(QPen(QColor(theme.colors.border), 1, Qt.PenStyle.DashLine))
            painter.setBrush(QColor(theme.colors.placeholder if self._path else "transparent"))
            painter.drawRoundedRect(box, 5, 5)
            painter.setPen(QColor(theme.colors.muted))
            painter.setFont(scaled_font(self.font(), 0.85))
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(box.adjusted(6, 6, -6, -6), int(flags), words)
        else:
            size = pixmap.size().scaled(box.size().toSize(), Qt.AspectRatioMode.KeepAspectRatio)
            corner = box.center() - QPoint(size.width() // 2, size.height() // 2)
            painter.drawPixmap(QRectF(corner, size), pixmap, QRectF(pixmap.rect()))
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(theme.colors.accent), 2))
            painter.drawRoundedRect(box, 5, 5)
        painter.end()


class Strip(QWidget):
    """Tiles with what stands below each of them, in rows that break."""

    def __init__(self, spacing: int = 10) -> None:
        super().__init__()
        self.flow = FlowLayout(spacing)
        self.setLayout(self.flow)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

    def put(self, place: int, tile: QWidget, *below: QWidget) -> QWidget:
        """Insert a tile with widgets below it; returns what holds them."""
        holder = QWidget()
        layout = QVBoxLayout(holder)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(tile)
        for widget in below:
            widget.setMaximumWidth(max(tile.width(), widget.sizeHint().width()))
            layout.addWidget(widget)
        layout.addStretch(1)
        self.flow.insert_widget(place, holder)
        return holder

    def clear(self) -> None:
        """Remove everything."""
        while (item := self.flow.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()


def cut_rows(sheet: QImage, rows: int, gap: int = 4) -> Sequence[QImage]:
    """The rows of a contact sheet as the core draws it, `gap` pixels of white around each."""
    step = (sheet.height() - gap) // max(1, rows)
    return [sheet.copy(gap, gap + n * step, sheet.width() - 2 * gap, step - gap)
            for n in range(rows)]  # fmt: skip
