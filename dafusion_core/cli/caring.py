"""The verb care: looking after a project's files."""

from __future__ import annotations

from pathlib import Path

import click

from dafusion_core.api.caring import move_project, unpack_archive
from dafusion_core.cli.options import find_project, project_option, verb
from dafusion_core.cli.output import EXIT_FAILED, EXIT_OK, Output, plural, readable_bytes
from dafusion_core.cli.session import opened

SHOWN = 20


@click.group(invoke_without_command=True)
@project_option
@verb
@click.pass_context
def care(context: click.Context, out: Output, project_path: Path | None) -> int:
    """Look after a project's files: verify, locate, empty, shrink, copy, move, merge, archive.

    Without a command: how much there is, and what is missing.

    \b
    Examples:
      dafusion care verify --project weeds.dafusion
      dafusion care locate /media/disk/photos
      dafusion care archive weeds-2024.zip
      dafusion care unpack weeds-2024.zip here/
    """
    if context.invoked_subcommand is not None:
        return EXIT_OK
    with opened(out, project_path, to_write=False) as project:
        missing = [image_id for image_id, _ in project.missing_images()]
        objects = [path for path in project.files.glob("objects/*/*") if path.is_file()]
        size = sum(path.stat().st_size for path in objects)
        out.say(
            f"{project.path.name}: {readable_bytes(project.path_size())}; {project.files.name}: "
            f"{plural(len(objects), 'file')}, {readable_bytes(size)}."
        )
        if missing:
            out.say(f"The files of {plural(len(missing), 'picture')} are missing.")
        values = {"project_bytes": project.path_size(), "files": len(objects), "bytes": size}
        out.result({**values, "missing": missing})
    return EXIT_OK


@care.command()
@project_option
@verb
def verify(out: Output, project_path: Path | None) -> int:
    """Compare every file with its recorded hash."""
    with opened(out, project_path, to_write=False) as project:
        found = project.verify()
        out.say(found.sentence)
        for word, rows in (("missing", found.missing), ("changed", found.changed)):
            for what, path in rows[:SHOWN]:
                out.say(f"  {word}: {what}: {path}")
        out.result(
            {
                "checked": found.checked,
                "missing": [{"what": what, "path": path} for what, path in found.missing],
                "changed": [{"what": what, "path": path} for what, path in found.changed],
            }
        )
    return EXIT_FAILED if found.missing or found.changed else EXIT_OK


@care.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@project_option
@verb
def locate(out: Output, project_path: Path | None, folder: Path) -> int:
    """Look for missing pictures below FOLDER, by their contents."""
    with opened(out, project_path) as project:
        found, missing = project.locate(folder)
        out.say(f"Found {plural(found, 'picture')}; {len(missing):,} still missing.")
        out.result({"found": found, "missing": [image_id for image_id, _ in missing]})
    return EXIT_OK


@care.command()
@project_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@verb
def empty(out: Output, project_path: Path | None, yes: bool) -> int:
    """Delete the rejected images. This cannot be undone."""
    if not yes:
        raise click.UsageError(
            "This deletes the rejected images for good. Say --yes if that is what you want."
        )
    with opened(out, project_path) as project:
        freed = project.empty_rejected()
        out.say(freed.sentence)
        out.result({"freed": freed})
    return EXIT_OK


@care.command()
@project_option
@verb
def shrink(out: Output, project_path: Path | None) -> int:
    """Delete files that nothing names, and give unused space back."""
    with opened(out, project_path) as project:
        freed = project.shrink()
        out.say(freed.sentence)
        out.result({"freed": freed})
    return EXIT_OK


@care.command()
@click.argument("target", type=click.Path(path_type=Path))
@project_option
@verb
def copy(out: Output, project_path: Path | None, target: Path) -> int:
    """Copy the project, file and folder, to TARGET."""
    with opened(out, project_path, to_write=False) as project:
        place = project.copy_to(target)
        out.say(f"Copied to {place}.")
        out.result({"project": place})
    return EXIT_OK


@care.command()
@click.argument("target", type=click.Path(path_type=Path))
@project_option
@verb
def move(out: Output, project_path: Path | None, target: Path) -> int:
    """Move the project, file and folder, to TARGET; the copy is verified before the old goes."""
    place = move_project(find_project(project_path), target)
    out.say(f"Moved to {place}.")
    out.result({"project": place})
    return EXIT_OK


@care.command()
@click.argument("other", type=click.Path(path_type=Path))
@project_option
@click.option("--dry-run", is_flag=True, help="Only say what would come in.")
@verb
def merge(out: Output, project_path: Path | None, other: Path, dry_run: bool) -> int:
    """Take the images of the project OTHER in, with all that was said of them."""
    with opened(out, project_path, to_write=not dry_run) as project:
        plan = project.plan_merge(other)
        out.say(plan.sentence)
        if dry_run:
            out.result({"plan": {"images": len(plan.entries), "per_class": plan.per_label}})
            return EXIT_OK
        report = project.import_data(plan)
        out.say(report.sentence)
        out.result({"imported": report.imported, "problems": report.problems})
    return EXIT_OK


@care.command()
@click.argument("target", type=click.Path(path_type=Path))
@project_option
@verb
def archive(out: Output, project_path: Path | None, target: Path) -> int:
    """Write the whole project into one zip; referenced pictures stay outside."""
    with opened(out, project_path, to_write=False) as project:
        place = project.archive(target)
        outside = sum(image.is_reference for image in project.images())
        out.say(f"Wrote {place}.")
        if outside:
            out.note(f"{plural(outside, 'picture')} are referenced, and not in it.")
        out.result({"archive": place, "referenced": outside})
    return EXIT_OK


@care.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@verb
def unpack(out: Output, source: Path, folder: Path) -> int:
    """Unpack an archive of a project below FOLDER."""
    place = unpack_archive(source, folder)
    out.say(f"Unpacked {place}.")
    out.result({"project": place})
    return EXIT_OK
