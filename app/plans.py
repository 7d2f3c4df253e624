"""What the buttons of the steps queue, from a few choices. No Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from app.steps import Facts, Step, StepState, StepStatus, has_unfinished, newest
from app.verbs import MainVerb
from dafusion_core.api.chain import (
    BASELINE,
    ChainOptions,
    erasure_spec,
    inversion_spec,
    training_spec,
)
from dafusion_core.api.measuring import foreign_embeddings
from dafusion_core.api.previews import preview
from dafusion_core.api.project import Project
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Job, JobState, Split
from dafusion_core.domain.specs import (
    Aspect,
    GenerationPlan,
    Masking,
    Memory,
    ModelSource,
    Scheduler,
)
from dafusion_core.language import _

DEFAULTS = ChainOptions()


def main_verb(facts: Facts, states: Mapping[Step, StepStatus], is_queue_running: bool) -> MainVerb:
    """What there is to do next."""
    if is_queue_running and has_unfinished(facts.jobs):
        return MainVerb.WORKING
    if stopped_jobs(facts.jobs):
        return MainVerb.RESUME
    if all(newest(facts.jobs, kind) is None for kind in ("invert", "generate", "train")):
        return MainVerb.EVERYTHING
    made = (Step.CONCEPTS, Step.GENERATE, Step.TRAIN, Step.REPORT)
    if all(states[step].state is StepState.DONE for step in made):
        return MainVerb.NOTHING
    return MainVerb.CATCH_UP


def stopped_jobs(jobs: Sequence[Job]) -> list[Job]:
    """The newest of each kind that could go on: interrupted, failed, paused, never started."""
    found = [newest(jobs, kind) for kind in ("erase", "invert", "generate", "train", "compare")]
    resumable = (JobState.INTERRUPTED, JobState.FAILED, JobState.QUEUED)
    return [job for job in found if job is not None and job.state in resumable]


def queue_missing(project: Project, states: Mapping[Step, StepStatus]) -> None:
    """Queue the first step that is not done and all after it."""
    if states[Step.CONCEPTS].state is not StepState.DONE:
        project.plan_chain(DEFAULTS)
        return
    if states[Step.GENERATE].state is not StepState.DONE:
        queue_generation(project, GenerateChoices())
    queue_training(project, TrainChoices())


@dataclass(frozen=True, slots=True)
class GenerateChoices:
    """The generation form. `is_every`: each t0 for each photo, otherwise one drawn per variant."""

    t0_set: tuple[float, ...] = DEFAULTS.t0_set
    is_every: bool = True
    variants: int = DEFAULTS.variants
    guidance: float = DEFAULTS.guidance
    steps: int = DEFAULTS.generation_steps
    prompt: str = "a photo of a {concept}"
    negative: str = ""
    seed: int = DEFAULTS.seed
    scheduler: Scheduler = "pndm"
    resolution: int | None = None  # None: the model's own
    aspect: Aspect = "stretch"
    mask: Masking = "none"
    mask_dilation: int = 16
    memory: Memory = "normal"
    compile: bool = False
    is_named: bool = False  # the class names in the prompt, nothing learned (Real Guidance)

    def pictures(self, photos: int) -> int:
        """How many synthetic images this makes of that many training photos."""
        return photos * self.variants * (len(self.t0_set) if self.is_every else 1)


@dataclass(frozen=True, slots=True)
class TrainChoices:
    """The training form. `alpha`: how often a real image is replaced by a synthetic one."""

    alpha: float = DEFAULTS.alpha
    seeds: int = len(DEFAULTS.seeds)
    epochs: int = DEFAULTS.epochs
    only_kept: bool = False
    patience: int | None = None  # epochs without improvement on validation; None: never stop early


@dataclass(frozen=True, slots=True)
class ConceptChoices:
    """The form of erasing and learning. `eta`, `iterations`: for ESD only."""

    erase: bool = True
    method: Literal["uce", "esd"] = DEFAULTS.erasure_method
    eta: float = 1.0
    iterations: int = 1000
    model: ModelSource = DEFAULTS.model
    steps: int = DEFAULTS.inversion_steps
    vectors: int = DEFAULTS.vectors
    learning_rate: float = DEFAULTS.inversion_learning_rate
    per_concept: bool = False
    neighbours: tuple[str, ...] = ()  # what the model shall go on knowing
    preview_every: int = 0  # steps; 0: about four previews
    imported: tuple[tuple[str, str], ...] = ()  # (class, embedding file): read, not learned


PAPER_CONCEPTS = ConceptChoices(method="esd", steps=1000, learning_rate=2e-3)


def queue_concepts(
    project: Project, choices: ConceptChoices | None = None, *, erase: bool = True
) -> Job:
    """Erase the class names (if wanted), then learn each class from its training images."""
    chosen = choices or ConceptChoices(erase=erase)
    split = ensure_split(project)
    options = replace(
        DEFAULTS,
        model=chosen.model,
        erasure_method=chosen.method,
        inversion_steps=chosen.steps,
        inversion_learning_rate=chosen.learning_rate,
        vectors=chosen.vectors,
    )
    imported = foreign_embeddings(dict(chosen.imported))  # a missing file stops all of it
    erasure = None
    if chosen.erase:
        spec = erasure_spec(options, [x.name for x in project.labels()])
        if chosen.method == "esd":
            spec = replace(spec, eta=chosen.eta, iterations=chosen.iterations)
        # The user's names first, since the check after the erasure looks at the first ones.
        held = tuple(dict.fromkeys((*chosen.neighbours, *spec.preserve)))
        spec = replace(spec, per_concept=chosen.per_concept, preserve=held)
        erasure = project.enqueue(spec).id
    learning = replace(
        inversion_spec(options, split.id, erasure),
        preview_every=chosen.preview_every,
        imported=imported,
    )
    return project.enqueue(learning)


def queue_generation(project: Project, choices: GenerateChoices) -> Job:
    """Make synthetic images with the newest inversion and the erasure it was learned on.

    Where nothing was learned for the current split yet, that is queued first.
    """
    inversion = _usable(project, "invert")
    if inversion is None and not choices.is_named:
        inversion = queue_concepts(project)
    return project.enqueue(make_plan(ensure_split(project), choices, inversion))


def make_plan(split: Split, choices: GenerateChoices, inversion: Job | None) -> GenerationPlan:
    """The plan of a form. Without an inversion, the class names stand in the prompts."""
    model = ModelSource.from_dict(inversion.spec["model"]) if inversion else DEFAULTS.model
    is_learned = inversion is not None and not choices.is_named
    draw: Literal["each", "uniform"] = "each" if choices.is_every else "uniform"
    return GenerationPlan(
        split_id=inversion.spec["split_id"] if inversion else split.id,
        model=model,
        inversion_job=inversion.id if inversion and is_learned else None,
        erasure_job=inversion.spec["erasure_job"] if inversion and is_learned else None,
        t0_set=choices.t0_set,
        variants=choices.variants,
        steps=choices.steps,
        guidance=choices.guidance,
        draw=draw,
        prompt=choices.prompt,
        negative_prompt=choices.negative,
        seed=choices.seed,
        scheduler=choices.scheduler,
        resolution=choices.resolution,
        aspect=choices.aspect,
        mask=choices.mask,
        mask_dilation=choices.mask_dilation,
        memory=choices.memory,
        compile=choices.compile,
    )


def queue_preview(project: Project, choices: GenerateChoices, image_id: int | None = None) -> Job:
    """Show what the form would make of one training photo, at every t0, before other work.

    With the newest finished inversion of the split; before there is one, with the class names.
    Without `image_id`, or where that is no training photo (any more), the first one is taken.
    """
    split = ensure_split(project)
    photos = [image.id for image in project.images(part="train")]
    if not photos:
        raise UserError(_("There is no training photo to preview."), _("Divide the images first."))
    chosen = image_id if image_id in set(photos) else photos[0]
    inversion = learned_with(project)
    return preview(project, make_plan(split, choices, inversion), int(chosen or photos[0]))


def learned_with(project: Project) -> Job | None:
    """The newest finished inversion that belongs to the current split."""
    split = project.current_split()
    jobs = project.jobs([JobState.SUCCEEDED])
    return newest([j for j in jobs if split and j.spec.get("split_id") == split.id], "invert")


def ensure_split(project: Project) -> Split:
    """The current split, made with the usual shares where there is none."""
    return project.current_split() or project.make_split(
        DEFAULTS.seed, DEFAULTS.test, DEFAULTS.validation, DEFAULTS.shots
    )


def queue_training(project: Project, choices: TrainChoices) -> Job:
    """Train with and without the newest generation's pictures, then compare.

    Where nothing was generated for the current split yet, that is queued first.
    """
    generation = _usable(project, "generate") or queue_generation(project, GenerateChoices())
    options = replace(
        DEFAULTS, alpha=choices.alpha, seeds=tuple(range(choices.seeds)), epochs=choices.epochs
    )
    spec = training_spec(options, generation.spec["split_id"], generation.id)
    job = project.enqueue(
        replace(spec, use_undecided=not choices.only_kept, patience=choices.patience)
    )
    return project.compare(job.id, BASELINE)


def _usable(project: Project, kind: str) -> Job | None:
    """The newest job of a kind that belongs to the current split and can still be built on."""
    split = project.current_split()
    usable = (JobState.SUCCEEDED, JobState.RUNNING, JobState.QUEUED)
    jobs = [job for job in project.jobs(usable) if split and job.spec.get("split_id") == split.id]
    return newest(jobs, kind)
