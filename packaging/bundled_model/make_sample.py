"""Draw the sample image set: one folder per class, 64x64 PNG files.

Four yellow-flowered weeds: one that the bundled model knows by name (dandelion) and three that
its training never showed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image
from plants import HELD_OUT, TRAINED
from render import render

CLASSES = ("dandelion", "rough hawkbit", "leafy spurge", "common ragwort")
FIRST_SEED = 9_000_000  # far from the seeds of training and checking pictures
HERE = Path(__file__).resolve().parents[2] / "resources" / "sample"


def main() -> None:
    """Write ``--count`` pictures per class under ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    args = parser.parse_args()
    for name in CLASSES:
        folder = args.out / name
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(args.count):
            picture = Image.fromarray(render(name, args.seed + i).pixels)
            picture.save(folder / f"{name.replace(' ', '-')}-{i + 1:02d}.png", optimize=True)
        print(
            f"{name}: {args.count} pictures, known to the model: {name in TRAINED}, "
            f"held out: {name in HELD_OUT}"
        )


if __name__ == "__main__":
    main()
