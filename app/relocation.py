"""Copying the project that is open, and moving or renaming it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog, QMessageBox

from app import ui_state
from app.bridge.commands import CommandRunner
from dafusion_core.language import _, count

if TYPE_CHECKING:
    from app.main_window import MainWindow


class Relocation(QObject):
    """Asks where to, does it in the background, says what became of running work.

    A copy is made of the open project. To be moved it is closed first, as after every close its
    work can be resumed; it is then opened at the new place, or at the old one if it did not work.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._wanted: tuple[Path, Path] | None = None
        self._runner: CommandRunner | None = None

    @property
    def is_moving(self) -> bool:
        """Whether a project is on its way: the window must wait."""
        return self._runner is not None

    # Copying ------------------------------------------------------------------------------

    def ask_copy(self) -> None:
        """Where to?"""
        target = self._ask(_("Copy the project to"), _("{stem} copy"))
        if target is not None:
            self.copy(target)

    def copy(self, target: Path) -> None:
        """Copy the open project, as it is now, file and pictures."""
        session = self._window.session
        if session is None:
            return
        project, running = session.project, len(session.running_jobs())
        self._window.bar.say("copying", "info", _("Copying “{name}”…").format(name=project.name))

        def done(path: Path) -> None:
            self._window.bar.remove("copying")
            text = _("Copied to {path}.").format(path=path)
            if running:
                text += " " + count(
                    running,
                    "{n:,} job was running: it goes on here, and can be resumed in the copy too.",
                    "{n:,} jobs were running: they go on here, and can be resumed in the copy too.",
                )
            session.made.emit((text, path.parent))

        session.imports.submit(lambda: project.copy_to(target), done)

    # Moving -------------------------------------------------------------------------------

    def ask_move(self) -> None:
        """Where to?"""
        target = self._ask(_("Move or rename the project to"), "{stem}")
        if target is not None:
            self.move(target)

    def move(self, target: Path) -> None:
        """Close the project, move it, and open it where it is then."""
        session = self._window.session
        if session is None or session.is_read_only:
            return
        running = session.running_jobs() if session.jobs.is_running else []
        if running and not self._may_stop(len(running)):
            return
        self._wanted = session.project.path, target
        self._window.close_project(is_asking=False)

    def _may_stop(self, running: int) -> bool:
        from app.dialogs.closing import running_box

        box = running_box(
            self._window,
            running,
            _(
                "A project cannot be moved while it is worked on. Work stops after this step, "
                "what is finished is kept, and you can resume it at the new place."
            ),
        )
        go = box.addButton(_("Stop and move"), QMessageBox.ButtonRole.AcceptRole)
        stay = box.addButton(_("Do not move"), QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(stay)
        box.setEscapeButton(stay)
        box.exec()
        return box.clickedButton() is go

    def go_on(self) -> None:
        """The project was closed; if that was for moving it, do so."""
        if self._wanted is None:
            return
        from dafusion_core.api.caring import move_project

        (old, target), self._wanted = self._wanted, None
        window = self._window
        window.welcome.setEnabled(False)
        window.statusBar().showMessage(_("Moving “{name}”…").format(name=old.stem))
        self._runner = CommandRunner("move", self)
        self._runner.submit(
            lambda: move_project(old, target),
            lambda new: self._arrived(old, new),
            lambda error: self._stayed(old, error),
        )

    def _arrived(self, old: Path, new: Path) -> None:
        ui_state.forget_project(old)
        self._open(new)
        self._window.bar.say("moved", "info", _("Moved to {path}.").format(path=new))

    def _stayed(self, old: Path, error: Exception) -> None:
        self._open(old)
        self._window.errors.show(error)

    def _open(self, path: Path) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.stop()
            runner.deleteLater()
        self._window.statusBar().clearMessage()
        self._window.welcome.setEnabled(True)
        self._window.open_project(path)

    def _ask(self, title: str, name: str) -> Path | None:
        session = self._window.session
        if session is None:
            return None
        path = session.project.path
        start = path.with_name(name.format(stem=path.stem) + path.suffix)
        found, _rest = QFileDialog.getSaveFileName(
            self._window, title, str(start), _("DA-Fusion Studio projects (*.dafusion)")
        )
        return Path(found) if found else None
