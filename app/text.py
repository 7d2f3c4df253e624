"""Words and numbers as people read them. No Qt."""

from __future__ import annotations

import re
from datetime import datetime

from dafusion_core.domain.records import Curation, Job, JobState, Part
from dafusion_core.language import _

NARROW = "\u00a0"  # a number is not torn from its unit at the end of a line

PART_NAMES = {
    Part.TRAIN: _("training"),
    Part.VALIDATION: _("validation"),
    Part.TEST: _("test"),
    Part.UNUSED: _("left out"),
}
PART_TITLES = {
    Part.TRAIN: _("Training"),
    Part.VALIDATION: _("Validation"),
    Part.TEST: _("Test"),
    Part.UNUSED: _("Left out"),
}
CURATION_NAMES = {
    Curation.KEPT: _("kept"),
    Curation.REJECTED: _("rejected"),
    Curation.UNDECIDED: _("undecided"),
}
CURATION_TITLES = {
    Curation.KEPT: _("Kept"),
    Curation.REJECTED: _("Rejected"),
    Curation.UNDECIDED: _("Undecided"),
}


def plain(text: str) -> str:
    """The text of an action without the mark of its key: “&Keep”, or “Keep(&K)” in Korean."""
    return re.sub(r"\(&\w\)|&", "", text)


def duration(seconds: float) -> str:
    """A time span in one or two units: `40 s`, `3 min`, `2 h 10 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return _("{seconds}\u00a0s").format(seconds=whole)
    minutes = round(whole / 60)
    if minutes < 60:
        return _("{minutes}\u00a0min").format(minutes=minutes)
    hours, minutes = divmod(minutes, 60)
    if not minutes:
        return _("{hours}\u00a0h").format(hours=hours)
    return _("{hours}\u00a0h {minutes}\u00a0min").format(hours=hours, minutes=minutes)


def t0_words(t0: float) -> str:
    """What a t0 means for the picture."""
    if t0 <= 0.3:
        return _("close to the photo")
    if t0 <= 0.55:
        return _("some way off")
    if t0 <= 0.8:
        return _("far from it")
    return _("almost nothing left of it")


def job_state_words(job: Job, is_stopping: bool = False, is_blocked: bool = False) -> str:
    """The state of a job in a few words, from its row."""
    if is_stopping:
        return _("Stopping…")
    if job.state is JobState.RUNNING:
        return _("Running")
    if job.state is JobState.QUEUED:
        if job.is_held:
            return (
                _("Paused, {done:,} of {total:,} kept").format(done=job.done, total=job.total)
                if job.done
                else _("Paused")
            )
        if is_blocked:
            return _("Waits for a job that did not finish")
        return _("Waiting")
    if job.state is JobState.INTERRUPTED:
        return _("Interrupted, {done:,} of {total:,} kept").format(done=job.done, total=job.total)
    if job.state is JobState.CANCELLED:
        return (
            _("Cancelled, {done:,} of {total:,} kept").format(done=job.done, total=job.total)
            if job.done
            else _("Cancelled")
        )
    if job.state is JobState.FAILED:
        return _("Failed")
    # After an interruption, the time between would count as well.
    if job.attempt == 1 and job.started_at and job.finished_at:
        took = datetime.fromisoformat(job.finished_at) - datetime.fromisoformat(job.started_at)
        return _("Done in {duration}").format(duration=duration(max(1.0, took.total_seconds())))
    return _("Done")
