"""Opening a project for a verb."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dafusion_core.api as df
from dafusion_core.api import Project
from dafusion_core.api.experiments import list_experiments
from dafusion_core.cli.options import find_project
from dafusion_core.cli.output import Output
from dafusion_core.domain.errors import ProjectLocked, UserError
from dafusion_core.domain.records import Job, JobState


@contextmanager
def opened(
    out: Output, path: Path | None, *, to_write: bool = True, to_steer: bool = False
) -> Iterator[Project]:
    """The project, closed at the end; its warnings go to stderr.

    `to_steer`: only the states of jobs are to be changed, which works while another program runs
    them. Raises ProjectLocked if it is to be written and cannot be.
    """
    place = find_project(path)
    project = df.open(place, read_only=not to_write)
    if not to_write and project.jobs([JobState.RUNNING]):
        # Either a worker is at it, or a crash left the job so: opening for writing tells them
        # apart (it puts the second case in order, and falls back to reading in the first).
        project.close()
        project = df.open(place)
    try:
        is_foreign = to_steer and project.file.is_in_use
        if to_write and project.is_read_only and not is_foreign:
            raise ProjectLocked(
                f"“{project.path.name}” cannot be changed now: {project.lock_owner}. "
                "Nothing was done.",
                "Close it there and try again; reading verbs (jobs, report) work meanwhile.",
            )
        for text in project.warnings if to_write and not is_foreign else ():
            out.note(text)
        if project.reaped:
            ids = ", ".join(str(job_id) for job_id in project.reaped)
            out.note(f"Job {ids} was interrupted when the program last ended; it can go on.")
        yield project
    finally:
        project.close()


def newest_job(project: Project, kind: str, wanted: int | None, verb: str) -> int:
    """The job of `kind` that is meant: `wanted`, or the newest that did not end badly.

    Raises UserError when there is none; `verb` is what makes one.
    """
    if wanted is not None:
        return project.job(wanted).id
    found = find_newest(project, kind)
    if found is None:
        raise UserError(
            f"There is no job of kind “{kind}” to build on. Nothing was done.",
            f"Make one first with `dafusion {verb}`.",
        )
    return found.id


def find_newest(project: Project, kind: str) -> Job | None:
    """The newest job of `kind` that was neither cancelled nor failed, nor an experiment's."""
    apart = {job_id for one in list_experiments(project) for job_id in one.jobs.values()}
    good = [
        job
        for job in project.jobs()
        if job.kind == kind
        and job.state not in (JobState.CANCELLED, JobState.FAILED)
        and job.id not in apart
    ]
    return good[-1] if good else None


def describe_job(job: Job) -> dict[str, Any]:
    """A job for JSON, without its inputs."""
    return {
        "id": job.id,
        "kind": job.kind,
        "title": job.title,
        "state": job.state.value,
        "is_held": job.is_held,
        "done": job.done,
        "failed": job.failed,
        "total": job.total,
        "priority": job.priority,
        "attempt": job.attempt,
        "device": job.device,
        "needs": list(job.needs),
        "error": (
            {"kind": job.error_kind, "text": job.error_text, "hint": job.error_hint}
            if job.error_kind
            else None
        ),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }
