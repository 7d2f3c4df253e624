"""The command `dafusion`: without arguments the window, with arguments the command line.

Neither Qt nor torch is imported before it is known to be needed, so `dafusion --version` answers
at once and the command line works on machines that have no Qt at all.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from multiprocessing import freeze_support

EXIT_ENVIRONMENT = 3

_NO_WINDOW = """\
The window cannot open: {reason}.
Your projects are untouched, and the other commands work without it: see `dafusion --help`.
{advice}
"""


def main() -> int:
    """Run the program and return its exit code (`dafusion --help` says what each means)."""
    freeze_support()
    if wants_window(sys.argv[1:]):
        return open_window()
    from dafusion_core.cli.main import main as run_command_line

    return run_command_line(sys.argv[1:])


def wants_window(arguments: list[str]) -> bool:
    """True for no arguments, `--project FILE`, and a project file alone (a double click)."""
    if "_DAFUSION_COMPLETE" in os.environ:
        return False  # A shell asks the command line what could be typed next.
    if not arguments or arguments[0].split("=")[0] == "--project":
        return True
    return len(arguments) == 1 and arguments[0].endswith(".dafusion")


def open_window() -> int:
    """Open the window; where it cannot open, say why on stderr and return 3."""
    if is_screen_missing():
        return _refuse(
            "there is no screen here (neither DISPLAY nor WAYLAND_DISPLAY is set)",
            "Start it from a desktop session, or work from the command line.",
        )
    speak()
    try:
        window = import_module("app.main")
    except ImportError as error:
        if not _is_about_qt(error):
            raise
        if isinstance(error, ModuleNotFoundError):
            return _refuse(
                "Qt is not installed",
                "Install it with `pip install PySide6-Essentials`; `dafusion doctor` tells more.",
            )
        return _refuse(
            f"Qt is installed but cannot load ({error})",
            "A system library is missing: `dafusion doctor` says which package to install.",
        )
    return int(window.main(sys.argv))


def speak() -> None:
    """Take the language of the settings, before a module with sentences in it is imported."""
    from dafusion_core.domain.errors import UserError
    from dafusion_core.language import SYSTEM, install
    from dafusion_core.settings import get_str

    try:
        install(get_str("language"))
    except UserError:  # DAFUSION_LANGUAGE names one that there is not
        install(SYSTEM)


def is_screen_missing() -> bool:
    """True on a Linux machine without a display, where Qt would abort the program."""
    if not sys.platform.startswith("linux") or os.environ.get("QT_QPA_PLATFORM"):
        return False
    return not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _is_about_qt(error: ImportError) -> bool:
    top = (error.name or "").split(".")[0]
    return top in {"PySide6", "shiboken6"} or ".so" in str(error) or "DLL" in str(error)


def _refuse(reason: str, advice: str) -> int:
    sys.stderr.write(_NO_WINDOW.format(reason=reason, advice=advice))
    return EXIT_ENVIRONMENT


if __name__ == "__main__":
    raise SystemExit(main())
