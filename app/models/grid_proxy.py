"""Folds a list into the columns of a table, so that a QTableView can show 50,000 pictures."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import (
    QAbstractItemModel,
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionRange,
    QModelIndex,
    QObject,
    Qt,
)

from app.models.roles import KIND_ROLE, CellKind, Index, Look, look_at


class GridProxyModel(QAbstractTableModel):
    """Item n of the list is in row n // columns and column n % columns.

    A table with fixed sections appends in under a millisecond where an icon list lays out every
    row again (docs/adr/0004). Trailing cells answer CellKind.NOTHING and cannot be selected.
    """

    def __init__(
        self, source: QAbstractItemModel, columns: int = 4, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._source = source
        self._columns = columns
        self._count = source.rowCount()
        self._rows_before = 0
        source.modelAboutToBeReset.connect(self.beginResetModel)
        source.modelReset.connect(self._on_reset)
        source.rowsAboutToBeInserted.connect(self._before_insert)
        source.rowsInserted.connect(self._on_inserted)
        source.rowsRemoved.connect(self._on_removed)
        source.dataChanged.connect(self._on_data_changed)

    @property
    def columns(self) -> int:
        """Pictures per row."""
        return self._columns

    @property
    def total(self) -> int:
        """Pictures in all."""
        return self._count

    def set_columns(self, columns: int) -> None:
        """Fold anew: one reset, the list is not touched."""
        if columns == self._columns or columns < 1:
            return
        self.beginResetModel()
        self._columns = columns
        self.endResetModel()

    def place(self, index: Index) -> int:
        """The row in the list of a cell, -1 for trailing cells."""
        place = index.row() * self._columns + index.column()
        return place if index.isValid() and place < self._count else -1

    def cell(self, place: int) -> QModelIndex:
        """The cell of a row in the list."""
        return self.index(place // self._columns, place % self._columns)

    def run(self, first: int, last: int) -> QItemSelection:
        """The cells from one place to another as at most three rectangles."""
        first, last = sorted((first, last))
        top, bottom = first // self._columns, last // self._columns
        left, right = first % self._columns, last % self._columns
        end = self._columns - 1
        if top == bottom:
            pieces = [(top, left, top, right)]
        else:
            pieces = [(top, left, top, end), (bottom, 0, bottom, right)]
            if bottom - top > 1:
                pieces.append((top + 1, 0, bottom - 1, end))
        found = QItemSelection()
        for row, column, last_row, last_column in pieces:
            found.append(
                QItemSelectionRange(self.index(row, column), self.index(last_row, last_column))
            )
        return found

    def rowCount(self, parent: Index | None = None) -> int:
        """Rows after folding."""
        if parent is not None and parent.isValid():
            return 0
        return -(-self._count // self._columns)

    def columnCount(self, parent: Index | None = None) -> int:
        """Pictures per row."""
        return 0 if parent is not None and parent.isValid() else self._columns

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What the list answers."""
        place = self.place(index)
        if place < 0:
            return CellKind.NOTHING if role == KIND_ROLE and index.isValid() else None
        return self._source.index(place, 0).data(role)

    def look(self, index: Index) -> Look | None:
        """What the list wants painted."""
        place = self.place(index)
        return None if place < 0 else look_at(self._source.index(place, 0))

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Trailing cells can be neither focused nor selected."""
        return super().flags(index) if self.place(index) >= 0 else Qt.ItemFlag.NoItemFlags

    def _on_reset(self) -> None:
        self._count = self._source.rowCount()
        self.endResetModel()

    def _before_insert(self, parent: QModelIndex, first: int, last: int) -> None:
        if first != self._count:
            raise ValueError("the list may only grow at its end")
        old_rows, count = self.rowCount(), last + 1
        new_rows = -(-count // self._columns)
        self._rows_before = old_rows
        if new_rows > old_rows:
            self.beginInsertRows(QModelIndex(), old_rows, new_rows - 1)

    def _on_inserted(self, parent: QModelIndex, first: int, last: int) -> None:
        self._count = last + 1
        if self.rowCount() > self._rows_before:
            self.endInsertRows()
        if first % self._columns:  # the last row had trailing cells
            row = first // self._columns
            self.dataChanged.emit(self.index(row, 0), self.index(row, self._columns - 1))

    def _on_removed(self, parent: QModelIndex, first: int, last: int) -> None:
        """What came after moves up: the last row may go, the others show something else."""
        old_rows = self.rowCount()
        count = self._count - (last - first + 1)
        new_rows = -(-count // self._columns)
        if new_rows < old_rows:
            self.beginRemoveRows(QModelIndex(), new_rows, old_rows - 1)
            self._count = count
            self.endRemoveRows()
        self._count = count
        if new_rows > first // self._columns:
            self.dataChanged.emit(
                self.index(first // self._columns, 0),
                self.index(new_rows - 1, self._columns - 1),
            )

    def _on_data_changed(self, top: QModelIndex, bottom: QModelIndex, roles: list[int]) -> None:
        if self._count:
            self.dataChanged.emit(
                self.index(top.row() // self._columns, 0),
                self.index(bottom.row() // self._columns, self._columns - 1),
                roles,
            )
