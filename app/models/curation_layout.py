"""Where each picture of a generation stands in the curation grid. No Qt.

A further variant of the same photo and t0 is in a further row right below, packed without gaps:
so a plan that draws one t0 per variant leaves few empty cells, and rows stay comparable across t0.
The layout comes from the plan, not from what has arrived, so nothing moves while pictures arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dafusion_core.domain.records import Curation, GridCell, UnitState

FIRST_T0_COLUMN = 1


@dataclass(slots=True)
class Cell:
    """A planned picture; `synthetic_id` and `curation` are filled in when it is there.

    `row` is where it is shown, −1 while it is filtered out.
    """

    unit_id: int
    source_id: int
    concept_id: int
    t0: float
    state: UnitState
    synthetic_id: int | None
    curation: Curation | None
    rating: int = 0
    row: int = -1
    column: int = 0


@dataclass(slots=True)
class GridRow:
    """One row: a source, the number of its row among those of the source, a cell per t0."""

    source_id: int
    concept_id: int
    number: int
    cells: list[Cell | None]


def lay_out(
    cells: Iterable[GridCell], t0_set: Sequence[float]
) -> tuple[list[GridRow], dict[int, Cell]]:
    """Rows in order of concept and source, and the cell of each unit by unit id."""
    columns = {t0: place for place, t0 in enumerate(t0_set)}
    shared = {t0: t0 for t0 in t0_set}  # one float object for all cells of a column
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
            planned.unit_id,
            planned.source_image_id,
            planned.concept_id,
            shared[planned.t0],
            planned.state,
            planned.synthetic_id,
            planned.curation,
            planned.rating,
            -1,
            column + FIRST_T0_COLUMN,
        )
        row.cells[column] = cell
        by_unit[planned.unit_id] = cell
    return rows, by_unit
