"""Verbs around the engine: check, presets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dafusion_core.cli.options import (
    device_option,
    model_option,
    project_option,
    queue_option,
    verb,
)
from dafusion_core.cli.output import EXIT_OK, Output
from dafusion_core.cli.session import newest_job, opened
from dafusion_core.cli.work import finish, given, spec_option
from dafusion_core.domain.presets import PRESETS
from dafusion_core.domain.specs import CheckSpec, ModelSource

_WORST = 5


@click.command()
@project_option
@model_option
@click.option("--generation", type=int, help="Id of a generation job. Default: the newest.")
@spec_option(
    CheckSpec,
    "features",
    "What pictures are compared by: a folder of a CLIP or DINO model, bundled, or network. "
    "[default: the first of these at hand]",
)
@spec_option(CheckSpec, "batch_size", "Pictures at once.", type=int)
@device_option
@queue_option
@verb
def check(
    out: Output,
    project_path: Path | None,
    model: ModelSource,
    generation: int | None,
    devices: str | None,
    only_queue: bool,
    **options: Any,
) -> int:
    """Measure synthetic images: distances to real ones, class, sharpness, blankness.

    The class is that of a classifier fitted to real training pictures only. What was measured is
    kept with each image, to sort and filter by in curation.

    \b
    Examples:
      dafusion check --project weeds.dafusion
      dafusion check --features models/dinov2-small
    """
    with opened(out, project_path) as project:
        job_id = newest_job(project, "generate", generation, "generate")
        job = project.check(job_id, model=model, **given(options))
        code = finish(out, project, job, devices, only_queue)
        if code == EXIT_OK and not only_queue and not out.is_json:
            ids = project.synthetic_ids(job_id=job_id)
            found = project.checks(ids)
            blank = [i for i in ids if i in found and found[i].is_blank]
            if blank:
                out.say(f"Nearly blank: {', '.join(str(i) for i in blank)}.")
            worst = project.sort_by_check([i for i in ids if i in found], "agreement")[:_WORST]
            for i in worst:
                agreement = found[i].agreement
                if agreement is not None:
                    out.say(
                        f"Image {i}: looks like {found[i].predicted}; own class {agreement:.0%}."
                    )
        return code


@click.command()
@verb
def presets(out: Output) -> int:
    """Named settings for `invert` and `generate`: what each sets, and where that comes from."""
    for preset in PRESETS:
        out.say(f"{preset.kind} --preset {preset.name}: {preset.title}")
        for choice in preset.choices:
            out.say(f"    {choice.field} = {choice.value}  ({choice.source})")
    out.result(
        {
            "presets": [
                {
                    "name": preset.name,
                    "kind": preset.kind,
                    "title": preset.title,
                    "settings": {
                        c.field: {"value": c.value, "source": c.source} for c in preset.choices
                    },
                }
                for preset in PRESETS
            ]
        }
    )
    return EXIT_OK
