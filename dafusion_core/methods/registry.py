"""Which function does which kind of job. Importing this loads nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.inputs import AnyInputs
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import AnySpec
from dafusion_core.jobs.context import JobContext
from dafusion_core.language import _

__all__ = ["METHODS", "load_method", "run_method"]

METHODS: dict[str, str] = {
    "erase": "dafusion_core.methods.erase:run",
    "invert": "dafusion_core.methods.invert:run",
    "generate": "dafusion_core.methods.generate:run",
    "preview": "dafusion_core.methods.preview:run",
    "check": "dafusion_core.methods.check:run",
    "train": "dafusion_core.methods.train:run",
    "compare": "dafusion_core.methods.compare:run",
    "predict": "dafusion_core.methods.predict:run",
    "export": "dafusion_core.methods.export_model:run",
    "download": "dafusion_core.methods.download:run",
}


def load_method(kind: str) -> Callable[..., None]:
    """The function for jobs of `kind`; imports torch and what else it needs.

    Raises UserError for a kind that this version does not know.
    """
    try:
        module, name = METHODS[kind].split(":")
    except KeyError:
        raise UserError(
            _("This version does not know jobs of kind “{kind}”.").format(kind=kind),
            _("Update the program."),
        ) from None
    method: Any = getattr(import_module(module), name)
    run: Callable[..., None] = method
    return run


def run_method(
    kind: str, spec: AnySpec, inputs: AnyInputs, units: Sequence[JobUnit], ctx: JobContext
) -> None:
    """Do the units of a job of `kind`."""
    load_method(kind)(spec, inputs, units, ctx)
