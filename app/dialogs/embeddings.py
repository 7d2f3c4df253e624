"""Token embeddings that were learned elsewhere: which file stands for which class."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QGridLayout,
    QWidget,
)

from app.widgets.parts import button, dialog_layout, label, row, scrolled
from dafusion_core.language import _, ngettext

ENDINGS = (".safetensors", ".pt", ".bin")


def match_files(names: list[str], files: list[Path]) -> dict[str, Path]:
    """{class: file} by name: “leafy_spurge.pt” is for “leafy spurge”."""

    def plain(text: str) -> str:
        return re.sub(r"[\W_]+", "", text.lower())

    by_stem = {plain(file.stem): file for file in files}
    return {name: by_stem[plain(name)] for name in names if plain(name) in by_stem}


class EmbeddingsDialog(QDialog):
    """A line per class.

    Signals:
        chosen(dict): {class: path} when the dialog is accepted; may be empty.
    """

    chosen = Signal(object)

    def __init__(
        self, names: list[str], now: dict[str, Path], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setAcceptDrops(True)
        self._names = names
        self.files: dict[str, Path] = dict(now)
        self._shown = {name: label(_("learned here"), "muted") for name in names}
        self._clear = {}
        lines = QWidget()
        grid = QGridLayout(lines)
        grid.setContentsMargins(0, 0, 8, 0)
        grid.setColumnStretch(1, 1)
        for number, name in enumerate(names):
            choose = button(
                _("Choose…"),
                partial(self._choose, name),
                "small",
                _("A file for {name}").format(name=name),
            )
            choose.setAccessibleName(_("Choose an embedding for {name}").format(name=name))
            clear = button("✕", partial(self.take, name, None), "small", _("Learn it here instead"))
            clear.setAccessibleName(_("Learn {name} here instead").format(name=name))
            self._clear[name] = clear
            grid.addWidget(label(name), number, 0)
            grid.addWidget(self._shown[name], number, 1)
            grid.addWidget(choose, number, 2)
            grid.addWidget(clear, number, 3)
        grid.setRowStretch(len(names), 1)
        scroll = scrolled(lines)
        self.summary = label("", wrap=True)
        layout = dialog_layout(
            self,
            _("Import embeddings"),
            _(
                "Textual inversion files of diffusers, AUTOMATIC1111 or ComfyUI (.safetensors, "
                ".pt, .bin), learned for this base model. Drop them here: files named like a "
                "class find it. Classes without a file are learned from their pictures."
            ),
        )
        layout.addWidget(scroll, 1)
        layout.addWidget(self.summary)
        layout.addLayout(
            row(
                None,
                button(_("Cancel"), self.reject),
                button(_("Use these"), self._accept, "primary"),
            )
        )
        self.resize(560, 420)
        self._show()

    def take(self, name: str, path: Path | None) -> None:
        """A file for a class, None to learn it."""
        if path is None:
            self.files.pop(name, None)
        else:
            self.files[name] = path
        self._show()

    def _show(self) -> None:
        for name, shown in self._shown.items():
            path = self.files.get(name)
            shown.setText(path.name if path else _("learned here"))
            shown.setToolTip(str(path or ""))
            self._clear[name].setVisible(path is not None)
        number = len(self.files)
        self.summary.setText(
            ngettext(
                "{n:,} class of {total} will be read from a file. If test pictures of this project "
                "were among those it was learned from, the verdict will be too good.",
                "{n:,} classes of {total} will be read from a file. If test pictures of this "
                "project were among those they were learned from, the verdict will be too good.",
                number,
            ).format(n=number, total=len(self._names))
            if number
            else _("Every class is learned from its own training pictures.")
        )

    def _choose(self, name: str) -> None:
        endings = " ".join(f"*{ending}" for ending in ENDINGS)
        path, _rest = QFileDialog.getOpenFileName(
            self,
            _("Embedding of {name}").format(name=name),
            "",
            _("Embeddings ({endings})").format(endings=endings),
        )
        if path:
            self.take(name, Path(path))

    def _accept(self) -> None:
        self.chosen.emit(dict(self.files))
        self.accept()

    def _dropped(self, event: QDropEvent) -> list[Path]:
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        return [path for path in paths if path.suffix.lower() in ENDINGS]

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Embedding files."""
        if self._dropped(event):
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()

    def dropEvent(self, event: QDropEvent) -> None:
        """Each file to the class of its name."""
        files = self._dropped(event)
        found = match_files(self._names, files)
        event.accept()
        for name, path in found.items():
            self.take(name, path)
        if len(found) < len(files):
            rest = [file.name for file in files if file not in found.values()]
            self.summary.setText(
                _("No class is named like {names}: choose by hand.").format(names=", ".join(rest))
            )
