"""Runs the core's job supervisor in a thread of its own and brings its events to the window."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from PySide6.QtCore import QObject, QThread, Signal, Slot

from dafusion_core.jobs.events import JobEvent
from dafusion_core.jobs.supervisor import JobSupervisor

MakeSupervisor = Callable[[Callable[[JobEvent], None]], JobSupervisor]


class _SupervisorThread(QThread):
    """One run of a supervisor. `error` is what ended it, None if it was told to stop."""

    def __init__(self, supervisor: JobSupervisor, parent: QObject) -> None:
        super().__init__(parent)
        self.supervisor = supervisor
        self.error: Exception | None = None

    def run(self) -> None:
        """Block until the supervisor is stopped."""
        try:
            self.supervisor.run(until_idle=False)
        except Exception as error:
            self.error = error


class JobBridge(QObject):
    """The queue's engine as the window sees it: start it, stop it, hear from it.

    It owns no logic: the supervisor decides, the job rows are the truth. Methods that touch the
    database (`cancel`, `pause`, `resume`) may be called from any thread and should be called
    from the command thread; the others belong to the window's thread.

    Signals:
        happened(JobEvent): sent by a worker or the supervisor, in order.
        stopped(Exception | None): the supervisor has ended, and no worker is left.
    """

    happened = Signal(object)
    stopped = Signal(object)

    def __init__(self, make_supervisor: MakeSupervisor, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._make_supervisor = make_supervisor
        self._thread: _SupervisorThread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the queue is being worked through (it may be empty)."""
        return self._thread is not None

    def start(self) -> None:
        """Work through the queue from now on. Does nothing if that is so already."""
        if self._thread is not None:
            self._thread.supervisor.poke()
            return
        # A new supervisor each time: one that gave up because workers did not start stays so.
        thread = _SupervisorThread(self._make_supervisor(self.happened.emit), self)
        thread.finished.connect(self._on_finished)
        self._thread = thread
        thread.start()

    def stop(self) -> None:
        """Stop at the next step and leave running jobs resumable; `stopped` follows."""
        if self._thread is not None:
            self._thread.supervisor.stop()

    def wait(self) -> None:
        """Block until the supervisor has ended (after `stop`)."""
        if self._thread is not None:
            self._thread.wait()
            self._on_finished()

    def cancel(self, job_id: int) -> bool:
        """Cancel a job; False if no supervisor runs and the caller must change the row itself."""
        return self._ask(lambda supervisor: supervisor.cancel(job_id))

    def pause(self, job_id: int) -> bool:
        """Free the device and hold the job; False as for `cancel`."""
        return self._ask(lambda supervisor: supervisor.pause(job_id))

    def wish(self, job_id: int, what: str) -> None:
        """Ask a running job to "save" or to "sample" at its next step."""
        self._ask(lambda supervisor: supervisor.wish(job_id, what))

    def _ask(self, request: Callable[[JobSupervisor], None]) -> bool:
        thread = self._thread
        if thread is None:
            return False
        # It may have ended meanwhile; the row was changed before it was told.
        with suppress(OSError):
            request(thread.supervisor)
        return True

    @Slot()
    def _on_finished(self) -> None:
        thread = self._thread
        if thread is None or not thread.isFinished():
            return  # An earlier thread's news; `wait` has dealt with it.
        self._thread = None
        thread.supervisor.close()
        self.stopped.emit(thread.error)
        thread.deleteLater()
