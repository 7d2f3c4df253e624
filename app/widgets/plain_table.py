"""A small read-only table of words and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from dafusion_core.language import _

LEAST = 64  # pixels of a column that gives way


class PlainTable(QTableWidget):
    """Columns named once, rows filled as text; numbers stand at the right."""

    def __init__(self, columns: Sequence[str], numbers: Iterable[int] = ()) -> None:
        super().__init__(0, len(columns))
        self._numbers: set[int] = set()
        self._names: list[str] = []
        #: Whether it decides on the widths of its columns; whose headers are set otherwise, not.
        self.fits_width = True
        self.setObjectName("plain")
        self.setAccessibleName(_("Table: {columns}").format(columns=", ".join(columns)))
        self.verticalHeader().hide()
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.horizontalHeader().setHighlightSections(False)
        self.horizontalHeader().setTextElideMode(Qt.TextElideMode.ElideRight)
        self.set_columns(columns, numbers)

    def set_columns(self, columns: Sequence[str], numbers: Iterable[int] = ()) -> None:
        """Name the columns; those in `numbers` stand at the right. The first one stretches."""
        self._numbers = set(numbers)
        self.setColumnCount(len(columns))
        self.setHorizontalHeaderLabels(list(columns))
        for place, name in enumerate(columns):
            item = self.horizontalHeaderItem(place)
            if item is not None:
                item.setTextAlignment(self._side(place))
                if item.toolTip() in ("", *self._names):  # not one with more to say
                    item.setToolTip(name)
        self._names = list(columns)
        self._spread()
        self._fit_width()

    def fill(self, rows: Sequence[Sequence[str]], tips: Sequence[str] = ()) -> None:
        """Replace all rows."""
        self.setRowCount(len(rows))
        for number, cells in enumerate(rows):
            for place, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setTextAlignment(self._side(place))
                if number < len(tips) and tips[number]:
                    item.setToolTip(tips[number])
                self.setItem(number, place, item)
        self._fit_width()

    def _spread(self) -> None:
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        if self.columnCount():
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)

    def _fit_width(self) -> None:
        """Columns as wide as their contents; where that is too much, the widest give way, but
        numbers are always whole."""
        header = self.horizontalHeader()
        if not self.columnCount() or not self.fits_width:
            return
        self._spread()
        places = range(1, self.columnCount())
        wanted = {i: max(header.sectionSizeHint(i), self.sizeHintForColumn(i)) for i in places}
        least = {
            i: min(wanted[i], max(LEAST, self.sizeHintForColumn(i) if i in self._numbers else 0))
            for i in places
        }
        room = self.viewport().width() - max(LEAST, header.minimumSectionSize())
        if sum(wanted.values()) <= room:
            return
        given = dict(wanted)
        while sum(given.values()) > room:
            wide = [i for i in places if given[i] > least[i]]
            if not wide:
                break
            widest = max(wide, key=given.__getitem__)
            given[widest] -= 1
        for place, width in given.items():
            header.setSectionResizeMode(place, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(place, width)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the columns anew."""
        super().resizeEvent(event)
        self._fit_width()

    def _side(self, place: int) -> Qt.AlignmentFlag:
        is_number = place in self._numbers
        side = Qt.AlignmentFlag.AlignRight if is_number else Qt.AlignmentFlag.AlignLeft
        return side | Qt.AlignmentFlag.AlignVCenter

    def fit_height(self, most: int = 12) -> None:
        """Be exactly as tall as the rows, up to `most` of them."""
        rows = min(most, self.rowCount())
        height = self.horizontalHeader().sizeHint().height() + 4
        height += sum(self.rowHeight(number) for number in range(rows))
        self.setFixedHeight(height)
