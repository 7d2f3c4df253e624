"""Fetching a base model from the hub: size and licence first, then progress, cancel, going on.

A helper process does it, because the window's own process never touches the network; how far it
is shows in the cache folder.
"""

from __future__ import annotations

import shutil
from typing import Any

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from app.costs import size_words
from app.widgets.helper import Helper
from app.widgets.parts import button, label, row
from dafusion_core.api.base_models import bytes_here, describe_model, hub_cache
from dafusion_core.domain.specs import ModelSource

WATCH_MS = 500
STEPS = 1000


class HubDownload(QWidget):
    """What is known of a hub model, and the way to get it.

    Signals:
        arrived(): the model is on this computer now.
    """

    arrived = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.source = ModelSource("hub", "")
        self.helper = Helper(self)
        self.helper.answered.connect(self._on_answer)
        self._is_looking = False
        self._bytes = 0
        self.note = label("", "muted", wrap=True, select=True)
        self.bar = QProgressBar()
        self.bar.setRange(0, STEPS)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress of the download")
        self.look = button(
            "Look it up", self._look, "small", "Asks huggingface.co for size and licence."
        )
        self.go = button(
            "Download", self._download, "small", "Goes on where it stopped, if it was begun."
        )
        self.stop = button("Cancel", self.cancel, "small", "What has arrived is kept.")
        self._watch = QTimer(self)
        self._watch.setInterval(WATCH_MS)
        self._watch.timeout.connect(self._show_progress)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.note)
        layout.addWidget(self.bar)
        layout.addLayout(row(self.look, self.go, self.stop, None))
        self._show_idle("")

    def show_source(self, source: ModelSource) -> None:
        """Speak of another model; a download of the one before ends, what arrived is kept."""
        if source == self.source:
            return
        self.end()
        self.source, self._bytes = source, 0
        self._show_idle("")

    def _show_idle(self, words: str) -> None:
        self._watch.stop()
        self.bar.hide()
        self.stop.hide()
        facts = describe_model(self.source) if self.source.location else None
        if facts is not None:
            licence = f", licence: {facts.licence}" if facts.licence else ""
            words = words or f"On this computer: {size_words(facts.bytes)}{licence}."
        self.note.setText(words or "Not on this computer yet. Nothing is fetched unasked.")
        self.look.setVisible(facts is None and not self._bytes)
        self.look.setEnabled(bool(self.source.location))
        self.go.setVisible(facts is None and bool(self._bytes))

    def _run(self, *arguments: str) -> None:
        name = self.source.location
        if self.source.revision:
            name += f"@{self.source.revision}"
        self.helper.start("models", "download", name, *arguments, online=True)
        self.look.hide()
        self.go.hide()
        self.stop.show()

    def _look(self) -> None:
        self._is_looking = True
        self.note.setText("Asking huggingface.co…")
        self._run("--look")

    def _download(self) -> None:
        self._is_looking = False
        self._run("--yes")
        self.bar.show()
        self._show_progress()
        self._watch.start()

    def _show_progress(self) -> None:
        here = bytes_here(self.source)
        self.bar.setValue(round(STEPS * min(1.0, here / max(1, self._bytes))))
        self.note.setText(f"{size_words(here)} of {size_words(self._bytes)}")

    def cancel(self) -> None:
        """End the helper; what has arrived stays and the next download goes on from there."""
        self.end()
        here = bytes_here(self.source)
        self._show_idle(f"Stopped. {size_words(here)} are kept." if here else "Stopped.")

    def end(self) -> None:
        """End the helper without a word."""
        self._watch.stop()
        self.helper.end()

    def _on_answer(self, answer: dict[str, Any] | None) -> None:
        answer = answer or {"error": {"text": "The helper process did not answer."}}
        if "error" in answer:
            error = answer["error"]
            self._show_idle(f"{error['text']} {error.get('hint', '')}".strip())
        elif self._is_looking:
            self._bytes = int(answer["bytes"])
            free = _free_words()
            self._show_idle(
                f"{size_words(self._bytes)}, licence: {answer['licence']}. Read it at "
                f"https://huggingface.co/{self.source.location} before you download.{free}"
            )
        else:
            self._show_idle("")
            self.arrived.emit()


def _free_words() -> str:
    folder = hub_cache()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return f" {size_words(shutil.disk_usage(folder).free)} of disk are free."
    except OSError:
        return ""
