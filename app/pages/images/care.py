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
from app.text import count
from app.widgets.parts import button, dialog_layout, label, row
from dafusion_core.api.caring import Freed, Verified
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import DaFusionError

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
            ("verify", "Check all files", "Are they there, and what they were?",
             self.verify, False),
            ("locate", "Find missing files…", "Looks below a folder, by contents, not by name.",
             self._ask_locate, True),
            ("merge", "Take in another project…",
             "Its pictures, with all that is said of them.",
             partial(opened, "Another project", PROJECTS, self.merge), True),
            ("copy", "Copy the project…", "File and pictures, to another place.",
             partial(saved, "Copy to", PROJECTS, self.copy_to), False),
            ("archive", "Archive to one file…", "A zip with everything, to keep or to send.",
             partial(saved, "Pack into", "*.zip", self.archive), False),
            ("empty", "Empty the rejected…", "Deletes rejected pictures for good; ends undo.",
             self._ask_empty, True),
            ("shrink", "Shrink", "Deletes files that nothing needs any more.",
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
        self.lines.setAccessibleName("Files")
        self.lines.hide()
        layout = dialog_layout(self, "Project care", spacing=12)
        layout.addLayout(grid)
        layout.addWidget(self.outcome)
        layout.addWidget(self.lines, 1)
        layout.addStretch(0)
        layout.addLayout(row(None, button("Close", self.close)))
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
            lines = [f"missing: {what}, {path}" for what, path in found.missing]
            lines += [f"changed: {what}, {path}" for what, path in found.changed]
            return found.sentence, lines

        self._work("Checking", work)

    def locate(self, folder: Path) -> None:
        """Look for missing pictures below a folder."""

        def work() -> Answer:
            found, missing = self.project.locate(folder)
            text = f"{count(found, 'picture')} found again"
            text += f", {len(missing):,} still missing." if missing else "; none is missing now."
            return text, [str(path) for _image_id, path in missing]

        self._work("Looking", work, changes=True)

    def merge(self, path: Path) -> None:
        """Take another project in."""

        def work() -> Answer:
            report = self.project.import_data(self.project.plan_merge(path))
            lines = [f"{problem.path}: {problem.reason}" for problem in report.problems]
            return report.sentence, lines

        self._work("Taking it in", work, changes=True)

    def copy_to(self, path: Path) -> None:
        """Copy the project."""
        self._work("Copying", lambda: (f"Copied: {self.project.copy_to(path)}", []))

    def archive(self, path: Path) -> None:
        """Pack the project into one file."""
        self._work("Packing", lambda: (f"Packed: {self.project.archive(path)}", []))

    def empty(self) -> None:
        """Delete the rejected for good."""
        self._work("Emptying", lambda: _told(self.project.empty_rejected()), changes=True)

    def shrink(self) -> None:
        """Delete stray files."""
        self._work("Shrinking", lambda: _told(self.project.shrink()))

    # Asking -------------------------------------------------------------------------------

    def _ask_locate(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Look for the pictures in")
        if folder:
            self.locate(Path(folder))

    def _ask_path(self, ask: Any, title: str, ending: str, act: Callable[[Path], None]) -> None:
        name: str = ask(self, title, str(self.project.path.parent), ending)[0]
        if name:
            act(Path(name))

    def _ask_empty(self) -> None:
        answer = QMessageBox.question(
            self,
            "Empty the rejected",
            "Rejected synthetic pictures, and rejected photos that nothing was made from, are "
            "deleted with their files. This cannot be undone, and what was done before can no "
            "longer be undone either.",
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.Cancel,
            QMessageBox.StandardButton.Cancel,
        )
        if answer == QMessageBox.StandardButton.Yes:
            self.empty()


def _told(freed: Freed) -> Answer:
    return freed.sentence, []
