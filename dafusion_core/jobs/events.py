"""What workers and the supervisor tell their client. Events are hints: the job row is the truth.

Lifecycle events are sent after their commit. Progress and previews may be dropped. `seq` is the
job row's sequence number at sending time; a gap means: read the row again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events. `at` is seconds since the epoch."""

    job_id: int | None = None
    seq: int = 0
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReady(Event):
    """A worker is up. `memory_bytes` is the device's memory, None where unknown."""

    device: str
    name: str
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLostEvent(Event):
    """A worker ended without goodbye. `will_retry`: its job is queued again."""

    device: str
    exit_code: int | None
    will_retry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStarted(Event):
    """A worker claimed the job."""

    kind: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress(Event):
    """At most ten a second. `eta_s` is None until enough of this attempt was seen."""

    done: float
    total: float
    phase: str
    eta_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFinished(Event):
    """A unit and its result row were committed. `result_id` is the row's id in its own table."""

    unit_id: int
    result_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFailed(Event):
    """A unit could not be done; the job goes on with the others."""

    unit_id: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewReady(Event):
    """A picture that shows how a job is doing; the file may be overwritten later."""

    path: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLog(Event):
    """A line for people. level is "info", "warning" or "error"."""

    level: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFinished(Event):
    """The job succeeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCancelled(Event):
    """The job was cancelled by the user; what was finished is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInterrupted(Event):
    """The job was stopped (closing, pause, lost worker) and can be resumed."""

    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailed(Event):
    """The job failed. `kind`, `text` and `hint` are those of the stored error."""

    kind: str
    text: str
    hint: str = ""


JobEvent = (
    WorkerReady
    | WorkerLostEvent
    | JobStarted
    | JobProgress
    | UnitFinished
    | UnitFailed
    | PreviewReady
    | JobLog
    | JobFinished
    | JobCancelled
    | JobInterrupted
    | JobFailed
)
