"""Turn a spec into a job: its title, its units with their seeds, the jobs it needs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import zip_longest

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Concept, ImageRecord, Part
from dafusion_core.domain.specs import (
    AnySpec,
    ErasureSpec,
    EvaluationSpec,
    GenerationPlan,
    InversionSpec,
    TrainingSpec,
    derive_seed,
)
from dafusion_core.storage.concepts import all_concepts
from dafusion_core.storage.database import Database
from dafusion_core.storage.images import find_images
from dafusion_core.storage.jobs import NewUnit, add_job, get_job


def enqueue(db: Database, spec: AnySpec, *, priority: int = 0) -> int:
    """Add the job of a spec to the queue and return its id.

    Raises UserError if a job it refers to is not there or of the wrong kind, or if it would
    have nothing to do.
    """
    match spec:
        case ErasureSpec():
            names = ", ".join(spec.concepts)
            title = f"Erase {names} ({spec.method.upper()})"
            kind, units, needs = "erase", [NewUnit("model", spec.seed)], {}
        case InversionSpec():
            concepts = all_concepts(db)
            title = f"Learn {_count(len(concepts), 'class', 'classes')} from pictures"
            units = [
                NewUnit(str(c.id), derive_seed(spec.seed, "invert", c.name), {"concept_id": c.id})
                for c in concepts
            ]
            kind, needs = "invert", {"erase": spec.erasure_job}
        case GenerationPlan():
            images = find_images(db, split_id=spec.split_id, part=Part.TRAIN)
            units = generation_units(spec, images, all_concepts(db))
            title = f"Generate {_count(len(units), 'image', 'images')}"
            kind = "generate"
            needs = {"erase": spec.erasure_job, "invert": spec.inversion_job}
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
            title = f"Train {spec.backbone}, {_count(len(units), 'run', 'runs')}"
            kind, needs = "train", {}
            for arm in spec.arms:
                _require(db, arm.generation_job, "generate")
        case EvaluationSpec():
            kind, units, needs = "compare", [NewUnit("verdict", spec.seed)], {}
            title = f"Compare with “{spec.baseline}”"
            _require(db, spec.training_job, "train")
    for needed_kind, job_id in needs.items():
        _require(db, job_id, needed_kind)
    return add_job(db, kind, title, spec, units, needs=_needs(spec), priority=priority)


def _needs(spec: AnySpec) -> list[int]:
    match spec:
        case InversionSpec():
            needs = [spec.erasure_job]
        case GenerationPlan():
            needs = [spec.erasure_job, spec.inversion_job]
        case TrainingSpec():
            needs = [arm.generation_job for arm in spec.arms]
        case EvaluationSpec():
            needs = [spec.training_job]
        case _:
            needs = []
    return [job_id for job_id in needs if job_id is not None]


def _require(db: Database, job_id: int | None, kind: str) -> None:
    if job_id is not None and get_job(db, job_id).kind != kind:
        raise UserError(
            f"Job {job_id} is not of kind “{kind}”.", "“dafusion jobs” lists ids and kinds."
        )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def generation_units(
    plan: GenerationPlan, images: Sequence[ImageRecord], concepts: Sequence[Concept]
) -> list[NewUnit]:
    """Every synthetic image of a plan, in the order they are made.

    `payload["batch"]` says which are computed together. Batches are fixed here, once, because
    the last digits of a picture can depend on what else is in its batch: a resumed run computes
    the same batches and so the same pixels. All of a batch have one t0 (they take the same
    number of steps); batches of different t0 alternate, so that every column of the grid fills
    from the start.
    """
    concept_of = {concept.label_id: concept.id for concept in concepts}
    by_t0: dict[float, list[NewUnit]] = {}
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
                by_t0.setdefault(t0, []).append(unit)
    size = plan.batch_size
    columns = [
        [units[start : start + size] for start in range(0, len(units), size)]
        for _t0, units in sorted(by_t0.items())
    ]
    ordered: list[NewUnit] = []
    batch = 0
    for row in zip_longest(*columns):
        for units in row:
            if units is None:
                continue
            for unit in units:
                unit.payload["batch"] = batch
            ordered.extend(units)
            batch += 1
    return ordered


def _draw_t0(plan: GenerationPlan, image: ImageRecord, variant: int) -> Sequence[float]:
    if plan.draw == "each":
        return plan.t0_set
    # Paper §1.5: t0 uniform over the set, independently for each synthetic image.
    seed = derive_seed(plan.seed, "t0", image.sha256, variant)
    return (random.Random(seed).choice(plan.t0_set),)
