"""What the curation page shows and in which order. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol, Self

from app.text import CURATION_NAMES
from dafusion_core.domain.records import Curation
from dafusion_core.language import _, count


class Sort(StrEnum):
    """The order of the list. The grid always goes by photo."""

    PHOTO = "photo"
    T0 = "t0"
    RATING = "rating"
    STATE = "state"
    NEWEST = "newest"
    COPY = "copy"
    DOUBT = "doubt"
    BLUR = "blur"
    GROUP = "group"


class Mark(StrEnum):
    """What a check noticed about a picture."""

    OTHER_CLASS = "other class"
    OTHER_PHOTO = "other photo"
    BLANK = "blank"
    NEAR_COPY = "near copy"


MARK_NAMES = {
    Mark.OTHER_CLASS: _("Looks like another class"),
    Mark.OTHER_PHOTO: _("Closer to another photo than to its own"),
    Mark.BLANK: _("Hardly anything to see"),
    Mark.NEAR_COPY: _("Nearly the same as another"),
}
_MARKS_WITHIN = {
    Mark.OTHER_CLASS: _("looks like another class"),
    Mark.OTHER_PHOTO: _("closer to another photo than to its own"),
    Mark.BLANK: _("hardly anything to see"),
    Mark.NEAR_COPY: _("nearly the same as another"),
}
SORT_NAMES = {
    Sort.PHOTO: _("By photo"),
    Sort.T0: _("By t0, closest first"),
    Sort.RATING: _("By stars, most first"),
    Sort.STATE: _("By decision, undecided first"),
    Sort.NEWEST: _("Newest first"),
    Sort.COPY: _("Closest copies of their photo first"),
    Sort.DOUBT: _("Least like their class first"),
    Sort.BLUR: _("Most blurred first"),
    Sort.GROUP: _("Near copies together"),
}
_STATE_ORDER = {Curation.UNDECIDED: 0, Curation.KEPT: 1, Curation.REJECTED: 2, None: 3}


class Filterable(Protocol):
    """What a filter looks at: a cell of the grid."""

    concept_id: int
    t0: float
    synthetic_id: int | None
    curation: Curation | None
    rating: int
    marks: frozenset[Mark]
    scores: tuple[float, float, float]
    group: int


@dataclass(frozen=True, slots=True)
class CurationFilter:
    """Within a kind any of the values fits (empty: all), across kinds every kind must fit."""

    concepts: frozenset[int] = frozenset()
    t0s: frozenset[float] = frozenset()
    states: frozenset[Curation] = frozenset()
    min_rating: int = 0
    marks: frozenset[Mark] = frozenset()
    sort: Sort = Sort.PHOTO

    @property
    def narrows_cells(self) -> bool:
        """Whether single pictures are chosen, and not whole classes or columns."""
        return bool(self.states or self.marks) or self.min_rating > 0

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not (self.concepts or self.t0s or self.states or self.marks or self.min_rating)

    def accepts_t0(self, t0: float) -> bool:
        """Whether the column of a t0 is shown."""
        return not self.t0s or t0 in self.t0s

    def accepts(self, cell: Filterable) -> bool:
        """Whether a picture fits. One that is still to be made counts as undecided."""
        return (
            (not self.concepts or cell.concept_id in self.concepts)
            and (not self.t0s or cell.t0 in self.t0s)
            and (not self.states or (cell.curation or Curation.UNDECIDED) in self.states)
            and cell.rating >= self.min_rating
            and (not self.marks or bool(self.marks & cell.marks))
        )

    def sort_key(self) -> Callable[[Filterable], Any] | None:
        """For `sorted`, None where the given order is right."""
        if self.sort is Sort.PHOTO:
            return None
        return {
            Sort.T0: lambda cell: cell.t0,
            Sort.RATING: lambda cell: -cell.rating,
            Sort.STATE: lambda cell: _STATE_ORDER[cell.curation],
            Sort.NEWEST: lambda cell: -(cell.synthetic_id or 0),
            Sort.COPY: lambda cell: cell.scores[0],
            Sort.DOUBT: lambda cell: cell.scores[1],
            Sort.BLUR: lambda cell: cell.scores[2],
            Sort.GROUP: lambda cell: (not cell.group, cell.group),
        }[self.sort]

    def toggled(self, kind: str, value: Any) -> Self:
        """With a value of "concepts", "t0s" or "states" added, or taken away if it was there."""
        return replace(self, **{kind: getattr(self, kind) ^ {value}})

    def to_dict(self, names: Mapping[int, str]) -> dict[str, Any]:
        """As JSON values; classes by name, so that a view outlives its numbers."""
        return {
            "classes": sorted(names[i] for i in self.concepts if i in names),
            "t0s": sorted(self.t0s),
            "states": sorted(self.states),
            "min_rating": self.min_rating,
            "marks": sorted(self.marks),
            "sort": self.sort.value,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], names: Mapping[int, str]) -> Self:
        """From `to_dict`; what does not exist here is left out."""
        ids = {name: number for number, name in names.items()}
        states = {str(item) for item in value.get("states", ())}
        sort = str(value.get("sort", ""))
        return cls(
            frozenset(ids[name] for name in value.get("classes", ()) if name in ids),
            frozenset(float(t0) for t0 in value.get("t0s", ())),
            frozenset(state for state in Curation if state.value in states),
            int(value.get("min_rating", 0)),
            frozenset(mark for mark in Mark if mark.value in value.get("marks", ())),
            Sort(sort) if sort in set(Sort) else Sort.PHOTO,
        )

    def describe(self, names: Mapping[int, str]) -> str:
        """A few words, “everything” if nothing is left out."""
        parts = [
            _(" or ").join(sorted(names.get(i, "?") for i in self.concepts)),
            _(" or ").join(f"t0 {t0:g}" for t0 in sorted(self.t0s)),
            _(" or ").join(CURATION_NAMES[state] for state in Curation if state in self.states),
            count(self.min_rating, "{n} star or more", "{n} stars or more")
            if self.min_rating
            else "",
            _(" or ").join(_MARKS_WITHIN[mark] for mark in Mark if mark in self.marks),
        ]
        return ", ".join(part for part in parts if part) or _("everything")
