"""Roles that picture models answer beside Qt's own, and what a cell can be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, Qt

from dafusion_core.domain.records import Curation

Index = QModelIndex | QPersistentModelIndex

ID_ROLE = Qt.ItemDataRole.UserRole + 1  # int, None for a cell without a row in the project
PATH_ROLE = Qt.ItemDataRole.UserRole + 2  # str, the picture's file
KIND_ROLE = Qt.ItemDataRole.UserRole + 3  # CellKind
CURATION_ROLE = Qt.ItemDataRole.UserRole + 4  # Curation or None
CAPTION_ROLE = Qt.ItemDataRole.UserRole + 5  # str, one short line below the picture
RECORD_ROLE = Qt.ItemDataRole.UserRole + 6  # the frozen record
RATING_ROLE = Qt.ItemDataRole.UserRole + 7  # int, 0 to 5 stars
UNSURE_ROLE = Qt.ItemDataRole.UserRole + 8  # bool, somebody doubts the class


class CellKind(IntEnum):
    """What a cell of a picture grid is."""

    NOTHING = 0  # trailing cell of a folded list
    PHOTO = 1
    SYNTHETIC = 2
    WAITING = 3  # planned, not made yet
    FAILED = 4


@dataclass(slots=True)
class Look:
    """Everything that is painted of a cell. Asked for at once, because a repaint asks for every
    cell in view, and each single role would be a way through Qt and back."""

    kind: CellKind
    path: str = ""
    caption: str = ""
    curation: Curation | None = None
    rating: int = 0
    is_unsure: bool = False


def look_at(index: Index) -> Look | None:
    """What to paint at an index: the model's `look(index)`; None for nothing."""
    model: Any = index.model()
    found: Look | None = None if model is None else model.look(index)
    return found
