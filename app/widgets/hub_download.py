"""Fetching a base model from the hub: size and licence first, then a job of the queue.

A helper process asks the hub, because the window's own process never touches the network; how far
a download is shows in the cache folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from app.costs import size_words
from app.widgets.helper import Helper
from app.widgets.parts import button, label, row
from dafusion_core.api.base_models import bytes_here, describe_model, hub_cache
from dafusion_core.domain.records import Job, JobState
from dafusion_core.domain.specs import ModelSource
from dafusion_core.language import _

WATCH_MS = 500
STEPS = 1000


class HubDownload(QWidget):
    """What is known of a hub model, and the way to get it.

    Signals:
        arrived(): the model is on this computer now.
        wanted(ModelSource, int): the user agreed to download it; the int is its bytes.
        unwanted(int): the job that downloads it shall be cancelled.
    """

    arrived = Signal()
    wanted = Signal(object, object)
    unwanted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.source = ModelSource("hub", "")
        self.helper = Helper(self)
        self.helper.answered.connect(self._on_answer)
        self._job: Job | None = None
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
        """Speak of another model; a download of the one before goes on."""
        if source == self.source:
            return
        self.end()
        self.source, self._bytes, self._job = source, 0, None
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

    def _look(self) -> None:
        self.note.setText(_("Asking huggingface.co…"))
        name = self.source.location
        if self.source.revision:
            name += f"@{self.source.revision}"
        self.helper.start("models", "download", name, "--look", online=True)
        self.look.hide()
        self.stop.show()

    def _download(self) -> None:
        self.go.hide()
        self.note.setText(_("Starting…"))
        self.wanted.emit(self.source, self._bytes)

    def follow(self, jobs: Sequence[Job]) -> None:
        """Show the newest download of this model, if there is one."""
        mine = [
            job
            for job in jobs
            if job.kind == "download" and job.spec["model"] == self.source.to_dict()
        ]
        if not mine or self.helper.is_busy:
            return
        before, job = self._job, mine[-1]
        self._job = job
        self._bytes = int(job.spec["bytes"]) or self._bytes
        if job.state in (JobState.QUEUED, JobState.RUNNING) and not job.is_held:
            self.look.hide()
            self.go.hide()
            self.stop.show()
            self.bar.show()
            self._show_progress()
            self._watch.start()
        elif before is None or before.state is not job.state or before.is_held != job.is_held:
            self._show_idle(_ended_words(job))
            if job.state is JobState.SUCCEEDED:
                self.arrived.emit()

    def _show_progress(self) -> None:
        here = bytes_here(self.source)
        self.bar.setValue(round(STEPS * min(1.0, here / max(1, self._bytes))))
        words = _("{here} of {total}").format(here=size_words(here), total=size_words(self._bytes))
        if self._job is not None and self._job.state is JobState.QUEUED:
            words = _("{words}; next in the queue.").format(words=words)
        self.note.setText(words)

    def cancel(self) -> None:
        """End the download, or the question; what has arrived stays and the next one goes on."""
        is_asking = self.helper.is_busy
        self.end()
        if is_asking or self._job is None:
            self._show_idle("")
        else:
            self.note.setText(_("Stopping…"))
            self.unwanted.emit(self._job.id)

    def end(self) -> None:
        """End the helper without a word."""
        self._watch.stop()
        self.helper.end()

    def _on_answer(self, answer: dict[str, Any] | None) -> None:
        answer = answer or {"error": {"text": _("The helper process did not answer.")}}
        if "error" in answer:
            error = answer["error"]
            self._show_idle(f"{error['text']} {error.get('hint', '')}".strip())
        else:
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


def _ended_words(job: Job) -> str:
    """What to say of a download that is not at work, "" where the model is all there is to say."""
    if job.state is JobState.FAILED:
        text = job.error_text or _("It did not work.")
        return f"{text} {job.error_hint or ''}".strip()
    here = bytes_here(ModelSource.from_dict(job.spec["model"]))
    if job.state is JobState.SUCCEEDED or not here:
        return ""
    return _("Stopped. {here} are kept.").format(here=size_words(here))


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
