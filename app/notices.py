"""Says that long work has ended to somebody who looks at another window."""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QObject, Slot
from PySide6.QtWidgets import QApplication, QSystemTrayIcon, QWidget

from app.pages.welcome.page import app_icon
from app.session import Session
from app.steps import has_unfinished
from dafusion_core.jobs.events import JobFailed, JobFinished, JobStarted
from dafusion_core.language import _
from dafusion_core.settings import get_bool

LONG_S = 20.0  # nobody leaves for less
SHOWN_MS = 10_000


class Notices(QObject):
    """One notice when the last job of a chain is done, or at once when one fails.

    It comes only if the window is not in front, the work took longer than `LONG_S`, and the
    setting is on. Without a place for notices of the system, the window asks for attention in
    the task bar; the sentence is in the message bar either way.
    """

    def __init__(
        self, session: Session, window: QWidget, say: Callable[[str, str], object]
    ) -> None:
        super().__init__(session)
        self._session = session
        self._window = window
        self._say = say
        self._began: float | None = None
        self._tray: QSystemTrayIcon | None = None
        session.jobs.happened.connect(self._on_event)

    @Slot(object)
    def _on_event(self, event: object) -> None:
        if isinstance(event, JobStarted):
            self._began = self._began or time.monotonic()
        elif isinstance(event, JobFailed):
            self._tell(_("Stopped by a problem: {text}").format(text=event.text), "warning")
        elif isinstance(event, JobFinished) and not self._session.is_closing:
            jobs = self._session.project.jobs()
            if has_unfinished(jobs):
                return
            title = next((job.title for job in jobs if job.id == event.job_id), "")
            self._tell(_("Done: {title}.").format(title=title), "info")

    def _tell(self, text: str, kind: str) -> None:
        began, self._began = self._began, None
        is_long = began is not None and time.monotonic() - began >= LONG_S
        if not is_long or self._window.isActiveWindow() or not get_bool("notify"):
            return
        self._say(kind, text)
        if not QSystemTrayIcon.isSystemTrayAvailable():
            QApplication.alert(self._window)
            return
        if self._tray is None:
            self._tray = QSystemTrayIcon(app_icon(), self)
            self._tray.activated.connect(self._window.activateWindow)
            self._tray.messageClicked.connect(self._window.activateWindow)
        self._tray.show()
        icons = QSystemTrayIcon.MessageIcon
        icon = icons.Warning if kind == "warning" else icons.Information
        self._tray.showMessage(self._session.project.name, text, icon, SHOWN_MS)
