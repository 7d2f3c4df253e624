"""What a cell of the curation grid is, in words and for painting."""

from __future__ import annotations

from app.models.curation_layout import Cell
from app.models.roles import CellKind
from app.text import CURATION_NAMES
from dafusion_core.domain.records import Curation, UnitState
from dafusion_core.language import _, count


def describe(cell: Cell, name: str) -> str:
    """“dandelion, t0 0.5: kept, 3 stars”."""
    if cell.synthetic_id is None:
        what = _("could not be made") if cell.state is UnitState.FAILED else _("not made yet")
        return _("{name}, t0 {t0:g}: {what}").format(name=name, t0=cell.t0, what=what)
    state = CURATION_NAMES[cell.curation or Curation.UNDECIDED]
    stars = ", " + count(cell.rating, "{n:,} star", "{n:,} stars") if cell.rating else ""
    return _("{name}, t0 {t0:g}: {state}{stars}").format(
        name=name, t0=cell.t0, state=state, stars=stars
    )


def kind_of(cell: Cell | None) -> CellKind:
    """A gap, a picture, one to come, or one that failed."""
    if cell is None:
        return CellKind.NOTHING
    if cell.synthetic_id is not None:
        return CellKind.SYNTHETIC
    return CellKind.FAILED if cell.state is UnitState.FAILED else CellKind.WAITING
