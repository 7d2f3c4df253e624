"""The end of a log file, followed while it grows."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import QDialog, QPlainTextEdit, QVBoxLayout, QWidget

from app.widgets.parts import button, label, row
from dafusion_core.language import _

TAIL_BYTES = 200_000
INTERVAL_MS = 1000


class LogDialog(QDialog):
    """Stays at the end only if it was there, so that reading is not disturbed."""

    def __init__(self, path: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(_("Worker log"))
        self.resize(760, 480)
        self.path = path
        self._seen: tuple[int, float] | None = None
        self.view = QPlainTextEdit()
        self.view.setReadOnly(True)
        self.view.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.view.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        layout = QVBoxLayout(self)
        layout.addWidget(label(str(path), "muted", select=True))
        layout.addWidget(self.view)
        layout.addLayout(
            row(None, button(_("Copy all"), self._copy), button(_("Close"), self.close))
        )
        self._timer = QTimer(self)
        self._timer.setInterval(INTERVAL_MS)
        self._timer.timeout.connect(self.refresh)
        self._timer.start()
        self.refresh()

    def _copy(self) -> None:
        self.view.selectAll()
        self.view.copy()

    def refresh(self) -> None:
        """Read the end of the file again if it has changed."""
        try:
            status = self.path.stat()
            state = (status.st_size, status.st_mtime)
            if state == self._seen:
                return
            with self.path.open("rb") as file:
                file.seek(max(0, status.st_size - TAIL_BYTES))
                text = file.read().decode("utf-8", errors="replace")
        except OSError:
            self.view.setPlaceholderText(_("There is no log yet: no worker has run."))
            return
        self._seen = state
        bar = self.view.verticalScrollBar()
        was_at_end = bar.value() >= bar.maximum() - 2
        old = bar.value()
        self.view.setPlainText(text)
        bar.setValue(bar.maximum() if was_at_end else old)
