"""The queue as rows, with the live progress of running jobs laid over them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt

from app.models.roles import ID_ROLE, RECORD_ROLE, Index
from app.text import duration, job_state_words
from dafusion_core.api.project import Project
from dafusion_core.domain.records import Job, JobState
from dafusion_core.jobs.events import JobProgress
from dafusion_core.language import _

SPEED_AFTER_S = 2.0
WISHING_KINDS = ("invert",)
WISH_SHOWN_S = 4.0
COLUMNS = (_("Job"), _("State"), _("Progress"))


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as it is shown. `fraction` is 0–1; `detail` says phase, counts and time left."""

    job: Job
    state: str
    fraction: float
    detail: str
    is_stopping: bool
    is_blocked: bool
    can_be_first: bool = False

    @property
    def can_cancel(self) -> bool:
        """Whether cancelling would change anything."""
        return not self.is_stopping and self.job.state in (
            JobState.QUEUED,
            JobState.RUNNING,
            JobState.INTERRUPTED,
        )

    @property
    def can_pause(self) -> bool:
        """Whether it could be held."""
        is_active = self.job.state in (JobState.QUEUED, JobState.RUNNING)
        return is_active and not self.job.is_held and not self.is_stopping

    @property
    def can_wish(self) -> bool:
        """Whether it could save or sample now: what learns step by step can."""
        is_running = self.job.state is JobState.RUNNING and not self.is_stopping
        return is_running and self.job.kind in WISHING_KINDS

    @property
    def can_resume(self) -> bool:
        """Whether it could go on."""
        is_held = self.job.state is JobState.QUEUED and self.job.is_held
        return is_held or self.job.state is JobState.INTERRUPTED

    @property
    def can_retry(self) -> bool:
        """Whether it ended early and could run again."""
        return self.job.state in (JobState.FAILED, JobState.CANCELLED)


class JobTableModel(QAbstractTableModel):
    """Newest job last, as in the queue. The row is the truth; progress is only a hint."""

    def __init__(self, project: Project, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._project = project
        self._jobs: list[Job] = []
        self._blocked: dict[int, list[int]] = {}
        self._progress: dict[int, JobProgress] = {}
        self._stopping: dict[int, int] = {}
        self._began: dict[int, JobProgress] = {}
        self._wished: dict[int, tuple[str, float]] = {}

    @property
    def is_running(self) -> bool:
        """Whether a worker is busy with one of the jobs."""
        return any(job.state is JobState.RUNNING for job in self._jobs)

    def refresh(self) -> None:
        """Read all rows again; views keep their places because rows are only added."""
        jobs = self._project.jobs()
        self._blocked = self._project.blocked_jobs()
        for job in jobs:
            if job.state is not JobState.RUNNING:
                self._progress.pop(job.id, None)
                self._began.pop(job.id, None)
            if job.state.is_terminal or (job.state is JobState.QUEUED and job.is_held):
                self._stopping.pop(job.id, None)
        old = len(self._jobs)
        if [job.id for job in jobs[:old]] != [job.id for job in self._jobs]:
            self.beginResetModel()
            self._jobs = jobs
            self.endResetModel()
            return
        self._jobs = jobs[:old]
        if len(jobs) > old:
            self.beginInsertRows(QModelIndex(), old, len(jobs) - 1)
            self._jobs = jobs
            self.endInsertRows()
        if old:
            self.dataChanged.emit(self.index(0, 0), self.index(old - 1, len(COLUMNS) - 1))

    def note_progress(self, event: JobProgress) -> None:
        """Lay the newest progress over its row."""
        for row, job in enumerate(self._jobs):
            if job.id == event.job_id:
                self._progress[job.id] = event
                self._began.setdefault(job.id, event)
                self.dataChanged.emit(self.index(row, 0), self.index(row, len(COLUMNS) - 1))

    def note_wish(self, job_id: int, words: str) -> None:
        """The user asked for something: say for a moment that it was heard."""
        self._wished[job_id] = (words, time.monotonic())
        for row, job in enumerate(self._jobs):
            if job.id == job_id:
                self.dataChanged.emit(self.index(row, 0), self.index(row, len(COLUMNS) - 1))

    def note_stopping(self, job_id: int) -> None:
        """The user asked for it to stop: say so before the worker has noticed."""
        for row, job in enumerate(self._jobs):
            if job.id == job_id and not job.state.is_terminal:
                self._stopping[job_id] = job.attempt
                self.dataChanged.emit(self.index(row, 0), self.index(row, len(COLUMNS) - 1))

    def view(self, row: int) -> JobView:
        """Everything a card shows of the job in `row`."""
        job = self._jobs[row]
        is_stopping = not job.state.is_terminal and self._stopping.get(job.id) == job.attempt
        if job.state is JobState.RUNNING and (job.cancel_requested or job.is_held):
            is_stopping = True
        fraction = job.done / job.total if job.total else 0.0
        detail = _("{done:,} of {total:,}").format(done=job.done, total=job.total)
        progress = self._progress.get(job.id)
        if job.state is JobState.RUNNING:
            if progress is None:
                detail += _(" · starting…")
            else:
                fraction = progress.done / progress.total if progress.total else fraction
                phase = f"{progress.phase} · " if progress.phase else ""
                if job.kind == "download":  # megabytes say more than “0 of 1”
                    detail = f"{phase}{_time_left(progress)}"
                else:
                    speed = speed_words(self._began.get(job.id, progress), progress)
                    detail = f"{phase}{detail} · {speed}{_time_left(progress)}"
            words, at = self._wished.get(job.id, ("", 0.0))
            if words and time.monotonic() - at < WISH_SHOWN_S:
                detail += f" · {words}"
        return JobView(
            job,
            job_state_words(job, is_stopping, job.id in self._blocked),
            min(1.0, max(0.0, fraction)),
            detail,
            is_stopping,
            job.id in self._blocked,
            self._can_be_first(job),
        )

    def _can_be_first(self, job: Job) -> bool:
        """Whether others wait before it that it does not need itself."""
        before = {
            other.id
            for other in self._jobs
            if other.state is JobState.QUEUED
            and not other.is_held
            and (-other.priority, other.id) < (-job.priority, job.id)
        }
        unfinished = {other.id for other in self._jobs if other.state is not JobState.SUCCEEDED}
        return bool(before) and not unfinished & set(job.needs)

    def rowCount(self, parent: Index | None = None) -> int:
        """Number of jobs."""
        return 0 if parent is not None and parent.isValid() else len(self._jobs)

    def columnCount(self, parent: Index | None = None) -> int:
        """Title, state, progress."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """Column names."""
        is_name = role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal
        return COLUMNS[section] if is_name and section < len(COLUMNS) else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a view asks of a job."""
        if not index.isValid():
            return None
        view = self.view(index.row())
        if role == ID_ROLE:
            return view.job.id
        if role == RECORD_ROLE:
            return view.job
        if role == Qt.ItemDataRole.DisplayRole:
            return (view.job.title, view.state, view.detail)[index.column()]
        return None


def speed_words(first: JobProgress, last: JobProgress) -> str:
    """“3.2 a second · ”, “14 a minute · ”, "" until two seconds of this attempt were seen."""
    seconds, done = last.at - first.at, last.done - first.done
    if seconds < SPEED_AFTER_S or done <= 0:
        return ""
    for words, length in (
        (_("{number} a second"), 1),
        (_("{number} a minute"), 60),
        (_("{number} an hour"), 3600),
    ):
        number = done / seconds * length
        if number >= 1 or length == 3600:
            shown = f"{number:.1f}" if number < 10 else f"{number:,.0f}"
            return words.format(number=shown) + " · "
    return ""


def _time_left(progress: JobProgress) -> str:
    if progress.eta_s is None:
        return _("estimating…")
    # The estimate was made when the event was sent.
    left = progress.eta_s - max(0.0, time.time() - progress.at)
    return _("about {time} left").format(time=duration(max(1.0, left)))
