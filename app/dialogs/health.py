"""What may be wrong with the pictures, each finding with what can be done about it."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QListWidget, QVBoxLayout, QWidget

from app.models.image_list import ImageListModel
from app.session import Session
from app.widgets.parts import button, heading, label, row
from app.widgets.picture_grid import FoldedGrid
from dafusion_core.datasets.health import Finding, Remedy
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.language import _, count

REMEDY_NAMES = {
    Remedy.REJECT: (
        _("Leave out"),
        _("Of copies, all but the first. Files stay; undo takes it back."),
    ),
    Remedy.GROUP: (_("Make them a group"), _("They stay together in every split.")),
    Remedy.SAME_PART: (_("Bring them to one part"), _("A group, all in training or all in test.")),
    Remedy.UNSURE: (_("Mark as not sure"), _("To be looked at later.")),
}


class HealthDialog(QDialog):
    """Findings at the left, the gravest first; their pictures and remedies at the right."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(_("Check pictures"))
        self.resize(900, 580)
        self.session = session
        self.findings: list[Finding] = []
        self.title = heading(_("Looking…"), 1.2)
        self.list = QListWidget()
        self.list.setAccessibleName(_("Findings"))
        self.list.setWordWrap(True)
        self.list.currentRowChanged.connect(self._show)
        self.model = ImageListModel(session.project, self)
        self.grid = FoldedGrid(self.model, session.thumbnails)
        self.grid.setAccessibleName(_("Pictures of the finding"))
        self.text = label("", wrap=True, select=True)
        self.buttons = {
            remedy: button(name, partial(self._apply, remedy), "small", tip)
            for remedy, (name, tip) in REMEDY_NAMES.items()
        }
        self.dismiss = button(
            _("This is fine"),
            self._dismiss,
            "small",
            _("Do not tell this again for these pictures."),
        )
        right = QVBoxLayout()
        right.addWidget(self.text)
        right.addWidget(self.grid, 1)
        right.addLayout(row(*self.buttons.values(), self.dismiss, None))
        both = QHBoxLayout()
        both.setSpacing(14)
        both.addWidget(self.list, 2)
        both.addLayout(right, 3)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 16, 18, 14)
        layout.addWidget(self.title)
        layout.addLayout(both, 1)
        layout.addLayout(row(None, button(_("Close"), self.close)))
        self._show(-1)
        self.look()

    def look(self) -> None:
        """Look again, in the background."""
        self.title.setText(_("Looking at the pictures…"))
        self.session.reads.submit(self.session.project.health, self.show_findings)

    def show_findings(self, findings: list[Finding]) -> None:
        """Fill the list; the place in it stays."""
        chosen = self.list.currentRow()
        self.findings = findings
        self.title.setText(
            count(len(findings), "{n:,} finding", "{n:,} findings")
            if findings
            else _("Nothing to complain about")
        )
        self.list.blockSignals(True)
        self.list.clear()
        for finding in findings:
            self.list.addItem(finding.text)
        self.list.setCurrentRow(min(max(0, chosen), len(findings) - 1))
        self.list.blockSignals(False)
        self._show(self.list.currentRow())

    def _show(self, number: int) -> None:
        finding = self.findings[number] if 0 <= number < len(self.findings) else None
        self.text.setText("\n".join([finding.text, *finding.files[:8]]) if finding else "")
        self.model.show_images(finding.images if finding else ())
        is_writable = not self.session.is_read_only
        for remedy, made in self.buttons.items():
            made.setVisible(bool(finding) and remedy in (finding.remedies if finding else ()))
            made.setEnabled(is_writable)
        self.dismiss.setVisible(finding is not None)
        self.dismiss.setEnabled(is_writable)

    def _current(self) -> Finding | None:
        number = self.list.currentRow()
        return self.findings[number] if 0 <= number < len(self.findings) else None

    def _apply(self, remedy: Remedy) -> None:
        finding = self._current()
        if finding is not None:
            project = self.session.project
            self._do(lambda: project.remedy(finding, remedy))

    def _dismiss(self) -> None:
        finding = self._current()
        if finding is not None:
            project = self.session.project
            self._do(lambda: project.dismiss(finding))

    def _do(self, command: object) -> None:
        def then(_changes: ProjectChanges) -> None:
            self.look()

        self.session.commands.submit(command, then)  # type: ignore[arg-type]

    def keyPressEvent(self, event: object) -> None:
        """Enter does not close."""
        if getattr(event, "key", int)() not in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            super().keyPressEvent(event)  # type: ignore[arg-type]
