"""Experiments: arms × shots × seeds, queued as jobs, extended later, read as one table.

Every job has a key in its experiment (such as "train/4/seed 2/DA-Fusion"). Queueing looks each
key up first, so doing it again, or after the experiment was extended, adds only what is new.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dafusion_core.api.enqueue import enqueue
from dafusion_core.api.preflight import check_classes, check_parts, check_weights
from dafusion_core.api.replicates import Replicate, list_replicates, make_parts
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.experiments import (
    ALL_SHOTS,
    Experiment,
    ExperimentArm,
    ExperimentSpec,
    Generator,
)
from dafusion_core.domain.inputs import EvaluationInputs, RunInput
from dafusion_core.domain.records import Job, JobState, Part, TrainingRun
from dafusion_core.domain.specs import AnySpec, EvaluationSpec, canonical_json, derive_seed
from dafusion_core.evaluation.comparison import compare_runs
from dafusion_core.evaluation.few_shot import Cell, ExperimentTable, describe_cell
from dafusion_core.jobs import queue
from dafusion_core.language import _
from dafusion_core.storage import experiments as stored
from dafusion_core.storage.database import Database
from dafusion_core.storage.images import all_labels, find_images
from dafusion_core.storage.jobs import all_jobs
from dafusion_core.storage.results import training_runs
from dafusion_core.storage.splits import add_split

if TYPE_CHECKING:
    from dafusion_core.api.project import Project

__all__ = [
    "experiment_jobs",
    "experiment_table",
    "extend_experiment",
    "list_experiments",
    "plan_experiment",
    "resume_experiment",
    "run_input",
]

_SEED_SPACE = 1 << 31  # seeds that every random generator takes


def list_experiments(project: Project) -> list[Experiment]:
    """The experiments of a project, oldest first."""
    return stored.all_experiments(project.file.db)


def plan_experiment(project: Project, spec: ExperimentSpec) -> Experiment:
    """Store an experiment and queue its jobs, all or nothing.

    Raises UserError when its name is taken, when a class cannot be trained or tested on, or when
    the classifiers' first weights are not there.
    """
    project.file.require_writable()
    db = project.file.db
    check_classes(project.file)
    check_weights(spec.training.weights, spec.training.backbone)
    with db.atomic():
        experiment_id = stored.add_experiment(db, spec)
        _queue_missing(db, stored.get_experiment(db, experiment_id))
    return stored.get_experiment(db, experiment_id)


def extend_experiment(
    project: Project,
    experiment_id: int,
    *,
    arms: tuple[ExperimentArm, ...] = (),
    generators: tuple[Generator, ...] = (),
    shots: tuple[int, ...] = (),
    seeds: tuple[int, ...] = (),
) -> Experiment:
    """Add arms, generators, shots or seeds; only jobs that are not there yet are queued.

    Raises UserError when an arm or generator of that name exists with other settings.
    """
    project.file.require_writable()
    db = project.file.db
    check_classes(project.file)
    with db.atomic():
        found = stored.get_experiment(db, experiment_id)
        spec = found.spec.extended(arms, generators, shots, seeds)
        stored.change_spec(db, experiment_id, spec)
        _queue_missing(db, replace(found, spec=spec))
    return stored.get_experiment(db, experiment_id)


def experiment_jobs(project: Project, experiment_id: int) -> list[Job]:
    """The jobs of an experiment, in order of id, without their bound inputs."""
    mine = set(stored.get_experiment(project.file.db, experiment_id).jobs.values())
    return [job for job in all_jobs(project.file.db) if job.id in mine]


def resume_experiment(project: Project, experiment_id: int) -> int:
    """Queue what was interrupted, cancelled, failed or held; return how many jobs that were."""
    project.file.require_writable()
    over = (JobState.SUCCEEDED, JobState.RUNNING)
    stopped = [
        job
        for job in experiment_jobs(project, experiment_id)
        if job.state not in over and (job.state is not JobState.QUEUED or job.is_held)
    ]
    for job in stopped:
        queue.requeue(project.file.db, job.id)
    return len(stopped)


class _Queue:
    """Adds the jobs of one experiment that are not there yet."""

    def __init__(self, db: Database, experiment: Experiment) -> None:
        self.db, self.id, self.jobs = db, experiment.id, dict(experiment.jobs)

    def need(self, key: str, spec: AnySpec, *, is_held: bool = False) -> int:
        """The job of a key, queued now if it was not before."""
        if key not in self.jobs:
            self.jobs[key] = enqueue(self.db, spec)
            stored.add_job_key(self.db, self.id, key, self.jobs[key])
            if is_held:
                queue.hold(self.db, self.jobs[key], True)
        return self.jobs[key]


def _queue_missing(db: Database, experiment: Experiment) -> None:
    spec = experiment.spec
    items = [(image.id, image.label, image.group_id) for image in find_images(db)]
    to_queue = _Queue(db, experiment)
    for replicate in list_replicates(spec, items):
        for shots in spec.shots:
            place = f"{shots or 'all'}/{replicate.title}"
            split_id = stored.find_split(db, experiment.id, place)
            if split_id is None:
                parts = make_parts(spec, replicate, shots, items)
                _check_split(spec, items, parts)
                record = {"experiment": experiment.id, "shots": shots, "replicate": place}
                name = f"{experiment.name}: {_shots_text(shots)}, {replicate.title}"
                split_id = add_split(db, name, replicate.seed, record, parts)
                stored.add_split_key(db, experiment.id, place, split_id)
            for arm in spec.arms:
                _queue_arm(to_queue, spec, arm, replicate, place, split_id)


def _check_split(
    spec: ExperimentSpec,
    items: Sequence[tuple[int, str, int | None]],
    parts: Mapping[int, Part],
) -> None:
    """Refuse a split in which a class cannot be learned, or is never tested on."""
    counts: dict[str, Counter[Part]] = defaultdict(Counter)
    for image_id, label, _rest in items:
        if label and image_id in parts:
            counts[label][parts[image_id]] += 1
    check_parts(counts, may_miss_in_test=spec.splits in ("folds", "groups"))


def _queue_arm(
    to_queue: _Queue,
    spec: ExperimentSpec,
    arm: ExperimentArm,
    replicate: Replicate,
    place: str,
    split_id: int,
) -> None:
    generator, generation_job = spec.generator_of(arm), None
    if generator is not None:
        generation_job = _queue_generator(to_queue, generator, replicate, place, split_id)
    training = replace(
        spec.training,
        split_id=split_id,
        arms=(arm.to_arm(generation_job),),
        seeds=(replicate.number,),
    )
    # Curation is a person's work: what waits for it is paused until somebody resumes it.
    to_queue.need(f"train/{place}/{arm.name}", training, is_held=arm.only_kept)


def _queue_generator(
    to_queue: _Queue, generator: Generator, replicate: Replicate, place: str, split_id: int
) -> int:
    """Erasure once for the experiment; inversion and generation for each split."""
    erasure_job = inversion_job = None
    if generator.erasure is not None:
        key = f"erase/{generator.erasure.content_hash()[:12]}"
        erasure_job = to_queue.need(key, generator.erasure)
    if generator.inversion is not None:
        inversion_job = to_queue.need(
            f"invert/{place}/{generator.inversion_hash()}",
            replace(
                generator.inversion,
                split_id=split_id,
                erasure_job=erasure_job,
                seed=_seed(generator.inversion.seed, replicate),
            ),
        )
    return to_queue.need(
        f"generate/{place}/{generator.plan_hash()}",
        replace(
            generator.plan,
            split_id=split_id,
            inversion_job=inversion_job,
            erasure_job=erasure_job,
            seed=_seed(generator.plan.seed, replicate),
        ),
    )


def _seed(seed: int, replicate: Replicate) -> int:
    return derive_seed(seed, "replicate", replicate.number) % _SEED_SPACE


def _shots_text(shots: int) -> str:
    return "all images" if shots == ALL_SHOTS else f"{shots} shot{'' if shots == 1 else 's'}"


# Results ------------------------------------------------------------------------------------


def run_input(run: TrainingRun) -> RunInput:
    """The test predictions of a training run, for a comparison."""
    test = run.record["test"]
    return RunInput(
        arm=run.arm,
        seed=run.seed,
        image_ids=tuple(test["image_ids"]),
        truth=tuple(test["truth"]),
        probabilities=tuple(tuple(row) for row in test["probabilities"]),
        best_epoch_accuracy=run.record["test_accuracy_best_epoch"],
        epoch_accuracies=tuple(
            row["test_accuracy"] for row in run.record["epochs"] if "test_accuracy" in row
        ),
    )


def experiment_table(
    project: Project, experiment_id: int, baseline: str | None = None
) -> ExperimentTable:
    """What an experiment found so far: per number of shots, every arm against the baseline.

    Computed from the finished runs, so that it is right at any moment, also half way.
    Raises UserError when `baseline` is not one of the arms.
    """
    db = project.file.db
    found = stored.get_experiment(db, experiment_id)
    spec = found.spec
    baseline = baseline or spec.baseline
    if baseline not in [arm.name for arm in spec.arms]:
        raise UserError(
            _("“{baseline}” is not an arm of “{name}”.").format(baseline=baseline, name=found.name)
        )
    labels = tuple(label.name for label in all_labels(db))
    runs = {run.job_id: run for run in training_runs(db) if run.job_id in found.jobs.values()}
    cells = []
    for shots in spec.shots:
        keys = [key for key in found.jobs if key.startswith(f"train/{shots or 'all'}/")]
        done = [runs[found.jobs[key]] for key in keys if found.jobs[key] in runs]
        cells.append(_cell(spec, shots, baseline, labels, done, len(keys)))
    return ExperimentTable(
        experiment=found.name,
        baseline=baseline,
        arms=tuple(arm.name for arm in spec.arms),
        cells=tuple(cells),
        finished=sum(cell.finished for cell in cells),
        planned=sum(cell.planned for cell in cells),
    )


def _cell(
    spec: ExperimentSpec,
    shots: int,
    baseline: str,
    labels: tuple[str, ...],
    runs: list[TrainingRun],
    planned: int,
) -> Cell:
    order = {arm.name: number for number, arm in enumerate(spec.arms)}
    runs.sort(key=lambda run: (order[run.arm], run.seed))
    inputs = tuple(run_input(run) for run in runs)
    pairs = {run.seed for run in runs if run.arm == baseline}
    comparable = tuple(
        run for run in inputs if run.arm == baseline or _has_pair(run.arm, inputs, pairs)
    )
    verdict = None
    if len({run.arm for run in comparable}) > 1:
        verdict = compare_runs(
            EvaluationInputs(labels, comparable),
            EvaluationSpec(
                training_job=0,
                baseline=baseline,
                confidence=spec.confidence,
                resamples=spec.resamples,
            ),
        )
    return describe_cell(shots, inputs, len(labels), verdict, planned)


def _has_pair(arm: str, runs: tuple[RunInput, ...], pairs: set[int]) -> bool:
    return any(run.arm == arm and run.seed in pairs for run in runs)


def table_rows(table: ExperimentTable) -> Iterator[dict[str, object]]:
    """One row per shots and arm, for CSV and JSON."""
    for cell in table.cells:
        verdicts = {one.name: one for one in cell.verdict.arms} if cell.verdict else {}
        for point in cell.points:
            found = verdicts.get(point.arm)
            yield {
                "shots": cell.shots or "all",
                "arm": point.arm,
                "seeds": len(point.accuracies),
                "accuracy": point.mean,
                "low": point.low,
                "high": point.high,
                "difference": found.difference if found else None,
                "difference_low": found.low if found else None,
                "difference_high": found.high if found else None,
                "finding": found.finding if found else "",
                "sentence": found.sentence if found else "",
                "accuracies": canonical_json(list(point.accuracies)),
            }
