"""Asks which pictures to export and where to."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFileDialog,
    QLineEdit,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from app.session import Session
from app.text import count
from app.widgets.parts import button, guard_wheel, heading, label, row
from dafusion_core.datasets.export_forms import EXPORT_FORMS
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
        self.form = QComboBox()
        self.form.setAccessibleName("Form")
        for key, text in EXPORT_FORMS.items():
            self.form.addItem(text[:1].upper() + text[1:], key)
        guard_wheel(self.form)
        photos = project.current_split()
        self._numbers = (kept, total, photos.counts.get("train", 0) if photos else 0)
        self.summary = label("", wrap=True)
        for made in (self.kept, self.real):
            made.toggled.connect(lambda _on: self._summarise())
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
        layout.addWidget(self.form)
        layout.addWidget(self.summary)
        self._summarise()
        line = row(self.folder, button("Choose…", self._choose))
        line.setStretch(0, 1)
        layout.addLayout(line)
        layout.addLayout(row(None, button("Cancel", self.reject), self.start))
        self.resize(520, self.sizeHint().height())

    def _summarise(self) -> None:
        kept, total, photos = self._numbers
        synthetic = kept if self.kept.isChecked() else total
        real = photos if self.real.isChecked() else 0
        self.summary.setText(
            f"This writes {count(synthetic, 'synthetic image')} and "
            f"{count(real, 'training photo')}, and a list of where each came from."
        )

    def _choose(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder to export to")
        if chosen:
            self.folder.setText(chosen)

    def _export(self) -> None:
        folder = Path(self.folder.text().strip()).expanduser()
        self._session.export(
            folder,
            kept_only=self.kept.isChecked(),
            real=self.real.isChecked(),
            form=self.form.currentData(),
        )
        self.accept()
