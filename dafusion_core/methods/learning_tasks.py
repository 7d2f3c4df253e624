"""Where learning a concept begins: anew, where an attempt was stopped, or where a job ended."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.inputs import ConceptInput, FileInput, InversionInputs
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import InversionSpec, canonical_json
from dafusion_core.engine.learning_state import LearningState, read_state
from dafusion_core.engine.models import DiffusionModel
from dafusion_core.jobs.context import JobContext
from dafusion_core.language import _

__all__ = ["Task", "first_words", "kept_path", "make_task"]

_SAME_TO_EXTEND = ("base_hash", "erasure", "placeholder", "vectors", "adaptation", "lora_rank")


@dataclass(frozen=True, slots=True)
class Task:
    """A concept to learn, and where it goes on from."""

    unit: JobUnit
    concept: ConceptInput
    erasure: FileInput | None
    identity: str
    begins: LearningState | None

    @property
    def step(self) -> int:
        """Steps that are done already."""
        return self.begins.step if self.begins else 0

    @property
    def alike(self) -> tuple[str, int]:
        """What concepts must have in common to share steps."""
        return (self.erasure.path if self.erasure else "", self.step)


def make_task(
    spec: InversionSpec,
    inputs: InversionInputs,
    unit: JobUnit,
    model: DiffusionModel,
    ctx: JobContext,
) -> Task:
    """The task of a unit. Raises UserError when it cannot go on from what the spec names."""
    key = str(unit.payload["concept_id"])
    concept = inputs.concepts[key]
    erasure = inputs.erasures.get(key, inputs.erasure)
    identity = canonical_json(
        {
            "base_hash": model.base_hash,
            "erasure": erasure.sha256 if erasure else "",
            "placeholder": concept.placeholder,
            "initialiser": first_words(spec, concept),
            "images": [image.sha256 for image in concept.images],
            "vectors": spec.vectors,
            "batch_size": spec.batch_size,
            "learning_rate": spec.learning_rate,
            "weight_decay": spec.weight_decay,
            "flip": spec.flip,
            "resolution": spec.resolution,
            "adaptation": spec.adaptation,
            "lora_rank": spec.lora_rank if spec.has_adapter else 0,
            "lora_learning_rate": spec.lora_learning_rate if spec.has_adapter else 0,
            "precision": spec.precision,
            "seed": unit.seed,
        }
    )
    begins = _kept(ctx, unit, identity)
    if begins is None and key in inputs.states:
        begins = _extended(spec, concept, ctx.resolve(inputs.states[key].path), identity)
    elif begins is None and spec.extend_job is not None:
        raise UserError(
            _("Job {extend_job} left no state to go on from for {name}.").format(
                extend_job=spec.extend_job, name=concept.name
            ),
            _("Learn the concept from the beginning."),
        )
    return Task(unit, concept, erasure, identity, begins)


def first_words(spec: InversionSpec, concept: ConceptInput) -> str:
    """What the vectors start from."""
    words = spec.initialiser or concept.initialiser
    return words.replace("{concept}", concept.name.replace("_", " "))


def kept_path(ctx: JobContext, unit: JobUnit) -> Path:
    """Where an attempt leaves the state of a unit."""
    return ctx.kept / f"unit-{unit.id}.safetensors"


def _kept(ctx: JobContext, unit: JobUnit, identity: str) -> LearningState | None:
    """Where an earlier attempt of this unit was stopped."""
    path = kept_path(ctx, unit)
    if not path.is_file():
        return None
    try:
        state = read_state(path)
    except UserError as error:
        ctx.log(_("{text} Beginning anew.").format(text=error.text), "warning")
        return None
    if state.identity != identity:
        return None
    ctx.log(_("Going on after step {step}.").format(step=state.step))
    return state


def _extended(
    spec: InversionSpec, concept: ConceptInput, path: Path, identity: str
) -> LearningState:
    """Where the finished inversion ended that this one goes on from. Raises UserError."""
    state = read_state(path)
    was, wanted = json.loads(state.identity), json.loads(identity)
    different = [key for key in _SAME_TO_EXTEND if was.get(key) != wanted[key]]
    if different:
        raise UserError(
            _("{name} cannot go on from job {extend_job}: it differs in {different}.").format(
                name=concept.name, extend_job=spec.extend_job, different=", ".join(different)
            ),
            _("Use the same settings and model, or learn from the beginning."),
        )
    if state.step >= spec.steps:
        raise UserError(
            _("{name} was learned for {step} steps already.").format(
                name=concept.name, step=state.step
            ),
            _("Ask for more than {step} steps; the number is the total.").format(step=state.step),
        )
    return state
