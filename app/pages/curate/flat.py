"""The pictures a filter wants, as a plain list without photos and gaps."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QWidget

from app.models.curation_grid import CurationGridModel
from app.models.curation_layout import Cell
from app.models.synthetic_list import SyntheticListModel
from app.pages.curate.grid import toggle_current
from app.thumbnails import ThumbnailLoader
from app.widgets.picture_grid import FoldedGrid
from dafusion_core.domain.records import Curation
from dafusion_core.language import _


class FlatGrid(FoldedGrid):
    """Follows the filter of the grid's model; what no longer fits leaves, its neighbour stays.

    Signals:
        opened(QModelIndex): Enter or a double click.
    """

    opened = Signal(object)

    def __init__(
        self, model: CurationGridModel, loader: ThumbnailLoader, parent: QWidget | None = None
    ) -> None:
        self.grid_model = model
        self.list = SyntheticListModel(model.project, model)
        super().__init__(self.list, loader, parent)
        self.thumbnails.has_captions = True
        self.wanted_size = 128
        self.doubleClicked.connect(self._open)
        self.setAccessibleName(_("Synthetic images as a list"))

    def show_matching(self) -> None:
        """Fill the list anew from the filter; the focused picture stays in focus if it fits."""
        focused = self.current_id()
        self.list.replace(cell.synthetic_id for cell in self.grid_model.matching())  # type: ignore[misc]
        if not self.go_to_id(focused):
            self.focus_first()

    def take(self, cells: list[Cell]) -> None:
        """These have arrived or were decided: they come, change or leave."""
        wanted = self.grid_model.filter
        ids = [cell.synthetic_id for cell in cells if cell.synthetic_id is not None]
        self.list.put([image for i in ids if (image := self.grid_model.pictures.by_id(i))])
        leaving = [
            cell.synthetic_id
            for cell in cells
            if cell.synthetic_id is not None
            and not wanted.accepts(cell)
            and self.list.place(cell.synthetic_id) >= 0
        ]
        if leaving:
            # The focus stays on its picture, or goes to what takes its place.
            place, focused = self.folded.place(self.currentIndex()), self.current_id()
            self.list.remove(leaving)
            if not self.go_to_id(focused):
                self.go_to_place(min(place, self.list.rowCount() - 1))
        coming = [
            cell.synthetic_id
            for cell in cells
            if cell.synthetic_id is not None
            and wanted.accepts(cell)
            and self.list.place(cell.synthetic_id) < 0
        ]
        self.list.append(coming)

    # Choosing -----------------------------------------------------------------------------

    def chosen_ids(self) -> list[int]:
        """What a key acts on: the selection if the focused picture is in it, else that one."""
        ids = self.list.ids
        return [ids[place] for place in self.chosen_places()]

    def current_id(self) -> int | None:
        """The focused picture."""
        place = self.folded.place(self.currentIndex())
        return self.list.ids[place] if 0 <= place < self.list.rowCount() else None

    def current_source(self) -> int | None:
        """The photo of the focused picture."""
        cell = self.grid_model.cell_of(self.current_id())
        return cell.source_id if cell else None

    def go_to_id(self, synthetic_id: int | None) -> bool:
        """Focus a picture; False where it is not shown."""
        place = -1 if synthetic_id is None else self.list.place(synthetic_id)
        if place >= 0:
            self.go_to_place(place)
        return place >= 0

    def advance(self, step: int = 1, only_undecided: bool = False) -> bool:
        """Focus the neighbour; stay where there is none."""
        place = self.folded.place(self.currentIndex()) + step
        while 0 <= place < self.list.rowCount():
            cell = self.grid_model.cell_of(self.list.ids[place])
            if not only_undecided or (cell and cell.curation is Curation.UNDECIDED):
                self.go_to_place(place)
                return True
            place += step
        return False

    def focus_first(self) -> None:
        """Focus the first picture if nothing is focused, so that keys work at once."""
        if self.folded.place(self.currentIndex()) < 0:
            self.go_to_place(0)

    def _open(self, index: object) -> None:
        if self.current_id() is not None:
            self.opened.emit(index)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens; letters are shortcuts, never a search by typing."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers():
            self._open(self.currentIndex())
        elif event.key() == Qt.Key.Key_Space:
            toggle_current(self)
        elif event.text().isprintable() and event.text():
            event.ignore()
        else:
            super().keyPressEvent(event)

    def keyboardSearch(self, search: str) -> None:
        """There is no text to search in."""
