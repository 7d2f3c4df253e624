"""Which of the finished runs are looked at: a way of training, and one or all repetitions."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QWidget

from app.widgets.fields import choice
from app.widgets.parts import row
from dafusion_core.domain.records import TrainingRun
from dafusion_core.evaluation.wording import arm_title
from dafusion_core.language import _

ALL_RUNS = _("All repetitions")


class RunChooser(QWidget):
    """Two boxes; at first the last way of training and all its repetitions.

    Signals:
        changed(): other runs are chosen, or there are other runs to choose from.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.runs: list[TrainingRun] = []
        self.arm = choice({}, _("Way of training"))
        self.seed = choice({}, _("Repetition"))
        self.setLayout(row(self.arm, self.seed))
        for box in (self.arm, self.seed):
            box.currentIndexChanged.connect(lambda _i: self.changed.emit())

    @property
    def chosen(self) -> list[TrainingRun]:
        """The runs that are chosen."""
        arm, seed = self.arm.currentData(), self.seed.currentData()
        return [run for run in self.runs if run.arm == arm and seed in (None, run.seed)]

    def show_runs(self, runs: Sequence[TrainingRun]) -> None:
        """Offer these; what is chosen stays where it is still there."""
        if [run.id for run in runs] == [run.id for run in self.runs]:
            return
        self.runs = list(runs)
        arms = list(dict.fromkeys(run.arm for run in runs))
        seeds = sorted({run.seed for run in runs})
        _fill(self.arm, [(arm_title(arm), arm) for arm in arms], len(arms) - 1)
        _fill(
            self.seed,
            [(ALL_RUNS, None), *((_("Seed {seed}").format(seed=seed), seed) for seed in seeds)],
            0,
        )
        self.changed.emit()


def _fill(box: QComboBox, items: Sequence[tuple[str, object]], otherwise: int) -> None:
    chosen = box.currentData()
    box.blockSignals(True)
    box.clear()
    for text, value in items:
        box.addItem(text, value)
    place = box.findData(chosen)
    box.setCurrentIndex(place if place >= 0 else otherwise)
    box.blockSignals(False)
