"""Writes folders of meadow pictures: train/ and test/ with a folder per class, and a list."""

from __future__ import annotations

import csv
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dafusion_core.meadow.picture import draw_picture
from dafusion_core.meadow.species import Species

LIST = "metadata.csv"
PER_PLOT = 2  # pictures of each class on one plot; all classes share the plots
COLUMNS = ("file_name", "label", "split", "group", "caption")


def hash_pictures(folder: Path) -> str:
    """SHA-256 (hex) of the list and of the pixels in its order; "" if any of it is missing."""
    found = hashlib.sha256()
    try:
        text = (folder / LIST).read_text(encoding="utf-8")
        found.update(text.encode())
        for row in csv.DictReader(text.splitlines()):
            with Image.open(folder / row["file_name"]) as image:
                found.update(np.asarray(image.convert("RGB")).tobytes())
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return found.hexdigest()


def write_folder(
    folder: Path | str,
    species: Sequence[Species],
    train: int,
    test: int = 0,
    *,
    first_seed: int = 0,
    size: int = 64,
    masks: bool = False,
    on_progress: Callable[[int, int, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> bool:
    """Draw `train` + `test` pictures of each species as PNG; False if it was stopped.

    `folder`/train/SPECIES/plot-NUMBER-NUMBER.png and the same in test; `LIST` says of each picture
    its class, part, plot and caption, in columns that importers of image folders know.
    `PER_PLOT` pictures of each class share a plot, and no plot is in both parts. With `masks` the
    plants (white) are in `folder`-masks under the same names.

    The folder appears when everything is in it. Raises FileExistsError when it is there already
    and not empty, and other OSErrors.
    """
    folder = Path(os.path.abspath(folder))
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(17, "The folder is not empty", str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    places = [("train", i, i // PER_PLOT) for i in range(train)]
    plots = -(-train // PER_PLOT)
    places += [("test", train + i, plots + i // PER_PLOT) for i in range(test)]
    total, done = len(places) * len(species), 0
    # On the same disk, so that one renaming makes it appear.
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        drawn, white = Path(scratch) / "pictures", Path(scratch) / "masks"
        rows = []
        for part, number, plot in places:
            for one in species:
                if should_stop is not None and should_stop():
                    return False
                picture = draw_picture(one, first_seed + number, size, first_seed + plot)
                name = f"{part}/{one.name}/plot-{plot:02d}-{number:03d}.png"
                _save(Image.fromarray(picture.pixels), drawn / name)
                if masks:
                    _save(Image.fromarray(picture.mask.astype(np.uint8) * 255), white / name)
                rows.append((name, one.name, part, f"plot-{plot:02d}", picture.caption))
                done += 1
                if on_progress is not None:
                    on_progress(done, total, name)
        with (drawn / LIST).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
        if folder.exists():
            folder.rmdir()
        if masks:
            white.rename(folder.with_name(f"{folder.name}-masks"))
        drawn.rename(folder)
    return True


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
