"""Classifiers with and without synthetic images: settings, runs, curves."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QHideEvent, QResizeEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QCheckBox,
    QHBoxLayout,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app import costs
from app.actions import Actions
from app.pages.train.balance import BalanceView
from app.pages.train.classes import ClassesView
from app.pages.train.experiments import ExperimentsView
from app.pages.train.mistakes import MistakesView
from app.pages.train.runs import RunsView
from app.pages.train.try_it import TryItView
from app.plans import TrainChoices, queue_training
from app.session import Session
from app.steps import newest
from app.widgets.curve_panel import CurvePanel
from app.widgets.fields import number, whole_number
from app.widgets.page import Page
from app.widgets.parts import (
    EmptyState,
    Segments,
    action_button,
    button,
    card,
    form,
    heading,
    label,
    row,
    scrolled,
)
from app.widgets.plot import Line
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import JobState, Part
from dafusion_core.evaluation.wording import arm_title
from dafusion_core.language import _

LIVE_MS = 1500
NARROW = 780  # pixels of the page, below which things stand one above the other
FIRST_CURVES = ("accuracy/validation", "accuracy/test")
CURVE_NAMES = {
    "accuracy/validation": _("Validation accuracy"),
    "accuracy/test": _("Test accuracy"),
    "accuracy/train": _("Training accuracy"),
    "loss/train": _("Training loss"),
    "speed/examples_per_second": _("Pictures per second"),
    "memory/megabytes": _("Memory (MB)"),
}


class TrainPage(Page):
    """A short form, a row per run, and their curves."""

    watch = ("runs", "jobs", "synthetic", "curation")

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__(
            session,
            _("Train"),
            _(
                "The same classifier is trained with and without synthetic images, "
                "several times each, on the same split."
            ),
        )
        start = TrainChoices()
        self.stop = button(
            _("Stop"),
            self._stop,
            tip=_(
                "Stops at the next step. Finished runs are kept; resuming goes on with the others."
            ),
        )
        self.stop.hide()
        self.finish = button(
            _("End this run here"),
            self._finish,
            tip=_(
                "Ends the run at work after its current epoch and keeps its best epoch on the "
                "validation images, or the last where there are none. The next run begins then; "
                "the table and the verdict say that this one was cut short."
            ),
        )
        self.finish.hide()
        self.buttons.addWidget(self.finish)
        self.buttons.addWidget(self.stop)
        self.buttons.addWidget(action_button(actions["train"], "primary"))
        self.alpha = number(
            0.0,
            1.0,
            _("How often a real image is replaced by one of its synthetic ones."),
            step=0.05,
            value=start.alpha,
        )
        self.seeds = whole_number(
            2,
            64,
            _("More repetitions make the comparison surer and take longer."),
            value=start.seeds,
        )
        self.epochs = whole_number(
            1,
            1000,
            _("How often everything is gone through, in each repetition."),
            value=start.epochs,
        )
        self.patience = whole_number(0, 1000, lowest=_("never"), suffix=_(" epochs"))
        self.only_kept = QCheckBox(_("Only kept pictures"))
        self.only_kept.setToolTip(_("Otherwise everything that was not rejected trains."))
        self.only_kept.toggled.connect(lambda _on: self._show_balance())
        fields = QWidget()
        fields.setLayout(
            form(
                (_("Synthetic share (α)"), self.alpha),
                (_("Repetitions (seeds)"), self.seeds),
                (_("Epochs"), self.epochs),
                (_("Stop early after"), self.patience),
                ("", self.only_kept),
            )
        )
        self.runs = RunsView()
        self.table = self.runs.table
        self.balance = BalanceView(session)
        self.classes = ClassesView()
        self.curves = CurvePanel(_("Curves"), _("Curves appear with the first epoch."))
        self.mistakes = MistakesView(session)
        self.parts = QStackedWidget()
        self.parts.addWidget(self.balance)
        self.parts.addWidget(self.runs)
        self.parts.addWidget(self.classes)
        self.parts.addWidget(self.mistakes)
        self.experiments = ExperimentsView(session)
        self.try_it = TryItView(session)
        self.parts.addWidget(self.experiments)
        self.parts.addWidget(self.try_it)
        self.switch = Segments(
            [("balance", _("Images"), _("What each class brings into training")),
             ("runs", _("Runs"), _("A line per fit; choose several to see what differs")),
             ("classes", _("Classes"), _("Each class, and whether certainty can be believed")),
             ("mistakes", _("Mistakes"), _("Who was taken for whom, with the pictures")),
             ("experiments", _("Experiments"), _("Ways of training × shots × seeds")),
             ("try", _("Try it"), _("Drop a picture, see the prediction"))],
            _("Results"),
        )  # fmt: skip
        self.switch.chosen.connect(self.show_part)
        self._live = QTimer(self)
        self._live.setInterval(LIVE_MS)
        self._live.timeout.connect(self._refresh_curves)
        self.note = label("", "muted", wrap=True)
        self.note.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.note.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.cost = label("", "muted", wrap=True)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(12)
        self._top = top = QHBoxLayout()
        top.setSpacing(12)
        settings = card(heading(_("Settings"), 1.1), fields, self.cost, None)
        top.addWidget(settings)
        top.addWidget(card(self.curves), 1)
        layout.addLayout(top, 2)
        below = row(self.switch, self.note)
        below.setStretch(1, 1)
        layout.addLayout(below)
        layout.addWidget(self.parts, 3)
        self.curves.setMinimumHeight(200)
        self.parts.setMinimumHeight(300)
        self._settings = settings
        self.set_pages(
            scrolled(content),
            EmptyState(
                _("Nothing to train with yet"),
                _(
                    "Training compares classifiers with and without synthetic images, "
                    "so some have to be generated first."
                ),
                action_button(actions["everything"], "primary"),
            ),
        )
        self._job_id: int | None = None
        self._done: tuple[int, int] | None = None
        self._is_chosen = False  # before the user has said which results to show
        for field in (self.seeds, self.epochs):
            field.valueChanged.connect(lambda _v: self._say_cost())
        actions.bind("train", self.start)

    def show_part(self, name: str) -> None:
        """ "balance", "runs", "classes", "mistakes", "experiments" or "try"."""
        self.switch.select(name)
        self._is_chosen = True
        parts: dict[str, QWidget] = {
            "balance": self.balance,
            "runs": self.runs,
            "classes": self.classes,
            "mistakes": self.mistakes,
            "experiments": self.experiments,
            "try": self.try_it,
        }
        self.parts.setCurrentWidget(parts[name])
        if name == "experiments":
            self.experiments.refresh()
        self._show_balance()

    def _refresh_curves(self) -> None:
        """Read the metrics of the newest training, also while it runs."""
        job = self.project.job(self._job_id) if self._job_id is not None else None
        is_running = job is not None and job.state is JobState.RUNNING
        if is_running and self.isVisible():
            self._live.start()
        else:
            self._live.stop()
        if job is None:
            self.curves.show_series({})
            return
        arms = {
            unit.id: arm_title(str(unit.payload.get("arm", "")))
            for unit in self.project.units(job.id)
        }
        series: dict[str, dict[int, list[tuple[float, float]]]] = {}
        for metric in self.project.metrics(job.id):
            if metric.unit_id is not None:
                lines = series.setdefault(metric.series, {})
                lines.setdefault(metric.unit_id, []).append((metric.step, metric.value))
        order = sorted(series, key=lambda name: (name not in FIRST_CURVES, name))
        self.curves.show_series(
            {
                CURVE_NAMES.get(name, name): [
                    Line(arms.get(unit, ""), points) for unit, points in series[name].items()
                ]
                for name in order
            }
        )

    def _stop(self) -> None:
        if self._job_id is not None:
            self.stop.hide()
            self.note.setText(_("Stopping…"))
            self.session.pause(self._job_id)

    def _finish(self) -> None:
        if self._job_id is not None:
            self.finish.setEnabled(False)  # until the run has ended
            self.note.setText(_("This run ends after its current epoch…"))
            self.session.jobs.wish(self._job_id, "finish")

    def _show_balance(self) -> None:
        if self.parts.currentWidget() is self.balance:
            self.balance.refresh(only_kept=self.only_kept.isChecked())

    def _show_patience(self) -> None:
        split = self.project.current_split()
        can = split is not None and split.counts.get(Part.VALIDATION.value, 0) > 0
        self.patience.setEnabled(can)
        if not can:
            self.patience.setValue(0)
        self.patience.setToolTip(
            _(
                "A run ends when validation has not improved for "
                "so many epochs, and its best epoch "
                "on the validation images is kept."
            )
            if can
            else _(
                "Needs validation images (Run, Divide images): choosing the best epoch by the "
                "test images would make the verdict too good."
            )
        )

    def _say_cost(self) -> None:
        runs = 2 * self.seeds.value()
        self.cost.setText(costs.training(self.project, runs, self.epochs.value()).sentence)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Side by side where there is room, else one above the other."""
        super().resizeEvent(event)
        is_wide = self.width() >= NARROW
        way = QBoxLayout.Direction.LeftToRight if is_wide else QBoxLayout.Direction.TopToBottom
        self._top.setDirection(way)
        self.classes.both.setDirection(way)
        self._settings.setMaximumWidth(330 if is_wide else 16_777_215)

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody is looking."""
        super().hideEvent(event)
        self._live.stop()

    def start(self) -> None:
        """Queue training and comparison."""
        choices = TrainChoices(
            alpha=self.alpha.value(),
            seeds=self.seeds.value(),
            epochs=self.epochs.value(),
            only_kept=self.only_kept.isChecked(),
            patience=self.patience.value() or None,
        )
        self.session.run(lambda: queue_training(self.project, choices))

    def refresh(self, changes: ProjectChanges | None) -> None:
        """Read the runs of the newest training again."""
        jobs = self.project.jobs()
        job = newest(jobs, "train")
        self.show_content(newest(jobs, "generate") is not None)
        runs = self.project.runs(job.id) if job else []
        order = [arm["name"] for arm in job.spec["arms"]] if job else []
        runs.sort(key=lambda run: (order.index(run.arm), run.seed))
        every = [one for one in jobs if one.kind == "train"]
        self.runs.show_runs(self.project.runs() if len(every) > 1 else runs, every)
        self.classes.show_runs(runs)
        self.mistakes.show_runs(runs)
        if not self._is_chosen:
            first = self.runs if runs else self.balance
            self.switch.select("runs" if runs else "balance")
            self.parts.setCurrentWidget(first)
        self._show_balance()
        self._show_patience()
        is_active = job is not None and job.state in (JobState.RUNNING, JobState.QUEUED)
        can_stop = is_active and job is not None and not job.is_held
        self.stop.setVisible(can_stop and not self.session.is_read_only)
        is_running = job is not None and job.state is JobState.RUNNING
        self.finish.setVisible(is_running and not self.session.is_read_only)
        done = (job.id, job.done) if job else None
        if done != self._done:
            self.finish.setEnabled(True)
            self._done = done
        self.try_it.show_runs(runs)
        self.try_it.refresh()
        if self.parts.currentWidget() is self.experiments:
            self.experiments.refresh()
        self._job_id = job.id if job else None
        self._refresh_curves()
        self._say_cost()
        if job is None:
            self.note.setText(_("No training yet."))
        else:
            self.note.setText(
                _("{title}: {done:,} of {total:,} runs done.").format(
                    title=job.title, done=job.done, total=job.total
                )
            )
