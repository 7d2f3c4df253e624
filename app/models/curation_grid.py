"""The curation grid: a row per source photo, the photo first, then a column per t0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QItemSelection, QModelIndex, QObject, Qt

from app.models.cell_words import describe, kind_of
from app.models.curation_counts import Counts, Tally
from app.models.curation_filter import CurationFilter, Mark
from app.models.curation_layout import (
    FIRST_T0_COLUMN,
    Cell,
    GridRow,
    lay_out,
    take_check,
    without_collecting,
)
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
from app.models.rows import WINDOW, PathTexts
from app.models.synthetic_list import SyntheticListModel
from dafusion_core.api.project import Project
from dafusion_core.domain.records import Curation, ImageRecord, UnitState
from dafusion_core.language import _


class CurationGridModel(QAbstractTableModel):
    """See the module's text. Records come from a `SyntheticListModel`, read when painted."""

    def __init__(self, project: Project, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.project = project
        self.pictures = SyntheticListModel(project, self)
        self._photo_file = PathTexts(project.image_path)
        self._picture_file = PathTexts(project.synthetic_path)
        self.job_id: int | None = None
        self.t0_set: list[float] = []
        self._all_rows: list[GridRow] = []
        self._rows: list[GridRow] = []
        self._by_unit: dict[int, Cell] = {}
        self._by_id: dict[int, Cell] = {}
        self._sources: dict[int, ImageRecord] = {}
        self._names: dict[int, str] = {}
        self.tally = Tally()
        self.filter = CurationFilter()
        self.groups: list[list[int]] = []

    # What is shown ------------------------------------------------------------------------

    def show_job(self, job_id: int | None) -> None:
        """Lay out a generation; None shows nothing."""
        with without_collecting():
            self._lay_out(job_id)

    def _lay_out(self, job_id: int | None) -> None:
        cells = [] if job_id is None else self.project.grid_cells(job_id)
        self.beginResetModel()
        self.job_id = job_id
        self.t0_set = sorted({cell.t0 for cell in cells})
        self._all_rows, self._by_unit = lay_out(cells, self.t0_set)
        self._by_id = {
            cell.synthetic_id: cell
            for cell in self._by_unit.values()
            if cell.synthetic_id is not None
        }
        self._names = {concept.id: concept.name for concept in self.project.concepts()}
        self._sources = {}
        self.tally = Tally()
        self.tally.start(self._by_unit.values())
        self.pictures.replace(self._by_id)
        self.take_checks()
        self.take_groups(self.groups)
        self._choose_rows()
        self.endResetModel()

    def take_checks(self) -> int:
        """Read what was measured on the pictures; returns how many were."""
        was_checked = any(job.kind == "check" for job in self.project.jobs())
        found = self.project.checks(list(self._by_id)) if was_checked else {}
        for synthetic_id, check in found.items():
            cell = self._by_id[synthetic_id]
            take_check(cell, check, self._names.get(cell.concept_id, ""))
        return len(found)

    def take_groups(self, groups: list[list[int]]) -> None:
        """These pictures look nearly the same; what was said before does not hold any more."""
        for old in self._by_id.values():
            if old.group:
                old.group, old.marks = 0, old.marks - {Mark.NEAR_COPY}
        self.groups = groups
        for number, members in enumerate(groups, 1):
            for synthetic_id in members:
                cell = self._by_id.get(synthetic_id)
                if cell is not None:
                    cell.group, cell.marks = number, cell.marks | {Mark.NEAR_COPY}

    def set_filter(self, wanted: CurationFilter) -> None:
        """Show the rows that have something the filter wants; t0 columns are the view's part."""
        if wanted == self.filter:
            return
        self.beginResetModel()
        self.filter = wanted
        self._choose_rows()
        self.endResetModel()

    def _choose_rows(self) -> None:
        for cell in self._by_unit.values():
            cell.row = -1
        wanted = self.filter
        self._rows = [
            row
            for row in self._all_rows
            if (not wanted.concepts or row.concept_id in wanted.concepts)
            and (
                not wanted.narrows_cells
                or any(cell is not None and wanted.accepts(cell) for cell in row.cells)
            )
        ]
        for number, row in enumerate(self._rows):
            for planned in row.cells:
                if planned is not None:
                    planned.row = number

    def take_new(self, ids: Sequence[int]) -> list[Cell]:
        """Pictures have arrived: they fill their planned cells. Those of other jobs are ignored."""
        new = [image for image in self.project.synthetic(ids) if image.unit_id in self._by_unit]
        self.pictures.append([image.id for image in new])
        filled = []
        for image in new:
            cell = self._by_unit[image.unit_id]
            self.tally.note(cell.concept_id, cell.t0, cell.curation, image.curation)
            cell.state, cell.synthetic_id = UnitState.DONE, image.id
            cell.curation, cell.rating = image.curation, image.rating
            self._by_id[image.id] = cell
            filled.append(cell)
        self._emit(filled)
        return filled

    def take_decisions(self, ids: Sequence[int]) -> list[Cell]:
        """Decisions or stars of these pictures have changed; returns their cells."""
        touched = []
        images = self.project.synthetic(ids)
        self.pictures.put(images)
        for image in images:
            cell = self._by_id.get(image.id)
            if cell is None:
                continue
            if cell.curation is not image.curation:
                self.tally.note(cell.concept_id, cell.t0, cell.curation, image.curation)
            cell.curation, cell.rating = image.curation, image.rating
            touched.append(cell)
        self._emit(touched)
        return touched

    def _emit(self, cells: Sequence[Cell]) -> None:
        shown = [cell for cell in cells if cell.row >= 0]
        if shown:
            rows = [cell.row for cell in shown]
            columns = [cell.column for cell in shown]
            self.dataChanged.emit(
                self.index(min(rows), min(columns)), self.index(max(rows), max(columns))
            )

    # Looking things up --------------------------------------------------------------------

    def cell(self, index: Index) -> Cell | None:
        """The planned picture at an index, None for photos and gaps."""
        column = index.column() - FIRST_T0_COLUMN
        if not index.isValid() or column < 0 or index.row() >= len(self._rows):
            return None
        return self._rows[index.row()].cells[column]

    def cell_of(self, synthetic_id: int | None) -> Cell | None:
        """The cell of a picture, shown or not."""
        return None if synthetic_id is None else self._by_id.get(synthetic_id)

    def matching(self) -> list[Cell]:
        """Pictures that are there and that the filter wants, in its order."""
        found = [
            cell
            for row in self._all_rows
            for cell in row.cells
            if cell is not None and cell.synthetic_id is not None and self.filter.accepts(cell)
        ]
        key = self.filter.sort_key()
        return found if key is None else sorted(found, key=key)

    def ids_where(self, concept_id: int | None = None, t0: float | None = None) -> list[int]:
        """All pictures of a class, of a t0, or of a class at a t0, shown or not."""
        return [
            synthetic_id
            for synthetic_id, cell in self._by_id.items()
            if concept_id in (None, cell.concept_id) and t0 in (None, cell.t0)
        ]

    def sources_without(self, concept_id: int) -> tuple[int, int]:
        """(photos of a class without a usable picture, its photos).

        Usable is what is not rejected, made or to come. Such a photo trains as it is: there is
        nothing of its own to put in its place.
        """
        has: dict[int, bool] = {}
        for row in self._all_rows:
            if row.concept_id == concept_id:
                usable = any(
                    cell is not None and cell.curation is not Curation.REJECTED
                    for cell in row.cells
                )
                has[row.source_id] = has.get(row.source_id, False) or usable
        return sum(not usable for usable in has.values()), len(has)

    def index_of(self, synthetic_id: int) -> QModelIndex:
        """Where a picture is shown, invalid if it is not."""
        cell = self._by_id.get(synthetic_id)
        if cell is None or cell.row < 0:
            return QModelIndex()
        return self.index(cell.row, cell.column)

    def ids_in(self, selection: QItemSelection) -> list[int]:
        """The pictures of a selection, read from its rectangles without an index per cell."""
        found: list[int] = []
        for area in selection.toList():
            left = max(0, area.left() - FIRST_T0_COLUMN)
            for row in self._rows[area.top() : area.bottom() + 1]:
                cells = row.cells[left : area.right() + 1 - FIRST_T0_COLUMN]
                found.extend(
                    c.synthetic_id
                    for c in cells
                    if c and c.synthetic_id is not None and self.filter.accepts_t0(c.t0)
                )
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
                and self.filter.accepts_t0(cell.t0)
                and (not only_undecided or cell.curation is Curation.UNDECIDED)
            ):
                return self.index(place // width, place % width + FIRST_T0_COLUMN)
            place += step
        return QModelIndex()

    def source(self, index: Index) -> ImageRecord | None:
        """The photo of a row."""
        if not 0 <= index.row() < len(self._rows):
            return None
        return self.photo(self._rows[index.row()].source_id)

    def photo(self, source_id: int) -> ImageRecord | None:
        """A photo, read when it is first looked at, with those after it."""
        if source_id not in self._sources:
            wanted = [source_id]
            place = next(
                (i for i, row in enumerate(self._rows) if row.source_id == source_id), None
            )
            if place is not None:
                wanted += [row.source_id for row in self._rows[place : place + WINDOW]]
            found = self.project.images_by_id(list(dict.fromkeys(wanted)))
            self._sources.update((image.id, image) for image in found)
        return self._sources.get(source_id)

    def source_path(self, source_id: int) -> str:
        """The photo's file, "" if it is gone."""
        source = self.photo(source_id)
        return "" if source is None else self._photo_file(source)

    def picture_path(self, synthetic_id: int | None) -> str:
        """The synthetic image's file, "" if there is none."""
        image = None if synthetic_id is None else self.pictures.by_id(synthetic_id)
        return "" if image is None else self._picture_file(image)

    def counts(self) -> list[Counts]:
        """Per t0 column, over the classes shown."""
        return [self.tally.total(self.filter.concepts, [t0]) for t0 in self.t0_set]

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
            return _("Photo")
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
            return kind_of(cell)
        if cell is None:
            return None
        if role == ID_ROLE:
            return cell.synthetic_id
        if role == CURATION_ROLE:
            return cell.curation
        if role == RATING_ROLE:
            return cell.rating
        if role == PATH_ROLE:
            return self.picture_path(cell.synthetic_id)
        if role == RECORD_ROLE and cell.synthetic_id is not None:
            return self.pictures.by_id(cell.synthetic_id)
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return describe(cell, self._names.get(cell.concept_id, ""))
        return None

    def look(self, index: Index) -> Look | None:
        """What is painted of a cell."""
        if index.column() < FIRST_T0_COLUMN:
            source = self.source(index)
            if source is None:
                return Look(CellKind.PHOTO)
            return Look(CellKind.PHOTO, self._photo_file(source), source.label)
        cell = self.cell(index)
        if cell is None:
            return None
        path = "" if cell.synthetic_id is None else self.picture_path(cell.synthetic_id)
        return Look(kind_of(cell), path, "", cell.curation, cell.rating)

    def _photo_data(self, index: Index, role: int) -> Any:
        if role == KIND_ROLE:
            return CellKind.PHOTO
        source = self.source(index)
        if source is None:
            return None
        if role == PATH_ROLE:
            return self._photo_file(source)
        if role == CAPTION_ROLE:
            return source.label
        if role == RECORD_ROLE:
            return source
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            name = Path(source.original_path).name
            return _("Photo “{name}”, {label}").format(name=name, label=source.label)
        return None
