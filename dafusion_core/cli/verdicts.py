"""The verdict of a comparison, as a table for people and as JSON."""

from __future__ import annotations

from typing import Any

from dafusion_core.api import Project
from dafusion_core.cli.output import Output
from dafusion_core.domain.records import Evaluation


def describe_verdict(evaluation: Evaluation) -> dict[str, Any]:
    """The verdict for JSON."""
    return {"evaluation": evaluation.id, "job": evaluation.job_id, **evaluation.result}


def show_verdict(out: Output, project: Project, evaluation: Evaluation) -> None:
    """The verdict for people."""
    out.say(str(evaluation.result))
