"""Fetch a base model from the hub: the only job that uses the network.

The command that downloads models does it, in a process of its own: the worker itself stays
offline, and ending that process ends the download at once. What has arrived stays in the cache,
and the next attempt goes on from there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from dafusion_core.domain.errors import EnvironmentProblem
from dafusion_core.domain.inputs import DownloadInputs
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import DownloadSpec
from dafusion_core.jobs.context import JobContext
from dafusion_core.language import _, current
from dafusion_core.storage.hub import bytes_here

__all__ = ["PROGRAM", "run"]

#: What downloads; tests put another program here.
PROGRAM: tuple[str, ...] = (sys.executable, "-m", "dafusion_core")
_LOOK_S = 0.25
_ALMOST = 0.999  # of the way: only the command itself knows that all is there
_MB = 1_000_000


def run(
    spec: DownloadSpec, inputs: DownloadInputs, units: Sequence[JobUnit], ctx: JobContext
) -> None:
    """Download the model of `spec`. Raises EnvironmentProblem when the hub cannot be reached, has
    no such model, or the disk is full."""
    source = spec.model
    name = f"{source.location}@{source.revision}" if source.revision else source.location
    process = subprocess.Popen(
        [*PROGRAM, "models", "download", name, "--yes", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "HF_HUB_OFFLINE": "0", "DAFUSION_LANGUAGE": current()},
    )
    try:
        while process.poll() is None:
            here = bytes_here(source.location)
            share = min(_ALMOST, here / spec.bytes) if spec.bytes else 0.0
            ctx.progress(share, 1, _words(here, spec.bytes))
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_S)
        answer = process.stdout.read() if process.stdout else b""
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
    found = _read(answer, name)
    for unit in units:
        ctx.finish_unit(unit, {}, found)
    ctx.progress(1, 1, _words(bytes_here(source.location), spec.bytes))


def _words(here: int, total: int) -> str:
    if not total:
        return _("{here:,.0f} MB have arrived").format(here=here / _MB)
    return _("{here:,.0f} of {total:,.0f} MB").format(here=here / _MB, total=total / _MB)


def _read(answer: bytes, name: str) -> dict[str, Any]:
    try:
        said = json.loads(answer.decode("utf-8", "replace"))
    except ValueError:
        said = None
    found: dict[str, Any] = said if isinstance(said, dict) else {}
    if "model" in found:
        return found
    error = found.get("error", {})
    raise EnvironmentProblem(
        error.get("text") or _("{name} could not be downloaded.").format(name=name),
        error.get("hint")
        or _("What has arrived is kept. Look at the connection and the disk, then retry."),
    )
