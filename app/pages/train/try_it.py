"""Drop a picture, see what a trained classifier says."""

from __future__ import annotations

import csv
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QVBoxLayout, QWidget

from app.session import Session
from app.widgets.fields import choice
from app.widgets.parts import button, heading, label, row
from app.widgets.plain_table import PlainTable
from dafusion_core.api.classifiers import job_artefacts, predict
from dafusion_core.domain.records import Job, JobState, TrainingRun
from dafusion_core.evaluation.verdict import percent
from dafusion_core.evaluation.wording import arm_title
from dafusion_core.language import _

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")


class TryItView(QWidget):
    """The answer comes from the worker, as every other work does."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAcceptDrops(True)
        self._session = session
        self._job_id: int | None = None
        self.run = choice({}, _("Classifier"))
        self.zone = QFrame()
        self.zone.setObjectName("card")
        self.title = heading(_("Drop a picture here"), 1.1)
        self.hint = label(_("or a folder of pictures: each gets its answer."), "muted", wrap=True)
        self.choose = button(_("Choose a picture…"), self._choose, "small")
        for made in (self.title, self.hint):
            made.setAlignment(Qt.AlignmentFlag.AlignCenter)
        inner = QVBoxLayout(self.zone)
        inner.addStretch(1)
        inner.addWidget(self.title)
        inner.addWidget(self.hint)
        inner.addLayout(row(None, self.choose, None))
        inner.addStretch(1)
        self.table = PlainTable([_("Picture"), _("Answer"), _("Sure")], (2,))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(row(label(_("Classifier")), self.run, None))
        layout.addWidget(self.zone, 2)
        layout.addWidget(self.table, 3)

    def show_runs(self, runs: list[TrainingRun]) -> None:
        """The classifiers there are."""
        known = [self.run.itemData(i) for i in range(self.run.count())]
        if known != [run.id for run in runs]:
            self.run.clear()
            for run in runs:
                self.run.addItem(
                    _("{arm}, seed {seed}").format(arm=arm_title(run.arm), seed=run.seed), run.id
                )
        is_ready = bool(runs) and not self._session.is_read_only
        self.choose.setEnabled(is_ready)
        if not runs:
            self.hint.setText(_("There is no trained classifier yet."))

    def refresh(self) -> None:
        """Show the answer once it is there."""
        if self._job_id is None:
            return
        job = self._session.project.job(self._job_id)
        if job.state is JobState.SUCCEEDED:
            self._job_id = None
            self._show(job)
        elif job.state.is_terminal:
            self._job_id = None
            self.hint.setText(job.error_text or _("It was stopped."))

    def _show(self, job: Job) -> None:
        project = self._session.project
        rows, tips = [], []
        for artefact in job_artefacts(project, job.id):
            if artefact.role != "table":
                continue
            path = project.file.objects.path(artefact.path)
            with path.open(encoding="utf-8", newline="") as stream:
                for line in csv.DictReader(stream):
                    sure = percent(float(line["confidence"])) if line["confidence"] else ""
                    rows.append([Path(line["path"]).name, line["label"] or line["problem"], sure])
                    skipped = ("path", "label", "confidence", "problem")
                    tips.append("\n".join(f"{k}: {v}" for k, v in line.items() if k not in skipped))
        self.table.fill(rows, tips)
        self.hint.setText(_("Drop another one."))

    def ask(self, path: Path) -> None:
        """Ask the chosen classifier about a picture or a folder."""
        run_id = self.run.currentData()
        if run_id is None or self._session.is_read_only:
            return
        project = self._session.project
        self.hint.setText(_("Asking about {name}…").format(name=path.name))

        def command() -> Job:
            return predict(project, int(run_id), path)

        def then(job: Job) -> None:
            self._job_id = job.id
            self._session.start_queue()

        self._session.commands.submit(command, then)

    def _choose(self) -> None:
        endings = " ".join(f"*{ending}" for ending in ENDINGS)
        name, _rest = QFileDialog.getOpenFileName(
            self, _("A picture"), "", _("Pictures ({endings})").format(endings=endings)
        )
        if name:
            self.ask(Path(name))

    def _dropped(self, event: QDropEvent) -> Path | None:
        for url in event.mimeData().urls():
            path = Path(url.toLocalFile())
            if url.isLocalFile() and (path.is_dir() or path.suffix.lower() in ENDINGS):
                return path
        return None

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Pictures and folders."""
        if self._dropped(event) is not None and self.run.count():
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()

    def dropEvent(self, event: QDropEvent) -> None:
        """Ask about what was dropped."""
        path = self._dropped(event)
        if path is not None:
            event.accept()
            self.ask(path)
