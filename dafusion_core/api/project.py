"""A project as its users see it: read it, change it, queue work, run the queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from dafusion_core.api.annotating import Annotating
from dafusion_core.api.arrivals import Arrivals
from dafusion_core.api.caring import Caring
from dafusion_core.api.chain import ChainOptions, enqueue_chain
from dafusion_core.api.curating import Curating
from dafusion_core.api.enqueue import enqueue
from dafusion_core.api.exchanging import Exchanging
from dafusion_core.api.health import Checking
from dafusion_core.api.importing import ProjectImages
from dafusion_core.api.measuring import Measuring
from dafusion_core.api.preflight import (
    check_before,
    check_classes,
    check_split,
    check_weights,
)
from dafusion_core.api.splitting import Splitting
from dafusion_core.datasets.importing import ImportReport, import_folder
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.presets import preset_values
from dafusion_core.domain.records import (
    Concept,
    Curation,
    ErasedModel,
    Evaluation,
    GridCell,
    ImageRecord,
    ImportProblem,
    Job,
    JobState,
    JobUnit,
    Label,
    Metric,
    Part,
    SyntheticImage,
    TokenEmbedding,
    TrainingRun,
)
from dafusion_core.domain.specs import (
    AnySpec,
    ErasureSpec,
    EvaluationSpec,
    GenerationPlan,
    InversionSpec,
    TrainingSpec,
)
from dafusion_core.jobs import queue
from dafusion_core.jobs.events import JobEvent
from dafusion_core.jobs.supervisor import JobSupervisor, worker_log
from dafusion_core.language import _
from dafusion_core.storage import concepts, images, jobs, results, synthetic
from dafusion_core.storage.database import Database
from dafusion_core.storage.project import (
    ProjectFile,
    attach_project,
    create_project,
    open_project,
)


def create(path: Path | str, name: str | None = None) -> Project:
    """Make an empty project file (`.dafusion` is added to the name where it is missing)."""
    return Project(create_project(Path(path), name))


def open(path: Path | str, *, read_only: bool = False) -> Project:
    """Open a project. Where another program has it open, or its place cannot be written to,
    it is opened for reading: see `Project.is_read_only` and `Project.warnings`.

    What a crash left is put in order: jobs without a worker become interrupted.
    """
    file = open_project(Path(path), read_only=read_only)
    try:
        return Project(file)
    except BaseException:
        file.close()
        raise


Choice = TypeVar("Choice", bound=StrEnum)


def _choice(kind: type[Choice], value: str | None) -> Choice | None:
    """The member of an enumeration that a caller named. Raises UserError listing them."""
    try:
        return None if value is None else kind(value)
    except ValueError:
        raise UserError(
            _("“{value}” is not one of {kind}.").format(value=value, kind=", ".join(kind))
        ) from None


class Project(Annotating, Arrivals, Caring, Checking, Curating, Exchanging, Measuring, Splitting):
    """One open project. May be used from several threads; close it, or use `with`.

    Reading methods return records, in order of id unless they say otherwise. Commands that
    write return what they changed and raise EnvironmentProblem when the project is read-only.
    """

    def __init__(self, file: ProjectFile) -> None:
        self.file = file
        self.reaped: list[int] = []
        if not file.is_read_only:
            self.reaped = queue.reap(file.db)
            file.objects.empty_scratch()
            if file.was_unclean:
                file.objects.sweep(results.stored_paths(file.db))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Project {self.path.name}: {self.image_count()} images>"

    def close(self) -> None:
        """Close the project; it can be opened by others again."""
        self.file.close()

    # What it is ---------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The .dafusion file."""
        return self.file.path

    @property
    def files(self) -> Path:
        """The folder of files beside it."""
        return self.file.files

    @property
    def name(self) -> str:
        """The project's name."""
        return str(self.file.db.value("SELECT value FROM project WHERE key = 'name'"))

    @property
    def is_read_only(self) -> bool:
        """True when nothing can be changed; `lock_owner` says why."""
        return self.file.is_read_only

    @property
    def lock_owner(self) -> str:
        """Why the project is read-only, as a part of a sentence."""
        return self.file.lock_owner

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences to show once after opening."""
        return self.file.warnings

    def data_version(self) -> int:
        """A number that changes when another connection has written."""
        return int(self.file.db.value("PRAGMA data_version"))

    # Reading ------------------------------------------------------------------------------

    def labels(self) -> list[Label]:
        """Classes in model-output order."""
        return images.all_labels(self.file.db)

    def image_count(self) -> int:
        """Number of real images."""
        return int(self.file.db.value("SELECT count(*) FROM image"))

    def images(self, label: str | None = None, part: Part | str | None = None) -> list[ImageRecord]:
        """Real images with their part in the current split. `part`: "train", "test", …"""
        label_id = None if label is None else self._label(label).id
        split = self.current_split()
        return images.find_images(
            self.file.db,
            split_id=split.id if split else None,
            label_id=label_id,
            part=_choice(Part, part),
        )

    def _label(self, name: str) -> Label:
        for label in self.labels():
            if label.name == name:
                return label
        known = ", ".join(label.name for label in self.labels()) or _("none yet")
        raise UserError(
            _("There is no class “{name}”.").format(name=name),
            _("Classes: {known}.").format(known=known),
        )

    def image(self, image_id: int) -> ImageRecord:
        """One real image. Raises UserError if there is none of that id."""
        found = self.images_by_id([image_id])
        if not found:
            raise UserError(_("There is no image {image_id}.").format(image_id=image_id))
        return found[0]

    def images_by_id(self, ids: Sequence[int]) -> list[ImageRecord]:
        """Real images of these ids, with their part in the current split."""
        split = self.current_split()
        return images.find_images(self.file.db, split_id=split.id if split else None, ids=ids)

    def image_path(self, image: ImageRecord) -> Path:
        """Where its file is."""
        return self.file.objects.path(image.path)

    def import_problems(self) -> list[ImportProblem]:
        """Files that imports refused or warned about."""
        return images.import_problems(self.file.db)

    def concepts(self) -> list[Concept]:
        """What the classes mean to the generator, in label order; then those of past classes."""
        return concepts.all_concepts(self.file.db) + concepts.past_concepts(self.file.db)

    def erasures(self, job_id: int | None = None) -> list[ErasedModel]:
        """Erased models."""
        return concepts.erased_models(self.file.db, job_id)

    def embeddings(self, job_id: int | None = None) -> list[TokenEmbedding]:
        """Learned token embeddings."""
        return concepts.token_embeddings(self.file.db, job_id)

    def synthetic_ids(
        self,
        job_id: int | None = None,
        concept_id: int | None = None,
        curation: Curation | str | None = None,
        source_image_id: int | None = None,
        t0: float | None = None,
    ) -> list[int]:
        """Ids of synthetic images that match, by concept, source, variant and t0."""
        return synthetic.find_synthetic_ids(
            self.file.db,
            job_id=job_id,
            concept_id=concept_id,
            curation=_choice(Curation, curation),
            source_image_id=source_image_id,
            t0=t0,
        )

    def synthetic(self, ids: Sequence[int]) -> list[SyntheticImage]:
        """Synthetic images in the order of `ids`."""
        return synthetic.get_synthetic(self.file.db, ids)

    def synthetic_path(self, image: SyntheticImage) -> Path:
        """Where its file is."""
        return self.file.objects.path(image.path)

    def grid_cells(self, job_id: int) -> list[GridCell]:
        """The pictures a generation plans, made or not, by concept, source, variant and t0."""
        return synthetic.grid_cells(self.file.db, job_id)

    def trainable_paths(self, job_id: int, use_undecided: bool = True) -> set[str]:
        """Files of a generation job that a training would be given now, relative."""
        return synthetic.trainable_paths(self.file.db, job_id, use_undecided)

    def curation_counts(
        self, job_id: int | None = None
    ) -> dict[tuple[int, float], dict[Curation, int]]:
        """(concept id, t0) → how many are kept, rejected, undecided."""
        return synthetic.curation_counts(self.file.db, job_id)

    def jobs(self, states: Sequence[JobState] | None = None) -> list[Job]:
        """Jobs without their bound inputs (`job(id)` has them)."""
        return jobs.all_jobs(self.file.db, states)

    def job(self, job_id: int) -> Job:
        """One job. Raises UserError if there is none of that id."""
        return jobs.get_job(self.file.db, job_id)

    def units(self, job_id: int) -> list[JobUnit]:
        """The units of a job in order."""
        return jobs.get_units(self.file.db, job_id)

    def metrics(self, job_id: int, series: str | None = None) -> list[Metric]:
        """Points of a job's curves."""
        return jobs.get_metrics(self.file.db, job_id, series)

    def interrupted_jobs(self) -> list[Job]:
        """Jobs that can go on where they were stopped."""
        return self.jobs([JobState.INTERRUPTED])

    def blocked_jobs(self) -> dict[int, list[int]]:
        """Queued job → the failed, cancelled or interrupted jobs it waits for in vain."""
        return queue.blocked_jobs(self.file.db)

    def runs(self, job_id: int | None = None) -> list[TrainingRun]:
        """Classifier fits."""
        return results.training_runs(self.file.db, job_id)

    def evaluations(self) -> list[Evaluation]:
        """Comparisons, oldest first."""
        return results.evaluations(self.file.db)

    def log_path(self, device: str = "auto") -> Path:
        """The log of the worker for a device."""
        return worker_log(self.file, device)

    # Images and splits --------------------------------------------------------------------

    def import_folder(
        self,
        folder: Path | str,
        mode: Literal["copy", "reference"] = "copy",
        on_progress: Callable[[int, int, str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> ImportReport:
        """Import a folder with one folder per class. Importing again adds only what is new.

        "copy" keeps the pictures in the project; "reference" leaves them where they are.
        `on_progress(done, total, path)` is called after each file.
        """
        self.file.require_writable()
        report = import_folder(
            ProjectImages(self.file), Path(folder), mode, on_progress, should_stop
        )
        concepts.ensure_concepts(self.file.db)
        return report

    def _split_id(self) -> int:
        split = self.current_split()
        if split is None:
            raise UserError(
                _("The images are not divided into training and test images yet."),
                _("Make a split first."),
            )
        return split.id

    # Queueing work ------------------------------------------------------------------------

    def enqueue(self, spec: AnySpec, priority: int = 0) -> Job:
        """Queue the job of a spec; jobs named in the spec must finish before it starts."""
        self.file.require_writable()
        check_before(self.file, spec)
        return self.job(enqueue(self.file.db, spec, priority=priority))

    def erase(self, concepts: Sequence[str], **settings: Any) -> Job:
        """Queue the erasure of concepts from the base model. Settings: `ErasureSpec`."""
        return self.enqueue(ErasureSpec(concepts=tuple(concepts), **settings))

    def invert(self, preset: str | None = None, **settings: Any) -> Job:
        """Queue learning a token embedding per class. Settings: `InversionSpec`.

        `preset`: named values (`domain.presets`) under those that are given.
        """
        values = preset_values("invert", preset, settings)
        return self.enqueue(InversionSpec(split_id=self._split_id(), **values))

    def generate(self, preset: str | None = None, **settings: Any) -> Job:
        """Queue making synthetic images from the training images. Settings: `GenerationPlan`.

        `preset`: named values (`domain.presets`) under those that are given.
        """
        values = preset_values("generate", preset, settings)
        return self.enqueue(GenerationPlan(split_id=self._split_id(), **values))

    def train(self, **settings: Any) -> Job:
        """Queue classifier fits, one per arm and seed. Settings: `TrainingSpec`."""
        return self.enqueue(TrainingSpec(split_id=self._split_id(), **settings))

    def compare(self, training_job: int, baseline: str, **settings: Any) -> Job:
        """Queue the comparison of a training job's arms. Settings: `EvaluationSpec`."""
        return self.enqueue(EvaluationSpec(training_job, baseline, **settings))

    def plan_chain(self, options: ChainOptions | None = None) -> list[Job]:
        """Queue the whole path with the current split (made if there is none)."""
        self.file.require_writable()
        check_classes(self.file)
        options = options or ChainOptions()
        check_weights(options.weights, options.backbone)
        split = self.current_split() or self.make_split(
            options.seed, options.test, options.validation, options.shots
        )
        check_split(self.file, split.id)
        with self.file.db.atomic():
            ids = enqueue_chain(self.file.db, split, replace(options))
        return [self.job(job_id) for job_id in ids]

    # Curation -----------------------------------------------------------------------------

    def keep(self, ids: Sequence[int]) -> ProjectChanges:
        """Decide that these synthetic images may train. One undoable step."""
        return self._decide(ids, Curation.KEPT)

    def reject(self, ids: Sequence[int]) -> ProjectChanges:
        """Decide that these may not. Files stay. One undoable step."""
        return self._decide(ids, Curation.REJECTED)

    def undecide(self, ids: Sequence[int]) -> ProjectChanges:
        """Take decisions back. One undoable step."""
        return self._decide(ids, Curation.UNDECIDED)

    def _decide(self, ids: Sequence[int], curation: Curation) -> ProjectChanges:
        self.file.require_writable()
        return synthetic.decide(self.file.db, ids, curation)

    # Running ------------------------------------------------------------------------------

    def supervisor(
        self, on_event: Callable[[JobEvent], None], devices: Sequence[str] = ("auto",)
    ) -> JobSupervisor:
        """What runs the queue; call its `run`. While it runs, cancel and pause through it."""
        return JobSupervisor(self.file, on_event, devices)

    def run_queue(
        self,
        on_event: Callable[[JobEvent], None] = lambda event: None,
        devices: Sequence[str] = ("auto",),
    ) -> list[Job]:
        """Work through the queue and return all jobs as they are afterwards."""
        supervisor = self.supervisor(on_event, devices)
        try:
            supervisor.run(until_idle=True)
        finally:
            supervisor.close()
        return self.jobs()

    @contextmanager
    def _queue(self) -> Iterator[Database]:
        """Where to change the states of jobs: also while another program runs them.

        Those changes are guarded statements that any process may make; the program that runs the
        queue sees them within a second.
        """
        if not self.file.is_in_use:
            self.file.require_writable()
            yield self.file.db
            return
        shared = attach_project(self.file.path)
        try:
            yield shared.db
        finally:
            shared.close()

    def cancel(self, job_id: int) -> ProjectChanges:
        """Cancel a job for good; what it finished is kept."""
        with self._queue() as db:
            queue.request_cancel(db, job_id)
        return ProjectChanges(jobs=True, text=_("Cancel job {job_id}").format(job_id=job_id))

    def pause(self, job_id: int) -> ProjectChanges:
        """Let no worker take this job until it is resumed."""
        with self._queue() as db:
            queue.hold(db, job_id, True)
        return ProjectChanges(jobs=True, text=_("Pause job {job_id}").format(job_id=job_id))

    def resume(self, job_id: int) -> ProjectChanges:
        """Queue a paused, interrupted, cancelled or failed job again; finished units are kept."""
        with self._queue() as db:
            queue.requeue(db, job_id)
        return ProjectChanges(jobs=True, text=_("Resume job {job_id}").format(job_id=job_id))

    retry = resume

    def set_priority(self, job_id: int, priority: int) -> ProjectChanges:
        """Higher is done first."""
        with self._queue() as db:
            queue.set_priority(db, job_id, priority)
        return ProjectChanges(jobs=True, text=_("Priority of job {job_id}").format(job_id=job_id))
