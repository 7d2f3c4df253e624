"""Which base model to work with: the bundled one, a folder, one file, or a hub id."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QLineEdit, QVBoxLayout, QWidget

from app.costs import size_words
from app.widgets.fields import choice
from app.widgets.hub_download import HubDownload
from app.widgets.parts import button, label, row
from dafusion_core.api.base_models import describe_model
from dafusion_core.domain.specs import ModelSource
from dafusion_core.language import _

KINDS = {
    "bundled": _("Bundled model"),
    "folder": _("A diffusers folder…"),
    "file": _("One .safetensors file…"),
    "hub": _("A model of huggingface.co…"),
}
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
NOTES = {
    "bundled": _(
        "Comes with the program, for trying everything in minutes. Its pictures are small."
    ),
    "folder": _("The folder that has model_index.json, of Stable Diffusion 1.x or 2.x."),
    "file": _("A checkpoint of Stable Diffusion 1.x or 2.x."),
    "hub": _("For example stable-diffusion-v1-5/stable-diffusion-v1-5."),
}


class ModelPicker(QWidget):
    """Signals:
    changed(): another model was chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setAcceptDrops(True)
        self.kind = choice(KINDS, _("Base model"))
        self.place = QLineEdit()
        self.place.setAccessibleName(_("Where the base model is"))
        self.browse = button(
            _("Choose…"), self._browse, "small", _("Choose the folder or the file.")
        )
        self.note = label("", "muted", wrap=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.kind)
        self._line = QWidget()
        self._line.setLayout(row(self.place, self.browse))
        layout.addWidget(self._line)
        layout.addWidget(self.note)
        self.hub = HubDownload()
        self.hub.arrived.connect(self._show)
        layout.addWidget(self.hub)
        self.kind.currentIndexChanged.connect(lambda _i: self._show())
        self.place.textChanged.connect(lambda _t: self._show())
        self._show()

    @property
    def source(self) -> ModelSource:
        """What is chosen."""
        kind = cast(Literal["bundled", "folder", "file", "hub"], self.kind.currentData())
        return ModelSource(kind, "" if kind == "bundled" else self.place.text().strip())

    @property
    def problem(self) -> str:
        """Why it cannot be used, "" if it seems that it can."""
        source = self.source
        if source.kind == "bundled":
            return ""
        if not source.location:
            return _("Say where the base model is.")
        path = Path(source.location).expanduser()
        if source.kind == "folder" and not (path / "model_index.json").is_file():
            return _("That folder has no model_index.json, so it is not a diffusers model.")
        if source.kind == "file" and not path.is_file():
            return _("There is no such file.")
        if source.kind == "hub" and not HUB_ID.fullmatch(source.location):
            return _("Ids look like owner/name.")
        if source.kind == "hub" and describe_model(source) is None:
            return _("This model is not on this computer yet: look it up and download it first.")
        return ""

    @property
    def facts(self) -> str:
        """Size and licence of what is chosen, "" where they are not known."""
        found = describe_model(self.source) if not self.problem else None
        if found is None:
            return ""
        size = f"{found.resolution} px, " if found.resolution else ""
        licence = found.licence or _("not stated; ask whoever made it")
        return size + _("{size}, licence: {licence}.").format(
            size=size_words(found.bytes), licence=licence
        )

    def _show(self) -> None:
        kind = self.kind.currentData()
        self._line.setVisible(kind != "bundled")
        self.browse.setVisible(kind in ("folder", "file"))
        problem = self.problem
        is_hub = kind == "hub"
        self.hub.setVisible(is_hub and bool(HUB_ID.fullmatch(self.place.text().strip())))
        self.hub.show_source(self.source if is_hub else ModelSource("hub", ""))
        says_problem = bool(problem) and bool(self.place.text()) and not self.hub.isVisibleTo(self)
        facts = "" if is_hub else self.facts
        self.note.setText(problem if says_problem else f"{NOTES[kind]} {facts}".strip())
        self.changed.emit()

    def _dropped(self, event: QDropEvent) -> Path | None:
        for url in event.mimeData().urls():
            path = Path(url.toLocalFile())
            is_model = (path / "model_index.json").is_file() or path.suffix == ".safetensors"
            if url.isLocalFile() and is_model:
                return path
        return None

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """A diffusers folder, or a checkpoint; pictures go to the window."""
        if self._dropped(event) is not None:
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()
        else:
            event.ignore()

    def dropEvent(self, event: QDropEvent) -> None:
        """Take it as the base model."""
        path = self._dropped(event)
        if path is not None:
            event.accept()
            kind = "folder" if path.is_dir() else "file"
            self.kind.setCurrentIndex(self.kind.findData(kind))
            self.place.setText(str(path))

    def _browse(self) -> None:
        if self.kind.currentData() == "folder":
            name = QFileDialog.getExistingDirectory(self, _("Folder of a diffusers model"))
        else:
            name, _rest = QFileDialog.getOpenFileName(
                self, _("Checkpoint"), "", _("Checkpoints (*.safetensors)")
            )
        if name:
            self.place.setText(name)
