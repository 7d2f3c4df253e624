"""How many synthetic images are in which state, per class and t0. No Qt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from app.models.curation_filter import Filterable
from dafusion_core.domain.records import Curation


@dataclass(slots=True)
class Counts:
    """Pictures by state, and how many are still to come."""

    by_curation: dict[Curation, int] = field(default_factory=lambda: dict.fromkeys(Curation, 0))
    waiting: int = 0

    @property
    def made(self) -> int:
        """Pictures that are there."""
        return sum(self.by_curation.values())

    @property
    def decided(self) -> int:
        """Kept or rejected."""
        return self.made - self.by_curation[Curation.UNDECIDED]

    @property
    def accept_rate(self) -> float | None:
        """Share of the decided that was kept, None while nothing is decided."""
        return self.by_curation[Curation.KEPT] / self.decided if self.decided else None

    def move(self, old: Curation | None, new: Curation | None, number: int = 1) -> None:
        """Pictures change from a state (None: to come) to another."""
        for state, step in ((old, -number), (new, number)):
            if state is None:
                self.waiting += step
            else:
                self.by_curation[state] += step

    def add(self, other: Counts) -> None:
        """Count what another counts as well."""
        self.waiting += other.waiting
        for state, number in other.by_curation.items():
            self.by_curation[state] += number


class Tally:
    """Counts per class and t0 that follow each decision, so that nothing is counted again."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, float], Counts] = {}

    def note(self, concept_id: int, t0: float, old: Curation | None, new: Curation | None) -> None:
        """A picture changed its state."""
        self.cells.setdefault((concept_id, t0), Counts()).move(old, new)

    def start(self, cells: Iterable[Filterable]) -> None:
        """Pictures that are there from the beginning, or planned."""
        found = Counter((cell.concept_id, cell.t0, cell.curation) for cell in cells)
        for (concept_id, t0, state), number in found.items():
            counts = self.cells.setdefault((concept_id, t0), Counts())
            if state is None:
                counts.waiting += number
            else:
                counts.by_curation[state] += number

    def total(self, concepts: Iterable[int] = (), t0s: Iterable[float] = ()) -> Counts:
        """Over some classes and t0 (none given: all)."""
        wanted, wanted_t0 = frozenset(concepts), frozenset(t0s)
        found = Counts()
        for (concept_id, t0), counts in self.cells.items():
            if (not wanted or concept_id in wanted) and (not wanted_t0 or t0 in wanted_t0):
                found.add(counts)
        return found
