"""Turn what a spec names (splits, jobs) into the files and rows a method reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dafusion_core.domain.errors import LeakError, UserError
from dafusion_core.domain.inputs import (
    AnyInputs,
    CheckInputs,
    ConceptInput,
    DownloadInputs,
    EmbeddingInput,
    ErasureInputs,
    EvaluationInputs,
    FileInput,
    GenerationInputs,
    ImageInput,
    InversionInputs,
    ModelExportInputs,
    PredictionInputs,
    RegionInput,
    RunInput,
    SyntheticInput,
    TrainingInputs,
)
from dafusion_core.domain.records import Curation, ImageRecord, Part
from dafusion_core.domain.specs import (
    Arm,
    CheckSpec,
    ErasureSpec,
    EvaluationSpec,
    GenerationPlan,
    InversionSpec,
    ModelExportSpec,
    PredictionSpec,
    PreviewSpec,
    TrainingSpec,
)
from dafusion_core.language import _
from dafusion_core.storage.annotation import find_regions
from dafusion_core.storage.concepts import (
    all_concepts,
    concept_labels,
    erased_models,
    inversion_files,
    token_embeddings,
)
from dafusion_core.storage.database import Database
from dafusion_core.storage.images import all_labels, find_images
from dafusion_core.storage.jobs import get_job
from dafusion_core.storage.results import get_run, training_runs
from dafusion_core.storage.splits import parts_of
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
    """The model of an erasure that made one for all concepts."""
    if job_id is None or _erases_one_by_one(db, job_id):
        return None
    models = erased_models(db, job_id)
    if not models:
        raise UserError(
            _("Job {job_id} left no erased model.").format(job_id=job_id),
            _("Run that erasure again."),
        )
    return FileInput(path=models[-1].path, sha256=models[-1].sha256)


def _erases_one_by_one(db: Database, job_id: int) -> bool:
    return bool(get_job(db, job_id).spec.get("per_concept"))


def _erasures(
    db: Database, job_id: int | None, concepts: dict[str, ConceptInput]
) -> dict[str, FileInput]:
    """{concept id: its model} of an erasure that made one per concept.

    Raises UserError naming the concepts that have none.
    """
    if job_id is None or not _erases_one_by_one(db, job_id):
        return {}
    by_name = {
        model.concepts[0]: FileInput(path=model.path, sha256=model.sha256)
        for model in erased_models(db, job_id)
    }
    missing = [c.name for c in concepts.values() if c.images and c.name not in by_name]
    if missing:
        raise UserError(
            _("Job {job_id} made one model per concept, but none without {missing}.").format(
                job_id=job_id, missing=", ".join(missing)
            ),
            _("Erase these classes too, by the names they have in the project."),
        )
    return {key: by_name[c.name] for key, c in concepts.items() if c.name in by_name}


def _left_files(db: Database, job_id: int | None, role: str) -> dict[str, FileInput]:
    if job_id is None:
        return {}
    found = inversion_files(db, job_id, role)
    return {str(key): FileInput(path=path, sha256=digest) for key, (path, digest) in found.items()}


def bind_erasure(db: Database, spec: ErasureSpec) -> ErasureInputs:
    """Nothing to bind."""
    return ErasureInputs()


def bind_inversion(db: Database, spec: InversionSpec) -> InversionInputs:
    """Each concept with the training images of the split.

    Raises UserError if one has none, or a job or file to build on does not fit.
    """
    concepts = _concepts(db, spec.split_id)
    empty = [concept.name for concept in concepts.values() if not concept.images]
    if empty:
        raise UserError(
            _("These classes have no training image in the split: {empty}.").format(
                empty=", ".join(empty)
            ),
            _("Add images or make another split."),
        )
    return InversionInputs(
        concepts=concepts,
        erasure=_erasure(db, spec.erasure_job),
        erasures=_erasures(db, spec.erasure_job, concepts),
        states=_left_files(db, spec.extend_job, "state"),
        imported=_imported(spec, concepts),
    )


def _imported(spec: InversionSpec, concepts: dict[str, ConceptInput]) -> dict[str, FileInput]:
    keys = {concept.name: key for key, concept in concepts.items()}
    unknown = [item.concept for item in spec.imported if item.concept not in keys]
    if unknown:
        raise UserError(
            _("There is no class “{unknown}” to import an embedding for.").format(
                unknown=unknown[0]
            ),
            _("Classes: {keys}.").format(keys=", ".join(keys)),
        )
    return {keys[item.concept]: FileInput(item.path, item.sha256) for item in spec.imported}


def bind_generation(db: Database, spec: GenerationPlan) -> GenerationInputs:
    """Sources are training images only. Raises UserError naming concepts without embedding."""
    concepts = _concepts(db, spec.split_id)
    embeddings: dict[str, EmbeddingInput] = {}
    _check_learned(db, spec.inversion_job, spec.split_id)
    if spec.inversion_job is not None:
        for found in token_embeddings(db, spec.inversion_job):
            embeddings[str(found.concept_id)] = EmbeddingInput(
                placeholder=found.placeholder, path=found.path, sha256=found.sha256
            )
        missing = [c.name for key, c in concepts.items() if key not in embeddings and c.images]
        if missing:
            raise UserError(
                _("No token embedding was learned for: {missing}.").format(
                    missing=", ".join(missing)
                ),
                _(
                    "Retry the inversion first; without it the base "
                    "model would draw something else."
                ),
            )
    sources = {str(image.id): image for c in concepts.values() for image in c.images}
    return GenerationInputs(
        sources=sources,
        concepts=concepts,
        embeddings=embeddings,
        erasure=_erasure(db, spec.erasure_job),
        erasures=_erasures(db, spec.erasure_job, concepts),
        adapters=_left_files(db, spec.inversion_job, "lora"),
        regions=_regions(db, sources) if spec.mask != "none" else {},
    )


def bind_preview(db: Database, spec: PreviewSpec) -> GenerationInputs:
    """What the generation would be given, for one source. Raises UserError when it is none."""
    whole = bind_generation(db, spec.plan)
    key = str(spec.image_id)
    if key not in whole.sources:
        raise UserError(
            _("Image {image_id} is not a training image of this split.").format(
                image_id=spec.image_id
            ),
            _("Synthetic images are made from training images only: choose one of those."),
        )
    return replace(
        whole,
        sources={key: whole.sources[key]},
        concepts={k: replace(concept, images=()) for k, concept in whole.concepts.items()},
        regions={k: found for k, found in whole.regions.items() if k == key},
    )


def _check_learned(db: Database, inversion_job: int | None, split_id: int) -> None:
    """Raise LeakError when an inversion learned from images that this split holds out.

    The split may have changed, or be another one, since the words were learned.
    """
    inputs = get_job(db, inversion_job).inputs if inversion_job is not None else None
    learned = {
        image["id"]
        for concept in (inputs or {}).get("concepts", {}).values()
        for image in concept.get("images", ())
    }
    parts = parts_of(db, split_id)
    held = sorted(i for i in learned if parts.get(i) in (Part.TEST, Part.VALIDATION))
    if held:
        raise LeakError(
            _(
                "Job {inversion_job} learned its words from {number} images that are now held "
                "out for validation or testing (such as image {held})."
            ).format(inversion_job=inversion_job, number=len(held), held=held[0]),
            _("Learn the words again with the current split."),
        )


def _regions(db: Database, sources: dict[str, ImageInput]) -> dict[str, tuple[RegionInput, ...]]:
    """What is marked on the sources. Raises UserError when that is nothing at all."""
    found: dict[str, tuple[RegionInput, ...]] = {}
    for region in find_regions(db, [image.id for image in sources.values()]):
        key = str(region.image_id)
        found[key] = (*found.get(key, ()), RegionInput(region.kind.value, dict(region.data)))
    if not found:
        raise UserError(
            _("No training image has a region, so there is nothing to keep or to edit alone."),
            _("Draw regions or import masks, or generate without a mask."),
        )
    return found


def bind_check(db: Database, spec: CheckSpec) -> CheckInputs:
    """The synthetic images of the generation and the real ones of its split."""
    plan = get_job(db, spec.generation_job).spec
    ordinals = {concept.id: concept.label_id for concept in all_concepts(db)}
    labels = all_labels(db)
    places = {label.id: place for place, label in enumerate(labels)}
    made = get_synthetic(db, find_synthetic_ids(db, job_id=spec.generation_job))
    parts = {
        part: tuple(i for group in _images(db, plan["split_id"], part).values() for i in group)
        for part in (Part.TRAIN, Part.VALIDATION, Part.TEST)
    }
    return CheckInputs(
        labels=tuple(label.name for label in labels),
        synthetics={
            str(image.unit_id): SyntheticInput(
                id=image.id,
                path=image.path,
                source_image_id=image.source_image_id,
                label=places[ordinals[image.concept_id]],
            )
            for image in made
            if ordinals.get(image.concept_id) in places
        },
        train=parts[Part.TRAIN],
        test=parts[Part.VALIDATION] + parts[Part.TEST],
    )


def _synthetics(db: Database, arm: Arm, use_undecided: bool) -> dict[str, tuple[str, ...]]:
    """Source image id → paths that the arm may train on. Raises UserError if there are none."""
    allowed = {Curation.KEPT}
    if use_undecided and not arm.only_kept:
        allowed.add(Curation.UNDECIDED)
    # A picture made as one class must not train another: its source was relabelled since.
    made_as, is_now = concept_labels(db), {i.id: i.label for i in find_images(db)}
    by_source: dict[str, tuple[str, ...]] = {}
    for image in get_synthetic(db, find_synthetic_ids(db, job_id=arm.generation_job)):
        is_asked = (not arm.t0_set or image.t0 in arm.t0_set) and (
            arm.variants is None or image.variant < arm.variants
        )
        is_same = made_as.get(image.concept_id) == is_now.get(image.source_image_id)
        if is_asked and is_same and image.curation in allowed:
            key = str(image.source_image_id)
            by_source[key] = (*by_source.get(key, ()), image.path)
    if not by_source:
        raise UserError(
            _("Arm “{name}” has no synthetic image to train on: none is kept.").format(
                name=arm.name
            ),
            _("Keep some in curation, or allow undecided ones."),
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
            learned_by = get_job(db, arm.generation_job).spec.get("inversion_job")
            _check_learned(db, learned_by, spec.split_id)
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
        # Classes may have been renamed or reordered since: the runs keep to their own.
        labels=tuple((get_job(db, spec.training_job).inputs or {}).get("labels") or ())
        or tuple(label.name for label in all_labels(db)),
        runs=tuple(
            RunInput(
                arm=run.arm,
                seed=run.seed,
                image_ids=tuple(run.record["test"]["image_ids"]),
                truth=tuple(run.record["test"]["truth"]),
                probabilities=tuple(tuple(row) for row in run.record["test"]["probabilities"]),
                best_epoch_accuracy=run.record["test_accuracy_best_epoch"],
                epoch_accuracies=tuple(
                    row["test_accuracy"] for row in run.record["epochs"] if "test_accuracy" in row
                ),
                stopped_at=run.record.get("stopped_at"),
            )
            for run in runs
        ),
    )


def bind_prediction(db: Database, spec: PredictionSpec) -> PredictionInputs:
    """The run's weights."""
    run = get_run(db, spec.run_id)
    return PredictionInputs(weights=FileInput(path=run.path, sha256=run.sha256))


def bind_export(db: Database, spec: ModelExportSpec) -> ModelExportInputs:
    """The run's weights and the test images of the split it was trained on."""
    run = get_run(db, spec.run_id)
    split_id = int(get_job(db, run.job_id).spec["split_id"])
    test = tuple(i for group in _images(db, split_id, Part.TEST).values() for i in group)
    return ModelExportInputs(weights=FileInput(path=run.path, sha256=run.sha256), test=test)


BINDERS: dict[str, Callable[[Database, Any], AnyInputs]] = {
    "erase": bind_erasure,
    "invert": bind_inversion,
    "generate": bind_generation,
    "preview": bind_preview,
    "check": bind_check,
    "train": bind_training,
    "compare": bind_evaluation,
    "predict": bind_prediction,
    "export": bind_export,
    "download": lambda _db, _spec: DownloadInputs(),
}
