"""What the supervisor says to a worker. The other way go `jobs.events` and `Goodbye`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dafusion_core.domain.errors import DaFusionError
from dafusion_core.language import ENGLISH


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is started with. `device` is "auto", "cpu" or "cuda:N".

    `language`: the notes and errors that it stores are read by those who started it.
    """

    project: Path
    device: str
    log: Path
    is_offline: bool = True
    language: str = ENGLISH


@dataclass(frozen=True, slots=True)
class Poke:
    """There may be work: look now."""


@dataclass(frozen=True, slots=True)
class CancelJob:
    """End this job if it is the one running; the user does not want it."""

    job_id: int


@dataclass(frozen=True, slots=True)
class StopJob:
    """End this job at the next step so that it can go on later."""

    job_id: int


@dataclass(frozen=True, slots=True)
class Wish:
    """The user wants something of this job while it runs: "save" what the next attempt could go
    on from, "sample": show how it is doing, or "finish": end the fit at hand and keep its best.
    Methods that cannot do it pass it over."""

    job_id: int
    what: str


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Stop what is running at the next step and leave."""


Message = Poke | CancelJob | StopJob | Wish | Shutdown


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The worker leaves; `reason` is for the log.

    `problem`: what went wrong outside of a job, such as a full disk that kept it from claiming
    one. Another worker would meet the same, so none is started.
    """

    reason: str = ""
    problem: DaFusionError | None = None
