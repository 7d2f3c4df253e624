"""Starts the window."""

from __future__ import annotations

import argparse
import locale
import signal
import sys
from multiprocessing import freeze_support
from pathlib import Path

from PySide6.QtCore import QLibraryInfo, QLocale, QTimer, QTranslator
from PySide6.QtWidgets import QApplication

from app.main_window import MainWindow
from app.theme import theme
from dafusion_core import __version__
from dafusion_core.language import ENGLISH, current

#: How long a thread that decodes pictures may keep the interpreter while the window waits for it.
SWITCH_SECONDS = 0.0005


def make_application(argv: list[str]) -> QApplication:
    """The one QApplication, with the style that looks the same everywhere."""
    sys.setswitchinterval(SWITCH_SECONDS)  # Python's own 5 ms are a third of a frame
    found = QApplication.instance()
    app = found if isinstance(found, QApplication) else QApplication(argv)
    # Qt takes over the user's locale for numbers; a worker's “0,5” would not be a number.
    locale.setlocale(locale.LC_NUMERIC, "C")
    app.setApplicationName("DA-Fusion Studio")
    app.setApplicationVersion(__version__)
    app.setStyle("Fusion")
    theme.start(app)
    _translate_qt(app)
    return app


def _translate_qt(app: QApplication) -> None:
    """Qt's own words (Cancel, Yes, the file dialog) in the language of ours."""
    if current() == ENGLISH:
        return
    QLocale.setDefault(QLocale(current()))
    translator = QTranslator(app)
    folder = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
    if translator.load(f"qtbase_{current()}", folder):
        app.installTranslator(translator)


def _obey_signals(app: QApplication) -> None:
    """Ctrl-C in the terminal and a polite kill close the window; running work stays resumable."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: app.exit(0))  # quit() would ask about running work
    # Python looks at signals only between its own instructions, and Qt's loop has none.
    ticks = QTimer(app)
    ticks.timeout.connect(lambda: None)
    ticks.start(250)


def main(argv: list[str]) -> int:
    """Show the window until it is closed. `argv` as in sys.argv: [program, options…]."""
    freeze_support()
    parser = argparse.ArgumentParser("dafusion", description="DA-Fusion Studio")
    parser.add_argument("--project", type=Path, help="open this project")
    parser.add_argument("file", nargs="?", type=Path, help="the same")
    options, rest = parser.parse_known_args(argv[1:])
    app = make_application([argv[0], *rest])
    window = MainWindow()
    window.errors.install()
    window.show()
    window.setFocus()
    path = options.project or options.file
    if path is not None:
        QTimer.singleShot(0, window, lambda: window.take(path))
    _obey_signals(app)
    code = app.exec()
    if window.session is not None:  # the session manager or a signal ended the loop
        window.session.close_now()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
