"""A plan of a hundred thousand images is queued, shown and cancelled at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import dafusion_core as df
from dafusion_core.domain.records import JobState, Part
from dafusion_core.domain.specs import GenerationPlan
from dafusion_core.storage.concepts import ensure_concepts
from dafusion_core.storage.images import add_images, add_label
from dafusion_core.storage.splits import add_split

SOURCES = 500


def fill(project: df.Project) -> None:
    db = project.file.db
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
            for i in range(SOURCES)
        ],
    )  # fmt: skip
    add_split(db, "Split 1", 0, {}, {i + 1: Part.TRAIN for i in range(SOURCES)})
    ensure_concepts(db)


def cpu_seconds(action: Callable[[], object]) -> float:
    """Processor time, so that a busy machine does not decide."""
    began = time.process_time()
    action()
    return time.process_time() - began


def test_a_hundred_thousand_images(tmp_path: Path) -> None:
    with df.create(tmp_path / "large") as project:
        fill(project)
        plan = GenerationPlan(split_id=1, variants=50)
        assert cpu_seconds(lambda: project.enqueue(plan)) < 8
        job = project.jobs()[0]
        assert job.total == 4 * 50 * SOURCES == 100_000
        assert cpu_seconds(project.jobs) < 0.05
        assert cpu_seconds(lambda: project.job(job.id)) < 0.05
        assert cpu_seconds(lambda: project.grid_cells(job.id)) < 2
        assert cpu_seconds(lambda: project.cancel(job.id)) < 0.05
        assert project.job(job.id).state is JobState.CANCELLED
        assert cpu_seconds(lambda: project.resume(job.id)) < 0.5
