"""Classes, groups, notes and regions by command, each one step of undo."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dafusion_core as df
from dafusion_core.api import Project
from dafusion_core.domain.errors import EnvironmentProblem, UserError
from dafusion_core.domain.records import Part
from dafusion_core.storage import migrations
from dafusion_core.storage.migrations import MIGRATIONS
from tests.unit.pictures import make_class_folder, noise, save


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    folder = make_class_folder(tmp_path / "photos", {"dock": 4, "fern": 4, "nettle": 4})
    with df.create(tmp_path / "weeds") as made:
        made.import_folder(folder)
        made.make_split()
        yield made


def names(project: Project) -> list[str]:
    return [label.name for label in project.labels()]


def ids(project: Project, label: str) -> list[int]:
    return [image.id for image in project.images(label=label)]


def state(project: Project) -> dict[str, list[tuple[object, ...]]]:
    """Everything that annotation can change, as plain rows."""
    queries = {
        "image": "SELECT id, label_id, group_id, is_unsure, is_rejected, note FROM image",
        "label": "SELECT id, name, ordinal, merged_into FROM label",
        "concept": "SELECT * FROM concept",
        "group": "SELECT * FROM image_group",
        "region": "SELECT * FROM region",
        "split": "SELECT id, name, seed, spec_json, created_at FROM split",
        "part": "SELECT * FROM split_image",
        "lock": "SELECT * FROM locked_test",
        "project": "SELECT * FROM project",
    }
    return {
        name: sorted(tuple(row) for row in project.file.db.query(sql))
        for name, sql in queries.items()
    }


def check_undo(project: Project, before: dict[str, object]) -> None:
    """One undo leads back to `before`, one redo forward again."""
    after = state(project)
    assert after != before
    project.undo()
    assert state(project) == before
    project.redo()
    assert state(project) == after


def test_relabel_moves_images_and_makes_the_class(project: Project) -> None:
    before = state(project)
    changes = project.relabel(ids(project, "dock")[:2], "sorrel")
    assert changes.text == "Label 2 images “sorrel”"
    assert len(changes.image_ids) == 2
    assert changes.images
    assert changes.concepts
    assert names(project) == ["dock", "fern", "nettle", "sorrel"]
    assert [c.name for c in project.concepts()] == names(project)
    check_undo(project, before)


def test_an_image_without_a_class_is_on_no_side(project: Project) -> None:
    chosen = [image.id for image in project.images(label="dock", part="train")]
    before = state(project)
    project.relabel(chosen, None)
    assert [image.id for image in project.unlabelled_images()] == chosen
    assert all(image.part is Part.UNUSED for image in project.images_by_id(chosen))
    assert not {image.id for image in project.images(part="train")} & set(chosen)
    assert project.unlabelled_images()[0].label == ""
    check_undo(project, before)


def test_merging_keeps_the_order_dense_and_regions_too(project: Project) -> None:
    image = ids(project, "dock")[0]
    project.add_region(image, "box", {"box": [1, 1, 5, 5]}, "dock")
    before = state(project)
    changes = project.merge_classes(["dock", "nettle"], "fern")
    assert changes.text == "Merge “dock”, “nettle” into “fern”"
    assert [(label.name, label.ordinal) for label in project.labels()] == [("fern", 0)]
    assert len(ids(project, "fern")) == 12
    assert project.regions([image])[0].label == "fern"
    check_undo(project, before)


def test_a_removed_class_can_come_back(project: Project) -> None:
    before = state(project)
    project.remove_class("fern")
    assert len(project.unlabelled_images()) == 4
    assert names(project) == ["dock", "nettle"]
    check_undo(project, before)
    project.create_class("fern")
    assert names(project) == ["dock", "nettle", "fern"]
    assert [c.name for c in project.concepts()] == ["dock", "nettle", "fern"]


def test_renaming_keeps_the_placeholder_and_never_merges(project: Project) -> None:
    before = state(project)
    project.rename_class("dock", "sorrel")
    assert names(project)[0] == "sorrel"
    assert (project.concepts()[0].name, project.concepts()[0].placeholder) == ("sorrel", "<dock>")
    check_undo(project, before)
    with pytest.raises(UserError, match="merge"):
        project.rename_class("fern", "nettle")
    project.remove_class("fern")
    project.rename_class("nettle", "fern")
    assert names(project) == ["sorrel", "fern"]
    project.undo()
    project.undo()
    project.undo()
    assert state(project) == before


def test_splitting_a_class_is_one_step(project: Project) -> None:
    before = state(project)
    changes = project.split_class(ids(project, "dock")[1:], "curled dock")
    assert changes.text == "Split 3 images off as class “curled dock”"
    check_undo(project, before)
    with pytest.raises(UserError, match="already"):
        project.split_class(ids(project, "dock")[:1], "fern")


def test_the_order_names_each_class_once(project: Project) -> None:
    before = state(project)
    project.order_classes(["nettle", "dock", "fern"])
    assert names(project) == ["nettle", "dock", "fern"]
    check_undo(project, before)
    for wrong in (["dock", "fern"], ["dock", "dock", "fern"], ["dock", "fern", "oak"]):
        with pytest.raises(UserError, match="each of them once"):
            project.order_classes(wrong)


def test_notes_doubts_and_rejections(project: Project) -> None:
    first = ids(project, "dock")[0]
    for command in (
        lambda: project.mark_unsure([first]),
        lambda: project.set_note([first], "blurred leaf"),
        lambda: project.reject_images([first]),
    ):
        before = state(project)
        command()
        check_undo(project, before)
    image = project.image(first)
    assert (image.is_unsure, image.note, image.is_rejected) == (True, "blurred leaf", True)
    assert image.part is Part.UNUSED
    project.restore_images([first])
    assert project.image(first).part is not Part.UNUSED


def test_what_changes_nothing_is_no_step(project: Project) -> None:
    first = ids(project, "dock")[0]
    project.mark_unsure([first])
    project.undo()
    for command in (
        lambda: project.relabel([first], "dock"),
        lambda: project.mark_unsure([first], False),
        lambda: project.merge_classes(["dock"], "dock"),
        lambda: project.rename_class("dock", "dock"),
        lambda: project.set_group([first], None),
    ):
        assert not command()
    assert project.undo_text() == "Divide the images: Split 1"
    assert project.redo_text() == "Mark as not sure: 1 image"


def test_groups_by_pattern_folder_and_date(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2024:05:31 10:00:00"
    for field in ("north", "south"):
        for i in range(3):
            picture = noise(hash((field, i)) % 1000)
            path = tmp_path / "photos" / "dock" / field / f"plant{i}_1.jpg"
            save(picture, path, **({"exif": exif} if i == 0 else {}))
    with df.create(tmp_path / "w") as project:
        project.import_folder(tmp_path / "photos")
        assert list(project.find_groups("folder")) == ["dock/north", "dock/south"]
        assert list(project.find_groups("pattern", r"(plant\d)_", "name")) == [
            "plant0", "plant1", "plant2"
        ]  # fmt: skip
        dates = project.find_groups("date")
        assert list(dates) == ["2024-05-31"]
        assert len(dates["2024-05-31"]) == 2
        before = state(project)
        changes = project.group_by("pattern", r"(north|south)")
        assert changes.text == "Group 6 images into 2 groups"
        check_undo(project, before)
        assert {image.group for image in project.images()} == {"north", "south"}
        project.rename_group("north", "south")
        assert list(project.groups()) == ["south"]
        with pytest.raises(UserError, match="regular expression"):
            project.group_by("pattern", "(")
        with pytest.raises(UserError, match="no group was made"):
            project.group_by("pattern", "willow")


def test_a_painted_mask_comes_back_identical_after_reopening(project: Project) -> None:
    first = project.images()[0]
    mask = np.random.default_rng(3).random((first.height, first.width)) < 0.3
    before = state(project)
    region_id = project.add_mask(first.id, mask)
    check_undo(project, before)
    path = project.path
    project.close()
    with df.open(path) as again:
        (region,) = again.regions([first.id])
        assert region.id == region_id
        assert (again.region_mask(region) == mask).all()
        again.change_region(region_id, "box", {"box": [0, 0, 2, 3]}, "dock")
        assert again.image_mask(first.id).sum() == 6
        again.remove_regions([region_id])
        assert again.image_mask(first.id) is None
        again.undo()
        again.undo()
        assert (again.image_mask(first.id) == mask).all()


def test_regions_must_fit_their_image(project: Project) -> None:
    first = project.images()[0]
    with pytest.raises(UserError, match="the image"):
        project.add_mask(first.id, np.ones((3, 3), bool))
    with pytest.raises(UserError, match="no image 999"):
        project.add_region(999, "box", {"box": [0, 0, 1, 1]})
    with pytest.raises(UserError, match="not there any more"):
        project.change_region(999, "box", {"box": [0, 0, 1, 1]})


def test_an_import_into_a_class_that_undo_would_remove_ends_the_history(
    project: Project, tmp_path: Path
) -> None:
    project.create_class("sorrel")
    project.import_folder(make_class_folder(tmp_path / "more", {"sorrel": 2}, ".bmp"))
    assert project.undo_text() is None
    project.mark_unsure([1])
    save(noise(77777), tmp_path / "more" / "sorrel" / "late.png")
    project.import_folder(tmp_path / "more")
    assert project.undo_text() == "Mark as not sure: 1 image"


def test_a_class_that_jobs_know_is_hidden_by_undo_not_deleted(project: Project) -> None:
    project.create_class("sorrel")
    project.relabel(ids(project, "dock")[:1], "sorrel")
    project.erase(["dock"])
    project.undo()
    project.undo()
    assert names(project) == ["dock", "fern", "nettle"]
    project.redo()
    project.redo()
    assert names(project) == ["dock", "fern", "nettle", "sorrel"]
    assert len(ids(project, "sorrel")) == 1


def test_a_reader_cannot_annotate(project: Project) -> None:
    with df.open(project.path) as reader:
        for command in (
            lambda: reader.relabel([1], "x"),
            lambda: reader.create_class("x"),
            lambda: reader.set_note([1], "x"),
            lambda: reader.add_region(1, "box", {"box": [0, 0, 1, 1]}),
            lambda: reader.undo(),
        ):
            with pytest.raises(EnvironmentProblem, match="reading only"):
                command()


def test_the_journal_of_an_older_project_still_undoes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_steps = [step for step in MIGRATIONS._migrations if step.name != "annotation"]
    database = sqlite3.connect(":memory:")
    assert len(old_steps) == migrations.SCHEMA_VERSION - 1
    from sqlite_utils import Database as UtilsDatabase

    utils = UtilsDatabase(database)
    for step in old_steps:
        step.fn(utils)
    database.execute("INSERT INTO label VALUES (1, 'dock', 0)")
    database.execute("INSERT INTO image VALUES (1,'p',0,'s',1,1,'RGB',1,NULL,'o',1,1,'now')")
    database.execute("INSERT INTO concept VALUES (1, 1, 'dock', '<dock>', 'the')")
    database.execute(
        "INSERT INTO job(id, kind, title, spec_json, spec_hash, created_at) "
        "VALUES (1, 'generate', 't', '{}', '', 'now')"
    )
    database.execute("INSERT INTO job_unit VALUES (1, 1, 0, 'k', 1, '{}', 'done', NULL)")
    database.execute(
        "INSERT INTO synthetic_image(id, unit_id, job_id, source_image_id, concept_id, t0, variant,"
        " seed, path, sha256, width, height, curation, rating, created_at) "
        "VALUES (1, 1, 1, 1, 1, 0.5, 0, 1, 'p', 's', 1, 1, 'kept', 4, 'now')"
    )
    database.execute(
        "INSERT INTO curation_operation(id, text, at, is_undone, field) VALUES "
        "(1, 'Keep 1 image', 'now', 0, 'curation'), (2, 'Give 4 stars', 'now', 0, 'rating')"
    )
    database.execute("INSERT INTO curation_change VALUES (1, 1, 'undecided', 'kept')")
    database.execute("INSERT INTO curation_change VALUES (2, 1, '0', '4')")
    next(step for step in MIGRATIONS._migrations if step.name == "annotation").fn(utils)
    changes = [json.loads(row[0]) for row in database.execute("SELECT old_json FROM change")]
    assert changes == [{"curation": "undecided"}, {"rating": 0}]

    from dafusion_core.storage.database import Database
    from dafusion_core.storage.journal import redo, undo

    database.isolation_level = None
    db = Database(database, is_read_only=False)
    for expected in (("kept", 0), ("undecided", 0)):
        assert undo(db)
        assert tuple(db.one("SELECT curation, rating FROM synthetic_image")) == expected
    assert undo(db) is None
    redo(db)
    redo(db)
    assert tuple(db.one("SELECT curation, rating FROM synthetic_image")) == ("kept", 4)
    database.close()
