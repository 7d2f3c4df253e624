"""The verb split: dividing pictures into those to train and those to test on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dafusion_core.api import Project
from dafusion_core.api.splitting import StaleResult
from dafusion_core.cli.options import IdList, project_option, verb
from dafusion_core.cli.output import EXIT_OK, Output, plural
from dafusion_core.cli.session import opened
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import Part


@click.group(invoke_without_command=True)
@project_option
@click.option("--seed", type=int, default=0, show_default=True, help="Which division of many.")
@click.option("--test", type=float, default=0.5, show_default=True, help="Share to test on.")
@click.option("--validation", type=float, default=0.0, show_default=True, help="Share to tune on.")
@click.option("--shots", type=int, help="Train on at most this many pictures per class.")
@click.option("--without-unsure", is_flag=True, help="Leave doubtful pictures out.")
@click.option(
    "--list",
    "list_path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Take the parts from a CSV or TSV file with a column of paths and one called split.",
)
@click.option("--what-if", is_flag=True, help="Only show the counts; make nothing.")
@verb
@click.pass_context
def split(
    context: click.Context,
    out: Output,
    project_path: Path | None,
    seed: int,
    test: float,
    validation: float,
    shots: int | None,
    without_unsure: bool,
    list_path: Path | None,
    what_if: bool,
) -> int:
    """Divide the pictures into those to train on and those to test on, class by class.

    Groups stay whole. The new split becomes the current one; jobs keep the split that they were
    made with. Synthetic images are only ever made from training pictures.

    \b
    Examples:
      dafusion split --project weeds.dafusion
      dafusion split --shots 8 --seed 1
      dafusion split --test 0.3 --what-if
      dafusion split lock
      dafusion split move 17,40-52 train
      dafusion split stale
    """
    if context.invoked_subcommand is not None:
        return EXIT_OK
    settings: dict[str, Any] = {
        "seed": seed, "test": test, "validation": validation, "shots": shots,
        "with_unsure": not without_unsure,
    }  # fmt: skip
    with opened(out, project_path, to_write=not what_if) as project:
        if what_if:
            parts = project.plan_parts(**settings)
            counts = project.count_parts(parts)
            rows = [{"class": label, **found} for label, found in counts.items()]
            _tell_counts(out, rows)
            stale = project.stale_results(parts)
            _tell_stale(out, stale, "would be")
            out.result({"per_class": rows, "stale": stale})
            return EXIT_OK
        made = project.split_by_list(list_path) if list_path else project.make_split(**settings)
        per_class = count_parts(project)
        out.say(f"{made.name} (seed {made.seed}):")
        _tell_counts(out, per_class)
        stale = project.stale_results()
        _tell_stale(out, stale, "are")
        out.result({"split": made, "per_class": per_class, "stale": stale})
    return EXIT_OK


def count_parts(project: Project) -> list[dict[str, Any]]:
    """Pictures per class and part of the current split."""
    rows: dict[str, dict[str, Any]] = {
        label.name: {"class": label.name} for label in project.labels()
    }
    for image in project.images():
        part = (image.part or Part.UNUSED).value
        if image.label:
            rows[image.label][part] = rows[image.label].get(part, 0) + 1
    return list(rows.values())


def _tell_counts(out: Output, per_class: list[dict[str, Any]]) -> None:
    parts = [part.value for part in Part if any(row.get(part.value) for row in per_class)]
    rows = [[row["class"], *(row.get(part, 0) for part in parts)] for row in per_class]
    out.table(("class", *parts), rows)


def _tell_stale(out: Output, stale: Sequence[StaleResult], verb_: str) -> None:
    if stale:
        out.say(f"{plural(len(stale), 'result')} {verb_} out of date:")
    for found in stale:
        out.say(f"  job {found.job_id} ({found.kind}): {found.reason}"
                f"{' – a leak' if found.is_leak else ''}")  # fmt: skip


@split.command(name="list")
@project_option
@verb
def list_(out: Output, project_path: Path | None) -> int:
    """List the splits, and which one is current."""
    with opened(out, project_path, to_write=False) as project:
        current = project.current_split()
        rows = [
            {"id": s.id, "name": s.name, "seed": s.seed, **s.counts,
             "is_current": current is not None and s.id == current.id}
            for s in project.splits()
        ]  # fmt: skip
        head = ("id", "name", "train", "validation", "test", "unused")
        out.table(head, ([row.get(key, 0) for key in head] for row in rows))
        out.result({"splits": rows, "is_locked": bool(project.locked_test())})
    return EXIT_OK


@split.command()
@click.argument("split_id", type=int)
@project_option
@verb
def use(out: Output, project_path: Path | None, split_id: int) -> int:
    """Go back to an earlier split."""
    with opened(out, project_path) as project:
        return _tell(out, project, project.use_split(split_id))


@split.command()
@click.argument("ids", type=IdList())
@click.argument("part", type=click.Choice([part.value for part in Part]))
@project_option
@verb
def move(out: Output, project_path: Path | None, ids: list[int], part: str) -> int:
    """Put pictures on another side; whole groups move."""
    with opened(out, project_path) as project:
        return _tell(out, project, project.set_part(ids, part))


@split.command()
@project_option
@verb
def lock(out: Output, project_path: Path | None) -> int:
    """Lock the test part: every later split tests on just these pictures."""
    with opened(out, project_path) as project:
        return _tell(out, project, project.lock_test())


@split.command()
@project_option
@verb
def unlock(out: Output, project_path: Path | None) -> int:
    """Take the lock of the test part away."""
    with opened(out, project_path) as project:
        return _tell(out, project, project.unlock_test())


@split.command()
@project_option
@verb
def stale(out: Output, project_path: Path | None) -> int:
    """List finished jobs whose pictures are not what the current split says."""
    with opened(out, project_path, to_write=False) as project:
        found = project.stale_results()
        _tell_stale(out, found, "are")
        if not found:
            out.say("Every result is of the current split.")
        out.result({"stale": found})
    return EXIT_OK


def _tell(out: Output, project: Project, changes: ProjectChanges) -> int:
    out.say(f"{changes.text}." if changes else "Nothing to change.")
    stale_now = project.stale_results()
    _tell_stale(out, stale_now, "are")
    out.result({"text": changes.text, "image_ids": changes.image_ids, "stale": stale_now})
    return EXIT_OK
