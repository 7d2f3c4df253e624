"""Run a project's queue in the foreground: progress for people, Ctrl-C, and how it ended."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from tqdm import tqdm

from dafusion_core import settings
from dafusion_core.api import Project
from dafusion_core.cli.output import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, Output, duration
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Job, JobState
from dafusion_core.jobs.events import (
    JobCancelled,
    JobEvent,
    JobFailed,
    JobFinished,
    JobInterrupted,
    JobLog,
    JobProgress,
    JobStarted,
    UnitFailed,
    WorkerLostEvent,
    WorkerReady,
)

tqdm.monitor_interval = 0  # its watching thread would only redraw bars that we redraw ourselves

STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class ProgressView:
    """Turns events into bars on a terminal, or into a few lines where stderr is a file."""

    def __init__(self, out: Output, title: Callable[[int], str]) -> None:
        self.out = out
        self.title = title
        self.is_terminal = sys.stderr.isatty()
        self._bars: dict[int, tqdm[Any]] = {}
        self._begun: dict[int, float] = {}
        self._quarter: dict[int, int] = {}

    def show(self, event: JobEvent) -> None:
        """Handle one event; called from the supervisor's thread only."""
        job_id = event.job_id or 0
        match event:
            case WorkerReady():
                self._line(f"Computing on {event.name} ({event.device}).")
            case JobStarted():
                self._begin(job_id, event.attempt)
            case JobProgress():
                self._progress(job_id, event)
            case JobFinished():
                self._end(job_id, "done", is_complete=True)
            case JobCancelled():
                self._end(job_id, "cancelled; what was finished is kept")
            case JobInterrupted():
                self._end(job_id, "stopped; it can go on later")
            case JobFailed():
                self._end(job_id, "failed")
                self._line(f"Job {job_id} failed: {event.text}")
                if event.hint:
                    self._line(event.hint)
            case WorkerLostEvent():
                more = " Its job is tried once more." if event.will_retry else ""
                self._line(f"The worker on {event.device} ended unexpectedly.{more}")
                if job_id:
                    self._end(job_id, "interrupted")
            case UnitFailed():
                self._line(f"Job {job_id}: one piece could not be done: {event.text}")
            case JobLog():
                if event.level != "info":
                    self._line(f"Job {job_id}: {event.text}")
            case _:
                pass  # Results and previews: the bar already tells how many there are.

    def close(self) -> None:
        """Put the terminal back in order."""
        for job_id in list(self._bars):
            self._end(job_id, "")

    def _line(self, text: str) -> None:
        if self.is_terminal:
            tqdm.write(text, file=sys.stderr)
        else:
            self.out.note(text)

    def _begin(self, job_id: int, attempt: int) -> None:
        self._end(job_id, "")
        self._begun[job_id] = time.monotonic()
        self._quarter[job_id] = 0
        title = self.title(job_id) + (f" (attempt {attempt})" if attempt > 1 else "")
        if self.is_terminal:
            self._bars[job_id] = tqdm(
                total=1.0,
                desc=title,
                file=sys.stderr,
                dynamic_ncols=True,
                bar_format="{desc} {percentage:3.0f}% {bar:20}{postfix}",
                mininterval=0,
            )
        else:
            self.out.note(f"… {title}")

    def _progress(self, job_id: int, event: JobProgress) -> None:
        share = min(1.0, event.done / event.total) if event.total > 0 else 0.0
        left = "estimating…" if event.eta_s is None else f"about {duration(event.eta_s)} left"
        if bar := self._bars.get(job_id):
            bar.n = share
            bar.set_postfix_str(", ".join(filter(None, (event.phase, left))))
        elif int(share * 4) > self._quarter.get(job_id, 4) and share < 1:
            self._quarter[job_id] = int(share * 4)
            self.out.note(f"  {self.title(job_id)}: {share:.0%}, {left}")

    def _end(self, job_id: int, how: str, *, is_complete: bool = False) -> None:
        begun = self._begun.pop(job_id, None)
        took = f"{how} ({duration(time.monotonic() - begun)})" if begun and how else how
        if bar := self._bars.pop(job_id, None):
            if is_complete:
                bar.n = 1.0
            bar.set_postfix_str(took)
            bar.close()
        elif begun is not None and how:
            self.out.note(f"  {self.title(job_id)}: {took}")


@contextmanager
def stop_on_signals(stop: Callable[[], None], tell: Callable[[str], None]) -> Iterator[None]:
    """First Ctrl-C (or SIGTERM, SIGHUP): `stop()`, at the next step. Second: at once.

    `stop` is called from a thread of its own, because the signal may arrive while this thread
    holds the very lock that `stop` needs.
    """
    count = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count == 1:
            tell("\nStopping at the next step. Press Ctrl-C again to stop at once.")
            threading.Thread(target=stop, name="stop-request").start()
        else:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # Signals only ever reach the main thread; whoever runs us there has them.
        return
    numbers = [getattr(signal, name) for name in STOP_SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def chosen_devices(option: str | None) -> tuple[str, ...]:
    """Devices from the option or the setting, as the supervisor takes them."""
    text = option or settings.get_str("device")
    devices = tuple(dict.fromkeys(piece.strip() for piece in text.split(",") if piece.strip()))
    if not devices:
        raise UserError("No device was named.", "Use auto, cpu or cuda:0.")
    return devices


def run_queue(
    out: Output, project: Project, devices: str | None, jobs: Sequence[Job] | None = None
) -> int:
    """Work through the queue and return the exit code.

    `jobs` are those that decide about it (None: every job that is not finished at the start).
    """
    watched = [j.id for j in (jobs if jobs is not None else project.jobs()) if not _is_over(j)]
    titles = {job.id: job.title for job in project.jobs()}

    def title(job_id: int) -> str:
        if job_id not in titles:
            titles[job_id] = project.job(job_id).title
        return titles[job_id]

    view = ProgressView(out, title)
    supervisor = project.supervisor(view.show, chosen_devices(devices))
    is_hard = False
    try:
        with stop_on_signals(supervisor.stop, out.note):
            supervisor.run(until_idle=True)
    except KeyboardInterrupt:
        is_hard = True
    finally:
        view.close()
        supervisor.close()
    return conclude(out, project, watched, is_hard=is_hard)


def conclude(out: Output, project: Project, watched: Iterable[int], *, is_hard: bool) -> int:
    """Say what is left to do and how, and give the exit code."""
    after = [project.job(job_id) for job_id in watched]
    resume = f"dafusion worker --project {quoted(str(project.path))}"
    failed = [job for job in after if job.state is JobState.FAILED]
    pieces = sum(job.failed for job in after)
    unfinished = [j for j in after if j.state in (JobState.QUEUED, JobState.INTERRUPTED)]
    if failed:
        ids = " ".join(str(job.id) for job in failed)
        out.note(f"Everything that was finished is kept. Try again: dafusion jobs retry {ids}")
        return EXIT_FAILED
    blocked = project.blocked_jobs()
    waiting = [job for job in unfinished if job.id in blocked]
    if waiting and not any(job.state is JobState.INTERRUPTED for job in unfinished):
        needed = sorted({other for job in waiting for other in blocked[job.id]})
        out.note(
            f"{len(waiting)} job(s) wait for job {', '.join(map(str, needed))}, which did not "
            "succeed. Resume it with `dafusion jobs resume`, or cancel those that wait."
        )
        return EXIT_FAILED
    unheld = [job for job in unfinished if not job.is_held]
    if is_hard or unheld:
        out.note(f"Stopped. Everything that was finished is kept. To go on: {resume}")
        return EXIT_INTERRUPTED
    if pieces:
        out.note(f"{pieces} piece(s) could not be done; `dafusion jobs` says which.")
    return EXIT_OK


def resume_interrupted(project: Project) -> list[Job]:
    """Put every interrupted job back into the queue; return them."""
    interrupted = project.interrupted_jobs()
    for job in interrupted:
        project.resume(job.id)
    return interrupted


def _is_over(job: Job) -> bool:
    return job.state in (JobState.SUCCEEDED, JobState.CANCELLED)


def quoted(text: str) -> str:
    """`text` as one word for a shell."""
    import shlex

    return shlex.quote(text)
