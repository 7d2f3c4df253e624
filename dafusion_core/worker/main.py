"""Entry of a worker process: claim a job, bind its inputs, run its method, record how it ended."""

from __future__ import annotations

import importlib
import logging
import platform
import threading
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection

from dafusion_core.domain.errors import (
    Bug,
    Cancelled,
    DaFusionError,
    DeviceFault,
    Interruption,
    OutOfMemory,
    describe_error,
    translate_os_error,
)
from dafusion_core.domain.inputs import INPUT_KINDS, AnyInputs
from dafusion_core.domain.records import Job, JobState, JobUnit, UnitState
from dafusion_core.domain.specs import AnySpec, load_spec
from dafusion_core.jobs import queue
from dafusion_core.jobs.events import (
    JobCancelled,
    JobFailed,
    JobFinished,
    JobInterrupted,
    JobStarted,
    WorkerReady,
)
from dafusion_core.jobs.protocol import CancelJob, Goodbye, Shutdown, StopJob, Wish, WorkerSettings
from dafusion_core.language import _
from dafusion_core.methods import registry
from dafusion_core.storage.jobs import get_units
from dafusion_core.storage.project import ProjectFile, attach_project
from dafusion_core.worker.binding import BINDERS
from dafusion_core.worker.context import Reporter, StopFlags, WorkerContext, failed_count, get_seq
from dafusion_core.worker.verify import check_files

IDLE_POLL_S = 1.0

_LOG = logging.getLogger("dafusion.worker")


class Worker:
    """One worker: owns a device, runs one job at a time."""

    def __init__(self, connection: Connection, settings: WorkerSettings) -> None:
        self.settings = settings
        self.connection = connection
        self.project: ProjectFile = attach_project(settings.project)
        self.owner = queue.current_owner()
        self.reporter = Reporter(connection)
        self.flags = StopFlags()
        self.poked = threading.Event()
        self.job_id: int | None = None

    def listen(self) -> None:
        """Thread: obey messages; if the program at the other end is gone, leave."""
        while True:
            try:
                message = self.connection.recv()
            except (EOFError, OSError):
                message = Shutdown()
            if isinstance(message, CancelJob):
                self.flags.cancelled_job = message.job_id
            elif isinstance(message, StopJob):
                self.flags.stopped_job = message.job_id
            elif isinstance(message, Wish):
                self.flags.wishes.add((message.job_id, message.what))
            elif isinstance(message, Shutdown):
                self.flags.is_leaving.set()
            self.poked.set()
            if self.flags.is_leaving.is_set():
                return

    def keep_lease(self) -> None:
        """Thread: heartbeats. A lost lease stops the job, so that no two workers do one."""
        while not self.flags.is_leaving.wait(queue.HEARTBEAT_S):
            job_id = self.job_id
            try:
                if job_id is not None and not queue.heartbeat(self.project.db, job_id, self.owner):
                    self.flags.is_lease_lost = self.job_id == job_id
            except Exception:
                # A full or busy disk; the lease outlasts several missed beats.
                _LOG.exception("no heartbeat for job %s", job_id)

    def run(self) -> str:
        """Claim and run until told to leave; return the reason for leaving."""
        name, device, memory = describe_device(self.settings.device)
        self.reporter.send(WorkerReady(device=device, name=name, memory_bytes=memory))
        threading.Thread(target=self.listen, daemon=True, name="listen").start()
        threading.Thread(target=self.keep_lease, daemon=True, name="lease").start()
        while not self.flags.is_leaving.is_set():
            self.poked.clear()
            job = queue.claim(self.project.db, self.owner, device)
            if job is None:
                self.poked.wait(IDLE_POLL_S)
                continue
            self.job_id = job.id
            self.flags.is_lease_lost = False
            self.flags.stopped_job = None
            self.flags.cancelled_job = None  # of an earlier attempt of a job that was retried
            try:
                problem = self.run_job(job, device)
            finally:
                self.job_id = None
            if isinstance(problem, OutOfMemory | DeviceFault | MemoryError):
                return _("{name__}: a fresh process starts with a clean device").format(
                    name__=type(problem).__name__
                )
        return "told to leave"

    def run_job(self, job: Job, device: str) -> BaseException | None:
        """One attempt of one job, recorded however it ends; returns what stopped it."""
        self.reporter.send(
            JobStarted(job_id=job.id, kind=job.kind, attempt=job.attempt, seq=job.seq)
        )
        _LOG.info("job %s (%s), attempt %s: %s", job.id, job.kind, job.attempt, job.title)
        context: WorkerContext | None = None
        try:
            context = WorkerContext(
                self.project, job, self.owner, device, self.reporter, self.flags
            )
            spec, inputs = self.bind(job)
            units = units_to_run(get_units(self.project.db, job.id))
            context.units_before = job.total - len(units)
            if units:
                check_files(self.project.objects, inputs)
                registry.run_method(job.kind, spec, inputs, units, context)
            context.flush()
        except BaseException as error:
            self.record_stop(job, error, context)
            return error
        failed = failed_count(self.project, job.id)
        if failed:
            text = _("{failed} of {total} could not be done; the others are finished.").format(
                failed=failed, total=job.total
            )
            hint = _("Look at their messages, then retry: only those run again.")
            self.fail(job, ("units_failed", text, hint))
        else:
            queue.finish(self.project.db, job.id, self.owner, JobState.SUCCEEDED)
            self.project.objects.forget_kept(job.id)
            self.reporter.send(JobFinished(job_id=job.id, seq=get_seq(self.project, job.id)))
        return None

    def bind(self, job: Job) -> tuple[AnySpec, AnyInputs]:
        """Spec and inputs; inputs are bound at the first claim and read back at later ones."""
        spec = load_spec(job.kind, job.spec)
        if job.inputs is None:
            inputs = BINDERS[job.kind](self.project.db, spec)
            queue.bind_inputs(self.project.db, job.id, self.owner, inputs.to_dict())
        else:
            inputs = INPUT_KINDS[job.kind].from_dict(job.inputs)
        return spec, inputs

    def record_stop(self, job: Job, error: BaseException, context: WorkerContext | None) -> None:
        """Store why the job ended before its end."""
        if context is not None:
            try:
                context.flush()
            except Exception:
                _LOG.exception("the last points of job %s could not be stored", job.id)
        if isinstance(error, Interruption):
            is_cancelled = isinstance(error, Cancelled)
            state = JobState.CANCELLED if is_cancelled else JobState.INTERRUPTED
            if is_cancelled:
                self.project.objects.forget_kept(job.id)
            queue.finish(
                self.project.db, job.id, self.owner, state, (error.kind, error.text, error.hint)
            )
            seq = get_seq(self.project, job.id)
            self.reporter.send(
                JobCancelled(job_id=job.id, seq=seq)
                if is_cancelled
                else JobInterrupted(job_id=job.id, text=error.text, seq=seq)
            )
            return
        _LOG.error("job %s failed", job.id, exc_info=error)
        self.fail(job, describe_error(error), "".join(traceback.format_exception(error)))

    def fail(self, job: Job, error: tuple[str, str, str], trace: str | None = None) -> None:
        """Store and report a failure."""
        queue.finish(self.project.db, job.id, self.owner, JobState.FAILED, error, trace)
        kind, text, hint = error
        seq = get_seq(self.project, job.id)
        self.reporter.send(JobFailed(job_id=job.id, kind=kind, text=text, hint=hint, seq=seq))


def units_to_run(units: Sequence[JobUnit]) -> list[JobUnit]:
    """What is not done yet, and what is computed together with it (`payload["batch"]`).

    A picture can differ in its last digits with the batch it is made in, so a batch of which one
    picture is missing is made again whole; what was recorded of it stays.
    """
    missing = [unit for unit in units if unit.state is not UnitState.DONE]
    batches = {unit.payload.get("batch") for unit in missing} - {None}
    return [
        unit
        for unit in units
        if unit.state is not UnitState.DONE or unit.payload.get("batch") in batches
    ]


def describe_device(device: str) -> tuple[str, str, int | None]:
    """(name, torch device string, memory in bytes) of the device this worker is for.

    `jobs.bootstrap` lets the worker see its own GPU only, so that is always number 0 here.
    Torch is not asked about the CPU, so that a CPU worker is ready before torch is loaded.
    """
    if device == "cpu":
        return platform.processor() or "CPU", "cpu", None
    devices = importlib.import_module("dafusion_core.engine.devices")
    info = devices.describe_device(
        devices.resolve_device("cuda:0" if device.startswith("cuda:") else device)
    )
    return info.name, info.device, info.total_bytes


def as_problem(error: Exception) -> DaFusionError:
    """An error with a sentence, whatever it was."""
    if isinstance(error, DaFusionError):
        return error
    if isinstance(error, OSError):
        return translate_os_error(error, _("working through the queue"))
    _kind, text, hint = describe_error(error)
    return Bug(text, hint)


def run(connection: Connection, settings: WorkerSettings) -> None:
    """What `jobs.bootstrap` calls in the spawned process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    worker = Worker(connection, settings)
    goodbye = Goodbye("an error outside of a job")
    try:
        goodbye = Goodbye(worker.run())
    except Exception as error:
        _LOG.exception("the worker cannot go on")
        goodbye = Goodbye("an error outside of a job", as_problem(error))
    finally:
        worker.flags.is_leaving.set()
        worker.reporter.send(goodbye)
        worker.project.close()
        connection.close()
