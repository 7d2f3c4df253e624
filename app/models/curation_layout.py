"""Where each picture of a generation stands in the curation grid. No Qt.

A further variant of the same photo and t0 is in a further row right below, packed without gaps:
so a plan that draws one t0 per variant leaves few empty cells, and rows stay comparable across t0.
The layout comes from the plan, not from what has arrived, so nothing moves while pictures arrive.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from app.models.curation_filter import Mark
from dafusion_core.domain.records import Curation, GridCell, UnitState
from dafusion_core.storage.checks import SyntheticCheck

FIRST_T0_COLUMN = 1
NO_MARKS: frozenset[Mark] = frozenset()
NO_SCORES = (math.inf, math.inf, math.inf)  # unmeasured pictures come last


def take_check(cell: Cell, check: SyntheticCheck, class_name: str) -> None:
    """Note what was measured: marks, and distance to its photo, agreement, sharpness."""
    marks = set()
    if check.predicted is not None and check.predicted != class_name:
        marks.add(Mark.OTHER_CLASS)
    own, nearest = check.source_distance, check.train_distance
    if (
        own is not None
        and nearest is not None
        and check.train_image_id != cell.source_id
        and nearest < own
    ):
        marks.add(Mark.OTHER_PHOTO)
    if check.is_blank:
        marks.add(Mark.BLANK)
    marks |= cell.marks & {Mark.NEAR_COPY}
    cell.marks = frozenset(marks) if marks else NO_MARKS
    cell.scores = (
        math.inf if own is None else own,
        math.inf if check.agreement is None else check.agreement,
        check.sharpness,
    )


@contextmanager
def without_collecting() -> Iterator[None]:
    """Make very many small objects that all stay: looking for garbage among them takes a third
    of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass(slots=True)
class Cell:
    """A planned picture; `synthetic_id` and `curation` are filled in when it is there.

    `row` is where it is shown, −1 while it is filtered out. `group` is the number of its group of
    near copies, from 1; 0 for none.
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
    marks: frozenset[Mark] = NO_MARKS
    scores: tuple[float, float, float] = NO_SCORES
    group: int = 0


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
    """Rows in order of concept and source, and the cell of each unit by unit id.

    `cells` come by concept and source, and within one t0 by variant; in which order the t0 of a
    source come makes no difference.
    """
    columns = {t0: place for place, t0 in enumerate(t0_set)}
    shared = {t0: t0 for t0 in t0_set}  # one float object for all cells of a column
    rows: list[GridRow] = []
    by_unit: dict[int, Cell] = {}
    of_source: list[GridRow] = []
    current = -1
    for unit_id, source_id, concept_id, t0, _variant, state, made_id, curation, stars in cells:
        if source_id != current:
            of_source, current = [], source_id
        column = columns[t0]
        for row in of_source:
            if row.cells[column] is None:
                break
        else:
            row = GridRow(source_id, concept_id, len(of_source), [None] * len(columns))
            of_source.append(row)
            rows.append(row)
        cell = Cell(
            unit_id, source_id, concept_id, shared[t0], state, made_id, curation, stars,
            -1, column + FIRST_T0_COLUMN,
        )  # fmt: skip
        row.cells[column] = cell
        by_unit[unit_id] = cell
    return rows, by_unit
