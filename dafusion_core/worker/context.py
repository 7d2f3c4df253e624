"""The job context of a worker: results go to the project, hints to the supervisor."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from dafusion_core.domain.errors import Cancelled, Stopped, describe_error
from dafusion_core.domain.records import Job, JobUnit
from dafusion_core.jobs import queue
from dafusion_core.jobs.events import (
    JobEvent,
    JobLog,
    JobProgress,
    PreviewReady,
    UnitFailed,
    UnitFinished,
)
from dafusion_core.jobs.protocol import Goodbye
from dafusion_core.language import _
from dafusion_core.storage.jobs import add_metrics, get_job
from dafusion_core.storage.project import ProjectFile
from dafusion_core.storage.results import add_result

PROGRESS_INTERVAL_S = 0.1
METRIC_INTERVAL_S = 1.0
ETA_AFTER_S = 2.0

_LOG = logging.getLogger("dafusion.worker")
_LEVELS = {"warning": logging.WARNING, "error": logging.ERROR}


class Reporter:
    """The worker's end of the pipe for sending; several threads may use it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, event: JobEvent | Goodbye) -> None:
        """Send a hint; if nobody listens any more, the listening thread finds that out."""
        with self._lock, suppress(OSError):
            self._connection.send(event)


class StopFlags:
    """What other threads want of the running job."""

    def __init__(self) -> None:
        self.cancelled_job: int | None = None
        self.stopped_job: int | None = None
        self.is_leaving = threading.Event()
        self.is_lease_lost = False
        self.wishes: set[tuple[int, str]] = set()

    def check(self, job_id: int) -> None:
        """Raise Cancelled or Stopped if this job should end."""
        if self.cancelled_job == job_id:
            raise Cancelled(_("Cancelled by the user."))
        if self.is_leaving.is_set() or self.stopped_job == job_id or self.is_lease_lost:
            raise Stopped(_("Stopped before it was finished."))


class WorkerContext:
    """`JobContext` for one attempt of one job."""

    def __init__(
        self,
        project: ProjectFile,
        job: Job,
        owner: str,
        device: str,
        reporter: Reporter,
        flags: StopFlags,
    ) -> None:
        self.device = device
        self.scratch = project.objects.scratch(job.id)
        self.units_before = 0  # done by earlier attempts: progress is that of the whole job
        self._project = project
        self._job = job
        self._owner = owner
        self._reporter = reporter
        self._flags = flags
        self._metrics: list[tuple[int, int | None, str, int, float]] = []
        self._metrics_at = time.monotonic()
        self._progress_at = 0.0
        self._first: tuple[float, float] | None = None

    @property
    def kept(self) -> Path:
        """Where to leave what the next attempt can use."""
        return self._project.objects.kept(self._job.id)

    def resolve(self, path: str) -> Path:
        """Real path of an input."""
        return self._project.objects.path(path)

    def check_cancelled(self) -> None:
        """Raise Cancelled or Stopped if the job should end now."""
        self._flags.check(self._job.id)

    def take_wish(self, what: str) -> bool:
        """Whether the user has asked for this since the last time."""
        wish = (self._job.id, what)
        is_wanted = wish in self._flags.wishes
        self._flags.wishes.discard(wish)
        return is_wanted

    def progress(self, done: float, total: float, phase: str = "") -> None:
        """Send progress at most ten times a second, always the last; also a cancel point."""
        self.check_cancelled()
        if total == self._job.total - self.units_before:
            done, total = done + self.units_before, self._job.total
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
        if now - self._progress_at < PROGRESS_INTERVAL_S and done < total:
            return
        self._progress_at = now
        began, start = self._first
        eta = None
        # Only this attempt's own pace counts: what an earlier one did took no time now.
        if now - began >= ETA_AFTER_S and done > start:
            eta = (now - began) / (done - start) * (total - done)
        self._reporter.send(
            JobProgress(job_id=self._job.id, done=done, total=total, phase=phase, eta_s=eta)
        )

    def log(self, text: str, level: str = "info") -> None:
        """A line for people, also in the worker's log file."""
        _LOG.log(_LEVELS.get(level, logging.INFO), "job %s: %s", self._job.id, text)
        self._reporter.send(JobLog(job_id=self._job.id, level=level, text=text))

    def metric(self, series: str, step: int, value: float, unit: JobUnit | None = None) -> None:
        """Collect a point; points are stored about once a second."""
        self._metrics.append((self._job.id, unit.id if unit else None, series, step, float(value)))
        if time.monotonic() - self._metrics_at > METRIC_INTERVAL_S:
            self.flush()

    def flush(self) -> None:
        """Store the points collected so far."""
        rows, self._metrics = self._metrics, []
        self._metrics_at = time.monotonic()
        add_metrics(self._project.db, rows)

    def preview(self, path: Path, text: str = "") -> None:
        """Announce a picture in `scratch`."""
        self._reporter.send(PreviewReady(job_id=self._job.id, path=str(path), text=text))

    def finish_unit(
        self, unit: JobUnit, files: Mapping[str, Path], record: Mapping[str, Any]
    ) -> None:
        """Files into the store, then row and state in one transaction, then the event."""
        stored = {role: self._project.objects.adopt(path) for role, path in files.items()}
        db = self._project.db
        result_id = queue.record_unit(
            db,
            self._job.id,
            self._owner,
            unit,
            lambda: add_result(db, self._job, unit, stored, record),
        )
        if result_id is not None:
            seq = get_seq(self._project, self._job.id)
            self._reporter.send(
                UnitFinished(job_id=self._job.id, unit_id=unit.id, result_id=result_id, seq=seq)
            )

    def fail_unit(self, unit: JobUnit, error: Exception) -> None:
        """Record the failure of one unit; the job goes on."""
        _kind, text, _hint = describe_error(error)
        queue.fail_unit(self._project.db, self._job.id, self._owner, unit, text)
        self._reporter.send(
            UnitFailed(
                job_id=self._job.id,
                unit_id=unit.id,
                text=text,
                seq=get_seq(self._project, self._job.id),
            )
        )


def get_seq(project: ProjectFile, job_id: int) -> int:
    """The job row's change counter."""
    return int(project.db.value("SELECT seq FROM job WHERE id = ?", [job_id]) or 0)


def failed_count(project: ProjectFile, job_id: int) -> int:
    """How many units of the job are failed."""
    return get_job(project.db, job_id).failed
