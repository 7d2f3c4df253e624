"""Looking after a project: files checked and found again, room made, copies, other projects."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QGridLayout,
    QListWidget,
    QMessageBox,
    QPushButton,
    QWidget,
)

from app.session import Session
from app.widgets.parts import button, dialog_layout, label, row
from dafusion_core.api.caring import Freed, Verified
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import DaFusionError
from dafusion_core.language import _, ngettext

PROJECTS = "*.dafusion"
Answer = tuple[str, list[str]]  # a sentence, and lines below it
EVERYTHING = ProjectChanges(
    images=True, regions=True, splits=True, concepts=True, synthetic=True, curation=True
)


class CareDialog(QDialog):
    """A line per verb, what came of the last one below. Work is done in the background."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.resize(620, 520)
        self.session = session
        self.project = session.project
        self.is_gone = False
        self.buttons: dict[str, QPushButton] = {}
        opened = partial(self._ask_path, QFileDialog.getOpenFileName)
        saved = partial(self._ask_path, QFileDialog.getSaveFileName)
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        grid.setVerticalSpacing(9)
        grid.setColumnStretch(1, 1)
        verbs: tuple[tuple[str, str, str, Callable[[], None], bool], ...] = (
            ("verify", _("Check all files"), _("Are they there, and what they were?"),
             self.verify, False),
            ("locate", _("Find missing files…"),
             _("Looks below a folder, by contents, not by name."),
             self._ask_locate, True),
            ("merge", _("Take in another project…"),
             _("Its pictures, with all that is said of them."),
             partial(opened, _("Another project"), PROJECTS, self.merge), True),
            ("copy", _("Copy the project…"), _("File and pictures, to another place."),
             partial(saved, _("Copy to"), PROJECTS, self.copy_to), False),
            ("archive", _("Archive to one file…"), _("A zip with everything, to keep or to send."),
             partial(saved, _("Pack into"), "*.zip", self.archive), False),
            ("empty", _("Empty the rejected…"), _("Deletes rejected pictures for good; ends undo."),
             self._ask_empty, True),
            ("shrink", _("Shrink"), _("Deletes files that nothing needs any more."),
             self.shrink, True),
        )  # fmt: skip
        for line, (key, text, what, act, writes) in enumerate(verbs):
            made = button(text, act)
            made.setAccessibleDescription(what)
            made.setEnabled(not (writes and session.is_read_only))
            self.buttons[key] = made
            grid.addWidget(made, line, 0)
            grid.addWidget(label(what, "muted", wrap=True), line, 1)
        self.outcome = label("", wrap=True, select=True)
        self.lines = QListWidget()
        self.lines.setAccessibleName(_("Files"))
        self.lines.hide()
        layout = dialog_layout(self, _("Project care"), spacing=12)
        layout.addLayout(grid)
        layout.addWidget(self.outcome)
        layout.addWidget(self.lines, 1)
        layout.addStretch(0)
        layout.addLayout(row(None, button(_("Close"), self.close)))
        self.finished.connect(self._forget)
        self.finished.connect(self.deleteLater)

    def _forget(self) -> None:
        """Closed: what is still being done goes on, and its answer finds nobody."""
        self.is_gone = True

    def _work(self, doing: str, work: Callable[[], Answer], changes: bool = False) -> None:
        able = [made for made in self.buttons.values() if made.isEnabled()]
        for made in able:
            made.setEnabled(False)
        self.lines.hide()
        self.outcome.setText(f"{doing}…")

        def show(text: str, lines: list[str]) -> None:
            if changes:
                self.session.changes.publish(EVERYTHING)
            if self.is_gone:
                return
            for made in able:
                made.setEnabled(True)
            self.outcome.setText(text)
            self.lines.clear()
            self.lines.addItems(lines)
            self.lines.setVisible(bool(lines))

        def refuse(error: Exception) -> None:
            if self.is_gone or not isinstance(error, DaFusionError):
                self.session.failed.emit(error)
            show(str(error), [])

        self.session.imports.submit(work, lambda answer: show(*answer), refuse)

    # Verbs --------------------------------------------------------------------------------

    def verify(self) -> None:
        """Are all files there, and what they were?"""

        def work() -> Answer:
            found: Verified = self.project.verify()
            lines = [
                _("missing: {what}, {path}").format(what=what, path=path)
                for what, path in found.missing
            ]
            lines += [
                _("changed: {what}, {path}").format(what=what, path=path)
                for what, path in found.changed
            ]
            return found.sentence, lines

        self._work(_("Checking"), work)

    def locate(self, folder: Path) -> None:
        """Look for missing pictures below a folder."""

        def work() -> Answer:
            found, missing = self.project.locate(folder)
            words = (
                ngettext(
                    "{n:,} picture found again, {missing:,} still missing.",
                    "{n:,} pictures found again, {missing:,} still missing.",
                    found,
                )
                if missing
                else ngettext(
                    "{n:,} picture found again; none is missing now.",
                    "{n:,} pictures found again; none is missing now.",
                    found,
                )
            )
            text = words.format(n=found, missing=len(missing))
            return text, [str(path) for _image_id, path in missing]

        self._work(_("Looking"), work, changes=True)

    def merge(self, path: Path) -> None:
        """Take another project in."""

        def work() -> Answer:
            report = self.project.import_data(self.project.plan_merge(path))
            lines = [f"{problem.path}: {problem.reason}" for problem in report.problems]
            return report.sentence, lines

        self._work(_("Taking it in"), work, changes=True)

    def copy_to(self, path: Path) -> None:
        """Copy the project."""
        self._work(
            _("Copying"),
            lambda: (_("Copied: {path}").format(path=self.project.copy_to(path)), []),
        )

    def archive(self, path: Path) -> None:
        """Pack the project into one file."""
        self._work(
            _("Packing"),
            lambda: (_("Packed: {path}").format(path=self.project.archive(path)), []),
        )

    def empty(self) -> None:
        """Delete the rejected for good."""
        self._work(_("Emptying"), lambda: _told(self.project.empty_rejected()), changes=True)

    def shrink(self) -> None:
        """Delete stray files."""
        self._work(_("Shrinking"), lambda: _told(self.project.shrink()))

    # Asking -------------------------------------------------------------------------------

    def _ask_locate(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, _("Look for the pictures in"))
        if folder:
            self.locate(Path(folder))

    def _ask_path(self, ask: Any, title: str, ending: str, act: Callable[[Path], None]) -> None:
        name: str = ask(self, title, str(self.project.path.parent), ending)[0]
        if name:
            act(Path(name))

    def _ask_empty(self) -> None:
        answer = QMessageBox.question(
            self,
            _("Empty the rejected"),
            _(
                "Rejected synthetic pictures, and rejected photos that nothing was made from, are "
                "deleted with their files. This cannot be undone, and what was done before can no "
                "longer be undone either."
            ),
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.Cancel,
            QMessageBox.StandardButton.Cancel,
        )
        if answer == QMessageBox.StandardButton.Yes:
            self.empty()


def _told(freed: Freed) -> Answer:
    return freed.sentence, []
