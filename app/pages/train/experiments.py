"""Experiments: several ways of training, shots and seeds; what they found so far."""

from __future__ import annotations

from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from app.plans import DEFAULTS
from app.session import Session
from app.widgets.fields import choice, whole_number
from app.widgets.parts import button, form, heading, label, row
from app.widgets.plain_table import PlainTable
from app.widgets.plot import Line, Plot
from dafusion_core.api.experiments import experiment_table, list_experiments, plan_experiment
from dafusion_core.api.presets import LAPTOP_SEEDS, PRESETS, make_experiment
from dafusion_core.domain.errors import DaFusionError
from dafusion_core.domain.experiments import ExperimentSpec
from dafusion_core.evaluation.few_shot import ExperimentTable, shots_text
from dafusion_core.evaluation.verdict import percent, points
from dafusion_core.evaluation.wording import arm_title
from dafusion_core.language import _, count

PRESET_NAMES = {
    "quick": _("Quick"),
    "curves": _("Few-shot curves"),
    "ablation-k": _("Number of t0 (k)"),
    "ablation-alpha": _("Share of synthetic images (α)"),
    "ablation-m": _("Images per photo (M)"),
    "ablation-masking": _("What may change"),
}


class ExperimentDialog(QDialog):
    """Choose what to ask; what it will train is said before it is queued."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(_("New experiment"))
        self.resize(520, 330)
        self._session = session
        self.preset = choice({key: PRESET_NAMES.get(key, key) for key in PRESETS})
        self.question = label("", "muted", wrap=True)
        self.name = QLineEdit()
        self.name.setPlaceholderText(_("as the preset"))
        self.shots = QLineEdit()
        self.shots.setPlaceholderText(_("as the preset"))
        self.shots.setToolTip(_("Training images per class, separated by commas: 1, 2, 4. 0: all."))
        self.seeds = whole_number(2, 64, value=LAPTOP_SEEDS)
        self.plan = label("", wrap=True)
        self.problem = label("", "error", wrap=True)
        self.go = button(_("Queue it"), self._queue, "primary")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 16, 18, 14)
        layout.addLayout(
            form(
                (_("Question"), self.preset),
                ("", self.question),
                (_("Name"), self.name),
                (_("Images per class"), self.shots),
                (_("Repetitions (seeds)"), self.seeds),
            )
        )
        layout.addWidget(self.plan)
        layout.addWidget(self.problem)
        layout.addStretch(1)
        layout.addLayout(row(None, button(_("Cancel"), self.reject), self.go))
        self.preset.currentIndexChanged.connect(lambda _i: self._say())
        self.shots.textChanged.connect(lambda _t: self._say())
        self.seeds.valueChanged.connect(lambda _v: self._say())
        self._say()

    def spec(self) -> ExperimentSpec:
        """What is asked for. Raises UserError or ValueError where that is not clear."""
        shots = [int(part) for part in self.shots.text().split(",") if part.strip()]
        labels = [item.name for item in self._session.project.labels()]
        return make_experiment(
            self.preset.currentData(),
            labels,
            DEFAULTS,
            name=self.name.text().strip(),
            shots=shots,
            seeds=range(self.seeds.value()),
        )

    def _say(self) -> None:
        self.question.setText(PRESETS[self.preset.currentData()])
        try:
            spec = self.spec()
        except ValueError:
            self.problem.setText(_("Write whole numbers with commas between: 1, 2, 4."))
        except DaFusionError as error:
            self.problem.setText(error.text)
        else:
            self.problem.setText("")
            runs = len(spec.arms) * len(spec.shots) * len(spec.seeds)
            shots = ", ".join(shots_text(number) for number in spec.shots)
            self.plan.setText(
                _(
                    "{ways} × {shots} × {seeds}: {fits}. It can be stopped and "
                    "extended without repeating anything."
                ).format(
                    ways=count(len(spec.arms), "{n:,} way of training", "{n:,} ways of training"),
                    shots=shots,
                    seeds=count(len(spec.seeds), "{n:,} seed", "{n:,} seeds"),
                    fits=count(runs, "{n:,} fit", "{n:,} fits"),
                )
            )
        self.problem.setVisible(bool(self.problem.text()))
        self.go.setEnabled(not self.problem.text())

    def _queue(self) -> None:
        spec, project = self.spec(), self._session.project
        self._session.run(lambda: plan_experiment(project, spec))
        self.accept()


class ExperimentsView(QWidget):
    """The chosen experiment: a curve over shots, a table, and the findings in words."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.choice = choice({}, _("Experiment"))
        self.new = button(
            _("New experiment…"), self._ask, "small", _("Ways of training × shots × seeds")
        )
        self.state = label("", "muted")
        self.plot = Plot(
            _("Accuracy by images per class"),
            is_share=True,
            hint=_("No experiment has results yet."),
        )
        self.plot.unit = _("images per class")
        self.table = PlainTable([_("Images per class")])
        self.words = label("", wrap=True, select=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(row(self.choice, self.state, None, self.new))
        both = QHBoxLayout()
        both.setSpacing(12)
        both.addWidget(self.plot, 2)
        both.addWidget(self.table, 3)
        layout.addLayout(both, 1)
        layout.addWidget(heading(_("Findings"), 1.0))
        layout.addWidget(self.words)
        self.choice.currentIndexChanged.connect(lambda _i: self._show())

    def _ask(self) -> None:
        ExperimentDialog(self._session, self).open()

    def refresh(self) -> None:
        """Read experiments and what they found again."""
        found = list_experiments(self._session.project)
        names = [(experiment.name, experiment.id) for experiment in reversed(found)]
        known = [self.choice.itemData(i) for i in range(self.choice.count())]
        if known != [number for _name, number in names]:
            self.choice.blockSignals(True)
            self.choice.clear()
            for name, number in names:
                self.choice.addItem(name, number)
            self.choice.blockSignals(False)
        self.choice.setVisible(bool(names))
        self.new.setEnabled(not self._session.is_read_only and bool(self._session.project.labels()))
        self._show()

    def _show(self) -> None:
        number = self.choice.currentData()
        if number is None:
            self.state.setText(_("Nothing was asked yet."))
            return
        try:
            table = experiment_table(self._session.project, int(number))
        except DaFusionError as error:
            self.state.setText(error.text)
            return
        self.show_table(table)

    def show_table(self, table: ExperimentTable) -> None:
        """Show what was found."""
        self.state.setText(
            _("{finished:,} of {planned:,} fits are there").format(
                finished=table.finished, planned=table.planned
            )
        )
        lines: dict[str, list[tuple[float, float]]] = {}
        rows = []
        for cell in table.cells:
            by_arm = {point.arm: point for point in cell.points}
            texts = []
            for arm in table.arms:
                point = by_arm.get(arm)
                if point is None:
                    texts.append("–")
                    continue
                lines.setdefault(arm_title(arm), []).append((float(cell.shots or 0), point.mean))
                if point.low is None or point.high is None:
                    texts.append(percent(point.mean))
                else:
                    half = points((point.high - point.low) / 2).lstrip("+")
                    texts.append(f"{percent(point.mean)} ± {half}")
            rows.append([shots_text(cell.shots), *texts])
        self.table.set_columns(
            [_("Images per class"), *map(arm_title, table.arms)], range(1, len(table.arms) + 1)
        )
        self.table.fill(rows)
        self.plot.show_lines([Line(arm, found) for arm, found in lines.items()])
        self.words.setText("\n".join(table.sentences) or _("Findings come with the first pairs."))
