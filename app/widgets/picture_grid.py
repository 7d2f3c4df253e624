"""Tables of pictures: fixed cells, pixel scrolling, and a folded one that behaves like a list."""

from __future__ import annotations

from PySide6.QtCore import (
    QAbstractItemModel,
    QEvent,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    Qt,
)
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QTableView, QWidget

from app.delegates.thumbnail import MARGIN, ThumbnailDelegate
from app.models.grid_proxy import GridProxyModel
from app.theme import theme
from app.thumbnails import ThumbnailLoader


class PictureGrid(QTableView):
    """A table whose cells are all the size of one thumbnail."""

    def __init__(self, loader: ThumbnailLoader, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("pictures")
        self.loader = loader
        self.thumbnails = ThumbnailDelegate(loader, self)
        self.setItemDelegate(self.thumbnails)
        self.setShowGrid(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setCornerButtonEnabled(False)
        self.verticalHeader().hide()
        self.horizontalHeader().hide()
        for header in (self.verticalHeader(), self.horizontalHeader()):
            header.setMinimumSectionSize(16)
            header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        # Scrolling then moves what is painted and paints the rest: Qt does so for widgets that
        # paint every pixel, see `paintEvent`.
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        loader.ready.connect(self._update_waiting)
        theme.changed.connect(self.viewport().update)
        self.verticalScrollBar().valueChanged.connect(loader.forget_waiting)
        self.set_picture_size(128)

    def _update_waiting(self) -> None:
        """Pictures have been loaded: paint the cells again that had none."""
        for row, column in self.thumbnails.take_waiting():
            self.update(self.model().index(row, column))

    def paintEvent(self, event: QPaintEvent) -> None:
        """The ground, then the cells."""
        painter = QPainter(self.viewport())
        painter.setClipRegion(event.region())
        painter.fillRect(event.rect(), QColor(theme.colors.window))
        painter.end()
        super().paintEvent(event)

    def set_picture_size(self, size: int) -> None:
        """The longest side of a picture, in pixels."""
        self.thumbnails.size = size
        cell = self.thumbnails.cell_size()
        # Fixed sections keep a table of any length from measuring its rows.
        self.verticalHeader().setDefaultSectionSize(cell.height())
        self.horizontalHeader().setDefaultSectionSize(cell.width())
        self.verticalScrollBar().setSingleStep(max(16, cell.height() // 4))
        self.viewport().update()


class FoldedGrid(PictureGrid):
    """Shows a list folded into as many columns as fit; selects and moves as a list does."""

    def __init__(
        self, source: QAbstractItemModel, loader: ThumbnailLoader, parent: QWidget | None = None
    ) -> None:
        super().__init__(loader, parent)
        #: Pictures are at least this large; what is left of the width is shared among them.
        self.wanted_size = 112
        # A scroll bar that comes and goes would change the width, and with it the folding.
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.folded = GridProxyModel(source, 4, self)
        self.setModel(self.folded)
        self._anchor = -1

    def resizeEvent(self, event: QResizeEvent) -> None:
        """As many columns as fit."""
        super().resizeEvent(event)
        self._fold()

    def _fold(self) -> None:
        width = self.viewport().width()
        columns = max(1, width // (self.wanted_size + 2 * MARGIN))
        here = self.folded.place(self.currentIndex())
        top = self.folded.place(self.indexAt(self.viewport().rect().topLeft()))
        size = max(self.wanted_size // 2, width // columns - 2 * MARGIN)
        if size != self.thumbnails.size:
            self.set_picture_size(size)
        if columns == self.folded.columns:
            return
        self.folded.set_columns(columns)
        if top >= 0:
            self.scrollTo(self.folded.cell(top), QAbstractItemView.ScrollHint.PositionAtTop)
        if here >= 0:
            self.setCurrentIndex(self.folded.cell(here))

    def chosen_places(self) -> list[int]:
        """What a key acts on: the selection if the focused picture is in it, else that one."""
        selection, current = self.selectionModel().selection(), self.currentIndex()
        if current.isValid() and not selection.contains(current):
            place = self.folded.place(current)
            return [place] if place >= 0 else []
        columns, total = self.folded.columns, self.folded.total
        found: list[int] = []
        for area in selection.toList():
            for row in range(area.top(), area.bottom() + 1):
                start = row * columns
                found.extend(range(start + area.left(), min(total, start + area.right() + 1)))
        return found

    def go_to_place(self, place: int) -> None:
        """Focus and select one picture."""
        if 0 <= place < self.folded.total:
            self.selectionModel().setCurrentIndex(
                self.folded.cell(place), QItemSelectionModel.SelectionFlag.ClearAndSelect
            )
            self.scrollTo(self.folded.cell(place))

    def moveCursor(
        self, action: QAbstractItemView.CursorAction, modifiers: Qt.KeyboardModifier
    ) -> QModelIndex:
        """Left and right go on in the neighbouring row, as in a text."""
        place = self.folded.place(self.currentIndex())
        step = {
            QAbstractItemView.CursorAction.MoveLeft: -1,
            QAbstractItemView.CursorAction.MoveRight: 1,
        }.get(action)
        if step is None or place < 0:
            found = super().moveCursor(action, modifiers)
            return found if self.folded.place(found) >= 0 else self.currentIndex()
        target = place + step
        is_inside = target >= 0 and self.folded.place(self.folded.cell(target)) >= 0
        return self.folded.cell(target) if is_inside else self.currentIndex()

    def selectionCommand(
        self, index: QModelIndex | QPersistentModelIndex, event: QEvent | None = None
    ) -> QItemSelectionModel.SelectionFlag:
        """Remember where a selection starts; see `setSelection`."""
        command = super().selectionCommand(index, event)
        if not command & QItemSelectionModel.SelectionFlag.Current:
            self._anchor = self.folded.place(index)
        return command

    def setSelection(self, rect: QRect, command: QItemSelectionModel.SelectionFlag) -> None:
        """With Shift, everything from the start to here in reading order, not a rectangle."""
        end = self.folded.place(self.indexAt(rect.bottomRight()))
        start = self.folded.place(self.indexAt(rect.topLeft()))
        is_run = bool(command & QItemSelectionModel.SelectionFlag.Current)
        if not is_run or start < 0 or end < 0 or self._anchor < 0:
            super().setSelection(rect, command)
            return
        other = end if start == self._anchor else start
        here = self.folded.place(self.currentIndex())
        run = self.folded.run(self._anchor, here if here >= 0 else other)
        self.selectionModel().select(run, command)
