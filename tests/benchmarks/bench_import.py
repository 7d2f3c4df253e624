"""How fast pictures come in: `python tests/benchmarks/bench_import.py [--images 10000]`.

Prints JSON. One-megapixel JPEGs (1200×900, about 250 kB, no two alike) are imported by copy: each
is read, hashed, decoded to its end, measured for duplicates, made small for views, written and
synced, and recorded. The reference, in the same run and on the same cores, only decodes them with
Pillow in as many threads. `ratio` is the reference's time divided by the import's: 1 is as fast as
decoding; `cpu_ratio` the same of processor time, which says what to expect where others use the
machine too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

import dafusion_core as df

WIDTH, HEIGHT = 1200, 900
TARGET = 0.7


def make_pictures(folder: Path, count: int) -> list[Path]:
    """Pictures with the detail of photographs: noise of several sizes, laid over each other."""
    rng = np.random.default_rng(0)
    layers = []
    for size in (8, 32, 128, 512):
        noise = rng.integers(0, 256, (size, size, 3), np.uint8)
        image = Image.fromarray(noise).resize((2 * WIDTH, 2 * HEIGHT), Image.Resampling.BILINEAR)
        layers.append(np.asarray(image, np.float32))
    paths = []
    for number in range(count):
        # Windows into the layers at places of their own: no two pictures are alike.
        sum_ = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        for layer, weight in zip(layers, (0.5, 0.25, 0.15, 0.1), strict=True):
            y, x = rng.integers(0, HEIGHT), rng.integers(0, WIDTH)
            sum_ += weight * layer[y : y + HEIGHT, x : x + WIDTH]
        path = folder / f"class {number % 4}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sum_.astype(np.uint8)).save(path, quality=92)
        paths.append(path)
    return paths


def decode(path: Path) -> None:
    """What the reference does with one picture."""
    with Image.open(path) as image:
        image.load()


def decode_all(paths: list[Path], threads: int) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(decode, paths))
    return time.perf_counter() - began


def import_all(folder: Path, place: Path, count: int) -> float:
    with df.create(place) as project:
        began = time.perf_counter()
        report = project.import_data(folder)
        taken = time.perf_counter() - began
        assert report.imported == count, report.sentence
        assert len(project.file.objects.thumbnails.names()) == count
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=Path, help="make them here and keep them for next time")
    arguments = parser.parse_args()
    threads = min(4, os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        folder = arguments.pictures or root / "pictures"
        paths = sorted(folder.glob("*/*.jpg")) if folder.exists() else []
        if len(paths) != arguments.images:
            paths = make_pictures(folder, arguments.images)
        decode_all(paths, threads)  # once for the page cache
        rows = []
        for number in range(arguments.rounds):
            # In turn, so that a busy machine disturbs both alike.
            began = time.process_time()
            reference = decode_all(paths, threads)
            between = time.process_time()
            taken = import_all(folder, root / f"project {number}", len(paths))
            cpu = between - began, time.process_time() - between
            rows.append(
                {"decode_s": reference, "import_s": taken, "ratio": reference / taken,
                 "decode_cpu_s": cpu[0], "import_cpu_s": cpu[1], "cpu_ratio": cpu[0] / cpu[1]}
            )  # fmt: skip
        size = sum(path.stat().st_size for path in paths)
    ratio = statistics.median(row["ratio"] for row in rows)
    result = {
        "images": arguments.images,
        "megapixels_each": WIDTH * HEIGHT / 1e6,
        "bytes_each": size // len(paths),
        "threads": threads,
        "rounds": [{key: round(value, 3) for key, value in row.items()} for row in rows],
        "ratio": round(ratio, 3),
        "cpu_ratio": round(statistics.median(row["cpu_ratio"] for row in rows), 3),
        "target": TARGET,
        "is_met": ratio >= TARGET,
        "machine": {"cores": os.cpu_count(), "system": platform.platform(),
                    "python": platform.python_version()},
    }  # fmt: skip
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
