"""The one place where views learn that the project changed."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal, Slot

from dafusion_core.domain.changes import ProjectChanges

COALESCE_MS = 250


class ChangeBus(QObject):
    """Every page subscribes here and nowhere else.

    Signals:
        changed(ProjectChanges): something in the project is different now.
    """

    changed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting: ProjectChanges | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(COALESCE_MS)
        self._timer.timeout.connect(self.flush)

    @Slot(object)
    def publish(self, changes: ProjectChanges | None) -> None:
        """Tell everybody now; what was waiting goes first, so that order is kept."""
        if changes is None or changes == ProjectChanges():
            return
        self.flush()
        self.changed.emit(changes)

    def publish_soon(self, changes: ProjectChanges) -> None:
        """Tell everybody within a quarter of a second, together with what else comes until then.

        A worker can finish hundreds of units a second; views should look four times a second.
        """
        self._waiting = changes if self._waiting is None else self._waiting | changes
        if not self._timer.isActive():
            self._timer.start()

    def close(self) -> None:
        """Tell nothing any more: the project is closed."""
        self._waiting = None
        self._timer.stop()
        self.blockSignals(True)

    @Slot()
    def flush(self) -> None:
        """Tell what is waiting."""
        waiting, self._waiting = self._waiting, None
        self._timer.stop()
        if waiting is not None:
            self.changed.emit(waiting)
