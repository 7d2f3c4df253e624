"""The six steps of a project and where each stands, derived from rows. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from dafusion_core.domain.records import Curation, Evaluation, Job, JobState, Split
from dafusion_core.language import _, count

if TYPE_CHECKING:
    from dafusion_core.api.project import Project


class Step(StrEnum):
    """A page of the rail, in order."""

    IMAGES = "images"
    CONCEPTS = "concepts"
    GENERATE = "generate"
    CURATE = "curate"
    TRAIN = "train"
    REPORT = "report"


class StepState(StrEnum):
    """What the dot beside a step shows."""

    EMPTY = "empty"  # something has to be done before it
    READY = "ready"  # it could be done now
    WAITING = "waiting"  # queued
    RUNNING = "running"
    PAUSED = "paused"  # interrupted or held: can be resumed
    FAILED = "failed"
    STALE = "stale"  # done, but what it was made from has changed
    DONE = "done"


@dataclass(frozen=True, slots=True)
class StepStatus:
    """State of a step, and a few words for below its name."""

    state: StepState
    note: str = ""


STEP_TITLES = {
    Step.IMAGES: _("Images"),
    Step.CONCEPTS: _("Concepts"),
    Step.GENERATE: _("Generate"),
    Step.CURATE: _("Curate"),
    Step.TRAIN: _("Train"),
    Step.REPORT: _("Report"),
}
_KINDS = {
    Step.CONCEPTS: ("erase", "invert"),
    Step.GENERATE: ("generate",),
    Step.TRAIN: ("train",),
    Step.REPORT: ("compare",),
}
_ACTIVE = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the states are derived from."""

    images: int
    labels: int
    is_importing: bool
    split: Split | None
    jobs: Sequence[Job]
    curation: Mapping[Curation, int]
    evaluations: Sequence[Evaluation]
    training_is_stale: bool = False


def gather_facts(project: Project, is_importing: bool = False) -> Facts:
    """Read what the states need: a handful of small queries."""
    curation = dict.fromkeys(Curation, 0)
    for counts in project.curation_counts().values():
        for state, number in counts.items():
            curation[state] += number
    jobs = project.jobs()
    return Facts(
        images=project.image_count(),
        labels=len(project.labels()),
        is_importing=is_importing,
        split=project.current_split(),
        jobs=jobs,
        curation=curation,
        evaluations=project.evaluations(),
        training_is_stale=_curation_moved(project, newest(jobs, "train")),
    )


def newest(jobs: Sequence[Job], kind: str, state: JobState | None = None) -> Job | None:
    """The newest job of a kind (in a state), None if there is none."""
    found = [job for job in jobs if job.kind == kind and state in (None, job.state)]
    return found[-1] if found else None


def _curation_moved(project: Project, job: Job | None) -> bool:
    """Whether training would see other synthetic images than it did.

    A training job binds the pictures it may use when it starts; here they are compared with
    those it would be given now.
    """
    if job is None or job.state is not JobState.SUCCEEDED:
        return False
    for name, then in _trained_on(project, job.id, job.seq).items():
        arm = next(arm for arm in job.spec["arms"] if arm["name"] == name)
        now = project.trainable_paths(arm["generation_job"], job.spec["use_undecided"])
        if now != then:
            return True
    return False


_seen: dict[tuple[str, int, int], dict[str, frozenset[str]]] = {}


def _trained_on(project: Project, job_id: int, seq: int) -> dict[str, frozenset[str]]:
    """Arm → the files it was given. Inputs of a finished job never change, so they are read once
    (they are megabytes for a large plan)."""
    key = (str(project.path), job_id, seq)
    if key not in _seen:
        inputs = project.job(job_id).inputs or {}
        _seen.clear()
        _seen[key] = {
            arm: frozenset(path for paths in by_source.values() for path in paths)
            for arm, by_source in inputs.get("synthetics", {}).items()
        }
    return _seen[key]


def derive_states(facts: Facts) -> dict[Step, StepStatus]:
    """Where each step stands."""
    return {
        Step.IMAGES: _images(facts),
        Step.CONCEPTS: _of_jobs(facts, Step.CONCEPTS),
        Step.GENERATE: _of_jobs(facts, Step.GENERATE),
        Step.CURATE: _curate(facts),
        Step.TRAIN: _of_jobs(facts, Step.TRAIN),
        Step.REPORT: _of_jobs(facts, Step.REPORT),
    }


def _images(facts: Facts) -> StepStatus:
    if facts.is_importing:
        return StepStatus(StepState.RUNNING, _("importing…"))
    if not facts.images:
        return StepStatus(StepState.READY, _("add pictures"))
    images = count(facts.images, "{n:,} image", "{n:,} images")
    classes = count(facts.labels, "{n:,} class", "{n:,} classes")
    note = f"{images}, {classes}"
    return StepStatus(StepState.DONE, note)


def _curate(facts: Facts) -> StepStatus:
    total = sum(facts.curation.values())
    left = facts.curation.get(Curation.UNDECIDED, 0)
    if not total:
        return StepStatus(StepState.EMPTY)
    if not left:
        return StepStatus(
            StepState.DONE, _("{kept:,} kept").format(kept=facts.curation[Curation.KEPT])
        )
    return StepStatus(StepState.READY, _("{left:,} undecided").format(left=left))


def _of_jobs(facts: Facts, step: Step) -> StepStatus:
    current = [job for kind in _KINDS[step] if (job := newest(facts.jobs, kind))]
    if not current:
        return StepStatus(StepState.READY if _can_start(facts, step) else StepState.EMPTY)
    found = {job.state for job in current}
    done, total = sum(job.done for job in current), sum(job.total for job in current)
    progress = _("{done:,} of {total:,}").format(done=done, total=total)
    if JobState.RUNNING in found:
        return StepStatus(StepState.RUNNING, progress)
    if JobState.FAILED in found:
        return StepStatus(StepState.FAILED, _("failed, see Jobs"))
    if JobState.INTERRUPTED in found or any(
        job.is_held for job in current if job.state is JobState.QUEUED
    ):
        return StepStatus(StepState.PAUSED, _("{progress} kept").format(progress=progress))
    if JobState.QUEUED in found:
        return StepStatus(StepState.WAITING, _("waiting") if not done else progress)
    if JobState.CANCELLED in found:
        return StepStatus(StepState.READY, _("cancelled"))
    if reason := _stale_reason(facts, current):
        return StepStatus(StepState.STALE, reason)
    return StepStatus(StepState.DONE, _DONE_NOTES[step](total))


_DONE_NOTES: dict[Step, Callable[[int], str]] = {
    Step.CONCEPTS: lambda total: _("learned"),
    Step.GENERATE: lambda total: count(total, "{n:,} picture", "{n:,} pictures"),
    Step.TRAIN: lambda total: count(total, "{n:,} run", "{n:,} runs"),
    Step.REPORT: lambda total: _("verdict is in"),
}


def _can_start(facts: Facts, step: Step) -> bool:
    if step is Step.CONCEPTS:
        return facts.images > 0
    needs = {Step.GENERATE: "invert", Step.TRAIN: "generate", Step.REPORT: "train"}[step]
    return newest(facts.jobs, needs, JobState.SUCCEEDED) is not None


def _stale_reason(facts: Facts, current: Sequence[Job]) -> str:
    """Why what these jobs made is out of date, "" if it is not."""
    split_id = facts.split.id if facts.split else None
    for job in current:
        if job.spec.get("split_id", split_id) != split_id:
            return _("the split has changed")
        if job.kind == "generate" and _is_older(facts, job.spec["inversion_job"], "invert"):
            return _("older than the concepts")
        if job.kind == "train":
            sources = [arm["generation_job"] for arm in job.spec["arms"]]
            if any(_is_older(facts, source, "generate") for source in sources):
                return _("older than the pictures")
        if job.kind == "compare" and _is_older(facts, job.spec["training_job"], "train"):
            return _("older than the training")
        if job.kind in ("train", "compare") and facts.training_is_stale:
            return _("choices changed since")
    return ""


def _is_older(facts: Facts, job_id: int | None, kind: str) -> bool:
    """Whether a newer job of that kind has succeeded since."""
    latest = newest(facts.jobs, kind, JobState.SUCCEEDED)
    return job_id is not None and latest is not None and latest.id > job_id


def has_unfinished(jobs: Sequence[Job]) -> bool:
    """Whether a worker has or could get something to do."""
    return any(job.state in _ACTIVE and not job.is_held for job in jobs)
