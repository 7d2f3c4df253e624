"""Verbs for the pictures: new, import, curate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from dafusion_core.datasets.plan import ImportPlan
from dafusion_core.datasets.sources import FORMS
from dafusion_core.datasets.sources.table import ROLES
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Curation, ImportProblem
from dafusion_core.meadow import SampleReport, draw_sample

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
@click.option(
    "--as",
    "form",
    type=click.Choice(["auto", *FORMS]),
    default="auto",
    help="What FOLDER is; found out by itself otherwise.",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="A choice of the importer, such as configuration=crop, keep=all or path=COLUMN.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be imported, and what not.")
@verb
def import_(
    out: Output,
    project_path: Path | None,
    folder: Path,
    reference: bool,
    group_by: str | None,
    form: str,
    options: tuple[str, ...],
    dry_run: bool,
) -> int:
    """Add the pictures of FOLDER, which has one folder per class, or is a data set of another kind.

    JPEG, PNG, TIFF, BMP and WebP are read, in nested folders too. Files that cannot be used are
    listed with their reason. Importing again adds only what is new, so an import that was
    stopped goes on where it was.

    Also read: CSV and TSV lists, PASCAL VOC, COCO, leafy spurge, Caltech101, Flowers102, Hugging
    Face image folders and parquet files, labelme, FiftyOne, and exports of this program. FOLDER
    may be a file where the data set is one.

    \b
    Examples:
      dafusion import photos/ --project weeds.dafusion
      dafusion import photos/ --group-by '/(plant\\d+)_'
      dafusion import list.csv --option path=file --option label=species --dry-run
      dafusion import coco/annotations/instances_val2017.json
    """
    settings = _read_options(options)
    with opened(out, project_path, to_write=not dry_run) as project:
        plan = project.plan_import(folder, form, **settings)
        if dry_run:
            return _tell_plan(out, plan)
        report = import_with_progress(out, project, plan, is_reference=reference)
        if group_by and not report["was_stopped"]:
            report["groups"] = group_images(project, group_by)
            out.say(f"{plural(report['groups'], 'group')} will stay whole in every split.")
        out.result(report)
        if report["was_stopped"]:
            out.note("Stopped. Import the folder again to go on.")
            return EXIT_INTERRUPTED
        if project.image_count():
            out.say("Next: dafusion split")
        else:
            out.say("The project has no pictures yet. Import a folder with some that can be used.")
    return EXIT_OK


def _read_options(words: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE as keyword arguments; those named like a role of a table say which column."""
    settings: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"“{word}” is not of the form KEY=VALUE.")
        if key in ROLES:
            settings.setdefault("columns", {})[key] = value
        else:
            settings[key] = {"yes": True, "no": False}.get(value, value)
    return settings


def _tell_plan(out: Output, plan: ImportPlan) -> int:
    out.say(f"{FORMS.get(plan.form, plan.form)}: {plan.sentence}")
    out.table(("class", "pictures"), ((k or "(none)", v) for k, v in plan.per_label.items()))
    for text in plan.warnings:
        out.note(text)
    for problem in plan.problems[:SHOWN_PROBLEMS]:
        word = "would be left out" if problem.is_refused else "note"
        out.note(f"{word}: {problem.path}: {problem.reason}")
    if len(plan.problems) > SHOWN_PROBLEMS:
        out.note(f"… and {len(plan.problems) - SHOWN_PROBLEMS:,} more (all with --json).")
    out.result(
        {
            "form": plan.form,
            "pictures": len(plan.entries),
            "per_class": plan.per_label,
            "per_part": plan.per_part,
            "problems": plan.problems,
            "warnings": plan.warnings,
            "synthetic": len(plan.synthetics),
        }
    )
    return EXIT_OK


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@verb
def sample(out: Output, folder: Path) -> int:
    """Draw the sample pictures into FOLDER, which must be new or empty.

    Four invented weeds, two pairs of look-alikes, seen from above: 4 pictures of each to train on
    and 36 to test on, the same on every computer. metadata.csv says of each its class, part,
    plot and caption; no plot is in both parts. The bundled model knows the dandelion by name
    and has never seen the others.

    \b
    Examples:
      dafusion sample weeds
      dafusion run weeds
    """
    drawn = draw_with_progress(out, folder)
    if drawn.stopped:
        out.note("Stopped. Nothing was written.")
        return EXIT_INTERRUPTED
    out.say(f"Drew the sample into {folder}." if drawn.is_new else f"{folder} has it already.")
    out.say(f"Next: dafusion run {quoted(str(folder))}")
    out.result({"folder": folder, "is_new": drawn.is_new, "sha256": drawn.digest})
    return EXIT_OK


def draw_with_progress(out: Output, folder: Path) -> SampleReport:
    """Draw the sample, unless it is there, and tell about it."""
    with _progress(out, "Draw", " pictures") as (show, should_stop):
        drawn = draw_sample(folder, show, should_stop)
    if drawn.warning:
        out.note(drawn.warning)
    return drawn


@contextmanager
def _progress(
    out: Output, what: str, unit: str
) -> Iterator[tuple[Callable[[int, int, str], None], Callable[[], bool]]]:
    """A bar: what to call after each step, and what says whether the user wants to stop."""
    stops: list[None] = []
    with (
        tqdm(desc=what, unit=unit, disable=None, leave=False) as bar,
        stop_on_signals(lambda: stops.append(None), out.note),
    ):

        def show(done: int, total: int, _name: str) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show, lambda: bool(stops)


def import_with_progress(
    out: Output,
    project: Project,
    source: Path | ImportPlan,
    *,
    is_reference: bool,
) -> dict[str, Any]:
    """Import and tell about it; the report as JSON values."""
    with _progress(out, "Import", " files") as (show, should_stop):
        plan = source if isinstance(source, ImportPlan) else project.plan_import(source)
        report = project.import_data(
            plan,
            mode="reference" if is_reference else "copy",
            on_progress=show,
            should_stop=should_stop,
        )
    refused = [problem for problem in report.problems if problem.is_refused]
    known = f" ({report.skipped_known:,} were there already)" if report.skipped_known else ""
    out.say(f"Imported {plural(report.imported, 'picture')}{known}.")
    out.table(("class", "pictures"), sorted(report.per_label.items())) if report.per_label else None
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
        project.group_by("pattern", pattern)
    except UserError as error:
        raise UserError(error.text, f"The pictures were imported. {error.hint}") from None
    return len(project.groups())


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
