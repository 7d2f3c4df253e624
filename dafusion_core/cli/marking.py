"""The part of the verb annotate that is about boxes and masks on pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dafusion_core.cli.annotating import annotate, check_ids, tell
from dafusion_core.cli.options import IdList, project_option, verb
from dafusion_core.cli.output import EXIT_OK, Output
from dafusion_core.cli.session import opened
from dafusion_core.datasets.masks import mask_box
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.regions import RegionKind


@annotate.command()
@click.argument("ids", type=IdList(), required=False)
@project_option
@verb
def regions(out: Output, project_path: Path | None, ids: list[int] | None) -> int:
    """List boxes, polygons and masks, of the pictures IDS or of all: id, picture, kind, class,
    box around it, pixels."""
    with opened(out, project_path, to_write=False) as project:
        if ids:
            check_ids(project, ids)
        rows: list[dict[str, Any]] = []
        labels = {image.id: image.label for image in project.images()}
        for region in project.regions(ids or None):
            mask = project.region_mask(region)
            box = region.data["box"] if region.kind is RegionKind.BOX else mask_box(mask)
            rows.append(
                {
                    "id": region.id,
                    "picture": region.image_id,
                    "kind": region.kind.value,
                    "class": region.label or labels.get(region.image_id, ""),
                    "box": [float(value) for value in box],
                    "pixels": int(mask.sum()),
                }
            )
        head = ("id", "picture", "kind", "class", "box", "pixels")
        shown = [{**row, "box": ", ".join(f"{side:g}" for side in row["box"])} for row in rows]
        out.table(head, ([row[key] for key in head] for row in shown))
        out.result({"regions": rows})
    return EXIT_OK


@annotate.command()
@click.argument("image_id", type=int)
@click.option("--box", nargs=4, type=float, metavar="X Y WIDTH HEIGHT", help="A box, in pixels.")
@click.option(
    "--mask",
    "mask_path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A PNG as large as the upright picture; every pixel that is not black is marked.",
)
@click.option("--class", "label", help="The class of the region, if not that of the picture.")
@project_option
@verb
def mark(
    out: Output,
    project_path: Path | None,
    image_id: int,
    box: tuple[float, float, float, float] | None,
    mask_path: Path | None,
    label: str | None,
) -> int:
    """Mark an object on the picture IMAGE_ID with a box, or with a mask from a PNG file.

    `generate --mask object` then changes only what is marked, `--mask background` only what is
    around it. The window has brush and polygons, too.

    \b
    Examples:
      dafusion annotate mark 17 --box 40 32 120 96
      dafusion annotate mark 17 --mask leaf.png --class "leafy spurge"
    """
    if (box is None) == (mask_path is None):
        raise click.UsageError("Give either --box or --mask.")
    with opened(out, project_path) as project:
        check_ids(project, [image_id])
        if mask_path is not None:
            region_id = project.add_mask_file(image_id, mask_path, label)
        else:
            region_id = project.add_region(image_id, "box", {"box": list(box or ())}, label)
        out.say(f"Region {region_id} drawn on picture {image_id}.")
        out.result({"region_id": region_id, "image_id": image_id})
    return EXIT_OK


@annotate.command()
@click.argument("region_ids", type=IdList())
@project_option
@verb
def unmark(out: Output, project_path: Path | None, region_ids: list[int]) -> int:
    """Take the regions REGION_IDS away (`annotate regions` lists them)."""
    with opened(out, project_path) as project:
        missing = set(region_ids) - {region.id for region in project.regions()}
        if missing:
            raise UserError(
                f"There is no region {min(missing)}. Nothing was changed.",
                "`dafusion annotate regions` shows the ids there are.",
            )
        return tell(out, project.remove_regions(region_ids))
