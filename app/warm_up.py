"""Loads what the first project will need while the welcome page waits for somebody to choose."""

from __future__ import annotations

from importlib import import_module

from PySide6.QtCore import QObject, QTimer, Slot

DELAY_MS = 150  # the window is painted by then

#: In pieces, so that a click never waits for all of them. Later ones use the earlier ones.
MODULES = (
    "numpy",
    "sqlite_utils",
    "dafusion_core.storage.project",
    "dafusion_core.datasets.pictures",
    "dafusion_core.api",
    "app.session",
    "app.workspace",
    "app.pages.images.page",
    "app.pages.curate.page",
)


class WarmUp(QObject):
    """Imports one module per turn of the event loop. A project that is opened before the end
    imports the rest itself."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._left = list(MODULES)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._step)
        self._timer.start(DELAY_MS)

    @property
    def is_done(self) -> bool:
        """Whether everything is loaded."""
        return not self._left

    def stop(self) -> None:
        """Load nothing more."""
        self._timer.stop()

    @Slot()
    def _step(self) -> None:
        if not self._left:
            return
        try:
            import_module(self._left.pop(0))
        except Exception:
            self._left.clear()  # opening a project meets it again, and says so
        self._timer.start(0)
