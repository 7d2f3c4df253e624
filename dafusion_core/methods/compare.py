"""Compare the arms of a training job with its baseline."""

from __future__ import annotations

from collections.abc import Sequence

from dafusion_core.domain.inputs import EvaluationInputs
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import EvaluationSpec
from dafusion_core.evaluation.comparison import compare_runs
from dafusion_core.jobs.context import JobContext

__all__ = ["run"]


def run(
    spec: EvaluationSpec, inputs: EvaluationInputs, units: Sequence[JobUnit], ctx: JobContext
) -> None:
    """Finish the one unit with the verdict as JSON values.

    Raises UserError when runs or the baseline are missing (see `compare_runs`).
    """
    for unit in units:
        ctx.progress(0, 1, "comparing")
        verdict = compare_runs(inputs, spec)
        ctx.finish_unit(unit, {}, verdict.to_dict())
        ctx.progress(1, 1, "comparing")
