"""What an importer found, before anything is imported: pictures and all that is said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dafusion_core.domain.records import Curation, ImportProblem, Part
from dafusion_core.domain.regions import RegionKind
from dafusion_core.language import _, count

__all__ = ["Entry", "ImportPlan", "PlannedRegion", "PlannedSynthetic", "shorten_problems"]

#: Problems of one kind that are listed one by one; the others are counted.
LISTED = 200


@dataclass(frozen=True, slots=True)
class PlannedRegion:
    """A region as a source states it; `label` "" means that of the image."""

    kind: RegionKind
    data: Mapping[str, Any]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture to import.

    `path`: the file; `origin`: where it comes from, as the project remembers it (the path, or a
    place inside a container such as "train.parquet#12"); `label`: "" for none; `fetch` reads the
    bytes of a picture that is no file of its own.
    """

    path: str
    label: str
    origin: str = ""
    part: Part | None = None
    group: str = ""
    note: str = ""
    is_unsure: bool = False
    regions: tuple[PlannedRegion, ...] = ()
    fetch: Callable[[], bytes] | None = None

    @property
    def source(self) -> str:
        """`origin`, or the path where that is the origin."""
        return self.origin or self.path


@dataclass(frozen=True, slots=True)
class PlannedSynthetic:
    """A synthetic image of an earlier export, tied to its source by the source's contents."""

    path: str
    sha256: str
    source_sha256: str
    label: str
    t0: float
    seed: int
    variant: int
    curation: Curation
    rating: int = 0
    lineage: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What would be imported and what would be left out, and why.

    `form` names the importer; `entries` are in a fixed order, contents not yet checked; `labels`
    are classes that the source lists in an order of its own (also empty ones); `problems` are
    files and rows that will be left out, `warnings` sentences about the whole; `synthetics` are
    synthetic images with their lineage, which never become real ones.
    """

    form: str
    root: Path
    entries: tuple[Entry, ...]
    problems: tuple[ImportProblem, ...] = ()
    warnings: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    synthetics: tuple[PlannedSynthetic, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def per_label(self) -> dict[str, int]:
        """Class → pictures, "" for those without a class; in the order of first appearance."""
        counts = dict.fromkeys(self.labels, 0)
        counts.update(Counter(entry.label for entry in self.entries))
        return {label: counts[label] for label in dict.fromkeys((*self.labels, *counts))}

    @property
    def per_part(self) -> dict[str, int]:
        """Part of the split → pictures, of those that have one."""
        return dict(Counter(entry.part.value for entry in self.entries if entry.part))

    @property
    def sentence(self) -> str:
        """What an import would do, in words."""
        classes = sum(1 for label in self.per_label if label)
        text = _("{pictures} in {classes}").format(
            pictures=count(len(self.entries), "{n:,} picture", "{n:,} pictures"),
            classes=count(classes, "{n:,} class", "{n:,} classes"),
        )
        if without := self.per_label.get("", 0):
            text += _(", {without:,} without a class").format(without=without)
        if regions := sum(len(entry.regions) for entry in self.entries):
            text += count(regions, ", with {n:,} region", ", with {n:,} regions")
        if self.synthetics:
            text += _(", and {number:,} synthetic images with their sources").format(
                number=len(self.synthetics)
            )
        refused = sum(problem.is_refused for problem in self.problems)
        return text + (_("; {refused:,} left out.").format(refused=refused) if refused else ".")


def shorten_problems(problems: list[ImportProblem]) -> tuple[ImportProblem, ...]:
    """The problems, with those beyond `LISTED` of one reason counted in a last one."""
    seen: Counter[str] = Counter()
    kept, last = [], dict[str, ImportProblem]()
    for problem in problems:
        seen[problem.reason] += 1
        if seen[problem.reason] <= LISTED:
            kept.append(problem)
        else:
            last[problem.reason] = problem
    for reason, problem in last.items():
        more = seen[reason] - LISTED
        words = _("… {more:,} more, up to {path}").format(more=more, path=problem.path)
        kept.append(ImportProblem(words, reason, problem.is_refused))
    return tuple(kept)
