"""Asks which pictures to export and where to."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QFileDialog,
    QLineEdit,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from app.session import Session
from app.widgets.parts import button, heading, label, row
from dafusion_core.domain.records import Curation


class ExportDialog(QDialog):
    """Kept or all synthetic images, with or without the training photos, to an empty folder."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export pictures")
        self._session = session
        project = session.project
        kept = len(project.synthetic_ids(curation=Curation.KEPT))
        total = len(project.synthetic_ids())
        self.kept = QRadioButton(f"Synthetic images that were kept ({kept:,})")
        self.all = QRadioButton(f"All synthetic images, whatever was decided ({total:,})")
        (self.kept if kept else self.all).setChecked(True)
        self.kept.setEnabled(kept > 0)
        self.real = QCheckBox("Also the training photos")
        self.real.setChecked(True)
        self.folder = QLineEdit(str(project.path.with_name(f"{project.path.stem}-export")))
        self.folder.setAccessibleName("Folder")
        self.start = button("Export", self._export, "primary")
        self.folder.textChanged.connect(lambda text: self.start.setEnabled(bool(text.strip())))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(10)
        layout.addWidget(heading("Export pictures", 1.2))
        layout.addWidget(
            label(
                "Copies go into one folder per class, with a list that says where each came from. "
                "Test images are never exported, so that nobody trains on them by accident.",
                "muted",
                wrap=True,
            )
        )
        for box in (self.kept, self.all, self.real):
            layout.addWidget(box)
        line = row(self.folder, button("Choose…", self._choose))
        line.setStretch(0, 1)
        layout.addLayout(line)
        layout.addLayout(row(None, button("Cancel", self.reject), self.start))
        self.resize(520, self.sizeHint().height())

    def _choose(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder to export to")
        if chosen:
            self.folder.setText(chosen)

    def _export(self) -> None:
        folder = Path(self.folder.text().strip()).expanduser()
        self._session.export(folder, kept_only=self.kept.isChecked(), real=self.real.isChecked())
        self.accept()
