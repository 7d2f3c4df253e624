"""The engine's jobs as a project binds and stores them, one after the other, without a process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import dafusion_core as df
from dafusion_core.api import previews
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Job, JobUnit
from dafusion_core.domain.regions import Region, RegionKind
from dafusion_core.domain.specs import ErasureSpec, GenerationPlan, ModelSource, load_spec
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import erase, invert
from dafusion_core.methods.registry import run_method
from dafusion_core.storage import annotation
from dafusion_core.storage.jobs import get_units
from dafusion_core.storage.results import add_result, stored_paths
from dafusion_core.worker.binding import BINDERS
from dafusion_core.worker.verify import check_files

from .conftest import draw_picture


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invert, "_PREVIEW_STEPS", 1)
    monkeypatch.setattr(erase, "_CHECK_STEPS", 1)
    monkeypatch.setattr(erase, "_CHECK_PICTURES", 1)
    monkeypatch.setattr(erase, "_CHECK_PREDICTIONS", 2)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[df.Project]:
    for label, name in enumerate(("elm", "fern")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(4):
            draw_picture(label * 10 + i).save(tmp_path / "photos" / name / f"{i}.png")
    with df.create(tmp_path / "weeds") as made:
        made.import_folder(tmp_path / "photos")
        made.make_split(seed=0, test=0.5)
        yield made


class Storing(NullContext):
    """Keeps results where a worker keeps them."""

    project: df.Project
    job: Job

    def resolve(self, path: str) -> Path:
        return self.project.file.objects.path(path)

    def finish_unit(
        self, unit: JobUnit, files: Mapping[str, Path], record: Mapping[str, Any]
    ) -> None:
        objects, db = self.project.file.objects, self.project.file.db
        stored = {role: objects.adopt(path) for role, path in files.items()}
        with db.atomic():
            add_result(db, self.job, unit, stored, record)
            db.execute("UPDATE job_unit SET state = 'done' WHERE id = ?", [unit.id])


def carry_out(project: df.Project, job: Job) -> Storing:
    """Do a job in this process."""
    ctx = Storing(scratch=project.file.objects.scratch(job.id))
    ctx.project, ctx.job = project, job
    db = project.file.db
    spec = load_spec(job.kind, job.spec)
    inputs = BINDERS[job.kind](db, spec)
    inputs = type(inputs).from_dict(inputs.to_dict())  # as it is stored with the job
    check_files(project.file.objects, inputs)
    run_method(job.kind, spec, inputs, get_units(db, job.id), ctx)
    return ctx


def test_models_and_networks_of_each_class_reach_their_pictures(
    project: df.Project, source: ModelSource
) -> None:
    erasure = project.erase(("elm", "fern"), model=source, per_concept=True, guide="plant")
    assert [unit.payload for unit in project.units(erasure.id)] == [
        {"concept": "elm"}, {"concept": "fern"},
    ]  # fmt: skip
    carry_out(project, erasure)
    words = project.invert(
        model=source, erasure_job=erasure.id, steps=2, batch_size=1, initialiser="plant",
        adaptation="embedding+lora", lora_rank=2, lora_learning_rate=0.05,
    )  # fmt: skip
    carry_out(project, words)
    plan = project.generate(
        model=source, inversion_job=words.id, erasure_job=erasure.id, steps=2, t0_set=(0.5, 1.0),
        variants=1, scheduler="ddim",
    )  # fmt: skip
    batches: dict[int, set[int]] = {}
    for unit in project.units(plan.id):
        batches.setdefault(unit.payload["batch"], set()).add(unit.payload["concept_id"])
    assert all(len(concepts) == 1 for concepts in batches.values())
    inputs = BINDERS["generate"](project.file.db, load_spec("generate", plan.spec))
    assert set(inputs.erasures) == set(inputs.adapters) == set(inputs.embeddings)  # type: ignore[union-attr]
    assert len({file.path for file in inputs.erasures.values()}) == 2  # type: ignore[union-attr]
    carry_out(project, plan)
    ids = project.synthetic_ids(job_id=plan.id)
    assert len(ids) == 8

    checks = project.check(plan.id, model=source)
    carry_out(project, checks)
    found = project.checks(ids)
    assert set(found) == set(ids)
    parts = {part: {i.id for i in project.images(part=part)} for part in ("train", "test")}
    for check in found.values():
        assert check.train_image_id in parts["train"]
        assert check.test_image_id in parts["test"]
        assert 0 <= (check.agreement or 0) <= 1
    ordered = project.sort_by_check(ids, "sharpness", descending=True)
    values = [found[i].sharpness for i in ordered]
    assert values == sorted(values, reverse=True)
    with pytest.raises(UserError, match="cannot be sorted"):
        project.sort_by_check(ids, "beauty")

    longer = project.invert(
        model=source, erasure_job=erasure.id, steps=3, batch_size=1, initialiser="plant",
        adaptation="embedding+lora", lora_rank=2, lora_learning_rate=0.05, extend_job=words.id,
    )  # fmt: skip
    carry_out(project, longer)
    assert {e.record["begun_at_step"] for e in project.embeddings(longer.id)} == {2}
    # What a crash's sweep would spare is all there is.
    objects = project.file.objects
    there = {path.relative_to(objects.root).as_posix() for path in objects.objects.glob("*/*")}
    assert there == stored_paths(project.file.db)


def test_a_class_without_a_model_of_its_own_is_named(
    project: df.Project, source: ModelSource
) -> None:
    erasure = project.enqueue(
        ErasureSpec(model=source, concepts=("elm",), per_concept=True, guide="plant")
    )
    carry_out(project, erasure)
    words = project.invert(model=source, erasure_job=erasure.id, steps=1)
    with pytest.raises(UserError, match="none without fern"):
        carry_out(project, words)


def test_regions_of_the_project_become_masks(project: df.Project, source: ModelSource) -> None:
    plan = project.generate(
        model=source, mask="background", mask_dilation=1, steps=2, t0_set=(1.0,), variants=1,
        scheduler="ddim",
    )  # fmt: skip
    with pytest.raises(UserError, match="No training image has a region"):
        carry_out(project, plan)
    for image in project.images(part="train"):
        box = Region(0, image.id, RegionKind.BOX, {"box": [8, 6, 20, 16]})
        annotation.draw_region(project.file.db, box)
    carry_out(project, plan)
    made = project.synthetic(project.synthetic_ids(job_id=plan.id))
    assert len(made) == 4
    for item in made:
        with Image.open(project.synthetic_path(item)) as new:
            kept = new.convert("RGB").crop((12, 10, 24, 18)).tobytes()
        with Image.open(project.image_path(project.image(item.source_image_id))) as own:
            assert kept == own.convert("RGB").crop((12, 10, 24, 18)).tobytes()


def test_an_embedding_file_is_bound_by_its_bytes(
    project: df.Project, source: ModelSource, tmp_path: Path
) -> None:
    import torch

    from dafusion_core.api.measuring import foreign_embeddings
    from dafusion_core.domain.errors import EnvironmentProblem

    from . import tiny

    torch.save({"<x>": torch.ones(1, tiny.DIM)}, tmp_path / "elm.bin")
    imported = foreign_embeddings({"elm": tmp_path / "elm.bin"})
    job = project.invert(model=source, steps=1, batch_size=1, imported=imported, initialiser="oak")
    torch.save({"<x>": torch.zeros(1, tiny.DIM)}, tmp_path / "elm.bin")
    with pytest.raises(EnvironmentProblem, match="no longer what this job was queued with"):
        carry_out(project, job)
    torch.save({"<x>": torch.ones(1, tiny.DIM)}, tmp_path / "elm.bin")
    carry_out(project, job)
    assert project.embeddings(job.id)[0].record["imported"] == "elm.bin"
    with pytest.raises(UserError, match="no embedding file"):
        foreign_embeddings({"elm": tmp_path / "gone.bin"})
    wrong = foreign_embeddings({"oak": tmp_path / "elm.bin"})
    with pytest.raises(UserError, match="no class “oak”"):
        carry_out(project, project.invert(model=source, imported=wrong))


def test_a_preview_makes_the_pictures_of_the_generation(
    project: df.Project, source: ModelSource
) -> None:
    plan = GenerationPlan(split_id=1, model=source, t0_set=(0.5, 1.0), variants=1, steps=2,
                          batch_size=1)  # fmt: skip
    image = project.images(part="train")[0]
    job = previews.preview(project, plan, image.id)
    carry_out(project, job)
    found = previews.preview_pictures(project, job.id)
    carry_out(project, project.enqueue(plan))
    made = project.synthetic(project.synthetic_ids(source_image_id=image.id))
    assert [picture.t0 for picture in found] == [0.5, 1.0]
    assert [p.path for p in found] == [project.synthetic_path(p) for p in made]
    assert {str(p.path.relative_to(project.files)) for p in found} <= stored_paths(project.file.db)
