"""What a command changed, so that each view can decide whether to look again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProjectChanges:
    """Returned by every command that writes. `text` says what was done, for undo and messages."""

    images: bool = False
    regions: bool = False
    splits: bool = False
    concepts: bool = False
    synthetic: bool = False
    curation: bool = False
    jobs: bool = False
    runs: bool = False
    text: str = ""
    synthetic_ids: tuple[int, ...] = ()
    image_ids: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return any(
            (self.images, self.regions, self.splits, self.concepts)
            + (self.synthetic, self.curation, self.jobs, self.runs)
        )

    def __or__(self, other: ProjectChanges) -> ProjectChanges:
        return ProjectChanges(
            images=self.images or other.images,
            regions=self.regions or other.regions,
            splits=self.splits or other.splits,
            concepts=self.concepts or other.concepts,
            synthetic=self.synthetic or other.synthetic,
            curation=self.curation or other.curation,
            jobs=self.jobs or other.jobs,
            runs=self.runs or other.runs,
            text=self.text or other.text,
            synthetic_ids=self.synthetic_ids + other.synthetic_ids,
            image_ids=self.image_ids + other.image_ids,
        )
