"""Verbs for what came of it: report and export."""

from __future__ import annotations

import os
from pathlib import Path

import click

import dafusion_core as df
from dafusion_core.cli.options import project_option, verb
from dafusion_core.cli.output import EXIT_OK, Output
from dafusion_core.cli.session import opened
from dafusion_core.cli.verdicts import describe_verdict, show_verdict
from dafusion_core.datasets.export_forms import EXPORT_FORMS
from dafusion_core.domain.records import Part
from dafusion_core.language import ENGLISH, available, resolve


@click.command()
@project_option
@click.option(
    "--output",
    "-o",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write a report: one HTML file that opens anywhere, or a PDF if it ends in .pdf.",
)
@click.option(
    "--figures",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write every figure into this folder, as SVG and PNG.",
)
@click.option(
    "--language",
    type=click.Choice(available()),
    help="Language of the report and the figures: en (the default) or ko; DAFUSION_LANGUAGE.",
)
@verb
def report(
    out: Output,
    project_path: Path | None,
    path: Path | None,
    folder: Path | None,
    language: str | None,
) -> int:
    """Show the newest verdict again, and write a report to hand on.

    \b
    Examples:
      dafusion report --project weeds.dafusion
      dafusion report -o weeds.html
      dafusion report -o weeds.pdf --figures figures/
      dafusion report -o weeds.html --language ko
    """
    language = language or resolve(os.environ.get("DAFUSION_LANGUAGE", ENGLISH))
    with opened(out, project_path, to_write=False) as project:
        evaluations = project.evaluations()
        if evaluations:
            show_verdict(out, evaluations[-1])
        else:
            out.say(
                "There is no verdict yet. `dafusion run FOLDER` or `dafusion compare` makes one."
            )
        if path is not None:
            df.write_report(project, path, language=language)
            out.say(f"Wrote {path}.")
        drawn = df.write_figures(project, folder, language=language) if folder is not None else []
        if drawn:
            out.say(f"Wrote {len(drawn)} files into {folder}.")
        out.result(
            {
                "verdict": describe_verdict(evaluations[-1]) if evaluations else None,
                "report": path,
                "figures": drawn,
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
@click.option("--no-synthetic", is_flag=True, help="Leave out the synthetic images.")
@click.option(
    "--form",
    type=click.Choice(list(EXPORT_FORMS)),
    help="Another layout than one folder per class; each can be imported again.",
)
@click.option(
    "--parts",
    metavar="PART,…",
    help="With --form: only these parts of the split (train, validation, test, unused), or all.",
)
@click.option("--overwrite", is_flag=True, help="Replace files of the same name in FOLDER.")
@verb
def export(
    out: Output,
    project_path: Path | None,
    folder: Path,
    everything: bool,
    no_real: bool,
    no_synthetic: bool,
    form: str | None,
    parts: str | None,
    overwrite: bool,
) -> int:
    """Write the pictures to FOLDER, one folder per class, for use with other programs.

    By default the kept synthetic images and the real training pictures. Test pictures are never
    mixed in. FOLDER must be new or empty; an export that was stopped goes on when it is started
    again in the same way.

    With --form or --parts the whole project is written (all parts, groups, notes, masks), without
    rejected images, so that it can be imported again.

    \b
    Examples:
      dafusion export augmented/ --project weeds.dafusion
      dafusion export synthetic/ --all --no-real
      dafusion export coco/ --form coco --parts train,test
      dafusion export check/ --form reference --parts train
    """
    if no_real and no_synthetic:
        raise click.UsageError("--no-real and --no-synthetic together leave nothing.")
    if parts and parts != "all" and not set(parts.split(",")) <= {p.value for p in Part}:
        raise click.BadParameter(f"“{parts}”: parts are train, validation, test, unused, or all.")
    with opened(out, project_path, to_write=False) as project:
        if form is None and parts is None and not no_synthetic:
            made = df.export_folder(
                project,
                folder,
                what="all" if everything else "kept",
                real=not no_real,
                overwrite=overwrite,
            )
        else:
            made = project.export(
                folder,
                form or "folders",
                "synthetic" if no_real else "real" if no_synthetic else "both",
                curation="all" if everything else "kept",
                parts=None if parts in (None, "all") else (parts or "").split(","),
                overwrite=overwrite,
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
