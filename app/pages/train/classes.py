"""How each class fared, and whether the network is as sure as it is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.pages.train.run_chooser import RunChooser
from app.widgets.bars import ReliabilityDiagram
from app.widgets.parts import heading, label, row
from app.widgets.plain_table import PlainTable
from dafusion_core.domain.records import TrainingRun
from dafusion_core.evaluation.inspection import Inspection, inspect_record
from dafusion_core.evaluation.verdict import percent
from dafusion_core.language import _, count

TIPS = {
    1: _("Answers on test images; with several repetitions each image answers several times."),
    2: _("Of what was taken for the class, how much is of it."),
    3: _("Of its images, how many were recognised."),
    4: _("The harmonic mean of both."),
}


def pool(runs: Sequence[TrainingRun]) -> Inspection | None:
    """The runs of one way of training as one, all their answers together; None without any."""
    if not runs:
        return None
    first = runs[0].record
    test: dict[str, list[Any]] = {"image_ids": [], "truth": [], "probabilities": []}
    for run in runs:
        if run.record["labels"] != first["labels"]:
            continue  # classes were renamed or reordered between them
        for key, values in test.items():
            values.extend(run.record["test"][key])
    return inspect_record(
        {"labels": first["labels"], "arm": first["arm"], "seed": first["seed"], "test": test}
    )


class ClassesView(QWidget):
    """A line per class, and the reliability diagram with its number."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.chooser = RunChooser()
        self.show_runs = self.chooser.show_runs
        self.table = PlainTable(
            [_("Class"), _("Answers"), _("Precision"), _("Recall"), "F1"], (1, 2, 3, 4)
        )
        for place, tip in TIPS.items():
            item = self.table.horizontalHeaderItem(place)
            if item is not None:
                item.setToolTip(tip)
        self.diagram = ReliabilityDiagram()
        self.words = label("", wrap=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(row(self.chooser, None))
        self.both = both = QHBoxLayout()
        both.setSpacing(16)
        both.addWidget(self.table, 3)
        right = QVBoxLayout()
        right.setSpacing(4)
        right.addWidget(heading(_("As sure as right?"), 1.0))
        right.addWidget(self.diagram, 1)
        right.addWidget(self.words)
        both.addLayout(right, 2)
        layout.addLayout(both, 1)
        self.chooser.changed.connect(self._show)

    def _show(self) -> None:
        found = pool(self.chooser.chosen)
        if found is None:
            self.table.fill([])
            self.diagram.show_bins(())
            self.words.setText(_("No answers yet."))
            return
        self.table.fill(
            [
                [
                    name,
                    f"{figures.images:,}",
                    percent(figures.precision),
                    percent(figures.recall),
                    percent(figures.f1),
                ]
                for name, figures in zip(found.labels, found.classes, strict=True)
            ]
        )
        self.diagram.show_bins(found.calibration)
        self.words.setText(calibration_words(found))


def calibration_words(found: Inspection) -> str:
    """The calibration error in a sentence, and what it means here."""
    answers = sum(one.count for one in found.calibration)
    lean = sum(b.count * (b.confidence - b.accuracy) for b in found.calibration) / max(1, answers)
    error = found.calibration_error
    if error < 0.05:
        words = _("Calibration error {error} over {answers}: about as sure as it is right.")
    elif lean > 0:
        words = _("Calibration error {error} over {answers}: the network is on the whole too sure.")
    else:
        words = _(
            "Calibration error {error} over {answers}: the network is on the whole too modest."
        )
    text = words.format(
        error=percent(error), answers=count(answers, "{n:,} answer", "{n:,} answers")
    )
    return text + " " + _("Few answers: take it as a hint.") if answers < 100 else text
