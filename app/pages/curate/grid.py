"""The grid of the curation page: keys, movement and deciding."""

from __future__ import annotations

from PySide6.QtCore import QItemSelectionModel, QModelIndex, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QWidget

from app.models.curation_grid import CurationGridModel
from app.models.curation_layout import FIRST_T0_COLUMN
from app.thumbnails import ThumbnailLoader
from app.widgets.picture_grid import PictureGrid
from app.widgets.t0_header import T0Header
from dafusion_core.language import _

MIN_SIZE, MAX_SIZE = 64, 220


class CurationGrid(PictureGrid):
    """Photos at the left, their synthetic images by t0.

    Signals:
        opened(QModelIndex): Enter or a double click.
    """

    opened = Signal(object)

    def __init__(
        self, model: CurationGridModel, loader: ThumbnailLoader, parent: QWidget | None = None
    ) -> None:
        super().__init__(loader, parent)
        self.grid_model = model
        self.thumbnails.has_captions = True
        self.header = T0Header(self)
        self.setHorizontalHeader(self.header)
        self.setModel(model)
        self.header.setSectionResizeMode(T0Header.ResizeMode.Fixed)
        self.header.show()
        self.header.sectionClicked.connect(self._choose_column)
        model.modelReset.connect(self._on_reset)
        self.doubleClicked.connect(self._open)
        self.setAccessibleName(_("Synthetic images by photo and t0"))
        self.header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)

    def _on_reset(self) -> None:
        self.show_columns()
        self.header.refresh_counts()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Pictures are as large as the columns allow."""
        super().resizeEvent(event)
        self.fit_columns()

    def show_columns(self) -> None:
        """Hide the t0 columns that the filter leaves out."""
        wanted = self.grid_model.filter
        for place, t0 in enumerate(self.grid_model.t0_set, FIRST_T0_COLUMN):
            self.setColumnHidden(place, not wanted.accepts_t0(t0))
        self.fit_columns()

    def fit_columns(self) -> None:
        """Use the width: all columns visible, within sensible sizes."""
        model = self.grid_model
        columns = sum(not self.isColumnHidden(n) for n in range(model.columnCount()))
        if not columns:
            return
        room = self.viewport().width() // columns
        extra = self.thumbnails.cell_size().width() - self.thumbnails.size
        size = min(MAX_SIZE, max(MIN_SIZE, room - extra))
        if size != self.thumbnails.size:
            top = self.rowAt(0)
            self.set_picture_size(size)
            if top > 0:
                self.scrollTo(model.index(top, 0), QAbstractItemView.ScrollHint.PositionAtTop)

    # Choosing -----------------------------------------------------------------------------

    def chosen_ids(self) -> list[int]:
        """What a key acts on: the selection if the focused picture is in it, else that one."""
        current = self.currentIndex()
        selection = self.selectionModel().selection()
        if selection.contains(current) or not current.isValid():
            return self.grid_model.ids_in(selection)
        cell = self.grid_model.cell(current)
        return [cell.synthetic_id] if cell and cell.synthetic_id is not None else []

    def current_id(self) -> int | None:
        """The focused picture."""
        cell = self.grid_model.cell(self.currentIndex())
        return cell.synthetic_id if cell else None

    def current_source(self) -> int | None:
        """The photo of the focused row."""
        source = self.grid_model.source(self.currentIndex())
        return source.id if source else None

    def go_to_id(self, synthetic_id: int | None) -> bool:
        """Focus a picture; False where it is not shown."""
        found = QModelIndex() if synthetic_id is None else self.grid_model.index_of(synthetic_id)
        self.go_to(found)
        return found.isValid()

    def go_to(self, index: QModelIndex) -> None:
        """Focus and select one picture."""
        if index.isValid():
            self.selectionModel().setCurrentIndex(
                index, QItemSelectionModel.SelectionFlag.ClearAndSelect
            )
            self.scrollTo(index)

    def advance(self, step: int = 1, only_undecided: bool = False) -> bool:
        """Focus the neighbour; stay where there is none."""
        found = self.grid_model.neighbour(self.currentIndex(), step, only_undecided)
        self.go_to(found)
        return found.isValid()

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Qt would put the focus on the first photo, where keys have nothing to decide on."""
        had_current = self.currentIndex().isValid()
        super().focusInEvent(event)
        if not had_current:
            self.selectionModel().clearCurrentIndex()
            self.focus_first()

    def focus_first(self) -> None:
        """Focus the first picture if nothing is focused, so that keys work at once."""
        if not self.currentIndex().isValid():
            self.go_to(self.grid_model.neighbour(QModelIndex(), 1))

    def _choose_column(self, section: int) -> None:
        if section >= FIRST_T0_COLUMN:
            self.selectColumn(section)

    def _open(self, index: QModelIndex) -> None:
        if index.isValid():
            self.opened.emit(index)

    # Keys ---------------------------------------------------------------------------------

    def moveCursor(
        self, action: QAbstractItemView.CursorAction, modifiers: Qt.KeyboardModifier
    ) -> QModelIndex:
        """Left and right go on in the neighbouring row; up and down keep the t0 column."""
        moves = QAbstractItemView.CursorAction
        step = {moves.MoveLeft: -1, moves.MoveRight: 1}.get(action)
        if step is not None:
            found = self.grid_model.neighbour(self.currentIndex(), step)
            return found if found.isValid() else self.currentIndex()
        if action in (moves.MoveHome, moves.MoveEnd):
            last = self.grid_model.index(
                self.grid_model.rowCount() - 1, len(self.grid_model.t0_set)
            )
            if action == moves.MoveHome:
                return self.grid_model.neighbour(QModelIndex(), 1)
            cell = self.grid_model.cell(last)
            is_there = cell is not None and cell.synthetic_id is not None
            return last if is_there else self.grid_model.neighbour(last, -1)
        return super().moveCursor(action, modifiers)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens the loupe; letters are shortcuts, never a search by typing."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers():
            self._open(self.currentIndex())
            return
        if event.key() == Qt.Key.Key_Space:
            toggle_current(self)
            return
        if event.text().isprintable() and event.text():
            event.ignore()
            return
        super().keyPressEvent(event)

    def keyboardSearch(self, search: str) -> None:
        """There is no text to search in."""


def toggle_current(view: QAbstractItemView) -> None:
    """Take the focused picture into the selection, or out of it."""
    if view.currentIndex().isValid():
        view.selectionModel().select(view.currentIndex(), QItemSelectionModel.SelectionFlag.Toggle)
