"""Taking an import back removes what it brought, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import dafusion_core as df
from dafusion_core.api import Project
from dafusion_core.domain.errors import UserError
from dafusion_core.storage.arrivals import ArrivalMark
from tests.unit.pictures import make_class_folder, noise, save
from tests.unit.test_api_annotation import state
from tests.unit.test_api_roundtrip import content


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    folder = make_class_folder(tmp_path / "photos", {"dock": 4, "fern": 4})
    with df.create(tmp_path / "weeds") as made:
        made.import_folder(folder)
        made.set_group([1, 2], "plant 1")
        made.add_region(1, "box", {"box": [1, 1, 4, 4]})
        made.make_split()
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """An export with classes, groups, parts and regions of its own, and one known class."""
    for number, label in enumerate(["fern", "fern", "moss", "moss", "lily", "lily"]):
        save(noise(900 + number), tmp_path / "more" / label / f"{number}.png")
    with df.create(tmp_path / "other") as made:
        made.import_folder(tmp_path / "more")
        made.set_group([3, 5], "plant 9")
        made.add_region(3, "box", {"box": [1, 1, 4, 4]}, "sorrel")
        made.make_split()
        made.export(tmp_path / "out", "coco", what="real")
    return tmp_path / "out"


def files(project: Project) -> set[str]:
    return {path.name for path in project.file.objects.objects.glob("*/*")}


def bring(project: Project, folder: Path) -> tuple[ArrivalMark, ArrivalMark]:
    before = project.arrival_mark()
    assert project.import_data(folder).imported == 6
    return before, project.arrival_mark()


def test_everything_it_brought_goes(project: Project, other: Path) -> None:
    before, stored = state(project), files(project)
    splits = project.splits()
    marks = bring(project, other)
    whole = content(project)
    assert len(project.splits()) == 2
    assert [label.name for label in project.labels()] == ["dock", "fern", "lily", "moss", "sorrel"]
    assert len(files(project)) == len(stored) + 6
    changes = project.undo_import(*marks)
    assert changes.text == "Import undone: 6 images removed"
    assert state(project) == before
    assert project.splits() == splits
    assert files(project) == stored
    # It can be imported again, and is whole again.
    bring(project, other)
    assert content(project) == whole


def test_what_was_there_stays_as_it_is_now(project: Project, other: Path) -> None:
    marks = bring(project, other)
    project.relabel([1], "moss")  # a class that the import made, and an image that it did not bring
    project.set_note([2], "kept")
    project.relabel([9], "dock")
    project.undo_import(*marks)
    assert [image.id for image in project.images()] == list(range(1, 9))
    assert project.image(1).label == "moss"
    assert project.image(2).note == "kept"
    assert [label.name for label in project.labels()] == ["dock", "fern", "moss"]
    assert [label.ordinal for label in project.labels()] == [0, 1, 2]
    assert project.undo_text() is None or "note" not in project.undo_text()
    project.relabel([1], "dock")
    project.undo()
    assert project.image(1).label == "moss"


def test_a_job_since_then_keeps_it(project: Project, other: Path) -> None:
    marks = bring(project, other)
    project.invert()
    whole = content(project)
    with pytest.raises(UserError, match="Jobs were queued since"):
        project.undo_import(*marks)
    assert content(project) == whole
