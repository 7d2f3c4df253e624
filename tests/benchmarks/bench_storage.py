"""What the project file costs: `python tests/benchmarks/bench_storage.py [--images 50000]`.

Prints JSON. With `--images` synthetic images in a project of ordinary shape it measures:
commit_ms: recording one finished unit (row, unit state, counters), with WAL on the local disk;
reference_ms: the same rows with a plain sqlite3 connection, no guards, for the ratio;
open_s: opening the project, properly closed, and after a crash (whole file checked, strays swept);
read_ms: what a window asks when it shows a page of the grid.
"""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dafusion_core as df
from dafusion_core.domain.records import Job, JobState, JobUnit, Part
from dafusion_core.domain.specs import GenerationPlan
from dafusion_core.jobs import queue
from dafusion_core.storage.concepts import ensure_concepts
from dafusion_core.storage.images import add_images, add_label
from dafusion_core.storage.jobs import get_job, get_units
from dafusion_core.storage.results import add_result
from dafusion_core.storage.splits import add_split

COMMITS = 2000


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def fill(project: df.Project, images: int) -> int:
    """A project with `images` planned synthetic images of which all but COMMITS are done."""
    db = project.file.db
    sources = images // 40
    for label in ("dock", "thistle"):
        add_label(db, label)
    add_images(
        db,
        [
            {
                "path": f"objects/aa/{i}.png", "is_reference": 0, "sha256": f"{i:064x}",
                "width": 512, "height": 512, "mode": "RGB", "label_id": 1 + i % 2,
                "original_path": f"/photos/{i}.png", "original_size": 1, "original_mtime_ns": 1,
            }
            for i in range(sources)
        ],
    )  # fmt: skip
    add_split(db, "Split 1", 0, {}, {i + 1: Part.TRAIN for i in range(sources)})
    ensure_concepts(db)
    job = project.enqueue(GenerationPlan(split_id=1, variants=10))
    owner = queue.current_owner()
    queue.claim(db, owner, "cpu")
    units = get_units(db, job.id)
    with db.atomic():
        for unit in units[:-COMMITS]:
            record(project, job.id, owner, unit)
    return job.id


def record(project: df.Project, job_id: int, owner: str, unit: JobUnit) -> None:
    db = project.file.db
    stored = {"image": (f"objects/ab/{unit.id}.png", f"{unit.id:064x}")}
    job = JOBS.setdefault(job_id, get_job(db, job_id))
    queue.record_unit(
        db,
        job_id,
        owner,
        unit,
        lambda: add_result(db, job, unit, stored, {"width": 512, "height": 512}),
    )


JOBS: dict[int, Job] = {}


def measure_commits(project: df.Project, job_id: int) -> list[float]:
    owner = queue.current_owner()
    units = get_units(project.file.db, job_id)[-COMMITS:]
    return [timed(lambda u=unit: record(project, job_id, owner, u)) for unit in units]


def measure_plain(path: Path) -> list[float]:
    """The least that any program could do: two rows in one WAL transaction."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=wal")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("CREATE TABLE unit(id INTEGER PRIMARY KEY, state TEXT)")
    db.execute("CREATE TABLE image(id INTEGER PRIMARY KEY, path TEXT, sha256 TEXT, width, height)")
    db.executemany("INSERT INTO unit VALUES (?, 'todo')", [(i,) for i in range(50_000)])

    def commit(i: int) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE unit SET state = 'done' WHERE id = ?", [i])
        db.execute(
            "INSERT INTO image(path, sha256, width, height) VALUES (?, ?, 512, 512)",
            [f"objects/ab/{i}.png", f"{i:064x}"],
        )
        db.execute("COMMIT")

    times = [timed(lambda i=i: commit(i)) for i in range(COMMITS)]
    db.close()
    return times


def summary(times: list[float]) -> dict[str, float]:
    milliseconds = sorted(1000 * t for t in times)
    return {
        "median": round(statistics.median(milliseconds), 4),
        "p99": round(milliseconds[int(len(times) * 0.99)], 4),
        "max": round(milliseconds[-1], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000)
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        project = df.create(Path(folder) / "big")
        job_id = fill(project, images)
        commits = measure_commits(project, job_id)
        queue.finish(project.file.db, job_id, queue.current_owner(), JobState.SUCCEEDED)
        plain = measure_plain(Path(folder) / "plain.db")
        path = project.path
        project.close()
        opened: list[df.Project] = []
        open_clean = timed(lambda: opened.append(df.open(path)))
        project = opened.pop()
        read = {
            "ids of all synthetic images": timed(project.synthetic_ids),
            "200 records": timed(lambda: project.synthetic(range(20_000, 20_200))),
            "all jobs": timed(project.jobs),
            "counts per class and t0": timed(project.curation_counts),
        }
        made = len(project.synthetic_ids())
        project.close()
        (path.with_suffix(".files") / "owner.json").write_text("{}")
        open_crashed = timed(lambda: opened.append(df.open(path)))
        opened.pop().close()
        ours, reference = summary(commits), summary(plain)
        print(
            json.dumps(
                {
                    "machine": platform.processor() or platform.machine(),
                    "sqlite": sqlite3.sqlite_version,
                    "synthetic_images": made,
                    "file_MB": round(path.stat().st_size / 1e6, 1),
                    "commit_ms": ours,
                    "reference_ms": reference,
                    "commit_ratio": round(ours["median"] / reference["median"], 2),
                    "open_s": {
                        "closed properly": round(open_clean, 3),
                        "after a crash": round(open_crashed, 3),
                    },
                    "read_ms": {key: round(1000 * value, 2) for key, value in read.items()},
                },
                indent=2,
            )
        )


if __name__ == "__main__":
    main()
