"""The API without workers: units of a plan, needs between jobs, curation with undo, strays."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import dafusion_core as df
from dafusion_core.api import ChainOptions, Project, previews, results
from dafusion_core.api.enqueue import generation_units
from dafusion_core.domain.errors import EnvironmentProblem, UserError
from dafusion_core.domain.records import Curation, Job
from dafusion_core.domain.specs import GenerationPlan, InversionSpec, TrainingSpec, load_spec
from dafusion_core.jobs import queue
from dafusion_core.storage.jobs import get_units
from dafusion_core.storage.objects import hash_file
from dafusion_core.storage.results import add_result
from dafusion_core.worker.binding import BINDERS


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Two classes of four pictures, split in halves."""
    for number, name in enumerate(("dock", "leafy spurge")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for index in range(4):
            colour = (number * 200, index * 60, 30)
            Image.new("RGB", (8, 8), colour).save(tmp_path / "pictures" / name / f"{index}.png")
    with df.create(tmp_path / "weeds") as made:
        made.import_folder(tmp_path / "pictures")
        made.make_split()
        yield made


def synthetic_images(project: Project) -> list[int]:
    """Record a small generation without a worker; returns the ids."""
    db = project.file.db
    job = project.generate(t0_set=(0.25, 0.5), variants=2)
    owner = queue.current_owner()
    claimed = queue.claim(db, owner, "cpu")
    assert claimed is not None
    for unit in get_units(db, job.id):
        files = {"image": (f"objects/aa/{unit.id}.png", str(unit.id))}
        queue.record_unit(
            db,
            job.id,
            owner,
            unit,
            lambda u=unit, f=files: add_result(db, claimed, u, f, {"width": 8, "height": 8}),
        )
    return project.synthetic_ids()


def test_a_plan_makes_every_image_once(project: Project) -> None:
    plan = GenerationPlan(split_id=1, variants=3, batch_size=4)
    units = generation_units(plan, project.images(part="train"), project.concepts())
    assert len(units) == len({unit.key for unit in units}) == 4 * 4 * 3
    assert len({unit.seed for unit in units}) == len(units)
    assert {unit.payload["source_image_id"] for unit in units} == {
        image.id for image in project.images(part="train")
    }


def test_a_batch_has_one_t0_and_the_right_size(project: Project) -> None:
    plan = GenerationPlan(split_id=1, variants=3, batch_size=5)
    units = generation_units(plan, project.images(part="train"), project.concepts())
    batches: dict[int, list[float]] = {}
    for unit in units:
        batches.setdefault(unit.payload["batch"], []).append(unit.payload["t0"])
    assert all(len(set(batch)) == 1 and len(batch) <= 5 for batch in batches.values())
    assert [batch[0] for batch in batches.values()][:4] == [0.25, 0.5, 0.75, 1.0]


def test_seeds_do_not_depend_on_what_else_is_in_the_plan(project: Project) -> None:
    images, concepts = project.images(part="train"), project.concepts()
    few = generation_units(GenerationPlan(split_id=1, variants=1), images[:1], concepts)
    shuffled = random.Random(0).sample(images, len(images))
    many = generation_units(GenerationPlan(split_id=1, variants=4), shuffled, concepts)
    seeds = {unit.key: unit.seed for unit in many}
    assert all(seeds[unit.key] == unit.seed for unit in few)
    other = generation_units(GenerationPlan(split_id=1, variants=1, seed=1), images[:1], concepts)
    assert all(seeds[unit.key] != unit.seed for unit in other)


def test_uniform_drawing_gives_m_images_per_source_with_t0_of_equal_shares(
    project: Project,
) -> None:
    plan = GenerationPlan(split_id=1, variants=500, draw="uniform")
    units = generation_units(plan, project.images(part="train"), project.concepts())
    assert len(units) == 4 * 500
    for t0 in plan.t0_set:
        share = sum(unit.payload["t0"] == t0 for unit in units) / len(units)
        assert abs(share - 0.25) < 0.04


def test_jobs_know_what_they_need(project: Project) -> None:
    erase, invert, generate, train, compare = project.plan_chain()
    assert [job.needs for job in (erase, invert, generate, train, compare)] == [
        (),
        (erase.id,),
        (erase.id, invert.id),
        (generate.id,),
        (train.id,),
    ]
    for job in project.jobs():
        assert load_spec(job.kind, job.spec).content_hash() == job.spec_hash


def test_class_names_are_erased_and_not_in_prompts(project: Project) -> None:
    erase, _invert, generate, *_ = project.plan_chain()
    assert erase.spec["concepts"] == ["dock", "leafy spurge"]
    assert "dock" not in generate.spec["prompt"]
    assert [c.placeholder for c in project.concepts()] == ["<dock>", "<leafy_spurge>"]


def test_a_chain_is_queued_whole_or_not_at_all(project: Project) -> None:
    with pytest.raises(UserError, match="t0 = 2"):
        project.plan_chain(ChainOptions(t0_set=(2.0,)))
    assert project.jobs() == []


def test_a_job_of_the_wrong_kind_is_refused(project: Project) -> None:
    erase = project.erase(["dock"])
    with pytest.raises(UserError, match="not of kind"):
        project.generate(inversion_job=erase.id)
    with pytest.raises(UserError, match="no job 99"):
        project.generate(inversion_job=99)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GenerationPlan(split_id=1, t0_set=(0.0,)), "outside 0–1"),
        (lambda: GenerationPlan(split_id=1, variants=0), "At least one"),
        (lambda: InversionSpec(split_id=1, vectors=0), "from 1 to 8"),
        (lambda: TrainingSpec(split_id=1, arms=()), "an arm and a seed"),
        (lambda: InversionSpec.from_dict({"split_id": 1, "stepps": 3}), "no setting named stepps"),
    ],
)
def test_wrong_settings_are_refused_in_words(make: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        make()  # type: ignore[operator]


def test_working_without_a_split_says_what_to_do(tmp_path: Path) -> None:
    with df.create(tmp_path / "empty") as empty, pytest.raises(UserError, match="Make a split"):
        empty.generate()


def test_names_of_parts_and_decisions_are_checked(project: Project) -> None:
    with pytest.raises(UserError, match="train, validation, test"):
        project.images(part="training")
    with pytest.raises(UserError, match="no class “fern”"):
        project.images(label="fern")


def test_decisions_are_undone_and_redone_one_step_at_a_time(project: Project) -> None:
    ids = synthetic_images(project)
    assert project.keep(ids[:3]).text == "Keep 3 images"
    assert project.reject(ids[2:4]).synthetic_ids == tuple(ids[2:4])
    assert not project.reject(ids[2:4])
    assert project.undo_text() == "Reject 2 images"

    def states() -> list[Curation]:
        return [image.curation for image in project.synthetic(ids[:4])]

    kept, rejected, open_ = Curation.KEPT, Curation.REJECTED, Curation.UNDECIDED
    assert states() == [kept, kept, rejected, rejected]
    assert project.undo() is not None
    assert states() == [kept, kept, kept, open_]
    assert project.redo_text() == "Reject 2 images"
    assert project.redo() is not None
    assert states() == [kept, kept, rejected, rejected]
    project.undo()
    project.undo()
    assert states() == [open_] * 4
    assert project.undo() is None
    project.redo()
    project.undecide(ids[:1])  # a new step ends what could be redone
    assert project.redo() is None
    assert states() == [open_, kept, kept, open_]


def test_any_walk_of_decisions_can_be_undone_to_the_start_and_redone_to_the_end(
    project: Project,
) -> None:
    ids = synthetic_images(project)
    chance = random.Random(4)

    def state() -> list[Curation]:
        return [image.curation for image in project.synthetic(ids)]

    seen = [state()]
    for _ in range(60):
        decide = chance.choice((project.keep, project.reject, project.undecide))
        if decide(chance.sample(ids, chance.randint(1, len(ids)))).curation:
            seen.append(state())
    for expected in reversed(seen[:-1]):
        project.undo()
        assert state() == expected
    for expected in seen[1:]:
        project.redo()
        assert state() == expected


def test_a_reader_cannot_decide(project: Project) -> None:
    with df.open(project.path) as reader:
        assert reader.is_read_only
        with pytest.raises(EnvironmentProblem, match="reading only"):
            reader.keep([1])
        assert reader.image_count() == 8


def test_strays_of_a_crash_are_swept_and_nothing_else(project: Project) -> None:
    images = {project.image_path(image) for image in project.images()}
    stray = project.files / "objects" / "zz" / "stray.png"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"left by a crash")
    scratch = project.file.objects.scratch(7) / "half.png"
    scratch.write_bytes(b"half")
    path = project.path
    project.close()
    (path.with_suffix(".files") / "owner.json").write_text("{}")  # as after a crash
    with df.open(path):
        pass
    assert not stray.exists()
    assert not scratch.exists()
    assert all(image.is_file() for image in images)


def test_stored_pictures_are_named_by_their_contents(project: Project) -> None:
    for image in project.images():
        path = project.image_path(image)
        assert path.stem == image.sha256 == hash_file(path)


def test_groups_stay_on_one_side(project: Project) -> None:
    for label in ("dock", "leafy spurge"):
        first, second, *_ = project.images(label=label)
        project.set_group([first.id, second.id], f"plant of {label}")
    for seed in range(10):
        project.make_split(seed)
        sides: dict[int, set[str]] = {}
        for image in project.images():
            if image.group_id is not None:
                sides.setdefault(image.group_id, set()).add(str(image.part))
        assert sides
        assert all(len(side) == 1 for side in sides.values())


def test_a_preview_shows_what_generating_would_make(project: Project) -> None:
    image, other = project.images(part="train")[0], project.images(part="test")[0]
    db = project.file.db
    plan = GenerationPlan(split_id=1, t0_set=(0.75, 0.25), variants=3, draw="uniform")
    waiting = project.enqueue(plan)
    job = previews.preview(project, plan, image.id)
    made = generation_units(
        GenerationPlan(split_id=1, t0_set=(0.75, 0.25)), [image], project.concepts()
    )
    assert [(u.payload["t0"], u.seed) for u in project.units(job.id)] == [
        (u.payload["t0"], u.seed) for u in made if u.payload["variant"] == 0
    ]
    claimed = queue.claim(db, queue.current_owner(), "cpu")
    assert claimed is not None
    assert claimed.id == job.id != waiting.id  # nobody waits for a preview
    inputs = BINDERS["preview"](db, load_spec("preview", claimed.spec))
    assert list(inputs.sources) == [str(image.id)]
    assert previews.preview_pictures(project, job.id) == []
    for unit in get_units(db, job.id):
        files = {"image": (f"objects/aa/{unit.id}.png", "0")}
        queue.record_unit(
            db, job.id, queue.current_owner(), unit,
            lambda u=unit, f=files: add_result(db, claimed, u, f, {"width": 8, "height": 8}),
        )  # fmt: skip
    assert [found.t0 for found in previews.preview_pictures(project, job.id)] == [0.25, 0.75]
    assert project.synthetic_ids() == []  # nothing to train on came of it
    with pytest.raises(UserError, match="not a training image"):
        previews.preview(project, plan, other.id)


def test_the_report_has_a_sheet_of_each_erased_model(project: Project) -> None:
    job = project.erase(("dock", "leafy spurge"), per_concept=True)
    for unit in project.units(job.id):
        row = {
            "unit_id": unit.id, "job_id": job.id, "method": "uce", "path": "x", "sha256": "x",
            "concepts_json": json.dumps([unit.payload["concept"]]), "base_hash": "0",
            "sheet_path": f"{unit.ordinal}.png", "record_json": "{}",
            "created_at": "2026-01-01T00:00:00.000+00:00",
        }  # fmt: skip
        project.file.db.insert("erasure", row)
    sheets = list(results._sheets(project, project.job(job.id)))
    assert [sheet.path.name for sheet in sheets] == ["0.png", "1.png"]
    assert "without leafy spurge" in sheets[1].title


def test_a_kept_preview_is_a_synthetic_image_and_stays_kept(project: Project) -> None:
    image = project.images(part="train")[0]
    plan = GenerationPlan(split_id=1, t0_set=(0.25, 0.75), prompt="a drawing of {concept}")
    job = previews.preview(project, plan, image.id)
    finish_pictures(project, job)
    with pytest.raises(UserError, match=r"no preview that has a picture at t0 0\.5"):
        project.keep_preview(job.id, 0.5)
    assert project.previews_with_images() == []
    changes = project.keep_preview(job.id, 0.75)
    (kept,) = project.synthetic(project.synthetic_ids())
    assert changes.synthetic
    assert changes.text == "Keep the preview at t0 0.75"
    assert (kept.t0, kept.curation, kept.source_image_id) == (0.75, Curation.KEPT, image.id)
    assert kept.seed == next(u.seed for u in project.units(job.id) if u.payload["t0"] == 0.75)
    assert project.previews_with_images() == [job.id]
    assert [p.is_kept for p in previews.preview_pictures(project, job.id)] == [False, True]
    lineage = project.lineage(kept.id)
    assert (lineage.source.id, lineage.plan["split_id"]) == (image.id, 1)
    assert lineage.prompt == f"a drawing of {image.label}"
    assert [cell.synthetic_id for cell in project.grid_cells(job.id)] == [kept.id]
    undone = project.undo()
    assert undone is not None
    assert undone.text == "Undo: Keep the preview at t0 0.75"
    assert project.synthetic([kept.id])[0].curation is Curation.UNDECIDED
    project.keep_preview(job.id, 0.75)  # again, and there is still one of it
    assert project.synthetic_ids() == [kept.id]
    for prompt, wanted in (
        (plan.prompt, {"kept", "undecided"}),
        ("other {concept}", {"undecided"}),
    ):
        made = project.enqueue(replace(plan, variants=2, batch_size=3, prompt=prompt))
        finish_pictures(project, made)
        found = project.synthetic(project.synthetic_ids(job_id=made.id))
        assert {one.curation.value for one in found} == wanted
        again = [(o.source_image_id, o.t0, o.variant) for o in found if o.curation is Curation.KEPT]
        assert again == ([(image.id, 0.75, 0)] if "kept" in wanted else [])


def finish_pictures(project: Project, job: Job) -> None:
    """Record every unit of a job as done, with a picture."""
    db = project.file.db
    with db.atomic():
        for unit in get_units(db, job.id):
            add_result(
                db, job, unit, {"image": (f"objects/aa/{unit.id}.png", "0")},
                {"width": 8, "height": 8},
            )  # fmt: skip
            db.execute("UPDATE job_unit SET state = 'done' WHERE id = ?", [unit.id])
