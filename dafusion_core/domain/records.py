"""Rows of the project file as frozen values. Words are those of docs/CONTEXT.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

UNLABELLED = 0  # the label id of images that have no class yet


class Part(StrEnum):
    """The side of a split an image is on."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    UNUSED = "unused"


class Curation(StrEnum):
    """The human decision on a synthetic image."""

    UNDECIDED = "undecided"
    KEPT = "kept"
    REJECTED = "rejected"


class JobState(StrEnum):
    """Where a job is in its life. `is_terminal` states are never left except by retry or resume."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def is_terminal(self) -> bool:
        """True when no worker will touch the job without somebody asking."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class UnitState(StrEnum):
    """Where a unit is."""

    TODO = "todo"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Label:
    """The class an image has for the classifier. `ordinal` is its index in model outputs."""

    id: int
    name: str
    ordinal: int


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One real image.

    `path` is relative to the files folder when the image was copied, absolute when referenced.
    `width`, `height` are in pixels after EXIF orientation was applied. `label` is "" and
    `label_id` UNLABELLED while the image has no class. `part` is that in the split asked for;
    images without a class and rejected ones are never on another side than `unused`.
    """

    id: int
    path: str
    is_reference: bool
    sha256: str
    width: int
    height: int
    mode: str
    label_id: int
    label: str
    group_id: int | None
    original_path: str
    part: Part | None = None
    group: str | None = None
    is_unsure: bool = False
    is_rejected: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Concept:
    """What one class means to the generator: its placeholder token and initialising word."""

    id: int
    label_id: int
    name: str
    placeholder: str
    initialiser: str


@dataclass(frozen=True, slots=True)
class Split:
    """A partition of the images. `spec` holds how it was made; `counts` images per part."""

    id: int
    name: str
    seed: int
    spec: dict[str, Any]
    created_at: str
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ErasedModel:
    """The difference file that one erasure made, relative to its base model."""

    id: int
    job_id: int
    method: str
    concepts: tuple[str, ...]
    path: str
    sha256: str
    base_hash: str
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TokenEmbedding:
    """The learned vectors of one concept, one safetensors file."""

    id: int
    job_id: int
    concept_id: int
    placeholder: str
    path: str
    sha256: str
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SyntheticImage:
    """One generated image, tied to its unit, source image and plan. 0 < t0 <= 1.

    `rating` is from 1 to 5 stars, 0 for none.
    """

    id: int
    unit_id: int
    job_id: int
    source_image_id: int
    concept_id: int
    t0: float
    variant: int
    seed: int
    path: str
    sha256: str
    width: int
    height: int
    curation: Curation
    created_at: str
    rating: int = 0


class GridCell(NamedTuple):
    """One picture a generation plans, and its synthetic image once that is there.

    A tuple, because a large plan has tens of thousands and they are made in one go.

    `state` is the unit's; `synthetic_id` and `curation` are None until the unit is done.
    """

    unit_id: int
    source_image_id: int
    concept_id: int
    t0: float
    variant: int
    state: UnitState
    synthetic_id: int | None
    curation: Curation | None
    rating: int = 0


@dataclass(frozen=True, slots=True)
class SavedView:
    """A filter of a page under a name; `spec` is the page's own."""

    id: int
    page: str
    name: str
    spec: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a synthetic image comes from: everything that would make it again.

    `embedding` and `erased` are None where the generation used none; `plan` is the generation's
    spec as JSON values.
    """

    image: SyntheticImage
    source: ImageRecord
    concept: Concept
    prompt: str
    plan: dict[str, Any]
    embedding: TokenEmbedding | None
    erased: ErasedModel | None


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One classifier fit: arm, seed and what came of it.

    `record` holds labels, per-epoch figures and, per test image, its id, label and predicted
    probabilities, so that a comparison needs nothing else.
    """

    id: int
    job_id: int
    arm: str
    seed: int
    path: str
    sha256: str
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file that a job left: a table of predictions, an exported classifier."""

    id: int
    job_id: int
    role: str
    path: str
    sha256: str
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A comparison of training runs on fixed images; `result` is a `Verdict` as JSON."""

    id: int
    job_id: int
    result: dict[str, Any]
    created_at: str


@dataclass(frozen=True, slots=True)
class JobUnit:
    """The smallest resumable piece of a job. `payload` is the unit's own input, JSON values."""

    id: int
    job_id: int
    ordinal: int
    key: str
    seed: int
    state: UnitState
    payload: dict[str, Any]
    error_text: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A durable request in the queue, with how many of its units are done."""

    id: int
    kind: str
    title: str
    state: JobState
    priority: int
    is_held: bool
    spec: dict[str, Any]
    spec_hash: str
    inputs: dict[str, Any] | None
    device: str | None
    owner: str | None
    attempt: int
    cancel_requested: bool
    error_kind: str | None
    error_text: str | None
    error_hint: str | None
    seq: int
    done: int
    failed: int
    total: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    needs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportProblem:
    """A file that was not imported (or was imported with a warning), and why."""

    path: str
    reason: str
    is_refused: bool = True


@dataclass(frozen=True, slots=True)
class Metric:
    """One number measured by a job. `series` names the curve, for example "loss/train"."""

    job_id: int
    unit_id: int | None
    series: str
    step: int
    value: float
    at: str
