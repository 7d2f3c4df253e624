"""The curation grid: a row per source photo, the photo first, then a column per t0.

A further variant of the same photo and t0 is in a further row right below, packed without gaps:
so a plan that draws one t0 per variant leaves few empty cells, and rows stay comparable across t0.
The layout comes from the plan, not from what has arrived, so nothing moves while pictures arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QItemSelection, QModelIndex, QObject, Qt

from app.models.roles import (
    CAPTION_ROLE,
    CURATION_ROLE,
    ID_ROLE,
    KIND_ROLE,
    PATH_ROLE,
    RECORD_ROLE,
    CellKind,
    Index,
)
from app.models.synthetic_list import SyntheticListModel
from app.text import CURATION_NAMES
from dafusion_core.api.project import Project
from dafusion_core.domain.records import Curation, GridCell, ImageRecord, UnitState

FIRST_T0_COLUMN = 1


@dataclass(slots=True)
class Cell:
    """A planned picture; `synthetic_id` and `curation` are filled in when it is there."""

    concept_id: int
    t0: float
    state: UnitState
    synthetic_id: int | None
    curation: Curation | None


@dataclass(slots=True)
class GridRow:
    """One row: a source, the number of its row among those of the source, a cell per t0."""

    source_id: int
    concept_id: int
    number: int
    cells: list[Cell | None]


@dataclass(slots=True)
class ColumnCounts:
    """How many pictures of a column are in which state, over all classes shown."""

    by_curation: dict[Curation, int] = field(default_factory=lambda: dict.fromkeys(Curation, 0))
    waiting: int = 0


def lay_out(
    cells: Iterable[GridCell], t0_set: Sequence[float]
) -> tuple[list[GridRow], dict[int, Cell]]:
    """Rows in order of concept and source, and the cell of each unit by unit id."""
    columns = {t0: place for place, t0 in enumerate(t0_set)}
    rows: list[GridRow] = []
    by_unit: dict[int, Cell] = {}
    of_source: list[GridRow] = []
    for planned in cells:
        if of_source and of_source[0].source_id != planned.source_image_id:
            of_source = []
        column = columns[planned.t0]
        row = next((row for row in of_source if row.cells[column] is None), None)
        if row is None:
            row = GridRow(
                planned.source_image_id, planned.concept_id, len(of_source), [None] * len(columns)
            )
            of_source.append(row)
            rows.append(row)
        cell = Cell(
            planned.concept_id, planned.t0, planned.state, planned.synthetic_id, planned.curation
        )
        row.cells[column] = cell
        by_unit[planned.unit_id] = cell
    return rows, by_unit


class CurationGridModel(QAbstractTableModel):
    """See the module's text. Records come from a `SyntheticListModel`, read when painted."""

    def __init__(self, project: Project, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._project = project
        self.pictures = SyntheticListModel(project, self)
        self.job_id: int | None = None
        self.t0_set: list[float] = []
        self._all_rows: list[GridRow] = []
        self._rows: list[GridRow] = []
        self._by_unit: dict[int, Cell] = {}
        self._place_of: dict[int, tuple[int, int]] = {}
        self._sources: dict[int, ImageRecord] = {}
        self._names: dict[int, str] = {}
        self._concept: int | None = None
        self._only_undecided = False

    # What is shown ------------------------------------------------------------------------

    def show_job(self, job_id: int | None) -> None:
        """Lay out a generation; None shows nothing."""
        cells = [] if job_id is None else self._project.grid_cells(job_id)
        self.beginResetModel()
        self.job_id = job_id
        self.t0_set = sorted({cell.t0 for cell in cells})
        self._all_rows, self._by_unit = lay_out(cells, self.t0_set)
        self._names = {concept.id: concept.name for concept in self._project.concepts()}
        sources = sorted({row.source_id for row in self._all_rows})
        self._sources = {image.id: image for image in self._project.images_by_id(sources)}
        self.pictures.replace(c.synthetic_id for c in cells if c.synthetic_id is not None)
        self._choose_rows()
        self.endResetModel()

    def set_filter(self, concept_id: int | None, only_undecided: bool) -> None:
        """Show one class (None: all), and only rows that have something undecided."""
        self.beginResetModel()
        self._concept, self._only_undecided = concept_id, only_undecided
        self._choose_rows()
        self.endResetModel()

    def _choose_rows(self) -> None:
        self._rows = [
            row
            for row in self._all_rows
            if (self._concept is None or row.concept_id == self._concept)
            and (not self._only_undecided or _has_undecided(row))
        ]
        self._place_of = {
            cell.synthetic_id: (number, column)
            for number, row in enumerate(self._rows)
            for column, cell in enumerate(row.cells, FIRST_T0_COLUMN)
            if cell is not None and cell.synthetic_id is not None
        }

    def take_new(self, ids: Sequence[int]) -> None:
        """Pictures have arrived: they fill their planned cells. Those of other jobs are ignored."""
        new = [image for image in self._project.synthetic(ids) if image.unit_id in self._by_unit]
        if not new:
            return
        self.pictures.append([image.id for image in new])
        for image in new:
            cell = self._by_unit[image.unit_id]
            cell.state, cell.synthetic_id = UnitState.DONE, image.id
            cell.curation = image.curation
        places = {id(self._by_unit[image.unit_id]): image.id for image in new}
        first, last = len(self._rows), -1
        for number, row in enumerate(self._rows):
            for column, planned in enumerate(row.cells, FIRST_T0_COLUMN):
                if id(planned) in places:
                    self._place_of[places[id(planned)]] = (number, column)
                    first, last = min(first, number), number
        self._emit(first, last)

    def take_decisions(self, ids: Sequence[int]) -> None:
        """Decisions on these pictures have changed."""
        self.pictures.refresh(ids)
        touched = []
        for image in self._project.synthetic(ids):
            planned = self._by_unit.get(image.unit_id)
            if planned is not None:
                planned.curation = image.curation
            if image.id in self._place_of:
                touched.append(self._place_of[image.id][0])
        if touched:
            self._emit(min(touched), max(touched))

    def _emit(self, first: int, last: int) -> None:
        if last >= first:
            self.dataChanged.emit(self.index(first, 0), self.index(last, self.columnCount() - 1))
        # Headers carry counts.
        if self.t0_set:
            self.headerDataChanged.emit(
                Qt.Orientation.Horizontal, FIRST_T0_COLUMN, len(self.t0_set)
            )

    # Looking things up --------------------------------------------------------------------

    def cell(self, index: Index) -> Cell | None:
        """The planned picture at an index, None for photos and gaps."""
        column = index.column() - FIRST_T0_COLUMN
        if not index.isValid() or column < 0 or index.row() >= len(self._rows):
            return None
        return self._rows[index.row()].cells[column]

    def index_of(self, synthetic_id: int) -> QModelIndex:
        """Where a picture is shown, invalid if it is not."""
        place = self._place_of.get(synthetic_id)
        return QModelIndex() if place is None else self.index(*place)

    def ids_in(self, selection: QItemSelection) -> list[int]:
        """The pictures of a selection, read from its rectangles without an index per cell."""
        found: list[int] = []
        for area in selection.toList():
            left = max(0, area.left() - FIRST_T0_COLUMN)
            for row in self._rows[area.top() : area.bottom() + 1]:
                cells = row.cells[left : area.right() + 1 - FIRST_T0_COLUMN]
                found.extend(c.synthetic_id for c in cells if c and c.synthetic_id is not None)
        return found

    def ids_of_column(self, column: int) -> list[int]:
        """All pictures shown in a t0 column."""
        cells = (row.cells[column - FIRST_T0_COLUMN] for row in self._rows)
        return [c.synthetic_id for c in cells if c is not None and c.synthetic_id is not None]

    def neighbour(self, index: Index, step: int, only_undecided: bool = False) -> QModelIndex:
        """The next (step 1) or previous (−1) picture, row by row; invalid at the end."""
        width = len(self.t0_set)
        if not width:
            return QModelIndex()
        place = index.row() * width + index.column() - FIRST_T0_COLUMN if index.isValid() else -1
        place = place + step if index.isValid() else 0
        while 0 <= place < len(self._rows) * width:
            cell = self._rows[place // width].cells[place % width]
            if (
                cell is not None
                and cell.synthetic_id is not None
                and (not only_undecided or cell.curation is Curation.UNDECIDED)
            ):
                return self.index(place // width, place % width + FIRST_T0_COLUMN)
            place += step
        return QModelIndex()

    def source(self, index: Index) -> ImageRecord | None:
        """The photo of a row."""
        if not 0 <= index.row() < len(self._rows):
            return None
        return self._sources.get(self._rows[index.row()].source_id)

    def source_path(self, index: Index) -> str:
        """The photo's file, "" if it is gone."""
        source = self.source(index)
        return "" if source is None else str(self._project.image_path(source))

    def picture_path(self, index: Index) -> str:
        """The synthetic image's file, "" if there is none."""
        cell = self.cell(index)
        if cell is None or cell.synthetic_id is None:
            return ""
        image = self.pictures.by_id(cell.synthetic_id)
        return "" if image is None else str(self._project.synthetic_path(image))

    def counts(self) -> list[ColumnCounts]:
        """Per t0 column, over the class shown."""
        found = [ColumnCounts() for _ in self.t0_set]
        for row in self._all_rows:
            if self._concept is not None and row.concept_id != self._concept:
                continue
            for column, cell in zip(found, row.cells, strict=True):
                if cell is None:
                    continue
                if cell.curation is None:
                    column.waiting += 1
                else:
                    column.by_curation[cell.curation] += 1
        return found

    @property
    def names(self) -> Mapping[int, str]:
        """Concept id → class name."""
        return self._names

    # Qt -----------------------------------------------------------------------------------

    def rowCount(self, parent: Index | None = None) -> int:
        """Rows shown."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index | None = None) -> int:
        """The photo and one column per t0."""
        if parent is not None and parent.isValid():
            return 0
        return FIRST_T0_COLUMN + len(self.t0_set) if self.job_id is not None else 0

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Only pictures that are there can be chosen; photos only looked at."""
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        if index.column() < FIRST_T0_COLUMN:
            return Qt.ItemFlag.ItemIsEnabled
        cell = self.cell(index)
        if cell is None or cell.synthetic_id is None:
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """ "Photo" and the t0 values."""
        if orientation != Qt.Orientation.Horizontal or role != Qt.ItemDataRole.DisplayRole:
            return None
        if section < FIRST_T0_COLUMN:
            return "Photo"
        place = section - FIRST_T0_COLUMN
        return f"t0 {self.t0_set[place]:g}" if place < len(self.t0_set) else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a view asks of a cell."""
        if not index.isValid():
            return None
        if index.column() < FIRST_T0_COLUMN:
            return self._photo_data(index, role)
        cell = self.cell(index)
        if role == KIND_ROLE:
            return _kind(cell)
        if cell is None:
            return None
        if role == ID_ROLE:
            return cell.synthetic_id
        if role == CURATION_ROLE:
            return cell.curation
        if role == PATH_ROLE:
            return self.picture_path(index)
        if role == RECORD_ROLE and cell.synthetic_id is not None:
            return self.pictures.by_id(cell.synthetic_id)
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return self._describe(index, cell)
        return None

    def _photo_data(self, index: Index, role: int) -> Any:
        if role == KIND_ROLE:
            return CellKind.PHOTO
        source = self.source(index)
        if source is None:
            return None
        if role == PATH_ROLE:
            return str(self._project.image_path(source))
        if role == CAPTION_ROLE:
            return source.label
        if role == RECORD_ROLE:
            return source
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"Photo “{Path(source.original_path).name}”, {source.label}"
        return None

    def _describe(self, index: Index, cell: Cell) -> str:
        name = self._names.get(cell.concept_id, "")
        if cell.synthetic_id is None:
            what = "could not be made" if cell.state is UnitState.FAILED else "not made yet"
            return f"{name}, t0 {cell.t0:g}: {what}"
        state = CURATION_NAMES[cell.curation or Curation.UNDECIDED]
        return f"{name}, t0 {cell.t0:g}: {state}"


def _kind(cell: Cell | None) -> CellKind:
    if cell is None:
        return CellKind.NOTHING
    if cell.synthetic_id is not None:
        return CellKind.SYNTHETIC
    return CellKind.FAILED if cell.state is UnitState.FAILED else CellKind.WAITING


def _has_undecided(row: GridRow) -> bool:
    return any(
        cell is not None and cell.curation in (Curation.UNDECIDED, None) for cell in row.cells
    )
