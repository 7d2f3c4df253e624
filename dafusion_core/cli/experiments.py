"""Verb for experiments: plan, run, show, extend."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import click

from dafusion_core.api import ChainOptions, Project
from dafusion_core.api.chain import complete_classifier
from dafusion_core.api.experiments import (
    experiment_jobs,
    experiment_table,
    extend_experiment,
    list_experiments,
    plan_experiment,
    resume_experiment,
    table_rows,
)
from dafusion_core.api.preflight import check_classes, find_doubts
from dafusion_core.api.presets import ARMS, PRESETS, make_experiment, named_arm
from dafusion_core.cli.options import (
    Numbers,
    device_option,
    model_option,
    project_option,
    verb,
)
from dafusion_core.cli.output import EXIT_OK, Output, plural
from dafusion_core.cli.running import run_queue
from dafusion_core.cli.session import opened
from dafusion_core.domain.errors import UserError, translate_os_error
from dafusion_core.domain.experiments import Experiment, Splits
from dafusion_core.domain.records import JobState
from dafusion_core.domain.specs import ModelSource
from dafusion_core.evaluation.few_shot import render_experiment


class Shots(Numbers):
    """Numbers of shots; “all” stands for every training image."""

    def __init__(self) -> None:
        super().__init__(int)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A tuple of numbers, 0 for all."""
        text = value if isinstance(value, tuple) else str(value).replace("all", "0")
        return super().convert(text, param, ctx)


def _find(project: Project, wanted: str | None) -> Experiment:
    """The experiment of that name or id, or the newest. Raises UserError."""
    found = list_experiments(project)
    if not found:
        raise UserError(
            "There is no experiment in this project.", "Plan one: dafusion experiment plan quick"
        )
    if wanted is None:
        return found[-1]
    for one in found:
        if wanted in (one.name, str(one.id)):
            return one
    names = ", ".join(f"“{one.name}”" for one in found)
    raise UserError(f"There is no experiment “{wanted}”.", f"There are: {names}.")


def _progress(project: Project, experiment: Experiment) -> dict[str, Any]:
    jobs = experiment_jobs(project, experiment.id)
    return {
        "id": experiment.id,
        "name": experiment.name,
        "jobs": len(jobs),
        "succeeded": sum(job.state is JobState.SUCCEEDED for job in jobs),
        "failed": sum(job.state is JobState.FAILED for job in jobs),
        "arms": [arm.name for arm in experiment.spec.arms],
        "shots": list(experiment.spec.shots),
        "seeds": list(experiment.spec.seeds),
    }


def _show(out: Output, project: Project, experiment: Experiment, baseline: str | None) -> None:
    table = experiment_table(project, experiment.id, baseline)
    out.say(render_experiment(table))
    out.result(_progress(project, experiment) | {"table": table.to_dict()})


@click.group(invoke_without_command=True)
@project_option
@verb
@click.pass_context
def experiment(context: click.Context, out: Output, project_path: Path | None) -> int:
    """Compare several ways to train, over shots and seeds, in one go.

    An experiment is arms × shots × seeds. Every split has its own learned words and synthetic
    images. It can be stopped and resumed at any time, shown half-way, and extended later by an
    arm, a number of shots or a seed without doing anything twice.

    \b
    Examples:
      dafusion experiment plan quick --seeds 0-4 --project weeds.dafusion
      dafusion experiment run
      dafusion experiment extend --arm CutMix --seeds 5-7
      dafusion experiment show --csv table.csv
    """
    if context.invoked_subcommand is not None:
        return EXIT_OK
    with opened(out, project_path, to_write=False) as project:
        found = [_progress(project, one) for one in list_experiments(project)]
        for one in found:
            out.say(
                f"{one['id']}  {one['name']}: {one['succeeded']} of {one['jobs']} jobs done, "
                f"{plural(len(one['arms']), 'arm')}, {plural(len(one['seeds']), 'seed')}"
            )
        if not found:
            out.say("No experiment yet. What can be planned:")
            for name, text in PRESETS.items():
                out.say(f"  {name:18} {text}")
        out.result({"experiments": found, "presets": PRESETS, "arms": list(ARMS)})
    return EXIT_OK


@experiment.command()
@click.argument("preset", type=click.Choice(list(PRESETS)))
@project_option
@model_option
@click.option("--name", default="", help="What to call it. Default: the preset's name.")
@click.option("--paper", is_flag=True, help="The paper's settings; see `dafusion run --help`.")
@click.option("--shots", type=Shots(), help="Training images per class, such as 1,2,4 or all.")
@click.option("--seeds", type=Numbers(int), help="Seeds, such as 0-7.")
@click.option(
    "--splits",
    type=click.Choice(["per seed", "fixed", "folds", "groups"]),
    help="What is tested on: a new split per seed, one part for all, k folds, or each group once. "
    "[default: per seed]",
)
@click.option("--folds", type=int, help="Number of folds. [default: 5]")
@click.option("--test", type=float, help="Share of the pictures to test on. [default: 0.5]")
@click.option("--no-erasure", is_flag=True, help="Let the model use what it knows.")
@click.option("--protocol", type=click.Choice(["paper", "probe", "finetune"]))
@click.option("--backbone", help="The classifier: resnet18, resnet50, …")
@click.option("--weights", help="Where it starts: bundled (a ResNet-50), imagenet, or a file.")
@click.option("--epochs", type=int, help="Epochs per fit.")
@verb
def plan(
    out: Output,
    preset: str,
    project_path: Path | None,
    model: ModelSource,
    name: str,
    paper: bool,
    shots: tuple[int, ...] | None,
    seeds: tuple[int, ...] | None,
    splits: str | None,
    folds: int | None,
    no_erasure: bool,
    **options: Any,
) -> int:
    """Queue an experiment from a PRESET; `dafusion experiment run` works through it.

    \b
    Examples:
      dafusion experiment plan quick --seeds 0-7 --shots 1,2,4
      dafusion experiment plan curves --paper --model models/sd-1-4 --name figure
    """
    settings = ChainOptions.paper(model) if paper else ChainOptions(model=model)
    given = {key: value for key, value in options.items() if value is not None}
    settings = replace(settings, erase=not no_erasure, **complete_classifier(given))
    with opened(out, project_path) as project:
        check_classes(project.file)
        labels = [label.name for label in project.labels()]
        spec = make_experiment(
            preset, labels, settings, name=name, shots=shots or (), seeds=seeds or ()
        )
        if splits is not None:
            spec = replace(spec, splits=cast(Splits, splits))
        if folds is not None:
            spec = replace(spec, folds=folds)
        made = plan_experiment(project, spec)
        for doubt in find_doubts(project.file):
            out.note(doubt)
        out.say(f"Queued “{made.name}”: {plural(len(made.jobs), 'job')}.")
        out.result(_progress(project, made))
    return EXIT_OK


@experiment.command()
@click.argument("wanted", metavar="[NAME]", required=False)
@project_option
@device_option
@verb
def run(out: Output, wanted: str | None, project_path: Path | None, devices: str | None) -> int:
    """Work through an experiment (the newest unless NAMED), then show its table.

    What was stopped, failed or paused is resumed; what is done is never done again.
    """
    with opened(out, project_path) as project:
        found = _find(project, wanted)
        resume_experiment(project, found.id)
        code = run_queue(out, project, devices, experiment_jobs(project, found.id))
        _show(out, project, found, None)
    return code


@experiment.command()
@click.argument("wanted", metavar="[NAME]", required=False)
@project_option
@click.option("--baseline", help="The arm to compare with. Default: the experiment's.")
@click.option(
    "--csv", "target", type=click.Path(path_type=Path, dir_okay=False), help="Also write a CSV."
)
@verb
def show(
    out: Output,
    wanted: str | None,
    project_path: Path | None,
    baseline: str | None,
    target: Path | None,
) -> int:
    """Show what an experiment found, at any moment, also half-way."""
    with opened(out, project_path, to_write=False) as project:
        found = _find(project, wanted)
        if target is not None:
            rows = list(table_rows(experiment_table(project, found.id, baseline)))
            _write_csv(target, rows)
        _show(out, project, found, baseline)
    return EXIT_OK


def _write_csv(target: Path, rows: list[dict[str, object]]) -> None:
    try:
        with target.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(rows[0]) if rows else ["shots"])
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise translate_os_error(error, f"writing {target.name}") from error


@experiment.command()
@click.argument("wanted", metavar="[NAME]", required=False)
@project_option
@click.option(
    "--arm", "arms", multiple=True, type=click.Choice(list(ARMS)), help="May be repeated."
)
@click.option("--shots", type=Shots(), help="More numbers of shots.")
@click.option("--seeds", type=Numbers(int), help="More seeds.")
@verb
def extend(
    out: Output,
    wanted: str | None,
    project_path: Path | None,
    arms: tuple[str, ...],
    shots: tuple[int, ...] | None,
    seeds: tuple[int, ...] | None,
) -> int:
    """Add arms, shots or seeds to an experiment; only what is new is queued.

    \b
    Example:
      dafusion experiment extend --arm RandAugment --arm CutMix --seeds 8-11
    """
    with opened(out, project_path) as project:
        found = _find(project, wanted)
        made = [named_arm(found.spec, name) for name in arms]
        more = extend_experiment(
            project,
            found.id,
            arms=tuple(arm for arm, _ in made),
            generators=tuple(generator for _, generator in made if generator),
            shots=shots or (),
            seeds=seeds or (),
        )
        added = len(more.jobs) - len(found.jobs)
        out.say(f"Queued {plural(added, 'more job')} for “{more.name}”.")
        out.result(_progress(project, more) | {"added": added})
    return EXIT_OK
