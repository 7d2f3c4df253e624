"""Start, watch, stop and replace worker processes. Plain core code for every client."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from dafusion_core import language
from dafusion_core.domain.errors import DaFusionError, EnvironmentProblem
from dafusion_core.domain.records import JobState
from dafusion_core.jobs import bootstrap, queue
from dafusion_core.jobs.events import (
    JobCancelled,
    JobEvent,
    JobFailed,
    JobInterrupted,
    JobStarted,
    WorkerLostEvent,
    WorkerReady,
)
from dafusion_core.jobs.protocol import (
    CancelJob,
    Goodbye,
    Message,
    Poke,
    Shutdown,
    StopJob,
    Wish,
    WorkerSettings,
)
from dafusion_core.language import _
from dafusion_core.storage.project import ProjectFile

WORKER_TARGET = "dafusion_core.worker.main:run"
TERMINATE_AFTER_S = 5.0
KILL_AFTER_S = 3.0
POLL_S = 0.5
STARTS_WITHOUT_SUCCESS = 3


def worker_log(project: ProjectFile, device: str) -> Path:
    """The log file of the worker for `device`."""
    return project.files / "logs" / f"worker-{device.replace(':', '-')}.log"


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Keep multiprocessing from running the caller's script again in the child.

    Spawn imports the parent's main module, which in a notebook or a script without a
    `__name__` guard would repeat everything the user does. The worker needs nothing of it.
    """
    real = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = real


@dataclass
class _Worker:
    device: str
    process: SpawnProcess
    pipe: Connection
    job_id: int | None = None
    is_ready: bool = False
    said_goodbye: bool = False
    terminate_at: float | None = None
    kill_at: float | None = None

    def send(self, message: Message) -> None:
        with suppress(OSError):  # If it is gone, the loop sees that by itself.
            self.pipe.send(message)

    @property
    def is_on_ladder(self) -> bool:
        """Whether it was asked to end what it does."""
        return self.terminate_at is not None or self.kill_at is not None

    def start_ladder(self) -> None:
        """From asking to ending: terminate, then kill, if it does not leave the job."""
        if not self.is_on_ladder:
            self.terminate_at = time.monotonic() + TERMINATE_AFTER_S

    def climb_ladder(self) -> None:
        now = time.monotonic()
        if self.terminate_at is not None and now >= self.terminate_at:
            self.process.terminate()
            self.terminate_at, self.kill_at = None, now + KILL_AFTER_S
        elif self.kill_at is not None and now >= self.kill_at:
            self.process.kill()
            self.kill_at = None

    def leave_ladder(self) -> None:
        self.terminate_at = self.kill_at = None


@dataclass
class JobSupervisor:
    """Runs the queue of a project that this program holds the lock of.

    `run` blocks in one thread and calls `on_event` from it; all other methods may be called
    from any thread. A worker per device is started when there is work and then kept.
    """

    project: ProjectFile
    on_event: Callable[[JobEvent], None]
    devices: Sequence[str] = ("auto",)
    target: str = WORKER_TARGET
    is_offline: bool = True
    _workers: dict[str, _Worker] = field(default_factory=dict)
    _requests: deque[Message] = field(default_factory=deque)
    _is_stopping: bool = False
    _failed_starts: int = 0
    _problem: DaFusionError | None = None

    def __post_init__(self) -> None:
        self.project.require_writable()
        self._wake_receiver, self._wake_sender = multiprocessing.Pipe(duplex=False)
        self._guard = threading.Lock()

    def poke(self) -> None:
        """Tell workers to look for work now."""
        self._request(Poke())

    def cancel(self, job_id: int) -> None:
        """Cancel a job for good. What it finished is kept."""
        state = queue.request_cancel(self.project.db, job_id)
        if state is JobState.RUNNING:
            self._request(CancelJob(job_id))
        elif state is JobState.CANCELLED:
            self.on_event(JobCancelled(job_id=job_id))

    def pause(self, job_id: int) -> None:
        """Free the device at the next step; the job waits until it is resumed."""
        queue.hold(self.project.db, job_id, True)
        self._request(StopJob(job_id))

    def wish(self, job_id: int, what: str) -> None:
        """Ask a running job to "save" or to "sample" at its next step."""
        self._request(Wish(job_id, what))

    def resume(self, job_id: int) -> None:
        """Let a paused, interrupted, cancelled or failed job go on with what is not done."""
        self._reap_left_overs()
        queue.requeue(self.project.db, job_id)
        self.poke()

    def _reap_left_overs(self) -> None:
        """A full disk can keep a lost worker's job "running"; without workers none can be."""
        if not self._workers:
            queue.reap(self.project.db, grace_s=0)

    def stop(self) -> None:
        """Stop at the next step, leave running jobs resumable, and make `run` return."""
        self._request(Shutdown())

    def _request(self, message: Message) -> None:
        with self._guard:
            self._requests.append(message)
            if len(self._requests) == 1:
                self._wake_sender.send_bytes(b"!")

    def run(self, until_idle: bool = True) -> None:
        """Work through the queue. Returns when it is empty (`until_idle`) or after `stop`.

        Raises EnvironmentProblem when workers cannot be started, or not even what happened
        can be stored (DiskFull). The queue can be run again when the cause is gone.
        """
        self._reap_left_overs()
        try:
            while not (self._is_stopping and not self._workers):
                if self._problem is not None:
                    raise self._problem
                self._start_workers()
                if until_idle and not self._is_stopping and not queue.has_work(self.project.db):
                    self.stop()
                self._wait()
                for worker in list(self._workers.values()):
                    self._obey_row(worker)
                    worker.climb_ladder()
        finally:
            for worker in list(self._workers.values()):
                worker.process.kill()
                worker.process.join()
                self._bury(worker)
            self._is_stopping = False
            self._problem = None
            self._failed_starts = 0

    def close(self) -> None:
        """Give the wake-up pipe back. Call when `run` will not be called again."""
        self._wake_receiver.close()
        self._wake_sender.close()

    def _start_workers(self) -> None:
        if self._is_stopping or not queue.has_work(self.project.db):
            return
        for device in self.devices:
            if device not in self._workers:
                if self._failed_starts >= STARTS_WITHOUT_SUCCESS:
                    raise EnvironmentProblem(
                        _("The worker process for device “{device}” could not be started: ").format(
                            device=device
                        )
                        + self._last_log_line(device),
                        _(
                            "“dafusion doctor” shows what is wrong. "
                            "Nothing in the project was lost."
                        ),
                    )
                self._workers[device] = self._spawn(device)

    def _spawn(self, device: str) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=True)
        settings = WorkerSettings(
            project=self.project.path,
            device=device,
            log=worker_log(self.project, device),
            is_offline=self.is_offline,
            language=language.current(),
        )
        process = context.Process(
            target=bootstrap.start,
            args=(self.target, theirs, settings),
            name=f"dafusion-worker-{device}",
        )
        with _without_main_module():
            process.start()
        theirs.close()
        self._failed_starts += 1
        return _Worker(device=device, process=process, pipe=ours)

    def _wait(self) -> None:
        workers = {worker.pipe: worker for worker in self._workers.values()}
        for ready in wait([self._wake_receiver, *workers], POLL_S):
            if ready is self._wake_receiver:
                self._serve_requests()
            else:
                self._receive(workers[ready])  # type: ignore[index]

    def _serve_requests(self) -> None:
        with self._guard:
            self._wake_receiver.recv_bytes()
            requests = list(self._requests)
            self._requests.clear()
        for request in requests:
            if isinstance(request, Shutdown):
                self._is_stopping = True
            for worker in self._workers.values():
                worker.send(request)
                is_its_job = (
                    isinstance(request, CancelJob | StopJob) and request.job_id == worker.job_id
                )
                if is_its_job or isinstance(request, Shutdown):
                    worker.start_ladder()

    def _receive(self, worker: _Worker) -> None:
        try:
            while worker.pipe.poll():
                message = worker.pipe.recv()
                if isinstance(message, Goodbye):
                    worker.said_goodbye = True
                    self._problem = self._problem or message.problem
                else:
                    self._note(worker, message)
                    self.on_event(message)
        except (EOFError, OSError):
            worker.process.join(TERMINATE_AFTER_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            self._bury(worker)

    def _obey_row(self, worker: _Worker) -> None:
        """Pass a cancel or pause on that only stands in the job's row.

        Another program wrote it, or it came between the claim and the worker's first event.
        """
        if worker.job_id is None or worker.is_on_ladder:
            return
        is_cancelled, is_held = queue.wishes(self.project.db, worker.job_id)
        if is_cancelled or is_held:
            worker.send((CancelJob if is_cancelled else StopJob)(worker.job_id))
            worker.start_ladder()

    def _note(self, worker: _Worker, event: JobEvent) -> None:
        """Keep what the loop needs to know of an event."""
        if isinstance(event, WorkerReady):
            worker.is_ready = True
            self._failed_starts = 0
        elif isinstance(event, JobStarted):
            worker.job_id = event.job_id
        elif event.job_id is not None and _is_end(event):
            worker.job_id = None
            if not self._is_stopping:
                worker.leave_ladder()

    def _bury(self, worker: _Worker) -> None:
        """Take a dead worker off the list and put its jobs where they belong."""
        self._workers.pop(worker.device, None)
        worker.pipe.close()
        pid, code = worker.process.pid or 0, worker.process.exitcode
        worker.process.close()
        try:
            self._place_jobs(worker, pid, code)
        except DaFusionError as error:  # Reaping at the next opening does it then.
            self._problem = self._problem or error

    def _place_jobs(self, worker: _Worker, pid: int, code: int | None) -> None:
        lost = queue.jobs_of_process(self.project.db, pid)
        for job in lost:
            text = _("The worker process ended unexpectedly ({describe_exit}).").format(
                describe_exit=_describe_exit(code)
            )
            if self._is_stopping and not job.cancel_requested:
                queue.finish(self.project.db, job.id, job.owner or "", JobState.INTERRUPTED)
                self.on_event(JobInterrupted(job_id=job.id, text=text))
                continue
            state = queue.lose(self.project.db, job.id, text)
            if state is JobState.CANCELLED:
                self.on_event(JobCancelled(job_id=job.id))
                continue
            self.on_event(
                WorkerLostEvent(
                    job_id=job.id,
                    device=worker.device,
                    exit_code=code,
                    will_retry=state is JobState.QUEUED,
                )
            )
            if state is JobState.FAILED:
                hint = _("What was finished is kept. Retry goes on with the rest.")
                self.on_event(JobFailed(job_id=job.id, kind="worker_lost", text=text, hint=hint))
        if not lost and not worker.said_goodbye:
            self.on_event(WorkerLostEvent(device=worker.device, exit_code=code))

    def _last_log_line(self, device: str) -> str:
        try:
            text = worker_log(self.project, device).read_text("utf-8", errors="replace")
        except OSError:
            return _("it left no log.")
        lines = [line for line in text.splitlines() if line.strip()]
        return (
            _("its last words were “{lines}”.").format(lines=lines[-1].strip())
            if lines
            else _("its log is empty.")
        )


def _is_end(event: JobEvent) -> bool:
    return type(event).__name__ in {"JobFinished", "JobCancelled", "JobInterrupted", "JobFailed"}


def _describe_exit(code: int | None) -> str:
    if code is None:
        return _("no exit code")
    if code < 0:
        return _("signal {code}").format(code=-code) + (
            _(", perhaps out of memory") if code == -9 else ""
        )
    return _("exit code {code}").format(code=code)
