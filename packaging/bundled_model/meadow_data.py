"""Draw the training pictures of the meadow in parts, so that training can begin with the first.

Every second picture shows a named training species, the others a combination of attributes that
is drawn once and has no name; no picture has the genome of a held-out species. Part files hold
pixels, masks, the attribute numbers of the species, its name (or "") and ground and light words.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import common
import numpy as np

from dafusion_core.meadow import (
    ATTRIBUTES,
    HELD_OUT,
    TRAINING,
    Species,
    draw_picture,
    random_species,
)

PART = 2048
OFFSETS = np.cumsum([0, *(len(v) for v in ATTRIBUTES.values())])
"""Attribute values are numbered through all attributes; this is where each attribute begins."""


def genome_numbers(species: Species) -> list[int]:
    """(7,) number of each attribute value, -1 where the species has none."""
    values = zip(ATTRIBUTES.values(), species.genome, OFFSETS, strict=False)
    return [int(at) + known.index(v) if v else -1 for known, v, at in values]


def species_of(index: int) -> Species:
    """The species that training picture ``index`` shows."""
    rng = np.random.default_rng([21, index])
    if index % 2 == 0:
        return TRAINING[(index // 2) % len(TRAINING)]
    hidden = {s.genome for s in HELD_OUT}
    while True:
        species = random_species(rng, "")
        if species.genome not in hidden:
            return species


def _one(index: int) -> tuple[Any, ...]:
    species = species_of(index)
    picture = draw_picture(species, common.TRAIN_SEED + index, plot=1_000_000 + index)
    genome = genome_numbers(species)
    return picture.pixels, picture.mask, genome, species.name, picture.ground, picture.light


def draw_part(number: int, count: int, processes: int) -> dict[str, Any]:
    """Pictures ``number * PART`` and the ``count - 1`` that follow."""
    jobs = range(number * PART, number * PART + count)
    methods = multiprocessing.get_all_start_methods()  # fork spares every worker the imports
    with multiprocessing.get_context("fork" if "fork" in methods else None).Pool(processes) as pool:
        rows = pool.map(_one, jobs, chunksize=16)
    pixels, masks, genomes, names, grounds, lights = zip(*rows, strict=True)
    words = {"names": names, "grounds": grounds, "lights": lights}
    return {
        "pixels": np.stack(pixels),
        "masks": np.stack(masks),
        "genomes": np.array(genomes),
        "words": json.dumps(words),
    }


def ensure(folder: Path, parts: int, count: int = PART, processes: int = 1) -> None:
    """Draw the parts 0 .. ``parts - 1`` that ``folder`` lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(parts):
        path = folder / f"part-{number:03d}.npz"
        if path.exists():
            continue
        begin = time.time()
        unfinished = path.with_name("unfinished.npz")
        np.savez(unfinished, **draw_part(number, count, processes))
        unfinished.replace(path)
        common.say(drew=path.name, seconds=time.time() - begin)


def load(folder: Path, most: int = 1000) -> dict[str, Any]:
    """The parts in ``folder``, joined: pixels, masks, genomes, names, grounds, lights."""
    paths = sorted(folder.glob("part-*.npz"))[:most]
    if not paths:
        common.fail(f"{folder} holds no pictures; run meadow_data.py first.")
    joined: dict[str, Any] = {k: [] for k in ("names", "grounds", "lights")}
    arrays: dict[str, list[np.ndarray]] = {k: [] for k in ("pixels", "masks", "genomes")}
    for path in paths:
        with np.load(path) as file:
            for key, found in arrays.items():
                found.append(file[key])
            for key, texts in json.loads(str(file["words"])).items():
                joined[key] += texts
    return {**joined, **{k: np.concatenate(v) for k, v in arrays.items()}, "parts": len(paths)}


def main() -> None:
    """Draw ``--parts`` parts of 2,048 pictures under ``--out``/data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", type=int, default=20)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    ensure(args.out / "data", args.parts, processes=args.processes)


if __name__ == "__main__":
    main()
