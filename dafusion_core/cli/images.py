"""Verbs for the pictures: new, import, split, curate."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

import dafusion_core.api as df
from dafusion_core.api import Project
from dafusion_core.cli.options import IdList, project_option, verb
from dafusion_core.cli.output import EXIT_INTERRUPTED, EXIT_OK, Output, plural
from dafusion_core.cli.running import quoted, stop_on_signals
from dafusion_core.cli.session import opened
from dafusion_core.datasets.importing import ImportReport
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Curation, ImportProblem, Part

SHOWN_PROBLEMS = 20


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="The project's name; default: the file's.")
@verb
def new(out: Output, path: Path, name: str | None) -> int:
    """Make an empty project, NAME.dafusion and the folder NAME.files beside it.

    The two belong together: move or copy them as a pair.

    \b
    Example:
      dafusion new weeds.dafusion
    """
    with df.create(path, name) as project:
        out.say(f"Made the project {project.path}.")
        out.say(f"Next: dafusion import FOLDER --project {quoted(str(project.path))}")
        out.result({"project": project.path, "files": project.files, "name": project.name})
    return EXIT_OK


@click.command(name="import")
@click.argument("folder", type=click.Path(path_type=Path))
@project_option
@click.option(
    "--reference", is_flag=True, help="Leave the pictures where they are instead of copying them."
)
@click.option(
    "--group-by",
    metavar="PATTERN",
    help="Pictures whose paths match this regular expression with the same text (of its first "
    "group, if it has one) belong together and will never be divided by a split.",
)
@verb
def import_(
    out: Output, project_path: Path | None, folder: Path, reference: bool, group_by: str | None
) -> int:
    """Add the pictures of FOLDER, which has one folder per class.

    JPEG, PNG, TIFF, BMP and WebP are read, in nested folders too. Files that cannot be used are
    listed with their reason. Importing again adds only what is new, so an import that was
    stopped goes on where it was.

    \b
    Examples:
      dafusion import photos/ --project weeds.dafusion
      dafusion import photos/ --group-by '/(plant\\d+)_'
    """
    with opened(out, project_path) as project:
        report = import_with_progress(out, project, folder, is_reference=reference)
        if group_by and not report["was_stopped"]:
            report["groups"] = group_images(project, group_by)
            out.say(f"{plural(report['groups'], 'group')} will stay whole in every split.")
        out.result(report)
        if report["was_stopped"]:
            out.note("Stopped. Import the folder again to go on.")
            return EXIT_INTERRUPTED
        out.say("Next: dafusion split")
    return EXIT_OK


def import_with_progress(
    out: Output, project: Project, folder: Path, *, is_reference: bool, is_ours: bool = False
) -> dict[str, Any]:
    """Import and tell about it; the report as JSON values.

    With `is_ours` the folder came with the program, and its remarks are known.
    """
    is_stopping = False

    def stop() -> None:
        nonlocal is_stopping
        is_stopping = True

    with (
        tqdm(desc="Import", unit=" files", disable=None, leave=False) as bar,
        stop_on_signals(stop, out.note),
    ):

        def show(done: int, total: int, *rest: object) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = project.import_folder(
            folder,
            mode="reference" if is_reference else "copy",
            on_progress=show,
            should_stop=lambda: is_stopping,
        )
    refused = [problem for problem in report.problems if problem.is_refused]
    known = f" ({report.skipped_known:,} were there already)" if report.skipped_known else ""
    out.say(f"Imported {plural(report.imported, 'picture')}{known}.")
    out.table(("class", "pictures"), sorted(report.per_label.items())) if report.per_label else None
    if not is_ours:
        _tell_problems(out, report, refused)
    return {
        "imported": report.imported,
        "already_there": report.skipped_known,
        "refused": len(refused),
        "per_class": report.per_label,
        "problems": report.problems,
        "warnings": report.warnings,
        "was_stopped": report.stopped,
    }


def _tell_problems(out: Output, report: ImportReport, refused: Sequence[ImportProblem]) -> None:
    for text in report.warnings:
        out.note(text)
    for problem in refused[:SHOWN_PROBLEMS]:
        out.note(f"left out: {problem.path}: {problem.reason}")
    if len(refused) > SHOWN_PROBLEMS:
        out.note(f"… and {len(refused) - SHOWN_PROBLEMS:,} more (all with --json).")
    remarks = Counter(problem.reason for problem in report.problems if not problem.is_refused)
    for reason, count in remarks.most_common(SHOWN_PROBLEMS):
        out.note(f"note on {plural(count, 'picture')}: {reason}")


def group_images(project: Project, pattern: str) -> int:
    """Group images by what `pattern` finds in their original paths; the number of groups.

    Raises UserError when the pattern is not a regular expression or matches nothing.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"“{pattern}” is not a regular expression: {error}.", "The pictures were imported."
        ) from None
    members: dict[str, list[int]] = {}
    for image in project.images():
        match = expression.search(image.original_path)
        if match is not None:
            name = (match[1] if expression.groups else match[0]) or match[0]
            members.setdefault(name, []).append(image.id)
    if not members:
        raise UserError(
            f"“{pattern}” matches the path of no picture, so no group was made.",
            "The pictures were imported. Try the pattern on a path such as "
            f"{project.images()[0].original_path if project.image_count() else 'a/b.jpg'}.",
        )
    for name, ids in members.items():
        project.set_group(ids, name)
    return len(members)


@click.command()
@project_option
@click.option("--seed", type=int, default=0, show_default=True, help="Which division of many.")
@click.option("--test", type=float, default=0.5, show_default=True, help="Share to test on.")
@click.option("--validation", type=float, default=0.0, show_default=True, help="Share to tune on.")
@click.option("--shots", type=int, help="Train on at most this many pictures per class.")
@verb
def split(
    out: Output,
    project_path: Path | None,
    seed: int,
    test: float,
    validation: float,
    shots: int | None,
) -> int:
    """Divide the pictures into those to train on and those to test on, class by class.

    Groups stay whole. The new split becomes the current one; jobs keep the split that they were
    made with. Synthetic images are only ever made from training pictures.

    \b
    Examples:
      dafusion split --project weeds.dafusion
      dafusion split --shots 8 --seed 1
    """
    with opened(out, project_path) as project:
        made = project.make_split(seed=seed, test=test, validation=validation, shots=shots)
        per_class = count_parts(project)
        out.say(f"{made.name} (seed {seed}):")
        parts = [part.value for part in Part if any(row.get(part.value) for row in per_class)]
        rows = [[row["class"], *(row.get(part, 0) for part in parts)] for row in per_class]
        out.table(("class", *parts), rows)
        out.result({"split": made, "per_class": per_class})
    return EXIT_OK


def count_parts(project: Project) -> list[dict[str, Any]]:
    """Pictures per class and part of the current split."""
    rows: dict[str, dict[str, Any]] = {
        label.name: {"class": label.name} for label in project.labels()
    }
    for image in project.images():
        part = (image.part or Part.UNUSED).value
        rows[image.label][part] = rows[image.label].get(part, 0) + 1
    return list(rows.values())


@click.group(invoke_without_command=True)
@project_option
@click.option("--job", "job_id", type=int, help="Only synthetic images of this job.")
@verb
@click.pass_context
def curate(
    context: click.Context, out: Output, project_path: Path | None, job_id: int | None
) -> int:
    """Decide which synthetic images may train: keep, reject, undecide, undo, redo.

    Without a command: how many are decided, per class and t0. The window shows the pictures;
    here they go by id. Nothing is ever deleted by a decision, and every step can be undone.

    \b
    Examples:
      dafusion curate --project weeds.dafusion
      dafusion curate list --class dandelion --t0 0.75
      dafusion curate reject 17,40-52
      dafusion curate undo
    """
    if context.invoked_subcommand is not None:
        return EXIT_OK
    with opened(out, project_path, to_write=False) as project:
        names = {concept.id: concept.name for concept in project.concepts()}
        rows = [
            {"class": names[concept], "t0": t0, **{c.value: n.get(c, 0) for c in Curation}}
            for (concept, t0), n in sorted(project.curation_counts(job_id).items())
        ]
        if rows:
            head = ("class", "t0", *(c.value for c in Curation))
            out.table(head, ([row[key] for key in head] for row in rows))
        else:
            out.say("There are no synthetic images yet. Make some with `dafusion generate`.")
        out.result({"counts": rows, "undo": project.undo_text(), "redo": project.redo_text()})
    return EXIT_OK


def _choose(
    project: Project,
    ids: Sequence[int] | None,
    class_name: str | None,
    t0: float | None,
    state: str | None,
) -> list[int]:
    """Ids of synthetic images: those named, or those that match."""
    if ids:
        found = {image.id for image in project.synthetic(ids)}
        missing = [i for i in ids if i not in found]
        if missing:
            raise UserError(
                f"There is no synthetic image {', '.join(map(str, missing[:5]))}. "
                "Nothing was changed.",
                "`dafusion curate list` shows the ids there are.",
            )
        return list(ids)
    concept_id = None
    if class_name is not None:
        by_name = {concept.name: concept.id for concept in project.concepts()}
        if class_name not in by_name:
            raise UserError(
                f"There is no class “{class_name}”. Nothing was changed.",
                f"Classes: {', '.join(by_name)}.",
            )
        concept_id = by_name[class_name]
    return project.synthetic_ids(
        concept_id=concept_id, t0=t0, curation=Curation(state) if state else None
    )


class_option = click.option("--class", "class_name", help="Only this class.")
t0_option = click.option("--t0", type=float, help="Only this distance from the photo.")
state_option = click.option(
    "--state", type=click.Choice([c.value for c in Curation]), help="Only in this state."
)


@curate.command(name="list")
@project_option
@class_option
@t0_option
@state_option
@verb
def curate_list(
    out: Output,
    project_path: Path | None,
    class_name: str | None,
    t0: float | None,
    state: str | None,
) -> int:
    """List synthetic images: id, class, source, t0, decision, file."""
    with opened(out, project_path, to_write=False) as project:
        names = {concept.id: concept.name for concept in project.concepts()}
        found = project.synthetic(_choose(project, None, class_name, t0, state))
        rows = [
            {
                "id": image.id,
                "class": names[image.concept_id],
                "source": image.source_image_id,
                "t0": image.t0,
                "variant": image.variant,
                "state": image.curation.value,
                "file": project.synthetic_path(image),
            }
            for image in found
        ]
        head = ("id", "class", "source", "t0", "state", "file")
        out.table(head, ([row[key] for key in head] for row in rows))
        out.result({"images": rows})
    return EXIT_OK


def _decision(name: str, does: str, curation: Curation) -> click.Command:
    @click.command(name=name, help=does)
    @click.argument("ids", type=IdList(), required=False)
    @project_option
    @class_option
    @t0_option
    @state_option
    @verb
    def decide(
        out: Output,
        project_path: Path | None,
        ids: list[int] | None,
        class_name: str | None,
        t0: float | None,
        state: str | None,
    ) -> int:
        if not ids and not (class_name or t0 or state):
            raise click.UsageError("Name ids (17,40-52), or choose with --class, --t0 or --state.")
        with opened(out, project_path) as project:
            chosen = _choose(project, ids, class_name, t0, state)
            command = {
                Curation.KEPT: project.keep,
                Curation.REJECTED: project.reject,
                Curation.UNDECIDED: project.undecide,
            }[curation]
            _tell(out, command(chosen), "Nothing to change.")
        return EXIT_OK

    return decide


curate.add_command(_decision("keep", "Let these images train.", Curation.KEPT))
curate.add_command(_decision("reject", "Never train on these images.", Curation.REJECTED))
curate.add_command(_decision("undecide", "Take decisions back.", Curation.UNDECIDED))


@curate.command()
@project_option
@verb
def undo(out: Output, project_path: Path | None) -> int:
    """Take back the newest decision step, whoever made it."""
    with opened(out, project_path) as project:
        _tell(out, project.undo(), "There is nothing to undo.")
    return EXIT_OK


@curate.command()
@project_option
@verb
def redo(out: Output, project_path: Path | None) -> int:
    """Do the last undone step again."""
    with opened(out, project_path) as project:
        _tell(out, project.redo(), "There is nothing to redo.")
    return EXIT_OK


def _tell(out: Output, changes: ProjectChanges | None, otherwise: str) -> None:
    has_changed = changes is not None and bool(changes.synthetic_ids or changes.text)
    out.say(f"{changes.text}." if changes is not None and has_changed else otherwise)
    ids = changes.synthetic_ids if changes is not None else ()
    out.result({"text": changes.text if changes else "", "synthetic_ids": ids})
