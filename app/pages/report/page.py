"""The verdict: did the synthetic images help?"""

from __future__ import annotations

from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.actions import Actions
from app.session import Session
from app.widgets.page import Page
from app.widgets.parts import EmptyState, action_button
from dafusion_core.domain.changes import ProjectChanges


class ReportPage(Page):
    """Sentences first, numbers below."""

    watch = ("runs", "jobs", "curation")

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__(
            session, "Report", "Test accuracy with and without synthetic images, on the same split."
        )
        content = QWidget()
        QVBoxLayout(content)
        self.set_pages(
            content,
            EmptyState(
                "No verdict yet",
                "It comes at the end: classifiers trained with and without synthetic images are "
                "compared on test images that neither has seen.",
                action_button(actions["everything"], "primary"),
            ),
        )

    def refresh(self, changes: ProjectChanges | None) -> None:
        """Read the newest comparison again."""
        self.show_content(bool(self.project.evaluations()))
