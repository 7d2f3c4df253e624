"""Verbs for what people say about pictures: annotate, and health with its remedies."""

from __future__ import annotations

from pathlib import Path

import click

from dafusion_core.api import Project
from dafusion_core.cli.options import IdList, project_option, verb
from dafusion_core.cli.output import EXIT_OK, Output, plural
from dafusion_core.cli.session import opened
from dafusion_core.datasets.health import Remedy
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import UserError

SHOWN = 40


@click.group(invoke_without_command=True)
@project_option
@verb
@click.pass_context
def annotate(context: click.Context, out: Output, project_path: Path | None) -> int:
    """Say what is in the pictures: classes, groups, doubts, notes. Every step can be undone.

    Without a command: the classes with their pictures. The window shows the pictures; here they
    go by id.

    \b
    Examples:
      dafusion annotate list --unlabelled
      dafusion annotate label 17,40-52 dandelion
      dafusion annotate merge thistle "creeping thistle" --into thistle
      dafusion annotate group-by pattern '(plant\\d+)_'
      dafusion annotate undo
    """
    if context.invoked_subcommand is not None:
        return EXIT_OK
    with opened(out, project_path, to_write=False) as project:
        counts = {label.name: 0 for label in project.labels()}
        without = 0
        for image in project.images():
            if image.label:
                counts[image.label] += 1
            else:
                without += 1
        out.table(("class", "pictures"), counts.items())
        if without:
            out.say(f"{plural(without, 'picture')} without a class.")
        out.result(
            {
                "classes": counts,
                "unlabelled": without,
                "groups": project.groups(),
                "undo": project.undo_text(),
                "redo": project.redo_text(),
            }
        )
    return EXIT_OK


def tell(out: Output, changes: ProjectChanges | None) -> int:
    """Say what a command did."""
    text = changes.text if changes else ""
    out.say(f"{text}." if text else "Nothing to change.")
    out.result({"text": text, "image_ids": changes.image_ids if changes else ()})
    return EXIT_OK


def check_ids(project: Project, ids: list[int]) -> list[int]:
    """The ids, if there are pictures of all of them. Raises UserError otherwise."""
    missing = set(ids) - {image.id for image in project.images_by_id(ids)}
    if missing:
        raise UserError(
            f"There is no picture {min(missing)}. Nothing was changed.",
            "`dafusion annotate list` shows the ids there are.",
        )
    return ids


@annotate.command(name="list")
@project_option
@click.option("--class", "label", help="Only this class.")
@click.option("--unlabelled", is_flag=True, help="Only pictures without a class.")
@click.option("--unsure", is_flag=True, help="Only doubtful ones.")
@verb
def list_(
    out: Output, project_path: Path | None, label: str | None, unlabelled: bool, unsure: bool
) -> int:
    """List pictures: id, class, part, group, note, where they came from."""
    with opened(out, project_path, to_write=False) as project:
        found = project.unlabelled_images() if unlabelled else project.images(label)
        rows = [
            {
                "id": image.id,
                "class": image.label,
                "part": image.part,
                "group": image.group or "",
                "not_sure": image.is_unsure,
                "rejected": image.is_rejected,
                "note": image.note,
                "file": image.original_path,
            }
            for image in found
            if image.is_unsure or not unsure
        ]
        head = ("id", "class", "part", "group", "note", "file")
        out.table(head, ([row[key] or "" for key in head] for row in rows))
        out.result({"images": rows})
    return EXIT_OK


@annotate.command()
@click.argument("ids", type=IdList())
@click.argument("name")
@project_option
@verb
def label(out: Output, project_path: Path | None, ids: list[int], name: str) -> int:
    """Give pictures the class NAME, made if it is new. "" takes theirs away."""
    with opened(out, project_path) as project:
        return tell(out, project.relabel(check_ids(project, ids), name or None))


@annotate.command()
@click.argument("old")
@click.argument("new")
@project_option
@verb
def rename(out: Output, project_path: Path | None, old: str, new: str) -> int:
    """Rename the class OLD to NEW."""
    with opened(out, project_path) as project:
        return tell(out, project.rename_class(old, new))


@annotate.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--into", required=True, help="The class that stays.")
@project_option
@verb
def merge(out: Output, project_path: Path | None, names: tuple[str, ...], into: str) -> int:
    """Make one class of several."""
    with opened(out, project_path) as project:
        return tell(out, project.merge_classes(names, into))


@annotate.command()
@click.argument("ids", type=IdList())
@click.argument("name")
@project_option
@verb
def split(out: Output, project_path: Path | None, ids: list[int], name: str) -> int:
    """Move pictures out of their class into the new class NAME."""
    with opened(out, project_path) as project:
        return tell(out, project.split_class(check_ids(project, ids), name))


@annotate.command()
@click.argument("name")
@project_option
@verb
def remove(out: Output, project_path: Path | None, name: str) -> int:
    """Take the class NAME away; its pictures stay, without a class."""
    with opened(out, project_path) as project:
        return tell(out, project.remove_class(name))


@annotate.command()
@click.argument("names", nargs=-1, required=True)
@project_option
@verb
def order(out: Output, project_path: Path | None, names: tuple[str, ...]) -> int:
    """Put the classes in this order, that of a classifier's outputs."""
    with opened(out, project_path) as project:
        return tell(out, project.order_classes(names))


@annotate.command()
@click.argument("ids", type=IdList())
@click.option("--off", is_flag=True, help="They are sure again.")
@project_option
@verb
def unsure(out: Output, project_path: Path | None, ids: list[int], off: bool) -> int:
    """Mark pictures as not sure."""
    with opened(out, project_path) as project:
        return tell(out, project.mark_unsure(check_ids(project, ids), not off))


@annotate.command()
@click.argument("ids", type=IdList())
@click.argument("text")
@project_option
@verb
def note(out: Output, project_path: Path | None, ids: list[int], text: str) -> int:
    """Write a note on pictures; "" takes it away."""
    with opened(out, project_path) as project:
        return tell(out, project.set_note(check_ids(project, ids), text))


@annotate.command()
@click.argument("ids", type=IdList())
@click.option("--off", is_flag=True, help="Take them back in.")
@project_option
@verb
def reject(out: Output, project_path: Path | None, ids: list[int], off: bool) -> int:
    """Leave real pictures out of everything; their files stay."""
    with opened(out, project_path) as project:
        check_ids(project, ids)
        return tell(out, project.restore_images(ids) if off else project.reject_images(ids))


@annotate.command()
@click.argument("ids", type=IdList())
@click.argument("name")
@project_option
@verb
def group(out: Output, project_path: Path | None, ids: list[int], name: str) -> int:
    """Put pictures into the group NAME; "" takes them out of theirs."""
    with opened(out, project_path) as project:
        return tell(out, project.set_group(check_ids(project, ids), name or None))


@annotate.command(name="group-by")
@click.argument("how", type=click.Choice(["pattern", "folder", "date"]))
@click.argument("pattern", default="")
@click.option("--name-only", is_flag=True, help="Look in the file name, not in the whole path.")
@click.option("--level", type=int, default=1, help="For folder: how many steps up.")
@click.option("--dry-run", is_flag=True, help="Only show what would be grouped.")
@project_option
@verb
def group_by(
    out: Output,
    project_path: Path | None,
    how: str,
    pattern: str,
    name_only: bool,
    level: int,
    dry_run: bool,
) -> int:
    """Group pictures by a regular expression, by folder, or by the day they were taken (EXIF)."""
    where = "name" if name_only else "path"
    with opened(out, project_path, to_write=not dry_run) as project:
        if not dry_run:
            return tell(out, project.group_by(how, pattern, where, level))  # type: ignore[arg-type]
        found = project.find_groups(how, pattern, where, level)  # type: ignore[arg-type]
        out.table(("group", "pictures"), [(name, len(ids)) for name, ids in found.items()][:SHOWN])
        out.result({"groups": found})
    return EXIT_OK


@annotate.command()
@project_option
@verb
def undo(out: Output, project_path: Path | None) -> int:
    """Take back the newest step, of annotation or curation."""
    with opened(out, project_path) as project:
        return tell(out, project.undo())


@annotate.command()
@project_option
@verb
def redo(out: Output, project_path: Path | None) -> int:
    """Do the last undone step again."""
    with opened(out, project_path) as project:
        return tell(out, project.redo())


@click.command()
@project_option
@click.option("--fix", metavar="KEY", help="Do something about the finding with this key.")
@click.option("--with", "remedy", type=click.Choice([r.value for r in Remedy]), help="What to do.")
@click.option("--dismiss", metavar="KEY", help="Let this finding be.")
@verb
def health(
    out: Output,
    project_path: Path | None,
    fix: str | None,
    remedy: str | None,
    dismiss: str | None,
) -> int:
    """Look for what may be wrong with the pictures, the gravest first.

    Copies (also between training and test: what is tested was learned), divided groups, missing
    and unreadable files, likely wrong classes, imbalance, blur, too dark or bright, odd sizes.

    \b
    Examples:
      dafusion health --project weeds.dafusion
      dafusion health --fix leak-1f2e… --with same-part
      dafusion annotate undo
    """
    if fix and not remedy:
        raise click.UsageError("Say with --with what to do about it.")
    with opened(out, project_path) as project:
        findings = project.health()
        for key in filter(None, (fix, dismiss)):
            chosen = [finding for finding in findings if finding.key.startswith(key.rstrip("…"))]
            if len(chosen) != 1:
                raise UserError(
                    f"“{key}” names {len(chosen) or 'no'} findings. Nothing was changed.",
                    "`dafusion health` lists them.",
                )
            changes = project.remedy(chosen[0], remedy) if fix and remedy else (
                project.dismiss(chosen[0])
            )  # fmt: skip
            return tell(out, changes)
        for finding in findings[:SHOWN]:
            ids = ", ".join(map(str, finding.images[:8])) + ("…" if len(finding.images) > 8 else "")
            out.say(f"{finding.kind}: {finding.text}" + (f" Pictures {ids}." if ids else ""))
            if finding.remedies:
                out.say(f"    --fix {finding.key} --with {' | '.join(finding.remedies)}")
        if len(findings) > SHOWN:
            out.say(f"… and {len(findings) - SHOWN:,} more (all with --json).")
        if not findings:
            out.say("Nothing was found.")
        out.result({"findings": findings})
    return EXIT_OK
