"""Asks which trained classifier to hand on, in which formats, and where to."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QLineEdit,
    QWidget,
)

from app.costs import size_words
from app.session import Session
from app.widgets.parts import button, dialog_layout, folder_row, guard_wheel, label, row
from dafusion_core.api.classifiers import find_run
from dafusion_core.domain.errors import DaFusionError
from dafusion_core.domain.records import TrainingRun
from dafusion_core.evaluation.verdict import percent
from dafusion_core.evaluation.wording import arm_title
from dafusion_core.language import _, count

FORMATS = {
    "safetensors": (
        _("Weights (safetensors)"),
        _("For PyTorch, with this program's own description."),
    ),
    "torchscript": ("TorchScript", _("For PyTorch and libtorch, no other code needed.")),
    "onnx": ("ONNX", _("For other programs and languages.")),
}


class ExportModelDialog(QDialog):
    """What is written stands there before anything is.

    Signals:
        asked(int, list, Path): run id, formats, folder.
    """

    asked = Signal(int, list, object)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        project = session.project
        self._runs = project.runs()
        self._project = project
        self.run = QComboBox()
        self.run.setAccessibleName(_("Classifier"))
        for one in reversed(self._runs):
            right = percent(one.record["test_accuracy_last"])
            words = _("job {id}: {arm}, seed {seed} ({right} of test images)").format(
                id=one.job_id, arm=arm_title(one.arm), seed=one.seed, right=right
            )
            self.run.addItem(words, one.id)
        if self._runs:
            self.run.setCurrentIndex(self.run.findData(find_run(project).id))
        guard_wheel(self.run)
        self.boxes = {}
        for key, (text, tip) in FORMATS.items():
            box = QCheckBox(text)
            box.setToolTip(tip)
            box.setChecked(key != "torchscript")
            box.toggled.connect(lambda _on: self._summarise())
            self.boxes[key] = box
        self.folder = QLineEdit(str(project.path.with_name(f"{project.path.stem}-classifier")))
        self.folder.textChanged.connect(lambda _t: self._summarise())
        self.run.currentIndexChanged.connect(lambda _i: self._summarise())
        self.summary = label("", wrap=True)
        self.problem = label("", "error", wrap=True)
        self.go = button(_("Export"), self._export, "primary")
        layout = dialog_layout(
            self,
            _("Export a classifier"),
            _(
                "Every file is loaded again and must answer as the network does on all test "
                "images; otherwise it is not kept."
            ),
        )
        layout.addWidget(self.run)
        for box in self.boxes.values():
            layout.addWidget(box)
        layout.addLayout(folder_row(self.folder, _("Folder to export to")))
        layout.addWidget(self.summary)
        layout.addWidget(self.problem)
        layout.addStretch(1)
        layout.addLayout(row(None, button(_("Cancel"), self.reject), self.go))
        self._summarise()
        self.resize(560, self.sizeHint().height())

    @property
    def formats(self) -> list[str]:
        """What is ticked."""
        return [key for key, box in self.boxes.items() if box.isChecked()]

    @property
    def chosen(self) -> TrainingRun | None:
        """The run that is chosen."""
        return next((one for one in self._runs if one.id == self.run.currentData()), None)

    def _summarise(self) -> None:
        run, formats = self.chosen, self.formats
        problem = ""
        if run is None:
            problem = _("There is no trained classifier yet. Train one first.")
        elif not formats:
            problem = _("Tick at least one format.")
        elif not self.folder.text().strip():
            problem = _("Say which folder to write to.")
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        self.go.setEnabled(not problem)
        if run is None or problem:
            self.summary.setText("")
            return
        target = Path(self.folder.text().strip()).expanduser()
        names = [target_name(run, key) for key in formats]
        there = [name for name in names if (target / name).exists()]
        try:
            each = self._project.file.objects.path(run.path).stat().st_size
        except (OSError, DaFusionError):
            each = 0
        words = (
            _("This writes {files}, about {size}, into {target}: {names}.")
            if target.is_dir()
            else _("This writes {files}, about {size}, into the new folder {target}: {names}.")
        )
        text = words.format(
            files=count(len(names), "{n:,} file", "{n:,} files"),
            size=size_words(each * len(names)),
            target=target,
            names=", ".join(names),
        )
        if there:
            text += " " + _("{names} will be replaced.").format(names=", ".join(there))
        self.summary.setText(text)

    def _export(self) -> None:
        folder = Path(self.folder.text().strip()).expanduser()
        self.asked.emit(int(self.run.currentData()), self.formats, folder)
        self.accept()


ENDINGS = {"safetensors": ".safetensors", "torchscript": ".pt", "onnx": ".onnx"}


def target_name(run: TrainingRun, form: str) -> str:
    """“classifier-DA-Fusion-seed0.onnx”."""
    arm = "".join(c if c.isalnum() or c in "-_" else "-" for c in run.arm)
    return f"classifier-{arm}-seed{run.seed}{ENDINGS[form]}"
