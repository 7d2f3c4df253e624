"""Comparing: the verdict of the evaluation goes into the unit's record unchanged."""

from __future__ import annotations

import json

import pytest

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.inputs import EvaluationInputs, RunInput
from dafusion_core.domain.specs import EvaluationSpec
from dafusion_core.evaluation.comparison import compare_runs
from dafusion_core.jobs.context import NullContext
from dafusion_core.methods import compare

from .conftest import make_unit


def make_run(arm: str, seed: int, right: float) -> RunInput:
    truth = tuple(i % 2 for i in range(20))
    sure = tuple((right, 1 - right) if t == 0 else (1 - right, right) for t in truth)
    return RunInput(arm, seed, tuple(range(20)), truth, sure, 0.5)


def test_the_verdict_is_stored_as_json(ctx: NullContext) -> None:
    runs = [make_run("real", seed, 0.4) for seed in range(3)]
    runs += [make_run("mixed", seed, 0.9) for seed in range(3)]
    inputs = EvaluationInputs(("a", "b"), tuple(runs))
    spec = EvaluationSpec(training_job=1, baseline="real", resamples=200)
    compare.run(spec, inputs, [make_unit(1, "verdict")], ctx)
    files, record = ctx.results["verdict"]
    assert files == {}
    assert json.loads(json.dumps(record)) == compare_runs(inputs, spec).to_dict()


def test_a_baseline_that_is_not_there_is_an_error(ctx: NullContext) -> None:
    inputs = EvaluationInputs(("a", "b"), (make_run("mixed", 0, 0.9),))
    spec = EvaluationSpec(training_job=1, baseline="real")
    with pytest.raises(UserError):
        compare.run(spec, inputs, [make_unit(1, "verdict")], ctx)
