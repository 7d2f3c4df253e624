"""Splits that change: the lock, the leaks that binding refuses, and the results that are stale."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dafusion_core as df
from dafusion_core.api import Project
from dafusion_core.domain.errors import LeakError, UserError
from dafusion_core.domain.records import Part
from dafusion_core.domain.specs import Arm, EvaluationSpec, GenerationPlan, TrainingSpec, load_spec
from dafusion_core.worker.binding import bind_evaluation, bind_generation, bind_training
from tests.unit.pictures import make_class_folder


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    folder = make_class_folder(tmp_path / "photos", {"dock": 8, "fern": 8})
    with df.create(tmp_path / "weeds") as made:
        made.import_data(folder)
        made.make_split(seed=1)
        yield made


def finish(project: Project, job_id: int, binder: Any) -> None:
    """Let a job be bound as a worker would, and be done."""
    job = project.job(job_id)
    inputs = binder(project.file.db, load_spec(job.kind, job.spec))
    import json

    project.file.db.execute(
        "UPDATE job SET state = 'succeeded', inputs_json = ? WHERE id = ?",
        [json.dumps(inputs.to_dict()), job_id],
    )


def learned(project: Project) -> tuple[int, int]:
    """An inversion and a generation that are done."""
    from dafusion_core.worker.binding import bind_inversion

    words = project.invert()
    finish(project, words.id, bind_inversion)
    for concept in project.concepts():
        unit = project.units(words.id)[concept.id - 1]
        project.file.db.insert(
            "inversion",
            {"unit_id": unit.id, "job_id": words.id, "concept_id": concept.id,
             "placeholder": concept.placeholder, "path": "x", "sha256": "x",
             "record_json": "{}", "created_at": "now"},
        )  # fmt: skip
    made = project.generate(inversion_job=words.id, variants=1, t0_set=(0.5,))
    finish(project, made.id, bind_generation)
    return words.id, made.id


def test_results_of_the_current_split_are_not_stale(project: Project) -> None:
    learned(project)
    assert project.stale_results() == []


def test_what_learned_from_test_images_is_a_leak_and_refused(project: Project) -> None:
    words, made = learned(project)
    moved = project.images(part="train")[0].id
    would = {i.id: (Part.TEST if i.id == moved else i.part) for i in project.images()}
    assert [s.is_leak for s in project.stale_results(would)] == [True, True]
    assert project.stale_results() == []
    project.set_part([moved], "test")
    stale = project.stale_results()
    assert [(s.job_id, s.is_leak) for s in stale] == [(words, True), (made, True)]
    assert stale[0].reason == "1 image it learned from are now for testing"
    split = project.current_split()
    with pytest.raises(LeakError, match="learned its words from 1 image"):
        bind_generation(project.file.db, GenerationPlan(split_id=split.id, inversion_job=words))
    with pytest.raises(LeakError, match="learned its words"):
        bind_training(
            project.file.db,
            TrainingSpec(split_id=split.id, arms=(Arm("a", generation_job=made),), seeds=(0,)),
        )
    project.undo()
    assert project.stale_results() == []


def test_other_changes_are_told_with_their_reason(project: Project) -> None:
    words, _ = learned(project)
    first = project.images(part="train")[0]
    for change, text in (
        (lambda: project.set_part([first.id], "unused"), "no longer for training"),
        (lambda: project.relabel([first.id], "sorrel"), "another class now"),
        (lambda: project.reject_images([first.id]), "no longer for training"),
        (lambda: project.set_part([project.images(part="test")[0].id], "train"), "came in since"),
    ):
        change()
        stale = {s.job_id: s for s in project.stale_results()}
        assert text in stale[words].reason
        assert not stale[words].is_leak
        project.undo()
        assert project.stale_results() == []


def test_runs_keep_the_class_order_they_were_trained_with(project: Project) -> None:
    job = project.train(arms=(Arm("a"),), seeds=(0,))
    finish(project, job.id, bind_training)
    project.order_classes(["fern", "dock"])
    bound = bind_evaluation(project.file.db, EvaluationSpec(job.id, "a"))
    assert bound.labels == ("dock", "fern")


def test_a_locked_test_part_stays_the_same(project: Project) -> None:
    test = {i.id for i in project.images(part="test")}
    project.lock_test()
    for seed in range(5):
        split = project.make_split(seed=seed, validation=0.25, shots=2)
        assert {i.id for i in project.images(part="test")} == test
        assert split.counts["train"] == 4
        assert split.counts["validation"] == 2
    first = next(iter(test))
    outside = project.images(part="train")[0].id
    for part, images in (("train", [first]), ("test", [outside]), ("unused", [first])):
        with pytest.raises(UserError, match="locked"):
            project.set_part(images, part)
    # What belongs to a tested plant is not trained on.
    project.set_group([first, outside], "plant 1")
    project.make_split(seed=9)
    assert project.image(outside).part is Part.UNUSED
    project.unlock_test()
    project.make_split(seed=9)
    assert {i.id for i in project.images(part="test")} != test


def test_doubtful_images_can_be_left_out(project: Project) -> None:
    project.mark_unsure([1, 2])
    project.make_split(with_unsure=False)
    assert {i.part for i in project.images_by_id([1, 2])} == {Part.UNUSED}
    assert project.current_split().spec["with_unsure"] is False


def test_a_list_may_not_divide_groups_or_the_lock(project: Project, tmp_path: Path) -> None:
    rows = [(Path(i.original_path).name, "test" if i.id % 2 else "train")
            for i in project.images()]  # fmt: skip
    listed = tmp_path / "parts.csv"
    listed.write_text("file,split\n" + "".join(f"{name},{part}\n" for name, part in rows))
    project.set_group([1, 2], "plant 1")
    with pytest.raises(UserError, match="would be divided"):
        project.split_by_list(listed)
    project.undo()
    assert project.split_by_list(listed).counts == {"test": 8, "train": 8}
    project.use_split(1)
    project.lock_test()
    with pytest.raises(UserError, match="locked"):
        project.split_by_list(listed)
    listed.write_text("file,split\nnothing.png,train\n")
    with pytest.raises(UserError, match="names no image"):
        project.split_by_list(listed)
    listed.write_text("file,split\ndock_0.png,exam\n")
    with pytest.raises(UserError, match="no part of a split"):
        project.split_by_list(listed)


def test_whole_groups_move(project: Project) -> None:
    train = [i.id for i in project.images(part="train")][:3]
    project.set_group(train, "plant 1")
    changes = project.set_part(train[:1], "validation")
    assert changes.text == "Move 3 images to validation (2 of them with their groups)"
    assert {i.part for i in project.images_by_id(train)} == {Part.VALIDATION}


def test_a_synthetic_image_never_trains_another_class_than_it_was_made_as(
    project: Project, tmp_path: Path
) -> None:
    from tests.unit.test_api_project import synthetic_images

    ids = synthetic_images(project)
    project.keep(ids)
    job = project.synthetic(ids[:1])[0].job_id
    split = project.current_split()
    spec = TrainingSpec(split_id=split.id, arms=(Arm("a", generation_job=job),), seeds=(0,))

    def used() -> set[str]:
        return set(bind_training(project.file.db, spec).synthetics["a"])

    sources = {str(made.source_image_id) for made in project.synthetic(ids)}
    assert used() == sources
    moved = min(sources, key=int)
    project.relabel([int(moved)], "fern" if project.image(int(moved)).label == "dock" else "dock")
    assert used() == sources - {moved}
    project.undo()
    project.merge_classes(["fern"], "dock")
    assert used() == sources


def test_a_new_split_can_be_undone_until_a_job_knows_it(project: Project) -> None:
    first = project.make_split(seed=1)
    project.make_split(seed=2)
    project.use_split(first.id)
    project.relabel([1], "fern")
    before = project.images()
    third = project.make_split(seed=3, validation=0.25)
    after = project.images()
    assert before != after
    assert project.undo_text() == f"Divide the images: {third.name}"
    project.undo()
    assert project.images() == before
    assert project.current_split() == first
    project.redo()
    assert project.images() == after
    assert project.current_split() == third
    # Its parts by hand come first, then the split itself.
    project.set_part([image.id for image in after[:2]], "unused")
    project.undo()
    project.undo()
    assert project.images() == before
    project.redo()
    assert project.images() == after
    # A job that was queued with it keeps it; what was done before can still be taken back.
    project.invert()
    assert project.undo_text() == "Label 1 image “fern”"
    project.undo()
    assert third in project.splits()
    assert project.current_split() == third
