"""Classifiers with and without synthetic images: settings, runs, curves."""

from __future__ import annotations

from PySide6.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.actions import Actions
from app.plans import TrainChoices, queue_training
from app.session import Session
from app.steps import newest
from app.widgets.curves import Curves
from app.widgets.page import Page
from app.widgets.parts import EmptyState, action_button, card, form, guard_wheel, heading, label
from app.widgets.plain_table import PlainTable
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import TrainingRun
from dafusion_core.evaluation.verdict import percent


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
        self.only_kept = QCheckBox("Only pictures that were kept")
        self.only_kept.setToolTip("Otherwise everything that was not rejected trains.")
        fields = QWidget()
        fields.setLayout(
            form(
                ("Share of synthetic images (α)", self.alpha),
                ("Repetitions (seeds)", self.seeds),
                ("Epochs", self.epochs),
                ("", self.only_kept),
            )
        )
        self.table = PlainTable(
            ["Way of training", "Seed", "Test accuracy", "Best epoch"], (1, 2, 3)
        )
        self.curves = Curves("Accuracy by epoch")
        self.curve_title = heading("Accuracy by epoch", 1.1)
        self.note = label("", "muted", wrap=True)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(12)
        top = QHBoxLayout()
        top.setSpacing(12)
        top.addWidget(card(heading("Settings", 1.1), fields, None))
        top.addWidget(card(self.curve_title, self.curves), 1)
        layout.addLayout(top)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.note)
        self.set_pages(
            content,
            EmptyState(
                "Nothing to train with yet",
                "Training compares classifiers with and without synthetic images, "
                "so some have to be generated first.",
                action_button(actions["everything"], "primary"),
            ),
        )
        actions.bind("train", self.start)

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
        self.table.fill([_row(run) for run in runs])
        key = _curve_key(runs)
        names = {
            "validation_accuracy": "Validation accuracy",
            "train_accuracy": "Training accuracy",
        }
        self.curve_title.setText(f"{names[key]} by epoch")
        self.curves.show_lines(
            [(run.arm, [epoch[key] for epoch in run.record["epochs"]]) for run in runs]
        )
        if job is None:
            self.note.setText("No training yet.")
        else:
            self.note.setText(f"{job.title}: {job.done:,} of {job.total:,} runs done.")


def _row(run: TrainingRun) -> list[str]:
    record = run.record
    return [
        run.arm,
        str(run.seed),
        percent(record["test_accuracy_last"]),
        percent(record["test_accuracy_best_epoch"]),
    ]


def _curve_key(runs: list[TrainingRun]) -> str:
    """Validation figures where every epoch has one, else those of training."""
    epochs = [epoch for run in runs for epoch in run.record["epochs"]]
    has_all = all(epoch.get("validation_accuracy") is not None for epoch in epochs)
    return "validation_accuracy" if epochs and has_all else "train_accuracy"
