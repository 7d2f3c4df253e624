"""One image at several t0, to look at before generating: a generation of a single source."""

from __future__ import annotations

from collections.abc import Sequence

from dafusion_core.domain.inputs import GenerationInputs
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import PreviewSpec
from dafusion_core.jobs.context import JobContext
from dafusion_core.methods import generate

__all__ = ["run"]


def run(
    spec: PreviewSpec, inputs: GenerationInputs, units: Sequence[JobUnit], ctx: JobContext
) -> None:
    """Make the pictures of `units` as the generation would. Raises what `generate.run` raises."""
    generate.run(spec.plan, inputs, units, ctx)
