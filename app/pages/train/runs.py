"""The runs as a table, and what differs between those that are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from app.widgets.parts import button, label, row
from app.widgets.plain_table import PlainTable
from dafusion_core.domain.records import Job, TrainingRun
from dafusion_core.evaluation.verdict import percent
from dafusion_core.evaluation.wording import arm_title
from dafusion_core.language import _, pgettext

_UNTOLD = ("spec_version", "arms", "seeds")


def run_config(run: TrainingRun, job: Job) -> dict[str, Any]:
    """Every setting of a run by name: those of its training, its way of training, its seed."""
    arms: list[dict[str, Any]] = job.spec["arms"]
    arm = next((one for one in arms if one["name"] == run.arm), {})
    shared = {key: value for key, value in job.spec.items() if key not in _UNTOLD}
    return {
        "training": _("job {id}").format(id=job.id),
        "way of training": arm_title(run.arm),
        "seed": run.seed,
        **shared,
        **{key: value for key, value in arm.items() if key != "name"},
    }


def differences(configs: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Any]]]:
    """(setting, its value in each) of what is not the same in all."""
    names = dict.fromkeys(name for config in configs for name in config)
    found = [(name, [config.get(name) for config in configs]) for name in names]
    return [(name, values) for name, values in found if any(v != values[0] for v in values[1:])]


def value_words(value: Any) -> str:
    """A setting's value for people."""
    if value is None or value in ("", []):
        return "–"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(value_words(item) for item in value)
    return choice_title(str(value))


def setting_title(key: str) -> str:
    """A setting as the table names it; in English these are the keys of specs, with spaces."""
    titles = {
        "training": pgettext("setting", "training"),
        "way of training": pgettext("setting", "way of training"),
        "seed": pgettext("setting", "seed"),
        "split_id": pgettext("setting", "split id"),
        "protocol": pgettext("setting", "protocol"),
        "backbone": pgettext("setting", "backbone"),
        "weights": pgettext("setting", "weights"),
        "resolution": pgettext("setting", "resolution"),
        "epochs": pgettext("setting", "epochs"),
        "iterations_per_epoch": pgettext("setting", "iterations per epoch"),
        "batch_size": pgettext("setting", "batch size"),
        "learning_rate": pgettext("setting", "learning rate"),
        "use_undecided": pgettext("setting", "use undecided"),
        "normalisation": pgettext("setting", "normalisation"),
        "label_smoothing": pgettext("setting", "label smoothing"),
        "patience": pgettext("setting", "patience"),
        "views": pgettext("setting", "views"),
        "augmentation": pgettext("setting", "augmentation"),
        "alpha": pgettext("setting", "alpha"),
        "generation_job": pgettext("setting", "generation job"),
        "mixing": pgettext("setting", "mixing"),
        "batch_mix": pgettext("setting", "batch mix"),
        "only_kept": pgettext("setting", "only kept"),
        "t0_set": pgettext("setting", "t0 set"),
        "variants": pgettext("setting", "variants"),
    }
    return titles.get(key) or key.replace("_", " ")


def choice_title(value: str) -> str:
    """A choice of a setting as people read it; names of methods and of networks stay."""
    return {
        "paper": pgettext("choice", "paper"),
        "probe": pgettext("choice", "probe"),
        "finetune": pgettext("choice", "finetune"),
        "own": pgettext("choice", "own"),
        "global": pgettext("choice", "global"),
        "concatenate": pgettext("choice", "concatenate"),
        "only": pgettext("choice", "only"),
        "none": pgettext("choice", "none"),
        "standard": pgettext("choice", "standard"),
        "aerial": pgettext("choice", "aerial"),
        "standard+randaugment": pgettext("choice", "standard+randaugment"),
        "auto": pgettext("choice", "auto"),
        "half": pgettext("choice", "half"),
        "bundled": pgettext("choice", "bundled"),
    }.get(value, value)


class RunsView(QWidget):
    """A line per fit; with two or more chosen, a second table with what differs between them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._runs: list[TrainingRun] = []
        self._jobs: dict[int, Job] = {}
        self._newest: int | None = None
        self.earlier = QCheckBox(_("Earlier trainings too"))
        self.earlier.setToolTip(_("To compare runs across trainings."))
        self.earlier.toggled.connect(lambda _on: self._show())
        self.hint = label(
            _("Choose two runs or more to see what differs between them."), "muted", wrap=True
        )
        self.clear = button(_("Choose none"), lambda: self.table.clearSelection(), "small")
        self.table = PlainTable(
            [_("Way of training"), _("Differs in"), _("Seed"), _("Test accuracy"), _("Best epoch")],
            (2, 3, 4),
        )
        self.table.itemSelectionChanged.connect(self._show_differences)
        self.differences = PlainTable([_("Setting")])
        self.differences.setAccessibleName(_("What differs between the chosen runs"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        head = row(self.earlier, self.hint, self.clear)
        head.setStretch(1, 1)
        layout.addLayout(head)
        layout.addWidget(self.table, 3)
        layout.addWidget(self.differences, 2)
        self._show_differences()

    def show_runs(self, runs: Sequence[TrainingRun], jobs: Sequence[Job]) -> None:
        """Runs of all trainings; the newest training's come first."""
        trainings = {job.id: job for job in jobs if job.kind == "train"}
        newest = max(trainings, default=None)
        order = {
            (job_id, arm["name"]): place
            for job_id, job in trainings.items()
            for place, arm in enumerate(job.spec["arms"])
        }
        known = [run for run in runs if run.job_id in trainings]
        known.sort(key=lambda r: (-r.job_id, order.get((r.job_id, r.arm), 0), r.seed))
        if [r.id for r in known] == [r.id for r in self._runs] and newest == self._newest:
            return
        self._runs, self._jobs, self._newest = known, trainings, newest
        self.earlier.setVisible(len({run.job_id for run in known}) > 1)
        self._show()

    @property
    def shown(self) -> list[TrainingRun]:
        """The runs in the table."""
        return [r for r in self._runs if self.earlier.isChecked() or r.job_id == self._newest]

    def _show(self) -> None:
        several = self.earlier.isChecked()
        self.table.fill([self._cells(run, several=several) for run in self.shown])
        self._show_differences()

    def _cells(self, run: TrainingRun, *, several: bool) -> list[str]:
        record = run.record
        arms: list[dict[str, Any]] = self._jobs[run.job_id].spec["arms"]
        words = arm_words(next((one for one in arms if one["name"] == run.arm), {}))
        if record.get("stopped_at"):
            words = _("{words}; ended by hand after epoch {epoch:,}").format(
                words=words, epoch=record["stopped_at"]
            )
        return [
            arm_title(run.arm),
            _("job {id}: {words}").format(id=run.job_id, words=words) if several else words,
            str(run.seed),
            percent(record["test_accuracy_last"]),
            percent(record["test_accuracy_best_epoch"]),
        ]

    def _show_differences(self) -> None:
        rows = sorted({index.row() for index in self.table.selectionModel().selectedRows()})
        chosen = [self.shown[number] for number in rows if number < len(self.shown)]
        is_shown = len(chosen) > 1
        self.differences.setVisible(is_shown)
        self.clear.setVisible(is_shown)
        self.hint.setVisible(not is_shown and len(self._runs) > 1)
        if not is_shown:
            return
        found = differences([run_config(run, self._jobs[run.job_id]) for run in chosen])
        names = [
            _("{arm}, seed {seed}").format(arm=arm_title(run.arm), seed=run.seed) for run in chosen
        ]
        self.differences.set_columns([_("Setting"), *names])
        self.differences.fill(
            [[setting_title(name), *map(value_words, values)] for name, values in found]
        )


def arm_words(arm: Mapping[str, Any]) -> str:
    """What makes a way of training different from others, in a few words."""
    words = []
    if arm.get("generation_job") is not None:
        words.append(
            _("α {alpha:g}, pictures of job {id}").format(
                alpha=arm.get("alpha", 0), id=arm["generation_job"]
            )
        )
    if arm.get("mixing", "own") != "own":
        words.append(choice_title(arm["mixing"]))
    if arm.get("augmentation", "standard") != "standard":
        words.append(choice_title(arm["augmentation"]))
    if arm.get("batch_mix", "none") != "none":
        words.append(choice_title(arm["batch_mix"]))
    return ", ".join(words) or _("real images only")
