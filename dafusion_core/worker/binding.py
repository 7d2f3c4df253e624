"""Turn what a spec names (splits, jobs) into the files and rows a method reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.inputs import (
    AnyInputs,
    ConceptInput,
    EmbeddingInput,
    ErasureInputs,
    EvaluationInputs,
    FileInput,
    GenerationInputs,
    ImageInput,
    InversionInputs,
    RunInput,
    TrainingInputs,
)
from dafusion_core.domain.records import Curation, ImageRecord, Part
from dafusion_core.domain.specs import (
    Arm,
    ErasureSpec,
    EvaluationSpec,
    GenerationPlan,
    InversionSpec,
    TrainingSpec,
)
from dafusion_core.storage.concepts import all_concepts, erased_models, token_embeddings
from dafusion_core.storage.database import Database
from dafusion_core.storage.images import all_labels, find_images
from dafusion_core.storage.results import training_runs
from dafusion_core.storage.synthetic import find_synthetic_ids, get_synthetic


def _images(db: Database, split_id: int, part: Part) -> dict[int, list[ImageInput]]:
    """Label id → images of that part, labels as indices into model outputs."""
    ordinals = {label.id: label.ordinal for label in all_labels(db)}
    found: dict[int, list[ImageInput]] = {}
    for image in find_images(db, split_id=split_id, part=part):
        found.setdefault(image.label_id, []).append(_image(image, ordinals[image.label_id]))
    return found


def _image(image: ImageRecord, label: int) -> ImageInput:
    return ImageInput(id=image.id, path=image.path, sha256=image.sha256, label=label)


def _concepts(db: Database, split_id: int) -> dict[str, ConceptInput]:
    images = _images(db, split_id, Part.TRAIN)
    return {
        str(concept.id): ConceptInput(
            id=concept.id,
            name=concept.name,
            placeholder=concept.placeholder,
            initialiser=concept.initialiser,
            images=tuple(images.get(concept.label_id, ())),
        )
        for concept in all_concepts(db)
    }


def _erasure(db: Database, job_id: int | None) -> FileInput | None:
    if job_id is None:
        return None
    models = erased_models(db, job_id)
    if not models:
        raise UserError(f"Job {job_id} left no erased model.", "Run that erasure again.")
    return FileInput(path=models[-1].path, sha256=models[-1].sha256)


def bind_erasure(db: Database, spec: ErasureSpec) -> ErasureInputs:
    """Nothing to bind."""
    return ErasureInputs()


def bind_inversion(db: Database, spec: InversionSpec) -> InversionInputs:
    """Each concept with the training images of the split. Raises UserError if one has none."""
    concepts = _concepts(db, spec.split_id)
    empty = [concept.name for concept in concepts.values() if not concept.images]
    if empty:
        raise UserError(
            f"These classes have no training image in the split: {', '.join(empty)}.",
            "Add images or make another split.",
        )
    return InversionInputs(concepts=concepts, erasure=_erasure(db, spec.erasure_job))


def bind_generation(db: Database, spec: GenerationPlan) -> GenerationInputs:
    """Sources are training images only. Raises UserError naming concepts without embedding."""
    concepts = _concepts(db, spec.split_id)
    embeddings: dict[str, EmbeddingInput] = {}
    if spec.inversion_job is not None:
        for found in token_embeddings(db, spec.inversion_job):
            embeddings[str(found.concept_id)] = EmbeddingInput(
                placeholder=found.placeholder, path=found.path, sha256=found.sha256
            )
        missing = [c.name for key, c in concepts.items() if key not in embeddings and c.images]
        if missing:
            raise UserError(
                f"No token embedding was learned for: {', '.join(missing)}.",
                "Retry the inversion first; without it the base model would draw something else.",
            )
    sources = {str(image.id): image for c in concepts.values() for image in c.images}
    return GenerationInputs(
        sources=sources,
        concepts=concepts,
        embeddings=embeddings,
        erasure=_erasure(db, spec.erasure_job),
    )


def _synthetics(db: Database, arm: Arm, use_undecided: bool) -> dict[str, tuple[str, ...]]:
    """Source image id → paths that the arm may train on. Raises UserError if there are none."""
    allowed = {Curation.KEPT}
    if use_undecided and not arm.only_kept:
        allowed.add(Curation.UNDECIDED)
    by_source: dict[str, tuple[str, ...]] = {}
    for image in get_synthetic(db, find_synthetic_ids(db, job_id=arm.generation_job)):
        is_asked = (not arm.t0_set or image.t0 in arm.t0_set) and (
            arm.variants is None or image.variant < arm.variants
        )
        if is_asked and image.curation in allowed:
            key = str(image.source_image_id)
            by_source[key] = (*by_source.get(key, ()), image.path)
    if not by_source:
        raise UserError(
            f"Arm “{arm.name}” has no synthetic image to train on: none is kept.",
            "Keep some in curation, or allow undecided ones.",
        )
    return by_source


def bind_training(db: Database, spec: TrainingSpec) -> TrainingInputs:
    """Parts of the split and, per arm, the synthetic images that curation lets through."""
    parts = {
        part: tuple(i for group in _images(db, spec.split_id, part).values() for i in group)
        for part in (Part.TRAIN, Part.VALIDATION, Part.TEST)
    }
    synthetics: dict[str, dict[str, tuple[str, ...]]] = {}
    for arm in spec.arms:
        if arm.generation_job is not None:
            synthetics[arm.name] = _synthetics(db, arm, spec.use_undecided)
    return TrainingInputs(
        labels=tuple(label.name for label in all_labels(db)),
        train=parts[Part.TRAIN],
        validation=parts[Part.VALIDATION],
        test=parts[Part.TEST],
        synthetics=synthetics,
    )


def bind_evaluation(db: Database, spec: EvaluationSpec) -> EvaluationInputs:
    """The stored test predictions of every run of the training job."""
    runs = training_runs(db, spec.training_job)
    return EvaluationInputs(
        labels=tuple(label.name for label in all_labels(db)),
        runs=tuple(
            RunInput(
                arm=run.arm,
                seed=run.seed,
                image_ids=tuple(run.record["test"]["image_ids"]),
                truth=tuple(run.record["test"]["truth"]),
                probabilities=tuple(tuple(row) for row in run.record["test"]["probabilities"]),
                best_epoch_accuracy=run.record["test_accuracy_best_epoch"],
            )
            for run in runs
        ),
    )


BINDERS: dict[str, Callable[[Database, Any], AnyInputs]] = {
    "erase": bind_erasure,
    "invert": bind_inversion,
    "generate": bind_generation,
    "train": bind_training,
    "compare": bind_evaluation,
}
