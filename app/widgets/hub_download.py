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
from dafusion_core.language import _

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
        self.bar.setAccessibleName(_("Progress of the download"))
        self.look = button(
            _("Look it up"), self._look, "small", _("Asks huggingface.co for size and licence.")
        )
        self.go = button(
            _("Download"), self._download, "small", _("Goes on where it stopped, if it was begun.")
        )
        self.stop = button(_("Cancel"), self.cancel, "small", _("What has arrived is kept."))
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
            licence = (
                _(", licence: {licence}").format(licence=facts.licence) if facts.licence else ""
            )
            words = words or _("On this computer: {size}{licence}.").format(
                size=size_words(facts.bytes), licence=licence
            )
        self.note.setText(words or _("Not on this computer yet. Nothing is fetched unasked."))
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
        self.note.setText(_("Asking huggingface.co…"))
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
        self.note.setText(
            _("{here} of {total}").format(here=size_words(here), total=size_words(self._bytes))
        )

    def cancel(self) -> None:
        """End the helper; what has arrived stays and the next download goes on from there."""
        self.end()
        here = bytes_here(self.source)
        self._show_idle(
            _("Stopped. {here} are kept.").format(here=size_words(here)) if here else _("Stopped.")
        )

    def end(self) -> None:
        """End the helper without a word."""
        self._watch.stop()
        self.helper.end()

    def _on_answer(self, answer: dict[str, Any] | None) -> None:
        answer = answer or {"error": {"text": _("The helper process did not answer.")}}
        if "error" in answer:
            error = answer["error"]
            self._show_idle(f"{error['text']} {error.get('hint', '')}".strip())
        elif self._is_looking:
            self._bytes = int(answer["bytes"])
            free = _free_words()
            self._show_idle(
                _(
                    "{size}, licence: {licence}. Read it at "
                    "https://huggingface.co/{location} before you download.{free}"
                ).format(
                    size=size_words(self._bytes),
                    licence=answer["licence"],
                    location=self.source.location,
                    free=free,
                )
            )
        else:
            self._show_idle("")
            self.arrived.emit()


def _free_words() -> str:
    folder = hub_cache()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return _(" {free} of disk are free.").format(
            free=size_words(shutil.disk_usage(folder).free)
        )
    except OSError:
        return ""
