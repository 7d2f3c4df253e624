"""The regions of the shown image as a list."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractListModel, QObject, QRectF, QSize, Qt
from PySide6.QtGui import QIcon, QPainter, QPixmap

from app.models.roles import Index
from app.regions.document import KIND_NAMES, Item, RegionDocument
from app.widgets.region_overlay import CASING, region_color
from dafusion_core.domain.regions import RegionKind
from dafusion_core.language import _

ROW_HEIGHT = 26


@cache
def swatch(number: int) -> QIcon:
    """A square in the colour of a region, the same whether its row is chosen or not."""
    pixmap = QPixmap(14, 14)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(region_color(number))
    painter.setPen(CASING)
    painter.drawRoundedRect(QRectF(0.5, 0.5, 13, 13), 3, 3)
    painter.end()
    icon = QIcon()
    for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected, QIcon.Mode.Active):
        icon.addPixmap(pixmap, mode)
    return icon


class RegionListModel(QAbstractListModel):
    """One row per region, oldest first, in the colours of the picture."""

    def __init__(self, document: RegionDocument, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self._items: list[Item] = list(document.items)
        document.changed.connect(self._follow)

    def rowCount(self, parent: Index | None = None) -> int:
        """Number of regions."""
        return 0 if parent is not None and parent.isValid() else len(self._items)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Number, kind, class and size of a region; its colour."""
        if not index.isValid():
            return None
        item = self._items[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{index.row() + 1}  {self._name(item)}"
        if role == Qt.ItemDataRole.DecorationRole:
            return swatch(index.row())
        if role == Qt.ItemDataRole.SizeHintRole:
            return QSize(0, ROW_HEIGHT)
        if role == Qt.ItemDataRole.ToolTipRole:
            return item.problem or self._size(item)
        return None

    def _name(self, item: Item) -> str:
        if item.problem:
            return _("{kind}: cannot be shown").format(kind=KIND_NAMES[item.kind])
        return " · ".join(filter(None, (KIND_NAMES[item.kind], item.label or "")))

    def _size(self, item: Item) -> str:
        name = self._document.class_of(item) or _("no class yet")
        if item.kind is RegionKind.BOX:
            x, y, w, h = item.box()
            return _("{name}: {w:g} × {h:g} pixels at {x:g}, {y:g}").format(
                name=name, w=w, h=h, x=x, y=y
            )
        if item.kind is RegionKind.POLYGON:
            return _("{name}: {points} points").format(
                name=name, points=sum(len(points) // 2 for points in item.polygons())
            )
        number = int(np.count_nonzero(item.mask)) if item.mask is not None else 0
        return _("{name}: {number:,} pixels").format(name=name, number=number)

    def row_of(self, item: Item | None) -> int:
        """The row of a region, −1 if it is not here."""
        return next((row for row, other in enumerate(self._items) if other is item), -1)

    def item(self, row: int) -> Item | None:
        """The region of a row."""
        return self._items[row] if 0 <= row < len(self._items) else None

    def _follow(self) -> None:
        now = self._document.items
        is_same = len(now) == len(self._items) and all(
            one is other for one, other in zip(now, self._items, strict=True)
        )
        if not is_same:
            self.beginResetModel()
            self._items = list(now)
            self.endResetModel()
        elif now:
            self.dataChanged.emit(self.index(0), self.index(len(now) - 1))
