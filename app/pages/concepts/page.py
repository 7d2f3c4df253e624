"""What each class means to the generator, and how well it was learned."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QTimer, Slot
from PySide6.QtGui import QHideEvent, QImage
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app import costs
from app.actions import Actions
from app.dialogs.before_after import BeforeAfterDialog
from app.dialogs.embeddings import EmbeddingsDialog
from app.pages.concepts.form import ConceptsForm
from app.pages.concepts.looks import LooksView, read_looks, stored_looks
from app.plans import queue_concepts
from app.session import Session
from app.steps import newest
from app.widgets.curve_panel import CurvePanel
from app.widgets.page import Page
from app.widgets.parts import EmptyState, action_button, button, card, label, row, scrolled
from app.widgets.plain_table import PlainTable
from app.widgets.plot import Line
from dafusion_core.api.base_models import download_model
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import (
    ErasedModel,
    Job,
    JobState,
    JobUnit,
    Metric,
    Part,
    TokenEmbedding,
    UnitState,
)
from dafusion_core.domain.specs import ModelSource
from dafusion_core.jobs.events import PreviewReady
from dafusion_core.language import _, count
from dafusion_core.storage.concepts import sheet_paths

LOSS_TIP = _(
    "How far off the model's predictions are for this class, before → after learning: the same "
    "pictures, timesteps and noise both times. Smaller is better."
)
ERASED_TIP = _("Whether the model that the class is learned on has forgotten its name.")
LIVE_MS = 1500
LOSS_NAMES = {"loss": _("Loss while learning"), "held-out": _("Loss on fixed noise and timesteps")}
MOVED_TIP = _(
    "How far the token's vectors moved from where they started; 0 means: nothing learned."
)


class ConceptsPage(Page):
    """One row per class: its token, its training images, what was learned."""

    watch = ("images", "splits", "concepts", "jobs")

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__(
            session,
            _("Concepts"),
            _(
                "Each class gets a token of its own, learned from "
                "its training images only. Erasing "
                "its name from the model first makes sure that nothing was known in advance."
            ),
        )
        self.buttons.addWidget(action_button(actions["concepts"], "primary"))
        self.form = ConceptsForm()
        self.form.changed.connect(self._say_cost)
        self.table = PlainTable(
            [
                _("Class"),
                _("Token"),
                _("Training images"),
                _("Name erased"),
                _("Learned"),
                _("Loss"),
                _("Moved"),
            ],
            (2, 5, 6),
        )
        self.table.horizontalHeader().setMinimumSectionSize(64)
        self.curves = CurvePanel(
            _("Loss while learning"), _("The loss of each class appears here.")
        )
        self.curves.setMinimumHeight(170)
        self.retry = button(
            _("Retry what failed"),
            self._retry,
            "small",
            _("Only those classes; the others are kept."),
        )
        self.retry.hide()
        self._live = QTimer(self)
        self._live.setInterval(LIVE_MS)
        self._live.timeout.connect(lambda: self.refresh(None))
        for place, tip in ((3, ERASED_TIP), (5, LOSS_TIP), (6, MOVED_TIP)):
            item = self.table.horizontalHeaderItem(place)
            if item is not None:
                item.setToolTip(tip)
        self.note = label("", "muted", wrap=True)
        self.compare = button(_("Show before and after"), self._show_sheet, "link")
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(10)
        layout.addWidget(self.form)
        self.table.setMinimumHeight(120)
        layout.addWidget(self.table, 2)
        below = row(self.note, self.compare, self.retry)
        below.setStretch(0, 1)
        layout.addLayout(below)
        layout.addWidget(card(self.curves), 2)
        self.looks = LooksView()
        self._looked_at: int | None = None
        self._looks_card = card(self.looks)
        layout.addWidget(self._looks_card)
        self.set_pages(
            scrolled(content),
            EmptyState(
                _("No classes yet"),
                _("Classes come from the folders of your pictures."),
                action_button(actions["import"], "primary"),
            ),
        )
        self._erased: list[ErasedModel] = []
        self.form.embeddings_wanted.connect(self._ask_for_embeddings)
        session.jobs.happened.connect(self._on_event)
        self.hub = hub = self.form.model.hub
        self.form.model.changed.connect(lambda: hub.follow(self.project.jobs()))
        hub.wanted.connect(self._download)
        hub.unwanted.connect(session.cancel)
        session.closed.connect(hub.end)
        actions.bind("concepts", self.start)

    def start(self) -> None:
        """Queue erasure and inversion."""
        problem = self.form.model.problem
        if problem:
            self.form.fold.open(True)
            self.form.model.place.setFocus()
            return
        choices = self.form.choices()
        self.session.run(lambda: queue_concepts(self.project, choices))

    def _download(self, source: ModelSource, size: int) -> None:
        self.session.run(lambda: download_model(self.project, source, size))

    def _ask_for_embeddings(self) -> None:
        names = [concept.name for concept in self.project.concepts()]
        dialog = EmbeddingsDialog(names, self.form.imported, self)
        dialog.chosen.connect(self.form.take_embeddings)
        dialog.open()

    @Slot(object)
    def _on_event(self, event: object) -> None:
        """A look at the classes: the file may be written over later, so it is read at once."""
        if self.project.file.is_closed:  # it was on its way when the window was closed
            return
        if isinstance(event, PreviewReady) and event.job_id is not None:
            found = read_looks(event.text, QImage(event.path)) if ": step " in event.text else {}
            if not found:
                return
            self._begin_looks(event.job_id)
            for name, look in found.items():
                self.looks.add(name, look)
            if self.isVisible():
                self._show_looks()

    def _begin_looks(self, job_id: int) -> None:
        if job_id != self._looked_at:
            self._looked_at = job_id
            self.looks.forget()

    def _show_looks(self) -> None:
        self.looks.show_classes([concept.name for concept in self.project.concepts()])
        self._looks_card.setVisible(not self.looks.isHidden())

    def _retry(self) -> None:
        job = newest(self.project.jobs(), "invert")
        if job is not None:
            self.session.resume([job.id])

    def _say_cost(self) -> None:
        choices = self.form.choices()
        classes = max(1, len(self.project.concepts()))
        erasures = (classes if choices.per_concept else 1) if choices.erase else 0
        is_bundled = choices.model.kind == "bundled"
        cost = costs.concepts(
            self.project,
            classes - len(choices.imported),
            choices.steps,
            is_bundled,
            erasures,
        )
        if choices.erase and choices.method == "esd":
            self.form.cost.setText(
                _("{cost} ESD takes as long again, or longer.").format(cost=cost.sentence)
            )
        else:
            self.form.cost.setText(cost.sentence)

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody is looking."""
        super().hideEvent(event)
        self._live.stop()

    def refresh(self, changes: ProjectChanges | None) -> None:
        """Read concepts and what was learned again."""
        concepts = self.project.concepts()
        self.show_content(bool(concepts))
        jobs = self.project.jobs()
        self.hub.follow(jobs)
        learned = {found.concept_id: found for found in self.project.embeddings()}
        counts = {name: parts.get(Part.TRAIN, 0) for name, parts in self._part_counts().items()}
        job = newest(jobs, "invert")
        units = self.project.units(job.id) if job else []
        states = {unit.payload.get("concept_id"): unit for unit in units}
        metrics = self.project.metrics(job.id) if job else []
        steps = {metric.unit_id: metric.step for metric in metrics}
        has_split = self.project.current_split() is not None
        erased = self.project.erasures()
        self._erased = [model for model in erased if model.job_id == erased[-1].job_id]
        erasing = newest(jobs, "erase")
        rows = []
        for concept in concepts:
            images = f"{counts.get(concept.name, 0):,}" if has_split else "–"
            found = learned.get(concept.id)
            cells = _learned(found)
            unit = states.get(concept.id)
            if job is not None and unit is not None and job.state is not JobState.SUCCEEDED:
                cells[0] = _unit_words(job, unit, steps.get(unit.id))
            erasure = _erasure_words(concept.name, self._erased, erasing)
            rows.append([concept.name, concept.placeholder, images, erasure, *cells])
            if job is not None and found is not None and found.job_id == job.id:
                self._begin_looks(job.id)
                for look in stored_looks(self.project, found):
                    self.looks.add(concept.name, look)
        self.table.fill(rows)
        failed = sum(unit.state is UnitState.FAILED for unit in units)
        can_retry = job is not None and job.state.is_terminal
        self.retry.setVisible(bool(failed) and can_retry and not self.session.is_read_only)
        self.retry.setText(
            count(failed, "Retry {n:,} class that failed", "Retry {n:,} classes that failed")
        )
        self.curves.show_series(_loss_lines(metrics))
        if job is not None and job.state is JobState.RUNNING and self.isVisible():
            self._live.start()
        else:
            self._live.stop()
        if changes is None:
            self._say_cost()
        self.note.setText(_erasure_note(self._erased))
        self.compare.setVisible(bool(self._erased))
        self._show_looks()

    def _part_counts(self) -> dict:
        return self.project.part_counts()

    def _show_sheet(self) -> None:
        if not self._erased:
            return
        sheets = sheet_paths(self.project.file.db, self._erased[0].job_id)
        objects = self.project.file.objects
        BeforeAfterDialog(
            [(m, objects.path(sheets[m.id]) if m.id in sheets else None) for m in self._erased],
            self,
        ).open()


def _learned(found: TokenEmbedding | None) -> list[str]:
    if found is None:
        return [_("not yet"), "–", "–"]
    record = found.record
    if record.get("imported"):
        return [_("from {name}").format(name=record["imported"]), "–", "–"]
    before, after = record.get("held_out_before"), record.get("held_out_after")
    loss = f"{before:.4f} → {after:.4f}" if before is not None and after is not None else "–"
    moved = record.get("moved")
    steps = record.get("steps")
    return [
        _("{steps:,} steps").format(steps=steps) if steps else _("yes"),
        loss,
        f"{moved:.3f}" if isinstance(moved, (int, float)) else "–",
    ]


def _unit_words(job: Job, unit: JobUnit, step: int | None) -> str:
    """Where a class is, while its job is not finished."""
    if unit.state is UnitState.DONE:
        return _("learned")
    if unit.state is UnitState.FAILED:
        return _("failed: {reason}").format(reason=unit.error_text or _("no reason was given"))
    if job.state is JobState.RUNNING and step is not None:
        return _("step {step:,} of {steps:,}").format(step=step, steps=job.spec.get("steps", 0))
    return _("waiting") if job.state in (JobState.QUEUED, JobState.RUNNING) else _("not finished")


def _loss_lines(metrics: Sequence[Metric]) -> dict[str, list[Line]]:
    """A plot per kind of loss, a line per class: series are named “loss/dandelion”."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {
        title: {} for title in LOSS_NAMES.values()
    }
    for metric in metrics:
        kind, _, name = metric.series.partition("/")
        if name:
            title = LOSS_NAMES.get(kind, kind.replace("_", " ").capitalize())
            found.setdefault(title, {}).setdefault(name, []).append((metric.step, metric.value))
    return {
        title: [Line(name, points) for name, points in lines.items()]
        for title, lines in found.items()
        if lines
    }


def _erasure_note(erased: Sequence[ErasedModel]) -> str:
    if not erased:
        return _("Nothing has been erased from the model.")
    names = ", ".join(name for model in erased for name in model.concepts)
    each = _(", a model each") if len(erased) > 1 else ""
    return _("Erased from the model ({method}{each}): {names}.").format(
        method=erased[0].method.upper(), each=each, names=names
    )


def _erasure_words(name: str, erased: Sequence[ErasedModel], job: Job | None) -> str:
    """Where a class is with its erasure."""
    if job is not None and name in job.spec["concepts"] and job.state is not JobState.SUCCEEDED:
        if any(model.job_id == job.id and name in model.concepts for model in erased):
            return _("yes")
        return {
            JobState.RUNNING: _("at work"),
            JobState.QUEUED: _("waiting"),
            JobState.FAILED: _("failed"),
        }.get(job.state, _("not finished"))
    return _("yes") if any(name in model.concepts for model in erased) else _("no")
