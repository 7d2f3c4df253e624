"""One background thread for what writes to the project or reads much of it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from PySide6.QtCore import QObject, Signal, Slot

from dafusion_core.domain.changes import ProjectChanges

T = TypeVar("T")


class CommandRunner(QObject):
    """Runs commands one after another, away from the window's thread.

    Commands that return ProjectChanges announce them by themselves.

    Signals:
        changed(ProjectChanges): a command changed the project.
        failed(Exception): a command raised; nothing else was done.
        progressed(tuple): what a command reported with `report`.
    """

    changed = Signal(object)
    failed = Signal(object)
    progressed = Signal(object)
    _returned = Signal(object)

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._pending = 0
        self.should_stop = threading.Event()
        self._returned.connect(self._on_returned)
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether a command is running or waiting, or its result not delivered yet."""
        return self._pending > 0

    def submit(
        self,
        command: Callable[[], T],
        then: Callable[[T], Any] | None = None,
        otherwise: Callable[[Exception], Any] | None = None,
    ) -> None:
        """Run `command` in the background, then `then(result)` in the window's thread.

        `otherwise(error)` takes the place of the `failed` signal. After `stop` nothing is run.
        """
        if self.should_stop.is_set():
            return
        self._pending += 1

        def work() -> None:
            try:
                result = command()
            except Exception as error:
                self._returned.emit((otherwise or self.failed.emit, error, None))
            else:
                self._returned.emit((then, result, result))

        self._work.put(work)

    def report(self, *values: Any) -> None:
        """For commands: send `values` to the window's thread."""
        self.progressed.emit(values)

    def stop(self) -> None:
        """Finish what was submitted (commands that look at `should_stop` end early) and end."""
        self.should_stop.set()
        if self._thread.is_alive():
            self._work.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    @Slot(object)
    def _on_returned(self, answer: tuple[Callable[[Any], Any] | None, Any, Any]) -> None:
        callback, value, result = answer
        self._pending -= 1
        if self.should_stop.is_set():
            return  # The project is being closed; who would have looked at the result is gone.
        if isinstance(result, ProjectChanges):
            self.changed.emit(result)
        if callback is not None:
            callback(value)
