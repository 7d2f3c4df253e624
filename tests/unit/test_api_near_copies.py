"""Groups of synthetic images that look nearly the same, and keeping the best of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dafusion_core import api
from dafusion_core.api.project import Project
from dafusion_core.domain.records import Curation


def picture(seed: int, noise: float = 0.0) -> Image.Image:
    """Soft blobs of a seed; noise does not change what they look like."""
    dice = np.random.default_rng(seed)
    coarse = Image.fromarray(dice.integers(0, 256, (6, 6), dtype=np.uint8))
    values = np.asarray(coarse.resize((64, 64), Image.Resampling.BICUBIC), np.float64)
    values = values + np.random.default_rng(1000 + seed).normal(0, noise, values.shape)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).convert("RGB")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[tuple[Project, list[int]]]:
    """Two classes with four pictures each: 0, 1 and 2 of a class are copies, 3 is not."""
    folder = tmp_path / "weeds"
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for number in range(6):
            picture(50 + number if label == "a" else 80 + number).save(
                folder / label / f"{number}.png"
            )
    with api.create(tmp_path / "weeds") as project:
        project.import_folder(folder)
        yield project, fill(project, tmp_path)


def fill(project: Project, folder: Path) -> list[int]:
    """Rows and files as a worker would leave them."""
    project.make_split(test=0.25)
    job = project.generate(t0_set=[0.5], variants=1)
    db = project.file.db
    ids: list[int] = []
    by_class: dict[int, int] = {}
    for unit in project.units(job.id):
        concept = unit.payload["concept_id"]
        place = by_class.get(concept, 0)
        by_class[concept] = place + 1
        if place == 4:
            continue
        path = folder / f"{unit.id}.png"
        # Both classes show the same blobs: groups must not reach over classes.
        picture(1 if place < 3 else 2, noise=2.0 * place).save(path)
        ids.append(
            db.insert(
                "synthetic_image",
                {
                    "unit_id": unit.id,
                    "job_id": job.id,
                    "source_image_id": unit.payload["source_image_id"],
                    "concept_id": concept,
                    "t0": 0.5,
                    "variant": 0,
                    "seed": 1,
                    "path": str(path),
                    "sha256": "x",
                    "width": 64,
                    "height": 64,
                    "created_at": "2026-01-01T00:00:00.000+00:00",
                },
            )
        )
    return ids


def decisions(project: Project, ids: list[int]) -> list[Curation]:
    return [image.curation for image in project.synthetic(ids)]


def test_copies_are_found_within_a_class(made: tuple[Project, list[int]]) -> None:
    project, ids = made
    assert project.near_copies(ids) == [ids[0:3], ids[4:7]]


def test_what_cannot_be_read_is_in_no_group(made: tuple[Project, list[int]]) -> None:
    project, ids = made
    project.file.objects.path(project.synthetic(ids)[0].path).write_bytes(b"no picture")
    project.file.objects.path(project.synthetic(ids)[4].path).unlink()
    assert project.near_copies(ids) == [ids[1:3], ids[5:7]]


def test_looking_can_be_stopped(made: tuple[Project, list[int]]) -> None:
    project, ids = made
    assert project.near_copies(ids, should_stop=lambda: True) == []


def test_stars_then_decisions_say_which_is_best(made: tuple[Project, list[int]]) -> None:
    project, ids = made
    project.rate([ids[1]], 4)
    project.keep([ids[0]])
    project.reject([ids[4]])
    before = decisions(project, ids)
    changes = project.keep_best(project.near_copies(ids))
    kept, rejected, undecided = Curation.KEPT, Curation.REJECTED, Curation.UNDECIDED
    assert decisions(project, ids) == [
        rejected, kept, rejected, undecided,
        rejected, kept, rejected, undecided,
    ]  # fmt: skip
    assert changes.text == "Keep the best of 2 groups"
    project.undo()
    assert decisions(project, ids) == before
