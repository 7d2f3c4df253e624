"""Asks which pictures to export and where to."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QLineEdit,
    QRadioButton,
    QWidget,
)
from shiboken6 import isValid

from app.costs import size_words
from app.session import Session
from app.widgets.fields import choice
from app.widgets.parts import button, dialog_layout, folder_row, label, row
from dafusion_core.datasets.export import UNFINISHED
from dafusion_core.datasets.export_forms import EXPORT_FORMS
from dafusion_core.domain.records import Curation, Part
from dafusion_core.language import _, count


class ExportDialog(QDialog):
    """Kept or all synthetic images, with or without the training photos, to an empty folder."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        project = session.project
        kept = len(project.synthetic_ids(curation=Curation.KEPT))
        total = len(project.synthetic_ids())
        self.kept = QRadioButton(_("Synthetic images that were kept ({kept:,})").format(kept=kept))
        self.all = QRadioButton(
            _("All synthetic images, whatever was decided ({total:,})").format(total=total)
        )
        (self.kept if kept else self.all).setChecked(True)
        self.kept.setEnabled(kept > 0)
        self.real = QCheckBox(_("Also the training photos"))
        self.real.setChecked(True)
        forms = {key: text[:1].upper() + text[1:] for key, text in EXPORT_FORMS.items()}
        self.form = choice(forms, _("Form"))
        photos = project.current_split()
        self._numbers = (kept, total, photos.counts.get("train", 0) if photos else 0)
        self._bytes: tuple[int, int, int] | None = None
        session.reads.submit(self._weigh, self._take_weights)
        self.summary = label("", wrap=True)
        for made in (self.kept, self.real):
            made.toggled.connect(lambda _on: self._summarise())
        self.folder = QLineEdit(str(project.path.with_name(f"{project.path.stem}-export")))
        self.start = button(_("Export"), self._export, "primary")
        self.problem = label("", "error", wrap=True)
        self.folder.textChanged.connect(lambda _text: self._summarise())
        self.form.currentIndexChanged.connect(lambda _i: self._summarise())
        layout = dialog_layout(
            self,
            _("Export pictures"),
            _(
                "Copies go into one folder per class, with a list that says where each came from. "
                "Test images are never exported, so that nobody trains on them by accident."
            ),
        )
        for box in (self.kept, self.all, self.real):
            layout.addWidget(box)
        layout.addWidget(self.form)
        layout.addLayout(folder_row(self.folder, _("Folder to export to")))
        layout.addWidget(self.summary)
        layout.addWidget(self.problem)
        self._summarise()
        layout.addLayout(row(None, button(_("Cancel"), self.reject), self.start))
        self.resize(520, self.sizeHint().height())

    def _summarise(self) -> None:
        kept, total, photos = self._numbers
        synthetic = kept if self.kept.isChecked() else total
        real = photos if self.real.isChecked() else 0
        text = self.folder.text().strip()
        folder = Path(text).expanduser()
        problem = _problem(text, folder, synthetic + real)
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        self.start.setEnabled(not problem)
        size = ""
        if self._bytes is not None:
            heavy = self._bytes[0 if self.kept.isChecked() else 1]
            heavy += self._bytes[2] if self.real.isChecked() else 0
            size = _(", about {size}").format(size=size_words(heavy))
        words = (
            _(
                "This writes {images} and {photos}{size}, into that folder, and a list of where "
                "each came from."
            )
            if folder.is_dir()
            else _(
                "This writes {images} and {photos}{size}, into a new folder, and a list of where "
                "each came from."
            )
        )
        self.summary.setText(
            words.format(
                images=count(synthetic, "{n:,} synthetic image", "{n:,} synthetic images"),
                photos=count(real, "{n:,} training photo", "{n:,} training photos"),
                size=size,
            )
        )

    def _weigh(self) -> tuple[int, int, int]:
        """Bytes of kept and of all synthetic images, and of the training photos."""
        project = self._session.project
        made = project.synthetic(project.synthetic_ids())
        sizes = {one.id: _size(project.synthetic_path(one)) for one in made}
        kept = sum(sizes[one.id] for one in made if one.curation is Curation.KEPT)
        photos = project.images(part=Part.TRAIN) if project.current_split() else []
        real = sum(_size(project.image_path(photo)) for photo in photos)
        return kept, sum(sizes.values()), real

    def _take_weights(self, found: tuple[int, int, int]) -> None:
        self._bytes = found
        if isValid(self):
            self._summarise()

    def _export(self) -> None:
        folder = Path(self.folder.text().strip()).expanduser()
        self._session.export(
            folder,
            kept_only=self.kept.isChecked(),
            real=self.real.isChecked(),
            form=self.form.currentData(),
        )
        self.accept()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _problem(text: str, folder: Path, number: int) -> str:
    """Why this cannot be written, "" if it can."""
    if not number:
        return _("There is nothing to write: no picture is chosen.")
    if not text:
        return _("Say which folder to write to.")
    if folder.is_file():
        return _("That is a file. Choose a folder.")
    try:
        is_full = folder.is_dir() and any(p.name[:1] != "." for p in folder.iterdir())
    except OSError as error:
        return _("That folder cannot be read: {reason}.").format(reason=error.strerror or error)
    # An export that was stopped goes on in its own folder.
    if is_full and not (folder / UNFINISHED).exists():
        return _("That folder is not empty: choose another, so that nothing is written over.")
    return ""
