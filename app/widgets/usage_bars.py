"""Thin bars: how busy the processor and how full the memory is while jobs run."""

from __future__ import annotations

from PySide6.QtCore import QTimer, Slot
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QGridLayout, QProgressBar, QWidget

from app.machine import GIB, Usage, read_usage
from app.session import Session
from app.widgets.parts import label
from dafusion_core.language import _

INTERVAL_MS = 2000
STEPS = 1000


class UsageBars(QWidget):
    """Looks every two seconds, only while it can be seen and the queue is worked through."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 4)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(3)
        self._grid.setColumnStretch(1, 1)
        self.lines = {
            key: self._line(number, name)
            for number, (key, name) in enumerate(
                (("processor", _("Processor")), ("memory", _("Memory")), ("gpu", _("Graphics")))
            )
        }
        self._timer = QTimer(self)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(self._look)

    def _line(self, number: int, name: str) -> tuple[QWidget, QProgressBar, QWidget]:
        title, words = label(name, "muted"), label("", "muted")
        bar = QProgressBar()
        bar.setRange(0, STEPS)
        bar.setTextVisible(False)
        bar.setFixedHeight(5)
        bar.setMinimumWidth(24)  # the words beside it are never cut
        for column, widget in enumerate((title, bar, words)):
            self._grid.addWidget(widget, number, column)
            widget.hide()
        return title, bar, words

    def showEvent(self, event: QShowEvent) -> None:
        """Look now, and again and again."""
        super().showEvent(event)
        self._timer.start()
        self._look()

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody sees it."""
        super().hideEvent(event)
        self._timer.stop()

    @Slot()
    def _look(self) -> None:
        if self._session.is_closing or self._session.reads.is_busy:
            return
        device = self._session.device
        self._session.reads.submit(lambda: read_usage(device), self.show_usage, lambda _error: None)

    def show_usage(self, usage: Usage) -> None:
        """Show these numbers."""
        workers = (
            _(", {workers:.1f} by jobs").format(workers=usage.workers / GIB)
            if usage.workers
            else ""
        )
        memory = _("{memory_used:.1f} of {memory_total:.0f} GB").format(
            memory_used=usage.memory_used / GIB, memory_total=usage.memory_total / GIB
        )
        self._show("processor", _("Processor"), usage.processor, f"{usage.processor:.0%}", "")
        share = usage.memory_used / max(1, usage.memory_total)
        self._show("memory", _("Memory"), share, memory, workers)
        if usage.gpu_used is not None and usage.gpu_total:
            gpu = _("{gpu_used:.1f} of {gpu_total:.0f} GB").format(
                gpu_used=usage.gpu_used / GIB, gpu_total=usage.gpu_total / GIB
            )
            busy = (
                _(", {gpu_share:.0%} busy").format(gpu_share=usage.gpu_share)
                if usage.gpu_share is not None
                else ""
            )
            self._show("gpu", _("Graphics card"), usage.gpu_used / usage.gpu_total, gpu, busy)

    def _show(self, key: str, name: str, share: float, words: str, more: str) -> None:
        title, bar, text = self.lines[key]
        bar.setValue(round(min(1.0, max(0.0, share)) * STEPS))
        text.setText(words)  # type: ignore[attr-defined]
        said = f"{name}: {words}{more}"
        for widget in (title, bar, text):
            widget.setToolTip(said)
            widget.setAccessibleName(said)
            widget.show()
