"""The buttons of the steps queue what “Do everything” would, with what the forms say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.plans import (
    DEFAULTS,
    GenerateChoices,
    TrainChoices,
    queue_concepts,
    queue_generation,
    queue_missing,
    queue_training,
)
from app.steps import derive_states, gather_facts, newest
from dafusion_core import api
from dafusion_core.api.project import Project


@pytest.fixture
def project(tmp_path: Path, photos: Path) -> Iterator[Project]:
    with api.create(tmp_path / "plans") as project:
        project.import_folder(photos)
        yield project


def test_steps_by_default_are_the_chain(project: Project, tmp_path: Path, photos: Path) -> None:
    with api.create(tmp_path / "chain") as other:
        other.import_folder(photos)
        other.plan_chain(DEFAULTS)
        chain = [(job.kind, job.spec, job.needs) for job in other.jobs()]
    queue_concepts(project)
    queue_generation(project, GenerateChoices())
    queue_training(project, TrainChoices())
    assert [(job.kind, job.spec, job.needs) for job in project.jobs()] == chain


def test_a_step_brings_along_what_it_needs(project: Project) -> None:
    queue_training(project, TrainChoices(alpha=0.3, seeds=5, epochs=2, only_kept=True))
    kinds = [job.kind for job in project.jobs()]
    assert kinds == ["erase", "invert", "generate", "train", "compare"]
    train = newest(project.jobs(), "train")
    assert train is not None
    assert train.spec["seeds"] == [0, 1, 2, 3, 4]
    assert train.spec["use_undecided"] is False
    assert train.spec["arms"][1]["alpha"] == 0.3
    # A second one uses what is queued already.
    queue_training(project, TrainChoices())
    assert [job.kind for job in project.jobs()][5:] == ["train", "compare"]


def test_the_form_of_generation_is_obeyed(project: Project) -> None:
    choices = GenerateChoices(
        t0_set=(0.5,), is_every=False, variants=3, guidance=2.0, steps=7, prompt="a {concept}"
    )
    queue_concepts(project, erase=False)
    job = queue_generation(project, choices)
    assert job.total == choices.pictures(12) == 36
    assert job.spec["erasure_job"] is None
    assert (job.spec["draw"], job.spec["steps"], job.spec["prompt"]) == (
        "uniform",
        7,
        "a {concept}",
    )


def test_what_is_missing_starts_at_the_first_gap(project: Project) -> None:
    queue_missing(project, derive_states(gather_facts(project)))
    assert len(project.jobs()) == 5
