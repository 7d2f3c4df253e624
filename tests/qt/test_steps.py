"""Where each step stands, derived from rows alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.plans import main_verb, stopped_jobs
from app.steps import Facts, Step, StepState, derive_states
from app.verbs import MainVerb
from dafusion_core.domain.records import Curation, Job, JobState, Split

SPLIT = Split(id=1, name="Split 1", seed=0, spec={}, created_at="", counts={"train": 10})
EMPTY = Facts(
    images=0, labels=0, is_importing=False, split=None, jobs=[], curation={}, evaluations=[]
)


def job(number: int, kind: str, state: JobState = JobState.SUCCEEDED, **fields: Any) -> Job:
    spec: dict[str, Any] = {"split_id": 1}
    if kind == "generate":
        spec["inversion_job"] = fields.pop("inversion", None)
    if kind == "train":
        spec["arms"] = [{"generation_job": fields.pop("generation", None)}]
    if kind == "compare":
        spec = {"training_job": fields.pop("training", None)}
    values: dict[str, Any] = {
        "title": kind, "priority": 0, "is_held": False, "spec_hash": "", "inputs": None,
        "device": None, "owner": None, "attempt": 1, "cancel_requested": False,
        "error_kind": None, "error_text": None, "error_hint": None, "seq": 1, "done": 4,
        "failed": 0, "total": 4, "created_at": "", "started_at": None, "finished_at": None,
    }  # fmt: skip
    return Job(id=number, kind=kind, state=state, spec=spec, **(values | fields))


def states(**fields: Any) -> dict[Step, StepState]:
    facts = replace(EMPTY, images=20, labels=2, split=SPLIT, **fields)
    return {step: status.state for step, status in derive_states(facts).items()}


def test_nothing_yet() -> None:
    found = {step: status.state for step, status in derive_states(EMPTY).items()}
    assert found.pop(Step.IMAGES) is StepState.READY
    assert set(found.values()) == {StepState.EMPTY}


def test_images_make_the_next_step_possible() -> None:
    found = states()
    assert found[Step.IMAGES] is StepState.DONE
    assert found[Step.CONCEPTS] is StepState.READY
    assert found[Step.GENERATE] is StepState.EMPTY


CHAIN = (
    job(1, "erase"),
    job(2, "invert"),
    job(3, "generate", inversion=2),
    job(4, "train", generation=3),
    job(5, "compare", training=4),
)


def test_a_whole_chain_is_done() -> None:
    found = states(jobs=CHAIN, curation={Curation.UNDECIDED: 0, Curation.KEPT: 4})
    assert set(found.values()) == {StepState.DONE}


@pytest.mark.parametrize(
    ("state", "fields", "expected"),
    [
        (JobState.RUNNING, {}, StepState.RUNNING),
        (JobState.QUEUED, {}, StepState.WAITING),
        (JobState.QUEUED, {"is_held": True}, StepState.PAUSED),
        (JobState.INTERRUPTED, {}, StepState.PAUSED),
        (JobState.FAILED, {}, StepState.FAILED),
        (JobState.CANCELLED, {}, StepState.READY),
    ],
)
def test_a_step_follows_its_newest_job(
    state: JobState, fields: dict[str, Any], expected: StepState
) -> None:
    jobs = [*CHAIN[:2], job(3, "generate", state, inversion=2, **fields)]
    assert states(jobs=jobs)[Step.GENERATE] is expected


def test_what_was_made_from_something_older_is_stale() -> None:
    again = [*CHAIN, job(6, "invert")]
    assert states(jobs=again)[Step.GENERATE] is StepState.STALE
    other = replace(SPLIT, id=2)
    facts = replace(EMPTY, images=20, labels=2, split=other, jobs=CHAIN)
    found = {step: status.state for step, status in derive_states(facts).items()}
    assert found[Step.CONCEPTS] is StepState.STALE
    assert found[Step.TRAIN] is StepState.STALE
    moved = states(jobs=CHAIN, training_is_stale=True)
    assert moved[Step.TRAIN] is StepState.STALE
    assert moved[Step.REPORT] is StepState.STALE


@pytest.mark.parametrize(
    ("jobs", "is_running", "expected"),
    [
        ((), False, MainVerb.EVERYTHING),
        (CHAIN, True, MainVerb.NOTHING),
        (CHAIN[:3], False, MainVerb.CATCH_UP),
        ((*CHAIN, job(6, "generate", JobState.RUNNING)), True, MainVerb.WORKING),
        ((*CHAIN, job(6, "generate", JobState.INTERRUPTED)), True, MainVerb.RESUME),
        ((*CHAIN, job(6, "generate", JobState.FAILED)), True, MainVerb.RESUME),
        ((*CHAIN, job(6, "generate", JobState.QUEUED, is_held=True)), True, MainVerb.RESUME),
        ((*CHAIN, job(6, "invert")), False, MainVerb.CATCH_UP),
    ],
)
def test_the_main_button_does_what_is_next(
    jobs: tuple[Job, ...], is_running: bool, expected: MainVerb
) -> None:
    facts = replace(EMPTY, images=20, labels=2, split=SPLIT, jobs=jobs)
    assert main_verb(facts, derive_states(facts), is_running) is expected


def test_old_failures_are_not_resumed() -> None:
    jobs = [job(1, "invert", JobState.FAILED), job(2, "invert")]
    assert stopped_jobs(jobs) == []
