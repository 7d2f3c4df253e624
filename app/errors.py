"""How problems reach the user: a line for what they can do something about, a dialog for bugs."""

from __future__ import annotations

import platform
import sys
import traceback
from collections.abc import Callable
from types import TracebackType

from PySide6 import __version__ as pyside_version
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMessageBox, QWidget

import dafusion_core
from app.widgets.message_bar import MessageBar, sentence
from dafusion_core.domain.errors import (
    DaFusionError,
    Interruption,
    UserError,
    describe_error,
)
from dafusion_core.language import _

Hook = Callable[[type[BaseException], BaseException, TracebackType | None], None]


def details_of(error: BaseException) -> str:
    """What a developer needs: versions and the trace."""
    return "\n".join(
        [
            f"DA-Fusion Studio {dafusion_core.__version__}, Python {platform.python_version()}, "
            f"PySide6 {pyside_version}, {platform.platform()}",
            "",
            "".join(traceback.format_exception(error)).rstrip(),
        ]
    )


class ErrorPresenter(QObject):
    """Shows errors on the message bar (user, environment) or in a dialog (bug).

    `install` also catches what nobody caught. Exceptions of other threads are brought to the
    window's thread first.
    """

    _caught = Signal(object)

    def __init__(self, bar: MessageBar, window: QWidget) -> None:
        super().__init__(window)
        self._bar = bar
        self._window = window
        self._dialog: QMessageBox | None = None
        self._previous: Hook | None = None
        self._caught.connect(self.show)

    def install(self) -> None:
        """Take over sys.excepthook."""
        self._previous = sys.excepthook
        sys.excepthook = self._hook

    def uninstall(self) -> None:
        """Give it back."""
        if self._previous is not None:
            sys.excepthook = self._previous
            self._previous = None

    def _hook(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if self._previous is not None:
            self._previous(kind, error, trace)  # also to stderr, for who started us there
        if isinstance(error, Exception):
            self._caught.emit(error)

    def show(self, error: BaseException) -> None:
        """Present an error as what it is."""
        if isinstance(error, Interruption):
            return
        kind, text, hint = describe_error(error)
        is_known = isinstance(error, DaFusionError | OSError | MemoryError)
        if is_known:
            level = "warning" if isinstance(error, UserError) else "error"
            details = "" if isinstance(error, UserError) else details_of(error)
            # The same problem twice is one line.
            self._bar.say(f"error-{kind}-{text}", level, sentence(text, hint), details=details)
            return
        self._show_bug(text, error)

    def _show_bug(self, text: str, error: BaseException) -> None:
        if self._dialog is not None:
            return  # One mistake often causes many; the first tells most.
        box = QMessageBox(self._window)
        box.setIcon(QMessageBox.Icon.Critical)
        box.setWindowTitle(_("Something went wrong"))
        box.setText(text)
        box.setInformativeText(
            _(
                "This is a mistake in the program, not yours. What was finished is saved. "
                "You can go on; if it comes back, please report it with the details."
            )
        )
        box.setDetailedText(details_of(error))
        copy = box.addButton(_("Copy details"), QMessageBox.ButtonRole.ActionRole)
        copy.clicked.disconnect()
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(details_of(error)))
        box.addButton(QMessageBox.StandardButton.Close)
        box.finished.connect(self._forget_dialog)
        self._dialog = box
        box.open()

    def _forget_dialog(self) -> None:
        if self._dialog is not None:
            self._dialog.deleteLater()
            self._dialog = None
