"""An open project and everything that lives as long as it does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from app.bridge.changes import ChangeBus
from app.bridge.commands import CommandRunner
from app.bridge.job_bridge import JobBridge
from app.thumbnails import ThumbnailLoader
from dafusion_core.api import export_folder, write_report
from dafusion_core.api.project import Project
from dafusion_core.datasets.importing import ImportReport
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import Job, JobState, Part
from dafusion_core.jobs.events import (
    Event,
    JobEvent,
    JobProgress,
    UnitFinished,
    WorkerReady,
)
from dafusion_core.jobs.supervisor import WORKER_TARGET, JobSupervisor
from dafusion_core.language import _
from dafusion_core.settings import get_int, get_str
from dafusion_core.storage.arrivals import ArrivalMark
from dafusion_core.storage.thumbnails import KeptThumbnails

POLL_MS = 2000
WATCH_MS = 3000


class Session(QObject):
    """One open project with its bus, background threads and queue.

    Signals:
        closed(): everything has ended and the project file is closed.
        failed(Exception): a command or the queue failed; show it.
        imported(tuple): (done, total, name) of a running import.
        made(tuple): (sentence, path) of something written for the user.
        lost(bool): the project's file is gone from its place (True), or there again.
    """

    closed = Signal()
    failed = Signal(object)
    imported = Signal(object)
    made = Signal(object)
    lost = Signal(bool)

    #: Tests put a worker here that needs no torch.
    worker_target = WORKER_TARGET
    devices: tuple[str, ...] | None = None

    def __init__(self, project: Project, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.project = project
        self.changes = ChangeBus(self)
        self.commands = CommandRunner("commands", self)
        # Imports take minutes; a decision or a cancel must not wait for them.
        self.imports = CommandRunner("imports", self)
        # What the window asks of many rows, while decisions go on.
        self.reads = CommandRunner("reads", self)
        self.thumbnails = ThumbnailLoader(
            get_int("thumbnail_cache_mb") * 2**20,
            self,
            KeptThumbnails(project.files, project.is_read_only),
        )
        self.jobs = JobBridge(self._make_supervisor, self)
        self.progress: dict[int, JobProgress] = {}
        self.device_name = ""
        self.device = "cpu"
        self._kinds: dict[int, str] = {}
        self._is_closing = False
        self._stop_import = threading.Event()
        self._arrivals: tuple[ArrivalMark, ArrivalMark] | None = None
        for runner in (self.commands, self.imports, self.reads):
            runner.changed.connect(self.changes.publish)
            runner.failed.connect(self.failed)
        self.imports.progressed.connect(self.imported)
        self.jobs.happened.connect(self._on_event)
        self.jobs.stopped.connect(self._on_stopped)
        # Another program (a command line) may write while this one reads along.
        self._data_version = project.data_version()
        self._poll = QTimer(self)
        self._poll.setInterval(POLL_MS)
        self._poll.timeout.connect(self._look_for_foreign_changes)
        if project.is_read_only:
            self._poll.start()
        # A drive can be unplugged and a folder moved while the project is open.
        self._is_lost = False
        self._watch = QTimer(self)
        self._watch.setInterval(WATCH_MS)
        self._watch.timeout.connect(self._look_whether_it_is_there)
        self._watch.start()

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be changed."""
        return self.project.is_read_only

    @property
    def is_closing(self) -> bool:
        """Whether `close` was called."""
        return self._is_closing

    # Commands -----------------------------------------------------------------------------

    def do(self, command: Callable[[], ProjectChanges | None]) -> None:
        """Run a command that changes the project in the background."""
        self.commands.submit(command)

    def cancel(self, job_id: int) -> None:
        """Cancel a job for good."""

        def command() -> ProjectChanges:
            if not self.jobs.cancel(job_id):
                self.project.cancel(job_id)
            return ProjectChanges(jobs=True)

        self.do(command)

    def pause(self, job_id: int) -> None:
        """Hold a job; a running one stops at its next step."""

        def command() -> ProjectChanges:
            if not self.jobs.pause(job_id):
                self.project.pause(job_id)
            return ProjectChanges(jobs=True)

        self.do(command)

    def resume(self, job_ids: list[int]) -> None:
        """Queue jobs again and work through the queue."""

        def command() -> ProjectChanges:
            for job_id in job_ids:
                self.project.resume(job_id)
            return ProjectChanges(jobs=True)

        self.run(command)

    def run(self, command: Callable[[], object]) -> None:
        """Run a command that queues jobs, then work through the queue."""

        def work() -> ProjectChanges:
            command()
            return ProjectChanges(jobs=True, splits=True)

        self.commands.submit(work, lambda _changes: self.start_queue())

    def start_queue(self) -> None:
        """Work through the queue from now on."""
        if not self.is_read_only and not self._is_closing:
            self.jobs.start()
            self.changes.publish(ProjectChanges(jobs=True))  # what can be started has changed

    def import_folder(self, folder: Path, then: Callable[[ImportReport], None]) -> None:
        """Import pictures in the background; `then(report)` follows in the window's thread."""
        self._import(partial(self.project.import_data, folder), then)

    def import_sample(self, then: Callable[[ImportReport], None]) -> None:
        """Draw the sample pictures and import them, as `import_folder`."""
        self._import(self.project.import_sample, then)

    def _import(
        self, bring: Callable[..., ImportReport], then: Callable[[ImportReport], None]
    ) -> None:
        self._stop_import.clear()

        def command() -> ImportReport:
            before = self.project.arrival_mark()
            report = bring(
                on_progress=self.imports.report,
                should_stop=lambda: self._stop_import.is_set() or self._is_closing,
            )
            self._arrivals = before, self.project.arrival_mark()
            return report

        def done(report: ImportReport) -> None:
            self.changes.publish(ProjectChanges(images=True, concepts=True))
            then(report)

        self.imports.submit(command, done)

    def stop_import(self) -> None:
        """End a running import after the current picture; what is in stays."""
        self._stop_import.set()

    def undo_import(self) -> None:
        """Remove what the last import brought."""
        marks, self._arrivals = self._arrivals, None
        if marks is not None:
            self.do(lambda: self.project.undo_import(*marks))

    def save_report(self, path: Path) -> None:
        """Write the report file in the background."""
        self.imports.submit(
            lambda: write_report(self.project, path),
            lambda saved: self.made.emit((_("Report saved: {saved}").format(saved=saved), saved)),
        )

    def export(self, folder: Path, *, kept_only: bool, real: bool, form: str = "folders") -> None:
        """Copy pictures to a folder in the background, in one of the core's forms."""
        curation: Literal["kept", "all"] = "kept" if kept_only else "all"

        def command() -> str:
            if form == "folders":
                return export_folder(self.project, folder, curation, real=real).sentence
            what: Literal["both", "synthetic"] = "both" if real else "synthetic"
            report = self.project.export(
                folder, form, what=what, curation=curation, parts=[Part.TRAIN]
            )
            return report.sentence

        self.imports.submit(command, lambda sentence: self.made.emit((sentence, folder)))

    def log_path(self) -> Path:
        """The log of the first worker."""
        return self.project.log_path(self._device_names()[0])

    # Events -------------------------------------------------------------------------------

    def _make_supervisor(self, on_event: Callable[[JobEvent], None]) -> JobSupervisor:
        return JobSupervisor(
            self.project.file,
            on_event,
            self._device_names(),
            target=self.worker_target,
        )

    def _device_names(self) -> tuple[str, ...]:
        stored = (name.strip() for name in get_str("device").split(","))
        return self.devices or tuple(name for name in stored if name) or ("auto",)

    @Slot(object)
    def _on_event(self, event: Event) -> None:
        if self.project.file.is_closed:  # it was on its way when `close_now` did not wait for it
            return
        if isinstance(event, JobProgress) and event.job_id is not None:
            self.progress[event.job_id] = event
            return
        if isinstance(event, WorkerReady):
            self.device_name, self.device = event.name or event.device, event.device
        if isinstance(event, UnitFinished) and event.job_id is not None:
            self.changes.publish_soon(self._changes_of(event))
        elif event.job_id is not None:
            self.changes.publish_soon(ProjectChanges(jobs=True))

    def _changes_of(self, event: UnitFinished) -> ProjectChanges:
        job_id = event.job_id or 0
        kind = self._kinds.get(job_id) or self.project.job(job_id).kind
        self._kinds[job_id] = kind
        ids = (event.result_id,) if kind == "generate" and event.result_id else ()
        return ProjectChanges(
            jobs=True,
            synthetic=kind == "generate",
            synthetic_ids=ids,
            concepts=kind in ("erase", "invert"),
            runs=kind in ("train", "compare"),
        )

    @Slot(object)
    def _on_stopped(self, error: Exception | None) -> None:
        self.changes.publish(ProjectChanges(jobs=True))
        if error is not None:
            self.failed.emit(error)
        if self._is_closing:
            self._finish_closing()

    @Slot()
    def _look_for_foreign_changes(self) -> None:
        version = self.project.data_version()
        if version != self._data_version:
            self._data_version = version
            self.changes.publish(
                ProjectChanges(
                    images=True,
                    regions=True,
                    splits=True,
                    concepts=True,
                    synthetic=True,
                    curation=True,
                    jobs=True,
                    runs=True,
                )
            )

    @Slot()
    def _look_whether_it_is_there(self) -> None:
        """In the background: a place on a network that is gone takes its time to say so."""
        if not self.reads.is_busy and not self._is_closing:
            self.reads.submit(self.project.path.exists, self._note_place)

    def _note_place(self, exists: bool) -> None:
        if exists is self._is_lost:
            self._is_lost = not exists
            self.lost.emit(self._is_lost)

    # Closing ------------------------------------------------------------------------------

    def running_jobs(self) -> list[Job]:
        """Jobs that a worker is busy with now."""
        return self.project.jobs([JobState.RUNNING])

    def close(self) -> None:
        """Stop the queue at its next step, finish what was decided, close; `closed` follows."""
        if self._is_closing:
            return
        self._is_closing = True
        self._poll.stop()
        self._watch.stop()
        self.imports.should_stop.set()
        if self.jobs.is_running:
            self.jobs.stop()
        else:
            self._finish_closing()

    def close_now(self) -> None:
        """`close`, waiting for its end (seconds if a step is long)."""
        self.close()
        self.jobs.wait()

    def _finish_closing(self) -> None:
        self.imports.stop()
        self.reads.stop()
        self.commands.stop()
        self.thumbnails.stop()
        self.changes.close()
        self.project.close()
        self.closed.emit()
