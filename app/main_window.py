"""The frame: menus, welcome or workspace, opening and closing projects. No logic of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import (
    QActionGroup,
    QCloseEvent,
    QDragEnterEvent,
    QDropEvent,
    QKeySequence,
    QShortcut,
)
from PySide6.QtWidgets import (
    QFileDialog,
    QMainWindow,
    QMessageBox,
    QStackedWidget,
    QWidget,
)

import dafusion_core
from app import projects, ui_state
from app.actions import ACTIONS, BOUND_BY_PAGES, GROUP_ENDS, MENUS, Actions, Situation
from app.errors import ErrorPresenter
from app.pages.welcome.page import WelcomePage, app_icon
from app.relocation import Relocation
from app.steps import Step
from app.theme import Mode, theme
from app.warm_up import WarmUp
from app.widgets.drop_zone import dropped_paths
from app.widgets.log_view import LogDialog
from app.widgets.message_bar import MessageBar
from app.widgets.parts import column, label
from app.widgets.shortcuts import ShortcutsDialog
from dafusion_core.domain.errors import DaFusionError
from dafusion_core.language import _

if TYPE_CHECKING:
    from app.session import Session
    from app.workspace import Workspace

TITLE = "DA-Fusion Studio"


class MainWindow(QMainWindow):
    """One window, one project at a time.

    What only an open project needs (pages, the core's storage) is imported when one is opened:
    the window is there in half the time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle(TITLE)
        self.setWindowIcon(app_icon())
        self.setAcceptDrops(True)
        self.resize(1280, 820)
        self.session: Session | None = None
        self.workspace: Workspace | None = None
        self.actions_table = Actions(self)
        self.bar = MessageBar()
        self.errors = ErrorPresenter(self.bar, self)
        self.welcome = WelcomePage(self.actions_table)
        self.welcome.dropped.connect(self.take)
        self.welcome.chosen.connect(self.open_project)
        self.stack = QStackedWidget()
        self.stack.addWidget(self._with_bar())
        self.setCentralWidget(self.stack)
        self.statusBar().setSizeGripEnabled(False)
        self.where = label("", "muted")
        self.statusBar().addPermanentWidget(self.where)
        self._is_leaving = False
        self._goes_on = False  # with its work, after this window is closed
        self.relocation = Relocation(self)
        self._make_menus()
        self._bind()
        self.warm_up = WarmUp(self)
        geometry = ui_state.load_bytes("geometry")
        if geometry is not None:
            self.restoreGeometry(geometry)

    def _with_bar(self) -> QWidget:
        page = QWidget()
        self._welcome_layout = column(self.bar, self.welcome, spacing=0)
        self._welcome_layout.setStretch(1, 1)
        page.setLayout(self._welcome_layout)
        self._welcome_frame = page
        return page

    # Menus --------------------------------------------------------------------------------

    def _make_menus(self) -> None:
        menus = {name: self.menuBar().addMenu(title) for name, title in MENUS.items()}
        for spec in ACTIONS:
            menus[spec.menu].addAction(self.actions_table[spec.key])
            if spec.key in GROUP_ENDS:
                menus[spec.menu].addSeparator()
        modes = QActionGroup(self)
        for mode in Mode:
            action = self.actions_table[mode.value]
            action.setCheckable(True)
            action.setChecked(theme.mode is mode)
            modes.addAction(action)
        for number, step in enumerate(Step, 1):
            shortcut = QShortcut(QKeySequence(f"Alt+{number}"), self)
            shortcut.activated.connect(partial(self._show_step, step))

    def _show_step(self, step: Step) -> None:
        if self.workspace is not None:
            self.workspace.show_step(step)

    def _bind(self) -> None:
        table = self.actions_table
        table.import_from = self._import_from
        acts: dict[str, Callable[[], object]] = {
            "new": self._ask_new,
            "open": self._ask_open,
            "sample": self.open_sample,
            "import": self._ask_import,
            "split": self._ask_split,
            "report": self._ask_report,
            "export": self._ask_export,
            "close": self.close_project,
            "quit": self.close,
            "log": self._show_log,
            "shortcuts": lambda: ShortcutsDialog(self).open(),
            "about": self._show_about,
            "settings": self._show_settings,
            "palette": self._show_palette,
            "jobs_panel": self._toggle_jobs,
            "bundle": self._ask_bundle,
            "copy_project": self.relocation.ask_copy,
            "move_project": self.relocation.ask_move,
        }
        for key, act in acts.items():
            table.bind(key, act)
        for mode in Mode:
            table.bind(mode.value, partial(theme.choose, mode))

    # Asking -------------------------------------------------------------------------------

    def _ask_new(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, _("Folder with one folder per class"))
        if folder:
            self.new_project(Path(folder))

    def _ask_open(self) -> None:
        name, _rest = QFileDialog.getOpenFileName(
            self, _("Open a project"), "", _("DA-Fusion Studio projects (*.dafusion)")
        )
        if name:
            self.open_project(Path(name))

    def _ask_import(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, _("Folder with one folder per class"))
        if folder:
            self._import_from(Path(folder))

    def _ask_split(self) -> None:
        from app.dialogs.split import SplitDialog

        if self.session is not None:
            SplitDialog(self.session, self).open()

    def _ask_report(self) -> None:
        if self.session is None:
            return
        name, _rest = QFileDialog.getSaveFileName(
            self,
            _("Save the report"),
            str(self.session.project.path.with_suffix(".html")),
            _("A page for any browser (*.html);;A document (*.pdf)"),
        )
        if name:
            self.session.save_report(Path(name))

    def _ask_export(self) -> None:
        from app.dialogs.export import ExportDialog

        if self.session is not None:
            ExportDialog(self.session, self).open()

    def _show_log(self) -> None:
        if self.session is not None:
            LogDialog(self.session.log_path(), self).show()

    def _show_settings(self) -> None:
        from app.dialogs.settings import SettingsDialog

        SettingsDialog(self).open()

    def _show_palette(self) -> None:
        from app.dialogs.palette import Palette
        from app.palette_entries import palette_entries

        Palette(palette_entries(self), self).open()

    def _toggle_jobs(self) -> None:
        if self.workspace is not None:
            self.workspace.toggle_jobs()

    def _ask_bundle(self) -> None:
        from app.bundle import write_bundle

        name, _rest = QFileDialog.getSaveFileName(
            self, _("Save the debug bundle"), str(Path.home() / "dafusion-debug.zip"), "*.zip"
        )
        if name:
            try:
                write_bundle(Path(name), self.session.project if self.session else None)
            except OSError as error:
                self.errors.show(error)
            else:
                self.bar.say("bundle", "info", _("Debug bundle saved: {name}").format(name=name))

    def _show_about(self) -> None:
        QMessageBox.about(
            self,
            TITLE,
            _(
                "{title} {version}\n\nData augmentation with diffusion models after Trabucco "
                "et al., “Effective Data Augmentation With Diffusion Models”, ICLR 2024."
            ).format(title=TITLE, version=dafusion_core.__version__),
        )

    # Projects -----------------------------------------------------------------------------

    def take(self, path: Path) -> None:
        """What was dropped or named on the command line: a project, or a folder of pictures."""
        if path.is_dir():
            self.new_project(path)
        else:
            self.open_project(path)

    def new_project(self, folder: Path) -> None:
        """Make a project beside a folder and import it; a project that is there is opened."""
        workspace = self._switch(projects.project_path_for(folder), is_made=True)
        if workspace is not None and workspace.session.project.image_count() == 0:
            workspace.import_folder(folder)

    def open_sample(self) -> None:
        """Open the sample project, made at the first time."""
        workspace = self._switch(projects.sample_project_path(), is_made=True)
        # The parts come last, so they also tell whether an earlier import was stopped.
        if workspace is not None and workspace.session.project.current_split() is None:
            workspace.import_sample()

    def open_project(self, path: Path) -> None:
        """Open a project file."""
        self._switch(path)

    def _switch(self, path: Path, *, is_made: bool = False) -> Workspace | None:
        if self.session is not None:
            self.errors.show(
                DaFusionError(_("Another project is open."), _("Close it first (Ctrl+W)."))
            )
            return None
        from app.session import Session
        from dafusion_core import api

        try:
            is_new = is_made and not path.exists()
            project = api.create(path) if is_new else api.open(path)
        except Exception as error:  # also what sqlite or the file system raise
            self.errors.show(error)
            return None
        self._start(Session(project, self))
        return self.workspace

    def _start(self, session: Session) -> None:
        from app.workspace import Workspace

        self.session = session
        session.failed.connect(self.errors.show)
        session.closed.connect(self._on_closed)
        self.bar.clear()
        self.workspace = Workspace(session, self.actions_table, self.bar)
        self.workspace.situation_changed.connect(self.actions_table.follow)
        self.workspace.said.connect(lambda text: self.statusBar().showMessage(text, 8000))
        self.stack.addWidget(self.workspace)
        self.stack.setCurrentWidget(self.workspace)
        self.workspace.refresh()
        ui_state.remember_project(session.project.path)
        saved = _("{path}  ·  saved automatically").format(path=session.project.path)
        self.where.setText(saved + "  ")
        reading = _(" (read only)") if session.is_read_only else ""
        self.setWindowTitle(f"{session.project.name}{reading} – {TITLE}")

    def _import_from(self, path: Path) -> None:
        if self.workspace is not None and path.is_dir():
            self.workspace.import_folder(path)

    # Closing ------------------------------------------------------------------------------

    def close_project(self, *, is_asking: bool = True) -> bool:
        """Close the project, asking if work is running; False if the user keeps it open."""
        if self.session is None or self.session.is_closing:
            return True
        running = self.session.running_jobs()
        if is_asking and running and self.session.jobs.is_running:
            answer = self._ask_closing(len(running))
            if answer == "stay":
                return False
            self._goes_on = answer == "keep running"
        self.statusBar().showMessage(_("Stopping after this step…"))
        self.setEnabled(False)
        if self.workspace is not None:
            self.workspace.store_layout()
        self.session.close()
        return True

    def _ask_closing(self, number: int) -> str:
        from app.dialogs.closing import ask_closing

        return ask_closing(self, number)

    def _go_on_without_window(self, path: Path, log: Path) -> None:
        from app.dialogs.closing import run_in_background

        try:
            run_in_background(path, log)
        except OSError as error:
            self.errors.show(error)
        else:
            self.bar.say(
                "background",
                "info",
                _("“{stem}” goes on in the background.").format(stem=path.stem),
            )

    def _on_closed(self) -> None:
        self.setEnabled(True)
        session, workspace = self.session, self.workspace
        self.session = self.workspace = None
        goes_on, self._goes_on = self._goes_on, False
        self.actions_table.unbind(*BOUND_BY_PAGES)
        self.bar.clear()
        self._welcome_layout.insertWidget(0, self.bar)
        self.stack.setCurrentWidget(self._welcome_frame)
        if workspace is not None:
            self.stack.removeWidget(workspace)
            workspace.deleteLater()
        if session is not None:
            if goes_on:  # its lock is free now
                log = session.log_path().with_name("background.log")
                self._go_on_without_window(session.project.path, log)
            session.deleteLater()
        self.setWindowTitle(TITLE)
        self.where.setText("")
        self.statusBar().clearMessage()
        self.actions_table.follow(Situation())
        self.welcome.refresh()
        self.relocation.go_on()
        if self._is_leaving:
            # Later, because Qt takes no notice of a close within a close, and where nothing ran
            # this is still the first one.
            QTimer.singleShot(0, self.close)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Close the project first; the window follows when its work has stopped."""
        if self.relocation.is_moving:
            event.ignore()
            return
        if self.session is not None:
            event.ignore()
            self._is_leaving = True  # if nothing is running, the session closes at once
            if not self.close_project():
                self._is_leaving = False
            return
        ui_state.store_bytes("geometry", self.saveGeometry())
        self.errors.uninstall()
        self.welcome.hardware.stop()
        self.warm_up.stop()
        super().closeEvent(event)

    # Drops --------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """A folder or a project can be dropped anywhere."""
        if dropped_paths(event.mimeData()):
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()

    def dropEvent(self, event: QDropEvent) -> None:
        """Import into the open project, or make one."""
        for path in dropped_paths(event.mimeData()):
            if self.session is None:
                self.take(path)
            elif path.is_dir() and not self.session.is_read_only:
                self._import_from(path)
