"""What to do with running work when the window is closed."""

from __future__ import annotations

import os
import subprocess
import sys
from enum import StrEnum
from pathlib import Path

from PySide6.QtWidgets import QMessageBox, QWidget

from dafusion_core.language import _, count, current


class Closing(StrEnum):
    """The answers."""

    KEEP_RUNNING = "keep running"
    STOP = "stop"
    STAY = "stay"


def running_box(parent: QWidget, number: int, words: str) -> QMessageBox:
    """A question about jobs that are running; `words` say what becomes of them."""
    box = QMessageBox(parent)
    box.setWindowTitle(_("Work is running"))
    box.setIcon(QMessageBox.Icon.Question)
    box.setText(count(number, "{n:,} job is running.", "{n:,} jobs are running."))
    box.setInformativeText(words)
    return box


def ask_closing(parent: QWidget, number: int) -> Closing:
    """Ask. Nothing is lost with any answer."""
    box = running_box(
        parent,
        number,
        _(
            "What is finished is kept either way. Without the window, work goes on until the queue "
            "is empty; opened meanwhile, the project can be looked at but not changed."
        ),
    )
    stop = box.addButton(_("Stop after this step and close"), QMessageBox.ButtonRole.AcceptRole)
    keep = box.addButton(_("Keep running without the window"), QMessageBox.ButtonRole.AcceptRole)
    stay = box.addButton(_("Keep open"), QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(stay)
    box.setEscapeButton(stay)
    box.exec()
    clicked = box.clickedButton()
    if clicked is stop:
        return Closing.STOP
    return Closing.KEEP_RUNNING if clicked is keep else Closing.STAY


def background_command(project: Path) -> list[str]:
    """The command that works through a project's queue without a window."""
    return [sys.executable, "-m", "dafusion_core", "worker", "--project", str(project)]


def run_in_background(project: Path, log: Path) -> None:
    """Work through the queue in a process that outlives this one; what it says goes to `log`."""
    options: dict[str, object] = {}
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS
        options["creationflags"] = flags
    else:
        options["start_new_session"] = True
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(
            background_command(project),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=project.parent,
            env={**os.environ, "DAFUSION_LANGUAGE": current()},
            **options,  # type: ignore[call-overload]
        )
    process.returncode = 0  # it is on its own from here: nobody waits for it
