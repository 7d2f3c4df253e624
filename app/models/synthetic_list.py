"""The synthetic images of one generation, in the order in which they were found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, Qt

from app.models.roles import (
    CAPTION_ROLE,
    CURATION_ROLE,
    ID_ROLE,
    KIND_ROLE,
    PATH_ROLE,
    RATING_ROLE,
    RECORD_ROLE,
    CellKind,
    Index,
    Look,
)
from app.models.rows import PathTexts, WindowedRows
from app.text import CURATION_NAMES
from dafusion_core.api.project import Project
from dafusion_core.domain.records import SyntheticImage
from dafusion_core.language import _, count

MANY = 8  # from here on a reset is cheaper than single removals


class SyntheticListModel(QAbstractListModel):
    """Ids of synthetic images; rows are read in windows. Grids fold it, loupes walk through it."""

    def __init__(self, project: Project, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path_of = PathTexts(project.synthetic_path)
        self._rows = WindowedRows[SyntheticImage](project.synthetic)

    @property
    def ids(self) -> Sequence[int]:
        """All ids in order."""
        return self._rows.ids

    def replace(self, ids: Iterable[int]) -> None:
        """Show these images instead."""
        self.beginResetModel()
        self._rows.replace(ids)
        self.endResetModel()

    def append(self, ids: Sequence[int]) -> None:
        """Add images that are not here yet; callers coalesce, so this is one signal for many."""
        new = [row_id for row_id in ids if self._rows.place(row_id) < 0]
        if new:
            first = len(self._rows)
            self.beginInsertRows(QModelIndex(), first, first + len(new) - 1)
            self._rows.append(new)
            self.endInsertRows()

    def put(self, images: Sequence[SyntheticImage]) -> None:
        """These images are now like this."""
        self._rows.put(images)
        places = [place for image in images if (place := self._rows.place(image.id)) >= 0]
        if places:
            self.dataChanged.emit(self.index(min(places)), self.index(max(places)))

    def remove(self, ids: Iterable[int]) -> None:
        """These images do not belong here any more; many at once are one reset."""
        gone = [row_id for row_id in ids if self._rows.place(row_id) >= 0]
        if len(gone) > MANY:
            left = set(gone)
            self.replace([row_id for row_id in self._rows.ids if row_id not in left])
            return
        for row_id in gone:
            place = self._rows.place(row_id)
            self.beginRemoveRows(QModelIndex(), place, place)
            self._rows.remove(place)
            self.endRemoveRows()

    def place(self, image_id: int) -> int:
        """The row of an image, −1 if it is not here."""
        return self._rows.place(image_id)

    def by_id(self, image_id: int) -> SyntheticImage | None:
        """The record of an image, None if it is not in this list."""
        place = self._rows.place(image_id)
        return None if place < 0 else self._rows.record(place)

    def rowCount(self, parent: Index | None = None) -> int:
        """Number of images."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def look(self, index: Index) -> Look | None:
        """What is painted of a synthetic image."""
        image = self._rows.record(index.row())
        if image is None:
            return Look(CellKind.SYNTHETIC)
        return Look(
            CellKind.SYNTHETIC,
            self._path_of(image),
            f"t0 {image.t0:g}",
            image.curation,
            image.rating,
        )

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a view asks of a synthetic image."""
        if not index.isValid():
            return None
        if role == ID_ROLE:
            return self._rows.ids[index.row()]
        if role == KIND_ROLE:
            return CellKind.SYNTHETIC
        if role not in _ROLES_OF_RECORD:
            return None
        image = self._rows.record(index.row())
        if image is None:
            return None
        if role == PATH_ROLE:
            return self._path_of(image)
        if role == CURATION_ROLE:
            return image.curation
        if role == RATING_ROLE:
            return image.rating
        if role == Qt.ItemDataRole.ToolTipRole or role == Qt.ItemDataRole.AccessibleTextRole:
            stars = ", " + count(image.rating, "{n:,} star", "{n:,} stars") if image.rating else ""
            return _("t0 {t0:g}: {state}{stars}").format(
                t0=image.t0, state=CURATION_NAMES[image.curation], stars=stars
            )
        return image if role == RECORD_ROLE else f"t0 {image.t0:g}"


_ROLES_OF_RECORD = {
    PATH_ROLE,
    CURATION_ROLE,
    RATING_ROLE,
    CAPTION_ROLE,
    RECORD_ROLE,
    Qt.ItemDataRole.ToolTipRole,
    Qt.ItemDataRole.AccessibleTextRole,
}
