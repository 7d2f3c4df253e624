"""Words and numbers as people read them. No Qt."""

from __future__ import annotations

from datetime import datetime

from dafusion_core.domain.records import Curation, Job, JobState, Part

NARROW = "\u00a0"  # a number is not torn from its unit at the end of a line

PART_NAMES = {
    Part.TRAIN: "training",
    Part.VALIDATION: "validation",
    Part.TEST: "test",
    Part.UNUSED: "left out",
}
CURATION_NAMES = {
    Curation.KEPT: "kept",
    Curation.REJECTED: "rejected",
    Curation.UNDECIDED: "undecided",
}


def count(number: int, one: str, many: str = "") -> str:
    """`1 image`, `1,204 images`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """A time span in one or two units: `40 s`, `3 min`, `2 h 10 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}{NARROW}s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes}{NARROW}min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{NARROW}h" + (f" {minutes}{NARROW}min" if minutes else "")


def t0_words(t0: float) -> str:
    """What a t0 means for the picture."""
    if t0 <= 0.3:
        return "close to the photo"
    if t0 <= 0.55:
        return "some way off"
    if t0 <= 0.8:
        return "far from it"
    return "almost nothing left of it"


def job_state_words(job: Job, is_stopping: bool = False, is_blocked: bool = False) -> str:
    """The state of a job in a few words, from its row."""
    if is_stopping:
        return "Stopping…"
    if job.state is JobState.RUNNING:
        return "Running"
    if job.state is JobState.QUEUED:
        if job.is_held:
            return f"Paused, {job.done:,} of {job.total:,} kept" if job.done else "Paused"
        if is_blocked:
            return "Waits for a job that did not finish"
        return "Waiting"
    if job.state is JobState.INTERRUPTED:
        return f"Interrupted, {job.done:,} of {job.total:,} kept"
    if job.state is JobState.CANCELLED:
        return f"Cancelled, {job.done:,} of {job.total:,} kept" if job.done else "Cancelled"
    if job.state is JobState.FAILED:
        return "Failed"
    # After an interruption, the time between would count as well.
    if job.attempt == 1 and job.started_at and job.finished_at:
        took = datetime.fromisoformat(job.finished_at) - datetime.fromisoformat(job.started_at)
        return f"Done in {duration(max(1.0, took.total_seconds()))}"
    return "Done"
