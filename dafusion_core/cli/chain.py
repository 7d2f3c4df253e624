"""Verbs for the whole path: run and demo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

import dafusion_core.api as df
from dafusion_core.api import ChainOptions, Project
from dafusion_core.api.chain import complete_classifier
from dafusion_core.cli.dividing import count_parts
from dafusion_core.cli.images import draw_with_progress, group_images, import_with_progress
from dafusion_core.cli.options import Numbers, device_option, model_option, verb
from dafusion_core.cli.output import EXIT_INTERRUPTED, EXIT_OK, Output, plural
from dafusion_core.cli.running import quoted, run_queue
from dafusion_core.cli.session import describe_job, opened
from dafusion_core.cli.verdicts import describe_verdict, show_verdict
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Job, JobState
from dafusion_core.domain.specs import ModelSource
from dafusion_core.meadow import sample_folder

KINDS = ("erase", "invert", "generate", "train", "compare")
DEMO_PROJECT = Path("dafusion-demo.dafusion")


def _open_or_create(out: Output, path: Path) -> None:
    """Make the project if it is not there, so that the same command also goes on."""
    if not path.exists():
        df.create(path).close()
        out.say(f"Made the project {path}.")


def latest_chain(project: Project) -> list[Job]:
    """The jobs behind the newest comparison, in order: it and all that it needs."""
    jobs = {job.id: job for job in project.jobs()}
    newest = [job for job in jobs.values() if job.kind == "compare"][-1:]
    chain: set[int] = set()
    todo = [job.id for job in newest]
    while todo:
        job_id = todo.pop()
        if job_id not in chain:
            chain.add(job_id)
            todo += jobs[job_id].needs
    return [jobs[job_id] for job_id in sorted(chain)]


def run_chain(
    out: Output,
    project: Project,
    options: ChainOptions,
    devices: str | None,
    *,
    is_again: bool = False,
) -> int:
    """Queue the chain, or go on with the one that is there; run it and show the verdict."""
    chain = [] if is_again else latest_chain(project)
    unfinished = [job for job in chain if job.state is not JobState.SUCCEEDED]
    if not chain:
        if not project.image_count():
            raise UserError(
                "There are no pictures to work with. Nothing was done.",
                "Give a folder that has one folder of pictures per class.",
            )
        chain = unfinished = project.plan_chain(options)
        counts = ", ".join(
            f"{row['class']} {row.get('train', 0)}/{row.get('test', 0)}"
            for row in count_parts(project)
        )
        out.say(f"Pictures to train/test on: {counts}.")
    elif unfinished:
        out.say(f"Going on: {len(chain) - len(unfinished)} of {plural(len(chain), 'job')} done.")
        for job in unfinished:
            project.resume(job.id)
    code = run_queue(out, project, devices, unfinished) if unfinished else EXIT_OK
    chain = [project.job(job.id) for job in chain]
    comparison = chain[-1].id
    evaluation = next((e for e in project.evaluations() if e.job_id == comparison), None)
    if evaluation is not None:
        show_verdict(out, evaluation)
        out.say()
        out.say(f"Everything is in {project.path}. Open it with `dafusion {_word(project.path)}`,")
        out.say(f"or make a report: dafusion report --project {_word(project.path)}")
    out.result(
        {
            "project": project.path,
            "jobs": [describe_job(job) for job in chain],
            "synthetic_images": len(project.synthetic_ids()),
            "verdict": describe_verdict(evaluation) if evaluation else None,
        }
    )
    return code


def _word(path: Path) -> str:
    return quoted(str(path))


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--project",
    "-p",
    "project_path",
    type=click.Path(path_type=Path),
    help="The project file. Default: FOLDER's name in the current folder.",
)
@model_option
@click.option(
    "--paper",
    is_flag=True,
    help="The paper's settings (needs a Stable Diffusion model, ImageNet weights and a GPU); "
    "without it, settings that suit a laptop.",
)
@click.option("--shots", type=int, help="Train on at most this many pictures per class.")
@click.option("--test", type=float, help="Share of the pictures to test on. [default: 0.5]")
@click.option("--no-erasure", is_flag=True, help="Let the model use what it knows of the classes.")
@click.option("--erasure-method", type=click.Choice(["uce", "esd"]), help="How to erase.")
@click.option("--inversion-steps", type=int, help="Steps to learn the words for the classes.")
@click.option("--vectors", type=int, help="Token vectors per class.")
@click.option("--t0", "t0_set", type=Numbers(float), help="Distances from the photo.")
@click.option("--variants", type=int, help="Synthetic images per picture and t0.")
@click.option("--generation-steps", type=int, help="Sampler steps.")
@click.option("--alpha", type=float, help="How often a synthetic image replaces its picture.")
@click.option("--seeds", type=Numbers(int), help="Training seeds, such as 0-7.")
@click.option("--backbone", help="The classifier: resnet18, resnet50, … [default: resnet50]")
@click.option(
    "--weights",
    help="Where the classifier starts: bundled (the default for resnet50), imagenet, a file, or "
    "an empty word (from scratch, the default for other networks).",
)
@click.option("--epochs", type=int, help="Epochs per fit.")
@click.option("--seed", type=int, help="Seed of the split, the words and the images.")
@click.option("--reference", is_flag=True, help="Leave the pictures where they are.")
@click.option("--group-by", metavar="PATTERN", help="As in `dafusion import`.")
@click.option("--again", is_flag=True, help="Queue a new chain although there is one already.")
@device_option
@verb
def run(
    out: Output,
    folder: Path,
    project_path: Path | None,
    model: ModelSource,
    paper: bool,
    no_erasure: bool,
    reference: bool,
    group_by: str | None,
    again: bool,
    devices: str | None,
    **options: Any,
) -> int:
    """From a folder of pictures to a verdict, with one command.

    FOLDER has one folder of pictures per class. They are imported, divided into training and
    test pictures; the base model forgets the classes, learns a word for each from the training
    pictures, and makes synthetic images; classifiers are fitted with and without them; the
    verdict says whether they helped, with an interval.

    Run it again to go on after a stop: what is finished is never done twice.

    \b
    Examples:
      dafusion run photos/
      dafusion run photos/ --project weeds.dafusion --shots 8 --seeds 0-7
      dafusion run photos/ --paper --model models/sd-1-4 --device cuda:0
    """
    path = project_path or Path(f"{folder.resolve().name}.dafusion")
    if not folder.is_dir():
        raise UserError(f"There is no folder “{folder}”. Nothing was done.", "Check its name.")
    settings = ChainOptions.paper(model) if paper else ChainOptions(model=model)
    settings = replace(settings, erase=not no_erasure, **complete_classifier(_given(options)))
    _open_or_create(out, path)
    with opened(out, path) as project:
        report = import_with_progress(out, project, folder, is_reference=reference)
        if report["was_stopped"]:
            out.note("Stopped. Run the same command again to go on.")
            return EXIT_INTERRUPTED
        if group_by:
            group_images(project, group_by)
        return run_chain(out, project, settings, devices, is_again=again)


@click.command()
@click.option(
    "--project",
    "-p",
    "project_path",
    type=click.Path(path_type=Path),
    default=DEMO_PROJECT,
    show_default=True,
    help="Where to keep it.",
)
@device_option
@click.option("--again", is_flag=True, help="Queue a new chain although there is one already.")
@verb
def demo(out: Output, project_path: Path, devices: str | None, again: bool) -> int:
    """The whole chain on sample pictures with the small model that comes with the program.

    Takes some minutes on two cores and needs nothing from the internet. The sample is drawn on
    the spot (`dafusion sample` says more), not photographed, and small: the verdict shows how
    the program works, not what the method can do. Run it again to go on after a stop, or to see
    the verdict again.

    \b
    Example:
      dafusion demo
    """
    _open_or_create(out, project_path)
    with opened(out, project_path) as project:
        if project.current_split() is None:  # parts come with the last picture
            drawn = draw_with_progress(out, sample_folder(project.path))
            if (
                drawn.stopped
                or import_with_progress(out, project, drawn.folder, is_reference=False)[
                    "was_stopped"
                ]
            ):
                out.note("Stopped. Run the same command again to go on.")
                return EXIT_INTERRUPTED
        return run_chain(out, project, ChainOptions(), devices, is_again=again)
