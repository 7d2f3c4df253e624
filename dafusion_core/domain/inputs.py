"""What a method reads, bound once when its job is first claimed and stored with the job.

Paths are relative to the project's files folder, or absolute for referenced images;
`JobContext.resolve` turns them into real paths. With spec, inputs and units a method needs
neither the database nor the window, so it can run on any machine that has the files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dafusion_core.domain.specs import Plain


@dataclass(frozen=True, slots=True)
class FileInput(Plain):
    """A file made by an earlier job, with its SHA-256 (hex)."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ImageInput(Plain):
    """A real image and the index of its label."""

    id: int
    path: str
    sha256: str
    label: int


@dataclass(frozen=True, slots=True)
class ConceptInput(Plain):
    """A concept with its training images. `class_words` must not appear in its prompts."""

    id: int
    name: str
    placeholder: str
    initialiser: str
    images: tuple[ImageInput, ...] = ()


@dataclass(frozen=True, slots=True)
class ErasureInputs(Plain):
    """An erasure reads nothing but the base model."""


@dataclass(frozen=True, slots=True)
class RegionInput(Plain):
    """One region of an image, as the project keeps it (domain/regions.py)."""

    kind: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class InversionInputs(Plain):
    """Concepts by id (as text, JSON keys are text), each with its training images.

    `erasures`: erased models by concept id where each concept has its own; `states`: where an
    earlier inversion of the concept stopped; `imported`: its embedding, made elsewhere.
    """

    concepts: dict[str, ConceptInput]
    erasure: FileInput | None = None
    erasures: dict[str, FileInput] = field(default_factory=dict)
    states: dict[str, FileInput] = field(default_factory=dict)
    imported: dict[str, FileInput] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddingInput(Plain):
    """A learned token embedding file."""

    placeholder: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class GenerationInputs(Plain):
    """Sources by image id, concepts and embeddings by concept id (keys are text).

    `erasures`, `adapters`: the erased model and the low-rank changes of a concept, where each has
    its own; `regions`: what is marked on a source, by image id.
    """

    sources: dict[str, ImageInput]
    concepts: dict[str, ConceptInput]
    embeddings: dict[str, EmbeddingInput] = field(default_factory=dict)
    erasure: FileInput | None = None
    erasures: dict[str, FileInput] = field(default_factory=dict)
    adapters: dict[str, FileInput] = field(default_factory=dict)
    regions: dict[str, tuple[RegionInput, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SyntheticInput(Plain):
    """A synthetic image to measure: its id, file, source image and label index."""

    id: int
    path: str
    source_image_id: int
    label: int


@dataclass(frozen=True, slots=True)
class CheckInputs(Plain):
    """Synthetic images by the id of the unit that made them; the real ones by part."""

    labels: tuple[str, ...]
    synthetics: dict[str, SyntheticInput]
    train: tuple[ImageInput, ...]
    test: tuple[ImageInput, ...]


@dataclass(frozen=True, slots=True)
class TrainingInputs(Plain):
    """Images per part; `synthetics[arm][source image id]` are paths of its synthetic images."""

    labels: tuple[str, ...]
    train: tuple[ImageInput, ...]
    validation: tuple[ImageInput, ...]
    test: tuple[ImageInput, ...]
    synthetics: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunInput(Plain):
    """The test predictions of one training run: `probabilities` [n_test][n_labels].

    `epoch_accuracies`: mean per-class test accuracy after each epoch, where it was recorded;
    `stopped_at`: the epoch after which the user ended it, None if it was not cut short.
    """

    arm: str
    seed: int
    image_ids: tuple[int, ...]
    truth: tuple[int, ...]
    probabilities: tuple[tuple[float, ...], ...]
    best_epoch_accuracy: float
    epoch_accuracies: tuple[float, ...] = ()
    stopped_at: int | None = None


@dataclass(frozen=True, slots=True)
class EvaluationInputs(Plain):
    """Runs to compare and the label names in model-output order."""

    labels: tuple[str, ...]
    runs: tuple[RunInput, ...]


@dataclass(frozen=True, slots=True)
class PredictionInputs(Plain):
    """The classifier that is asked."""

    weights: FileInput


@dataclass(frozen=True, slots=True)
class ModelExportInputs(Plain):
    """The classifier to export and the test images of its split."""

    weights: FileInput
    test: tuple[ImageInput, ...]


@dataclass(frozen=True, slots=True)
class DownloadInputs(Plain):
    """A download reads nothing of the project."""


AnyInputs = (
    ErasureInputs
    | InversionInputs
    | GenerationInputs
    | CheckInputs
    | TrainingInputs
    | EvaluationInputs
    | PredictionInputs
    | ModelExportInputs
    | DownloadInputs
)

INPUT_KINDS: dict[str, type[AnyInputs]] = {
    "erase": ErasureInputs,
    "invert": InversionInputs,
    "generate": GenerationInputs,
    "preview": GenerationInputs,
    "check": CheckInputs,
    "train": TrainingInputs,
    "compare": EvaluationInputs,
    "predict": PredictionInputs,
    "export": ModelExportInputs,
    "download": DownloadInputs,
}
