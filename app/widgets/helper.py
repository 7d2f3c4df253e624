"""A command of the core in a process of its own, whose answer is JSON: what needs torch or the
network never runs in the window."""

from __future__ import annotations

import json
import sys
from typing import Any

from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, Signal

from dafusion_core.language import current


class Helper(QObject):
    """One command at a time. It is ended with `end`, or with what it belongs to.

    Signals:
        answered(object): the JSON it wrote, None where it wrote none.
    """

    answered = Signal(object)

    #: What runs the commands; tests put another program here.
    program: tuple[str, ...] = (sys.executable, "-m", "dafusion_core")

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._process: QProcess | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a command is at work."""
        return self._process is not None

    def start(self, *arguments: str, online: bool = False) -> None:
        """Run a command with `--json`; `online` lets it reach the hub."""
        process = QProcess(self)
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("DAFUSION_LANGUAGE", current())  # its sentences are shown
        if online:
            environment.remove("HF_HUB_OFFLINE")
        process.setProcessEnvironment(environment)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(lambda _error: self._on_finished())
        self._process = process
        program, *first = self.program
        process.start(program, [*first, *arguments, "--json"])

    def end(self) -> None:
        """End the command without an answer."""
        process, self._process = self._process, None
        if process is not None:
            process.finished.disconnect()
            process.errorOccurred.disconnect()
            process.kill()
            process.waitForFinished(2000)
            process.deleteLater()

    def _on_finished(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        text = bytes(process.readAllStandardOutput().data()).decode("utf-8", "replace")
        process.deleteLater()
        try:
            answer: Any = json.loads(text)
        except ValueError:
            answer = None
        self.answered.emit(answer)
