"""Verbs for the queue: jobs and worker."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click

from dafusion_core.api import Project
from dafusion_core.cli.options import device_option, project_option, verb
from dafusion_core.cli.output import EXIT_OK, Output, plural
from dafusion_core.cli.running import resume_interrupted, run_queue
from dafusion_core.cli.session import describe_job, opened
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import Job, JobState, UnitState
from dafusion_core.language import ENGLISH, install


def state_in_words(job: Job, blocked: dict[int, list[int]]) -> str:
    """A job's state as the list shows it."""
    if job.state is JobState.QUEUED and job.is_held:
        return "paused"
    if job.id in blocked:
        return f"waits for {', '.join(map(str, blocked[job.id]))}"
    return job.state.value


@click.group(invoke_without_command=True)
@project_option
@verb
@click.pass_context
def jobs(context: click.Context, out: Output, project_path: Path | None) -> int:
    """List the jobs of a project, or do something with one.

    A job is made of units (an image, a concept, a fit) and keeps every unit it has finished.

    \b
    queued       waits for its turn, or for a job that it needs
    running      a worker is at it
    succeeded    everything was done, but for units that could not be
    failed       something stopped it; retry goes on with what is left
    cancelled    you did not want it; resume changes your mind
    interrupted  it was stopped half-way; resume goes on with what is left

    \b
    Examples:
      dafusion jobs --project weeds.dafusion
      dafusion jobs show 4
      dafusion jobs cancel 4 5
      dafusion jobs resume 4 && dafusion worker
    """
    if context.invoked_subcommand is not None:
        return EXIT_OK
    with opened(out, project_path, to_write=False) as project:
        found = project.jobs()
        blocked = project.blocked_jobs()
        rows = [
            (
                job.id,
                job.title,
                state_in_words(job, blocked),
                f"{job.done}/{job.total}" + (f" ({job.failed} failed)" if job.failed else ""),
                job.error_text or "",
            )
            for job in found
        ]
        if rows:
            out.table(("id", "job", "state", "done", "why"), rows)
        else:
            out.say("No jobs yet. `dafusion run FOLDER` queues and runs the whole chain.")
        out.result({"project": project.path, "jobs": [describe_job(job) for job in found]})
    return EXIT_OK


@jobs.command()
@click.argument("job_id", type=int)
@project_option
@verb
def show(out: Output, project_path: Path | None, job_id: int) -> int:
    """Everything about one job: its request, its units that failed, its log file."""
    with opened(out, project_path, to_write=False) as project:
        job = project.job(job_id)
        failed = [unit for unit in project.units(job_id) if unit.state is UnitState.FAILED]
        out.say(f"Job {job.id}: {job.title}")
        out.say(f"  state     {state_in_words(job, project.blocked_jobs())}")
        out.say(f"  done      {job.done} of {plural(job.total, 'unit')}")
        out.say(f"  attempts  {job.attempt}")
        if job.needs:
            out.say(f"  needs     job {', '.join(map(str, job.needs))}")
        if job.error_text:
            out.say(f"  why       {job.error_text}")
            out.say(f"            {job.error_hint or ''}".rstrip())
        for key, value in job.spec.items():
            out.say(f"  {key} = {value}")
        for unit in failed:
            out.say(f"  unit {unit.key} failed: {unit.error_text}")
        log = project.log_path(job.device or "auto")
        out.say(f"  log       {log}")
        out.result(
            {
                "job": describe_job(job),
                "spec": job.spec,
                "failed_units": [{"key": u.key, "text": u.error_text} for u in failed],
                "log": log,
            }
        )
    return EXIT_OK


def _change(name: str, does: str, how: Callable[[Project, int], ProjectChanges]) -> click.Command:
    @click.command(name=name, help=does)
    @click.argument("job_ids", type=int, nargs=-1, required=True)
    @project_option
    @verb
    def change(out: Output, project_path: Path | None, job_ids: tuple[int, ...]) -> int:
        with opened(out, project_path, to_steer=True) as project:
            for job_id in job_ids:
                project.job(job_id)  # all are known before the first is changed
            for job_id in job_ids:
                out.say(f"{how(project, job_id).text}.")
            changed = [project.job(job_id) for job_id in job_ids]
            out.result({"jobs": [describe_job(job) for job in changed]})
        return EXIT_OK

    return change


jobs.add_command(
    _change("cancel", "You do not want these jobs. What they finished is kept.", Project.cancel)
)
jobs.add_command(_change("pause", "Let no worker take these jobs for now.", Project.pause))
jobs.add_command(
    _change("resume", "Queue these jobs again; finished units are kept.", Project.resume)
)
jobs.add_command(
    _change("retry", "Try the units again that failed or were not done.", Project.retry)
)


@jobs.command()
@click.argument("job_id", type=int)
@click.argument("value", type=int)
@project_option
@verb
def priority(out: Output, project_path: Path | None, job_id: int, value: int) -> int:
    """Give a job a priority; higher is done first, the usual is 0."""
    with opened(out, project_path, to_steer=True) as project:
        project.job(job_id)
        out.say(f"{project.set_priority(job_id, value).text}: {value}.")
        out.result({"jobs": [describe_job(project.job(job_id))]})
    return EXIT_OK


@click.command()
@project_option
@device_option
@click.option(
    "--only-queued", is_flag=True, help="Leave interrupted jobs alone; run what is queued."
)
@verb
def worker(out: Output, project_path: Path | None, devices: str | None, only_queued: bool) -> int:
    """Work through the queue of a project, interrupted jobs included, until it is empty.

    This is how to go on after Ctrl-C, a crash or a power cut. Paused, failed and cancelled jobs
    wait until you ask for them with `dafusion jobs resume` or `retry`.

    \b
    Examples:
      dafusion worker --project weeds.dafusion
      dafusion worker --device cuda:0,cuda:1
    """
    # The window names its language when it leaves its queue to this command: what is stored with
    # the jobs is read there.
    install(os.environ.get("DAFUSION_LANGUAGE", ENGLISH))
    with opened(out, project_path) as project:
        if not only_queued:
            for job in resume_interrupted(project):
                out.note(f"Going on with job {job.id}: {job.title} ({job.done}/{job.total}).")
        waiting = project.jobs([JobState.QUEUED])
        if not waiting:
            out.say("Nothing is waiting.")
            out.result({"jobs": []})
            return EXIT_OK
        code = run_queue(out, project, devices, waiting)
        after = [project.job(job.id) for job in waiting]
        for job in after:
            out.say(f"Job {job.id}: {job.title}: {job.state.value}.")
        out.result({"jobs": [describe_job(job) for job in after]})
    return code
