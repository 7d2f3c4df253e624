"""Verbs that queue one job and run it: erase, invert, generate, train, compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from dafusion_core.api import Project
from dafusion_core.api.chain import AUGMENTED, BASELINE
from dafusion_core.api.measuring import foreign_embeddings
from dafusion_core.cli.options import (
    Numbers,
    device_option,
    model_option,
    project_option,
    queue_option,
    verb,
)
from dafusion_core.cli.output import EXIT_OK, Output
from dafusion_core.cli.running import run_queue
from dafusion_core.cli.session import describe_job, find_newest, newest_job, opened
from dafusion_core.cli.verdicts import describe_verdict, show_verdict
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.presets import PRESETS, find_preset
from dafusion_core.domain.records import Job
from dafusion_core.domain.specs import (
    Adaptation,
    AnySpec,
    Arm,
    Aspect,
    Augmentation,
    BatchMix,
    ErasureSpec,
    EvaluationSpec,
    GenerationPlan,
    InversionSpec,
    Masking,
    Memory,
    Mixing,
    ModelSource,
    Precision,
    Protocol,
    Scheduler,
    TrainingSpec,
    TrainParameters,
)

UCE_TOKENS = ("subject", "subject+end", "all")
F = TypeVar("F", bound=Callable[..., Any])


def spec_option(spec: type[AnySpec], field: str, help_: str, **settings: Any) -> Callable[[F], F]:
    """An option for a field of a spec; the spec says what holds when it is not given."""
    default = next(f for f in dataclasses.fields(spec) if f.name == field).default
    if isinstance(default, tuple):
        default = ",".join(str(item) for item in default)
    known = "" if default in (None, "", dataclasses.MISSING) else f" [default: {default}]"
    return click.option(f"--{field.replace('_', '-')}", field, help=help_ + known, **settings)


def preset_option(kind: str) -> Callable[[F], F]:
    """`--preset` with the names there are for a kind of job."""
    names = [preset.name for preset in PRESETS if preset.kind == kind]
    return click.option(
        "--preset", type=click.Choice(names), help="Named settings; `dafusion presets` shows them."
    )


def words(kind: Any) -> click.Choice[str]:
    """A choice from a Literal of the specs."""
    return click.Choice(kind.__args__)


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given; the spec has the defaults of the others."""
    return {key: value for key, value in options.items() if value is not None}


def finish(out: Output, project: Project, job: Job, devices: str | None, only_queue: bool) -> int:
    """Run the queue unless told not to, and tell what became of the job."""
    code = EXIT_OK
    if only_queue:
        out.say(f"Queued as job {job.id}: {job.title}. Run it with `dafusion worker`.")
    else:
        code = run_queue(out, project, devices, [job])
        job = project.job(job.id)
        out.say(f"Job {job.id}: {job.title}: {job.state.value}.")
    result: dict[str, Any] = {"job": describe_job(job)}
    if job.kind == "compare" and code == EXIT_OK and not only_queue:
        evaluation = next(e for e in reversed(project.evaluations()) if e.job_id == job.id)
        show_verdict(out, evaluation)
        result["verdict"] = describe_verdict(evaluation)
    out.result(result)
    return code


@click.command()
@project_option
@model_option
@click.option(
    "--concept",
    "concepts",
    multiple=True,
    help="What to erase; may be repeated. Default: every class name.",
)
@spec_option(
    ErasureSpec,
    "method",
    "uce: closed form, seconds; esd: gradient steps, the paper's.",
    type=click.Choice(["uce", "esd"]),
)
@spec_option(ErasureSpec, "guide", "What the concepts become; nothing for the empty prompt.")
@click.option("--preserve", multiple=True, help="A prompt to hold fixed; may be repeated.")
@spec_option(ErasureSpec, "iterations", "Steps (esd).", type=int)
@spec_option(ErasureSpec, "learning_rate", "Adam's (esd).", type=float)
@spec_option(ErasureSpec, "eta", "η, how hard to push away (esd).", type=float)
@spec_option(ErasureSpec, "train_parameters", "Which weights (esd).", type=words(TrainParameters))
@spec_option(
    ErasureSpec, "uce_tokens", "Which text states move (uce).", type=click.Choice(UCE_TOKENS)
)
@click.option("--per-concept", is_flag=True, help="One model per concept, as in the paper's runs.")
@spec_option(ErasureSpec, "per_trajectory", "x_t taken from each trajectory (esd).", type=int)
@spec_option(ErasureSpec, "seed", "Seed.", type=int)
@device_option
@queue_option
@verb
def erase(
    out: Output,
    project_path: Path | None,
    model: ModelSource,
    concepts: tuple[str, ...],
    preserve: tuple[str, ...],
    per_concept: bool,
    devices: str | None,
    only_queue: bool,
    **options: Any,
) -> int:
    """Make the base model forget the classes, so that what it knew of them cannot help.

    Use it when the question is what augmentation does for classes that the model has never
    seen. Skip it when you only want the best classifier.

    \b
    Examples:
      dafusion erase --project weeds.dafusion
      dafusion erase --method esd --model models/sd-1-4 --device cuda:0
    """
    with opened(out, project_path) as project:
        names = concepts or tuple(concept.name for concept in project.concepts())
        job = project.erase(
            names, model=model, preserve=preserve, per_concept=per_concept, **given(options)
        )
        return finish(out, project, job, devices, only_queue)


@click.command()
@project_option
@model_option
@click.option("--erasure", type=int, help="Id of an erasure job. Default: the newest, if any.")
@click.option("--no-erasure", is_flag=True, help="Use the base model as it is.")
@preset_option("invert")
@spec_option(InversionSpec, "vectors", "Token vectors per class, 1 to 8.", type=int)
@spec_option(InversionSpec, "steps", "Optimiser steps.", type=int)
@spec_option(InversionSpec, "batch_size", "Pictures per step.", type=int)
@spec_option(InversionSpec, "learning_rate", "AdamW's.", type=float)
@spec_option(InversionSpec, "resolution", "Side in pixels; default: the model's own.", type=int)
@spec_option(
    InversionSpec,
    "initialiser",
    "Word, or words whose mean, the vectors start from; {concept} for the class name. Default: "
    "that of each class.",
)
@click.option(
    "--forbid",
    "forbidden",
    multiple=True,
    metavar="WORD",
    help="A synonym that must not be in a prompt either; may be repeated.",
)
@spec_option(
    InversionSpec,
    "adaptation",
    "What is learned: token vectors, low-rank changes of the network, or both.",
    type=words(Adaptation),
)
@spec_option(InversionSpec, "lora_rank", "Rank (lora).", type=int)
@spec_option(InversionSpec, "lora_learning_rate", "AdamW's (lora).", type=float)
@spec_option(InversionSpec, "precision", "Number type of the network.", type=words(Precision))
@spec_option(InversionSpec, "preview_every", "Steps between previews; 0: four in all.", type=int)
@click.option(
    "--extend",
    "extend_job",
    type=int,
    metavar="JOB",
    help="Go on from this finished inversion; --steps is the total.",
)
@click.option(
    "--embedding",
    "imported",
    multiple=True,
    metavar="CLASS=FILE",
    help="Read a class's embedding (diffusers, AUTOMATIC1111, ComfyUI) instead of learning it; "
    "may be repeated.",
)
@spec_option(InversionSpec, "seed", "Seed.", type=int)
@device_option
@queue_option
@verb
def invert(
    out: Output,
    project_path: Path | None,
    model: ModelSource,
    erasure: int | None,
    no_erasure: bool,
    forbidden: tuple[str, ...],
    imported: tuple[str, ...],
    devices: str | None,
    only_queue: bool,
    **options: Any,
) -> int:
    """Learn a made-up word per class from its training pictures (textual inversion).

    \b
    Examples:
      dafusion invert --project weeds.dafusion
      dafusion invert --preset paper-revision
      dafusion invert --extend 4 --steps 2000
      dafusion invert --adaptation embedding+lora --embedding dandelion=dandelion.safetensors
    """
    with opened(out, project_path) as project:
        job = project.invert(
            model=model,
            erasure_job=choose_erasure(project, erasure, no_erasure),
            forbidden=forbidden,
            imported=foreign_embeddings(_pairs(imported)),
            **given(options),
        )
        return finish(out, project, job, devices, only_queue)


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """{class: file} from texts CLASS=FILE. Raises UserError."""
    pairs = [text.partition("=") for text in texts]
    for name, mark, file in pairs:
        if not (name and mark and file):
            raise UserError(
                f"“{name}{mark}{file}” does not say whose embedding it is.", "Write CLASS=FILE."
            )
    return {name: file for name, _, file in pairs}


def choose_erasure(project: Project, wanted: int | None, is_unwanted: bool) -> int | None:
    """The erasure job to build on: the one named, none, or the newest there is."""
    if is_unwanted:
        return None
    if wanted is not None:
        return wanted
    newest = find_newest(project, "erase")
    return newest.id if newest else None


@click.command()
@project_option
@model_option
@click.option("--inversion", type=int, help="Id of an inversion job. Default: the newest.")
@click.option(
    "--real-guidance",
    is_flag=True,
    help="Use the class names in the prompt instead of learned words.",
)
@click.option("--erasure", type=int, help="Id of an erasure job. Default: the inversion's.")
@click.option("--no-erasure", is_flag=True, help="Use the base model as it is.")
@preset_option("generate")
@spec_option(GenerationPlan, "prompt", "Prompt; {concept} stands for the learned word.")
@spec_option(GenerationPlan, "negative_prompt", "What to steer away from.")
@click.option(
    "--t0",
    "t0_set",
    type=Numbers(float),
    help="How far from the photo, each 0 < t0 ≤ 1. [default: 0.25,0.5,0.75,1.0]",
)
@spec_option(
    GenerationPlan,
    "draw",
    "each: every t0 for every picture; uniform: one drawn per variant.",
    type=click.Choice(["each", "uniform"]),
)
@spec_option(GenerationPlan, "variants", "Synthetic images per picture (and t0).", type=int)
@spec_option(GenerationPlan, "guidance", "Guidance scale.", type=float)
@spec_option(GenerationPlan, "steps", "Sampler steps.", type=int)
@spec_option(GenerationPlan, "scheduler", "Sampler.", type=words(Scheduler))
@spec_option(GenerationPlan, "batch_size", "Pictures per batch.", type=int)
@spec_option(GenerationPlan, "resolution", "Side in pixels; default: the model's own.", type=int)
@spec_option(
    GenerationPlan, "aspect", "What to do with sources that are not square.", type=words(Aspect)
)
@spec_option(
    GenerationPlan,
    "mask",
    "Edit only the object that is marked on a source, or only what is around it.",
    type=words(Masking),
)
@spec_option(GenerationPlan, "mask_dilation", "Pixels by which the object is widened.", type=int)
@spec_option(GenerationPlan, "precision", "Number type.", type=words(Precision))
@spec_option(
    GenerationPlan,
    "memory",
    "saving: slices and tiles; offload: only the part at work on the GPU.",
    type=words(Memory),
)
@click.option(
    "--compile",
    is_flag=True,
    default=None,
    help="Use torch.compile: slower to start, faster after that; needs a compiler.",
)
@spec_option(GenerationPlan, "seed", "Seed.", type=int)
@device_option
@queue_option
@verb
def generate(
    out: Output,
    project_path: Path | None,
    model: ModelSource,
    inversion: int | None,
    real_guidance: bool,
    erasure: int | None,
    no_erasure: bool,
    devices: str | None,
    only_queue: bool,
    **options: Any,
) -> int:
    """Make synthetic images from the training pictures, at several distances t0 from each.

    Stopping keeps every finished image; going on later gives the same pixels as if it had
    never stopped.

    \b
    Examples:
      dafusion generate --project weeds.dafusion
      dafusion generate --t0 0.5 --variants 4 --seed 7
      dafusion generate --preset paper
      dafusion generate --preset real-guidance-agnostic
      dafusion generate --mask background --aspect pad
    """
    with opened(out, project_path) as project:
        preset = options.get("preset")
        real_guidance |= preset is not None and find_preset("generate", preset).is_named
        inversion_job = (
            None if real_guidance else newest_job(project, "invert", inversion, "invert")
        )
        erasure_job = choose_erasure(project, erasure, no_erasure or real_guidance)
        if inversion_job is not None and erasure is None and not no_erasure:
            # The learned words only mean something to the model they were learned with.
            erasure_job = project.job(inversion_job).spec.get("erasure_job")
        job = project.generate(
            model=model,
            inversion_job=inversion_job,
            erasure_job=erasure_job,
            **given(options),
        )
        return finish(out, project, job, devices, only_queue)


@click.command()
@project_option
@click.option("--generation", type=int, help="Id of a generation job. Default: the newest.")
@click.option(
    "--alpha",
    type=float,
    default=0.5,
    show_default=True,
    help="How often a drawn picture is replaced by one of its synthetic images.",
)
@spec_option(
    TrainingSpec,
    "protocol",
    "paper: frozen backbone, linear head; probe: BatchNorm frozen too, quick; finetune: all.",
    type=words(Protocol),
)
@click.option(
    "--seeds", type=Numbers(int), help="One fit per arm and seed, such as 0-7. [default: 0-7]"
)
@spec_option(TrainingSpec, "backbone", "Network.")
@spec_option(
    TrainingSpec, "weights", "Where it starts: bundled, imagenet, a file, or nothing (scratch)."
)
@spec_option(TrainingSpec, "resolution", "Side in pixels.", type=int)
@spec_option(TrainingSpec, "epochs", "Epochs.", type=int)
@spec_option(TrainingSpec, "iterations_per_epoch", "Steps per epoch.", type=int)
@spec_option(TrainingSpec, "batch_size", "Pictures per step.", type=int)
@spec_option(TrainingSpec, "learning_rate", "Learning rate.", type=float)
@spec_option(TrainingSpec, "label_smoothing", "Label smoothing, 0 to 1.", type=float)
@spec_option(
    TrainingSpec,
    "normalisation",
    "auto: as the weights expect.",
    type=click.Choice(["auto", "half", "imagenet"]),
)
@spec_option(
    TrainingSpec, "patience", "Stop after so many epochs without a gain on validation.", type=int
)
@click.option(
    "--augmentation",
    type=words(Augmentation),
    default="standard",
    show_default=True,
    help="Of both arms.",
)
@click.option(
    "--batch-mix",
    type=words(BatchMix),
    default="none",
    show_default=True,
    help="CutMix or MixUp in both arms.",
)
@click.option(
    "--mixing",
    type=words(Mixing),
    default="own",
    show_default=True,
    help="How synthetic images take part; see docs/methods.md, 1.6.",
)
@click.option(
    "--only-kept", is_flag=True, help="Leave out synthetic images that nobody has decided on."
)
@device_option
@queue_option
@verb
def train(
    out: Output,
    project_path: Path | None,
    generation: int | None,
    alpha: float,
    augmentation: Augmentation,
    batch_mix: BatchMix,
    mixing: Mixing,
    only_kept: bool,
    devices: str | None,
    only_queue: bool,
    **options: Any,
) -> int:
    """Fit a classifier with and without synthetic images, once per seed.

    Both arms see the same training pictures and the same test pictures. Rejected synthetic
    images are never used.

    \b
    Examples:
      dafusion train --project weeds.dafusion --weights imagenet
      dafusion train --alpha 0.3 --seeds 0-3 --only-kept
    """
    with opened(out, project_path) as project:
        generation_job = newest_job(project, "generate", generation, "generate")
        job = project.train(
            arms=(
                Arm(BASELINE, augmentation=augmentation, batch_mix=batch_mix),
                Arm(
                    AUGMENTED,
                    augmentation=augmentation,
                    alpha=alpha,
                    generation_job=generation_job,
                    mixing=mixing,
                    batch_mix=batch_mix,
                ),
            ),
            use_undecided=not only_kept,
            **given(options),
        )
        return finish(out, project, job, devices, only_queue)


@click.command()
@project_option
@click.option("--training", type=int, help="Id of a training job. Default: the newest.")
@click.option("--baseline", help="The arm to compare with. Default: the first.")
@spec_option(EvaluationSpec, "confidence", "Of the interval.", type=float)
@spec_option(EvaluationSpec, "resamples", "Bootstrap resamples.", type=int)
@spec_option(EvaluationSpec, "seed", "Seed of the resampling.", type=int)
@device_option
@queue_option
@verb
def compare(
    out: Output,
    project_path: Path | None,
    training: int | None,
    baseline: str | None,
    devices: str | None,
    only_queue: bool,
    **options: Any,
) -> int:
    """Compare the arms of a training on its test pictures and say the verdict.

    The difference to the baseline is paired by seed and test picture and has an interval;
    “too little to tell” is a verdict too.

    \b
    Example:
      dafusion compare --project weeds.dafusion
    """
    with opened(out, project_path) as project:
        training_job = newest_job(project, "train", training, "train")
        first = project.job(training_job).spec["arms"][0]["name"]
        job = project.compare(training_job, baseline or first, **given(options))
        return finish(out, project, job, devices, only_queue)
