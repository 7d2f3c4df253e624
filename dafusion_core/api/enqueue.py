"""Turn a spec into a job: its title, its units with their seeds, the jobs it needs."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Concept, ImageRecord, Part
from dafusion_core.domain.specs import (
    AnySpec,
    CheckSpec,
    DownloadSpec,
    ErasureSpec,
    EvaluationSpec,
    GenerationPlan,
    InversionSpec,
    ModelExportSpec,
    PredictionSpec,
    PreviewSpec,
    TrainingSpec,
    derive_seed,
)
from dafusion_core.evaluation.wording import arm_title
from dafusion_core.language import _, count, ngettext
from dafusion_core.storage.concepts import all_concepts
from dafusion_core.storage.database import Database
from dafusion_core.storage.images import find_images
from dafusion_core.storage.jobs import NewUnit, add_job, get_job, get_units
from dafusion_core.storage.results import get_run

_CHECKED = 64  # synthetic images per unit of a check


def enqueue(db: Database, spec: AnySpec, *, priority: int = 0) -> int:
    """Add the job of a spec to the queue and return its id.

    Raises UserError if a job it refers to is not there or of the wrong kind, or if it would
    have nothing to do.
    """
    match spec:
        case ErasureSpec():
            names = ", ".join(spec.concepts)
            each = _(", one model each") if spec.per_concept else ""
            title = _("Erase {names} ({method}{each})").format(
                names=names, method=spec.method.upper(), each=each
            )
            kind, units, needs = "erase", [NewUnit("model", spec.seed)], {}
            if spec.per_concept:
                units = [
                    NewUnit(name, derive_seed(spec.seed, "erase", name), {"concept": name})
                    for name in spec.concepts
                ]
        case InversionSpec():
            concepts = all_concepts(db)
            title = count(
                len(concepts), "Learn {n} class from pictures", "Learn {n} classes from pictures"
            )
            units = [
                NewUnit(str(c.id), derive_seed(spec.seed, "invert", c.name), {"concept_id": c.id})
                for c in concepts
            ]
            kind, needs = "invert", {"erase": spec.erasure_job, "invert": spec.extend_job}
        case GenerationPlan():
            images = find_images(db, split_id=spec.split_id, part=Part.TRAIN)
            units = generation_units(
                spec, images, all_concepts(db), by_concept=_has_weights_per_concept(db, spec)
            )
            title = count(len(units), "Generate {n} image", "Generate {n} images")
            kind = "generate"
            needs = {"erase": spec.erasure_job, "invert": spec.inversion_job}
        case PreviewSpec():
            kind, title, units = "preview", *_preview(db, spec)
            needs = {"erase": spec.plan.erasure_job, "invert": spec.plan.inversion_job}
        case CheckSpec():
            made = [unit.id for unit in get_units(db, spec.generation_job)]
            units = [
                NewUnit(
                    str(start // _CHECKED), spec.seed, {"units": made[start : start + _CHECKED]}
                )
                for start in range(0, len(made), _CHECKED)
            ]
            title = count(len(made), "Check {n} image", "Check {n} images")
            kind, needs = "check", {"generate": spec.generation_job}
        case TrainingSpec():
            units = [
                NewUnit(
                    f"{arm.name}/{seed}",
                    derive_seed("train", seed),
                    {"arm": arm.name, "seed": seed},
                )
                for seed in spec.seeds
                for arm in spec.arms
            ]
            title = ngettext(
                "Train {network}, {n} run", "Train {network}, {n} runs", len(units)
            ).format(network=spec.backbone, n=len(units))
            kind, needs = "train", {}
            for arm in spec.arms:
                _require(db, arm.generation_job, "generate")
        case EvaluationSpec():
            kind, units, needs = "compare", [NewUnit("verdict", spec.seed)], {}
            title = _("Compare with “{baseline}”").format(baseline=arm_title(spec.baseline))
            _require(db, spec.training_job, "train")
        case PredictionSpec():
            kind, units, needs = "predict", [NewUnit("table", 0)], {}
            title = count(len(spec.paths), "Look at {n} picture", "Look at {n} pictures")
            get_run(db, spec.run_id)
        case ModelExportSpec():
            units = [NewUnit(form, 0, {"format": form}) for form in spec.formats]
            run = get_run(db, spec.run_id)
            kind, needs = "export", {}
            title = _("Export the classifier “{arm}”, seed {seed}").format(
                arm=arm_title(run.arm), seed=run.seed
            )
        case DownloadSpec():
            kind, units, needs = "download", [NewUnit("model", 0)], {}
            title = _("Download {model}").format(model=spec.model.location)
    for needed_kind, job_id in needs.items():
        _require(db, job_id, needed_kind)
    return add_job(db, kind, title, spec, units, needs=_needs(spec), priority=priority)


def _needs(spec: AnySpec) -> list[int]:
    match spec:
        case InversionSpec():
            needs = [spec.erasure_job, spec.extend_job]
        case CheckSpec():
            needs = [spec.generation_job]
        case GenerationPlan():
            needs = [spec.erasure_job, spec.inversion_job]
        case PreviewSpec():
            needs = [spec.plan.erasure_job, spec.plan.inversion_job]
        case TrainingSpec():
            needs = [arm.generation_job for arm in spec.arms]
        case EvaluationSpec():
            needs = [spec.training_job]
        case _:
            needs = []
    return [job_id for job_id in needs if job_id is not None]


def _preview(db: Database, spec: PreviewSpec) -> tuple[str, list[NewUnit]]:
    """Title and units of a preview: variant 0 of every t0, with the seeds of the generation."""
    images = find_images(db, split_id=spec.plan.split_id, part=Part.TRAIN, ids=[spec.image_id])
    if not images:
        raise UserError(
            _("Image {image_id} is not a training image of this split.").format(
                image_id=spec.image_id
            ),
            _("Synthetic images are made from training images only: choose one of those."),
        )
    plan = replace(spec.plan, draw="each", variants=1)
    units = generation_units(plan, images, all_concepts(db))
    distances = count(len(units), "{n} distance", "{n} distances")
    return _("Preview of “{name}” at {distances}").format(
        name=Path(images[0].original_path).name, distances=distances
    ), units


def _require(db: Database, job_id: int | None, kind: str) -> None:
    if job_id is not None and get_job(db, job_id).kind != kind:
        raise UserError(
            _("Job {job_id} is not of kind “{kind}”.").format(job_id=job_id, kind=kind),
            _("“dafusion jobs” lists ids and kinds."),
        )


def _has_weights_per_concept(db: Database, plan: GenerationPlan) -> bool:
    """True when each concept is drawn with weights of its own: batches must not mix concepts."""
    if plan.erasure_job is not None and get_job(db, plan.erasure_job).spec.get("per_concept"):
        return True
    if plan.inversion_job is None:
        return False
    return bool(get_job(db, plan.inversion_job).spec.get("adaptation", "embedding") != "embedding")


def generation_units(
    plan: GenerationPlan,
    images: Sequence[ImageRecord],
    concepts: Sequence[Concept],
    *,
    by_concept: bool = False,
) -> list[NewUnit]:
    """Every synthetic image of a plan, in the order they are made.

    `payload["batch"]` says which are computed together. Batches are fixed here, once, because
    the last digits of a picture can depend on what else is in its batch: a resumed run computes
    the same batches and so the same pixels. All of a batch have one t0 (they take the same
    number of steps); batches of different t0 alternate, so that every column of the grid fills
    from the start. `by_concept`: all of a batch also have one concept, and concepts follow each
    other, because changing the network's weights takes time.
    """
    concept_of = {concept.label_id: concept.id for concept in concepts}
    alike: dict[int, dict[float, list[NewUnit]]] = {}
    for variant in range(plan.variants):
        for image in images:
            for t0 in _draw_t0(plan, image, variant):
                unit = NewUnit(
                    key=f"{image.id}/{variant}/{t0:g}",
                    seed=derive_seed(plan.seed, image.sha256, variant, f"{t0:g}"),
                    payload={
                        "source_image_id": image.id,
                        "concept_id": concept_of[image.label_id],
                        "t0": t0,
                        "variant": variant,
                    },
                )
                together = concept_of[image.label_id] if by_concept else 0
                alike.setdefault(together, {}).setdefault(t0, []).append(unit)
    ordered: list[NewUnit] = []
    batch = 0
    for by_t0 in alike.values():
        for units in _alternating([by_t0[t0] for t0 in sorted(by_t0)], plan.batch_size):
            for unit in units:
                unit.payload["batch"] = batch
            ordered.extend(units)
            batch += 1
    return ordered


def _alternating(columns: Sequence[list[NewUnit]], size: int) -> Iterator[list[NewUnit]]:
    """Batches of at most `size` of each column in turn."""
    batches = [
        [units[start : start + size] for start in range(0, len(units), size)] for units in columns
    ]
    for row in zip_longest(*batches):
        yield from (units for units in row if units is not None)


def _draw_t0(plan: GenerationPlan, image: ImageRecord, variant: int) -> Sequence[float]:
    if plan.draw == "each":
        return plan.t0_set
    # Paper §1.5: t0 uniform over the set, independently for each synthetic image.
    seed = derive_seed(plan.seed, "t0", image.sha256, variant)
    return (random.Random(seed).choice(plan.t0_set),)
