"""The frame that all pages of a project stand in."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from app.session import Session
from app.widgets.parts import heading, label
from dafusion_core.domain.changes import ProjectChanges


class Page(QWidget):
    """Title, a line below it, a place for buttons at the right, and either content or a hint.

    Pages look at the project again when the bus says that something they `watch` changed, but
    only while they are shown; a hidden page catches up when it is shown.
    """

    #: Fields of ProjectChanges that matter to this page.
    watch: tuple[str, ...] = ()

    def __init__(self, session: Session, title: str, subtitle: str) -> None:
        super().__init__()
        self.session = session
        self.project = session.project
        # So that the keyboard starts here and not in the first field that happens to be there.
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._is_dirty = True
        self._missed: ProjectChanges | None = None
        self.title = heading(title)
        self.subtitle = label(subtitle, "muted", wrap=True)
        self.buttons = QHBoxLayout()
        self.buttons.setSpacing(8)
        head = QHBoxLayout()
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self.title)
        words.addWidget(self.subtitle)
        head.addLayout(words, 1)
        head.addLayout(self.buttons)
        self.stack = QStackedWidget()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(12)
        layout.addLayout(head)
        layout.addWidget(self.stack, 1)
        session.changes.changed.connect(self._on_changed)

    def set_pages(self, content: QWidget, empty: QWidget) -> None:
        """The two things the body can show."""
        self.content, self.empty = content, empty
        self.stack.addWidget(empty)
        self.stack.addWidget(content)

    def show_content(self, has_content: bool) -> None:
        """Content or the hint that says what to do."""
        self.stack.setCurrentWidget(self.content if has_content else self.empty)

    def refresh(self, changes: ProjectChanges | None) -> None:
        """Look at the project again; None means everything may be different."""

    def take_focus(self) -> None:
        """Keys go to this page."""
        self.setFocus()

    def _on_changed(self, changes: ProjectChanges) -> None:
        if not any(getattr(changes, name) for name in self.watch):
            return
        if self.isVisible():
            self.refresh(changes)
        else:
            self._missed = changes if self._missed is None else self._missed | changes

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up."""
        super().showEvent(event)
        if self._is_dirty:
            self._is_dirty = False
            self.refresh(None)
        elif self._missed is not None:
            missed, self._missed = self._missed, None
            self.refresh(missed)
        self._missed = None
