"""Classifiers with and without synthetic images: settings, runs, curves."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtGui import QHideEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app import costs
from app.actions import Actions
from app.pages.train.experiments import ExperimentsView
from app.pages.train.mistakes import MistakesView
from app.pages.train.try_it import TryItView
from app.plans import TrainChoices, queue_training
from app.session import Session
from app.steps import newest
from app.widgets.curve_panel import CurvePanel
from app.widgets.page import Page
from app.widgets.parts import (
    EmptyState,
    Segments,
    action_button,
    card,
    form,
    guard_wheel,
    heading,
    label,
    row,
)
from app.widgets.plain_table import PlainTable
from app.widgets.plot import Line
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import JobState, TrainingRun
from dafusion_core.evaluation.verdict import percent

LIVE_MS = 1500
FIRST_CURVES = ("accuracy/validation", "accuracy/test")
CURVE_NAMES = {
    "accuracy/validation": "Validation accuracy",
    "accuracy/test": "Test accuracy",
    "accuracy/train": "Training accuracy",
    "loss/train": "Training loss",
    "speed/examples_per_second": "Pictures per second",
    "memory/megabytes": "Memory (MB)",
}


class TrainPage(Page):
    """A short form, a row per run, and their curves."""

    watch = ("runs", "jobs", "synthetic", "curation")

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__(
            session,
            "Train",
            "The same classifier is trained with and without synthetic images, "
            "several times each, on the same split.",
        )
        start = TrainChoices()
        self.buttons.addWidget(action_button(actions["train"], "primary"))
        self.alpha = QDoubleSpinBox()
        self.alpha.setRange(0.0, 1.0)
        self.alpha.setSingleStep(0.05)
        self.alpha.setValue(start.alpha)
        self.alpha.setToolTip("How often a real image is replaced by one of its synthetic ones.")
        self.seeds = QSpinBox()
        self.seeds.setRange(2, 64)
        self.seeds.setValue(start.seeds)
        self.seeds.setToolTip("More repetitions make the comparison surer and take longer.")
        self.epochs = QSpinBox()
        self.epochs.setRange(1, 1000)
        self.epochs.setValue(start.epochs)
        guard_wheel(self.alpha, self.seeds, self.epochs)
        self.only_kept = QCheckBox("Only kept pictures")
        self.only_kept.setToolTip("Otherwise everything that was not rejected trains.")
        fields = QWidget()
        fields.setLayout(
            form(
                ("Synthetic share (α)", self.alpha),
                ("Repetitions (seeds)", self.seeds),
                ("Epochs", self.epochs),
                ("", self.only_kept),
            )
        )
        self.table = PlainTable(
            ["Way of training", "Differs in", "Seed", "Test accuracy", "Best epoch"], (2, 3, 4)
        )
        self.curves = CurvePanel("Curves", "Curves appear with the first epoch.")
        self.mistakes = MistakesView(session)
        self.parts = QStackedWidget()
        self.parts.addWidget(self.table)
        self.parts.addWidget(self.mistakes)
        self.experiments = ExperimentsView(session)
        self.try_it = TryItView(session)
        self.parts.addWidget(self.experiments)
        self.parts.addWidget(self.try_it)
        self.switch = Segments(
            [("runs", "Runs", "A line per fit"),
             ("mistakes", "Mistakes", "Who was taken for whom, with the pictures"),
             ("experiments", "Experiments", "Ways of training × shots × seeds"),
             ("try", "Try it", "Drop a picture, see the prediction")],
            "Results",
        )  # fmt: skip
        self.switch.chosen.connect(self.show_part)
        self._live = QTimer(self)
        self._live.setInterval(LIVE_MS)
        self._live.timeout.connect(self._refresh_curves)
        self.note = label("", "muted")
        self.cost = label("", "muted", wrap=True)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(12)
        top = QHBoxLayout()
        top.setSpacing(12)
        settings = card(heading("Settings", 1.1), fields, self.cost, None)
        settings.setMaximumWidth(330)
        top.addWidget(settings)
        top.addWidget(card(self.curves), 1)
        layout.addLayout(top, 2)
        layout.addLayout(row(self.switch, None, self.note))
        layout.addWidget(self.parts, 3)
        self.set_pages(
            content,
            EmptyState(
                "Nothing to train with yet",
                "Training compares classifiers with and without synthetic images, "
                "so some have to be generated first.",
                action_button(actions["everything"], "primary"),
            ),
        )
        self._job_id: int | None = None
        for field in (self.seeds, self.epochs):
            field.valueChanged.connect(lambda _v: self._say_cost())
        actions.bind("train", self.start)

    def show_part(self, name: str) -> None:
        """ "runs", "mistakes", "experiments" or "try"."""
        self.switch.select(name)
        parts: dict[str, QWidget] = {
            "runs": self.table,
            "mistakes": self.mistakes,
            "experiments": self.experiments,
            "try": self.try_it,
        }
        self.parts.setCurrentWidget(parts[name])
        if name == "experiments":
            self.experiments.refresh()

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
        arms = {unit.id: str(unit.payload.get("arm", "")) for unit in self.project.units(job.id)}
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

    def _say_cost(self) -> None:
        runs = 2 * self.seeds.value()
        self.cost.setText(costs.training(self.project, runs, self.epochs.value()).sentence)

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
        arms = {arm["name"]: arm for arm in job.spec["arms"]} if job else {}
        self.table.fill([_row(run, arms) for run in runs])
        self.mistakes.show_runs(runs)
        self.try_it.show_runs(runs)
        self.try_it.refresh()
        if self.parts.currentWidget() is self.experiments:
            self.experiments.refresh()
        self._job_id = job.id if job else None
        self._refresh_curves()
        self._say_cost()
        if job is None:
            self.note.setText("No training yet.")
        else:
            self.note.setText(f"{job.title}: {job.done:,} of {job.total:,} runs done.")


def _row(run: TrainingRun, arms: dict) -> list[str]:
    record = run.record
    return [
        run.arm,
        arm_words(arms.get(run.arm, {})),
        str(run.seed),
        percent(record["test_accuracy_last"]),
        percent(record["test_accuracy_best_epoch"]),
    ]


def arm_words(arm: dict) -> str:
    """What makes a way of training different from others, in a few words."""
    words = []
    if arm.get("generation_job") is not None:
        words.append(f"α {arm.get('alpha', 0):g}, pictures of job {arm['generation_job']}")
    if arm.get("mixing", "own") != "own":
        words.append(str(arm["mixing"]))
    if arm.get("augmentation", "standard") != "standard":
        words.append(str(arm["augmentation"]))
    if arm.get("batch_mix", "none") != "none":
        words.append(str(arm["batch_mix"]))
    return ", ".join(words) or "real images only"
