"""Verbs for what came of it: report and export."""

from __future__ import annotations

from pathlib import Path

import click

import dafusion_core as df
from dafusion_core.cli.options import project_option, verb
from dafusion_core.cli.output import EXIT_OK, Output
from dafusion_core.cli.session import opened
from dafusion_core.cli.verdicts import describe_verdict, show_verdict


@click.command()
@project_option
@click.option(
    "--output",
    "-o",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write a report as one HTML file that opens anywhere.",
)
@verb
def report(out: Output, project_path: Path | None, path: Path | None) -> int:
    """Show the newest verdict again, and write a report to hand on.

    \b
    Examples:
      dafusion report --project weeds.dafusion
      dafusion report -o weeds.html
    """
    with opened(out, project_path, to_write=False) as project:
        evaluations = project.evaluations()
        if evaluations:
            show_verdict(out, evaluations[-1])
        else:
            out.say(
                "There is no verdict yet. `dafusion run FOLDER` or `dafusion compare` makes one."
            )
        if path is not None:
            df.write_report(project, path)
            out.say(f"Wrote {path}.")
        out.result(
            {
                "verdict": describe_verdict(evaluations[-1]) if evaluations else None,
                "report": path,
            }
        )
    return EXIT_OK


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@project_option
@click.option(
    "--all", "everything", is_flag=True, help="Undecided and rejected images too, not only kept."
)
@click.option("--no-real", is_flag=True, help="Leave out the real training pictures.")
@verb
def export(
    out: Output, project_path: Path | None, folder: Path, everything: bool, no_real: bool
) -> int:
    """Write the pictures to FOLDER, one folder per class, for use with other programs.

    By default the kept synthetic images and the real training pictures. Test pictures are never
    mixed in. FOLDER must be new or empty.

    \b
    Examples:
      dafusion export augmented/ --project weeds.dafusion
      dafusion export synthetic/ --all --no-real
    """
    with opened(out, project_path, to_write=False) as project:
        made = df.export_folder(
            project, folder, what="all" if everything else "kept", real=not no_real
        )
        out.say(made.sentence)
        out.result(
            {
                "folder": made.destination,
                "real": made.real,
                "synthetic": made.synthetic,
                "bytes": made.bytes,
            }
        )
    return EXIT_OK
