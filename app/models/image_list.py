"""The real images of a project, in order of class and name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, Qt

from app.models.roles import (
    CAPTION_ROLE,
    CURATION_ROLE,
    ID_ROLE,
    KIND_ROLE,
    PATH_ROLE,
    RECORD_ROLE,
    UNSURE_ROLE,
    CellKind,
    Index,
    Look,
)
from app.models.rows import PathTexts, WindowedRows
from app.text import PART_NAMES
from dafusion_core.api.project import Project
from dafusion_core.domain.records import Curation, ImageRecord
from dafusion_core.language import _


class ImageListModel(QAbstractListModel):
    """Ids of real images; their rows are read when they are painted."""

    def __init__(self, project: Project, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path_of = PathTexts(project.image_path)
        self._rows = WindowedRows[ImageRecord](project.images_by_id)

    def show_images(self, ids: Iterable[int]) -> None:
        """Show these images. New ones at the end are appended, so a view keeps its place."""
        wanted = list(ids)
        old = len(self._rows)
        if wanted[:old] == list(self._rows.ids):
            self._rows.forget(self._rows.ids)  # parts may have changed
            if len(wanted) > old:
                self.beginInsertRows(QModelIndex(), old, len(wanted) - 1)
                self._rows.append(wanted[old:])
                self.endInsertRows()
            if old:
                self.dataChanged.emit(self.index(0), self.index(old - 1))
            return
        self.beginResetModel()
        self._rows.replace(wanted)
        self.endResetModel()

    @property
    def ids(self) -> Sequence[int]:
        """All ids in order."""
        return self._rows.ids

    def place(self, image_id: int) -> int:
        """The row of an image, −1 if it is not here."""
        return self._rows.place(image_id)

    def record(self, row: int) -> ImageRecord | None:
        """The image at a row."""
        return self._rows.record(row)

    def rowCount(self, parent: Index | None = None) -> int:
        """Number of images."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a view asks of an image."""
        if not index.isValid():
            return None
        if role == ID_ROLE:
            return self._rows.ids[index.row()]
        if role == KIND_ROLE:
            return CellKind.PHOTO
        if role not in _ROLES_OF_RECORD:
            return None
        image = self._rows.record(index.row())
        return None if image is None else self._of_record(image, role)

    def look(self, index: Index) -> Look | None:
        """What is painted of an image."""
        image = self._rows.record(index.row())
        if image is None:
            return Look(CellKind.PHOTO)
        return Look(
            CellKind.PHOTO,
            self._path_of(image),
            Path(image.original_path).name,
            Curation.REJECTED if image.is_rejected else None,
            0,
            image.is_unsure,
        )

    def _of_record(self, image: ImageRecord, role: int) -> Any:
        name = Path(image.original_path).name
        if role == PATH_ROLE:
            return self._path_of(image)
        if role == CAPTION_ROLE:
            return name
        if role == RECORD_ROLE:
            return image
        if role == UNSURE_ROLE:
            return image.is_unsure
        if role == CURATION_ROLE:
            return Curation.REJECTED if image.is_rejected else None
        label = image.label or _("no class")
        doubt = _(", not sure") if image.is_unsure else ""
        if role == Qt.ItemDataRole.ToolTipRole:
            part = PART_NAMES[image.part] if image.part else _("no split yet")
            lines = [
                name,
                f"{label}{doubt} · {part}",
                _("{width} × {height} pixels").format(width=image.width, height=image.height),
                _("Group: {group}").format(group=image.group) if image.group else "",
                _("Left out by hand") if image.is_rejected else "",
                image.note,
            ]
            return "\n".join(line for line in lines if line)
        return f"{name}, {label}{doubt}"  # for screen readers


_ROLES_OF_RECORD = {
    PATH_ROLE,
    CAPTION_ROLE,
    RECORD_ROLE,
    UNSURE_ROLE,
    CURATION_ROLE,
    Qt.ItemDataRole.ToolTipRole,
    Qt.ItemDataRole.AccessibleTextRole,
}
