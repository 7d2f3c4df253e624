"""Writes folders of meadow pictures: one folder per class, named by plot, with a manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dafusion_core.meadow.picture import PER_PLOT, Picture, draw_picture
from dafusion_core.meadow.species import ATTRIBUTES, HELD_OUT, Species

SAMPLE = (HELD_OUT[0], HELD_OUT[12], HELD_OUT[2], HELD_OUT[14])
"""Two held-out species and a look-alike of each: a set that few pictures do not settle."""

SAMPLE_SEED = 9_000_000
"""Far from the seeds of training, of checks and of benchmarks."""

MANIFEST = "meadow.json"


def digest(pictures: Iterable[Picture]) -> str:
    """SHA-256 (hex) of the pixels and masks, which are the same on every machine."""
    found = hashlib.sha256()
    for picture in pictures:
        found.update(picture.pixels.tobytes())
        found.update(picture.mask.tobytes())
    return found.hexdigest()


def write_folder(
    folder: Path | str,
    species: Sequence[Species],
    count: int,
    *,
    first_seed: int = SAMPLE_SEED,
    size: int = 64,
    masks: bool = False,
) -> str:
    """Draw `count` pictures of each species and write them as PNG; return their digest.

    `folder`/SPECIES/plot-NUMBER-NN.png; `PER_PLOT` pictures of a class share a plot, so the plot
    is the group that must not be divided between training and test. With `masks` the objects
    (white) are under `folder`-masks in the same order. `folder`-`MANIFEST` says of each picture
    its species, caption, plot and what the species looks like. Files of the same name are
    replaced.
    """
    folder = Path(folder)
    drawn, rows = [], []
    for one in species:
        for number in range(count):
            picture = draw_picture(one, first_seed + number, size)
            plot = picture.plot - first_seed // PER_PLOT
            name = f"{one.name}/plot-{plot:03d}-{number:03d}.png"
            _save(Image.fromarray(picture.pixels), folder / name)
            if masks:
                white = Image.fromarray(picture.mask.astype(np.uint8) * 255)
                _save(white, folder.with_name(folder.name + "-masks") / name)
            drawn.append(picture)
            rows.append(
                {
                    "file": name,
                    "species": one.name,
                    "looks": dict(zip(ATTRIBUTES, one.genome, strict=True)),
                    "caption": picture.caption,
                    "plot": plot,
                }
            )
    found = digest(drawn)
    manifest = {"digest": found, "size": size, "first_seed": first_seed, "pictures": rows}
    path = folder.with_name(f"{folder.name}-{MANIFEST}")
    path.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return found


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True)
