"""The verdict of a comparison, as a table for people and as JSON."""

from __future__ import annotations

from typing import Any

from dafusion_core.cli.output import Output
from dafusion_core.domain.records import Evaluation
from dafusion_core.evaluation.verdict import Verdict, render_table


def describe_verdict(evaluation: Evaluation) -> dict[str, Any]:
    """The verdict for JSON; `sentences` are the findings in words."""
    sentences = Verdict.from_dict(evaluation.result).sentences
    return {
        "evaluation": evaluation.id,
        "job": evaluation.job_id,
        "sentences": sentences,
        **evaluation.result,
    }


def show_verdict(out: Output, evaluation: Evaluation) -> None:
    """The verdict for people."""
    out.say()
    out.say(render_table(Verdict.from_dict(evaluation.result)))
