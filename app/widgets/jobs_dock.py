"""The queue at the right of the window, always in sight."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, Qt, Slot
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from app.models.job_table import JobTableModel
from app.session import Session
from app.widgets.job_card import JobCard
from app.widgets.parts import button, heading, label, row, scrolled
from app.widgets.usage_bars import UsageBars
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import JobState
from dafusion_core.jobs.events import JobProgress, JobStarted
from dafusion_core.jobs.queue import has_work
from dafusion_core.language import _

SHOWN = 30
WISHED = {"save": _("saving at the next step"), "sample": _("a sample comes after the next step")}


class JobsPanel(QFrame):
    """Cards, the newest chain in the order it runs. Clicks go to the session, states come from
    rows."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("jobsDock")
        self.session = session
        self.model = JobTableModel(session.project, self)
        self.cards: dict[int, JobCard] = {}
        self.device = label("", "muted")
        self.empty = label(
            _(
                "Nothing is queued. Work you start appears here, and goes on while you do other "
                "things."
            ),
            "muted",
            wrap=True,
        )
        self.start_button = button(
            _("Start the queue"), session.start_queue, "small", _("Work on what is waiting.")
        )
        self.start_button.hide()
        self.usage = UsageBars(session)
        self.usage.hide()
        self._cards = QVBoxLayout()
        self._cards.setContentsMargins(0, 0, 0, 0)
        self._cards.setSpacing(8)
        self._cards.addWidget(self.empty)
        self._cards.addStretch(1)
        inner = QWidget()
        inner.setLayout(self._cards)
        scroll = scrolled(inner)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll = scroll
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 14, 12, 10)
        layout.addLayout(row(heading(_("Jobs"), 1.2), None, self.device))
        layout.addWidget(self.usage)
        layout.addWidget(self.start_button)
        layout.addWidget(scroll, 1)
        self.model.dataChanged.connect(self._on_data_changed)
        self.model.rowsInserted.connect(self._rebuild)
        self.model.modelReset.connect(self._rebuild)
        session.changes.changed.connect(self._on_changed)
        session.jobs.happened.connect(self._on_event)
        self.refresh()

    def refresh(self) -> None:
        """Read the rows again."""
        self.model.refresh()
        self.empty.setVisible(self.model.rowCount() == 0)
        self.device.setText(
            _("On {device}").format(device=self.session.device_name)
            if self.session.device_name
            else ""
        )
        self.device.setVisible(bool(self.session.device_name))
        self.usage.setVisible(self.model.is_running)
        is_resting = not self.session.jobs.is_running and not self.session.is_read_only
        self.start_button.setVisible(is_resting and has_work(self.session.project.file.db))

    @Slot(object)
    def _on_changed(self, changes: ProjectChanges) -> None:
        if changes.jobs:
            self.refresh()

    @Slot(object)
    def _on_event(self, event: object) -> None:
        if isinstance(event, JobProgress):
            self.model.note_progress(event)
        elif isinstance(event, JobStarted) and event.job_id in self.cards:
            self._scroll.ensureWidgetVisible(self.cards[event.job_id])

    @Slot()
    def _rebuild(self) -> None:
        first = max(0, self.model.rowCount() - SHOWN)
        wanted = {self.model.view(n).job.id: n for n in range(first, self.model.rowCount())}
        for job_id in [known for known in self.cards if known not in wanted]:
            card = self.cards.pop(job_id)
            self._cards.removeWidget(card)
            card.deleteLater()
        for job_id, number in wanted.items():
            if job_id not in self.cards:
                card = JobCard(self.model.view(number))
                card.asked.connect(self.ask)
                self.cards[job_id] = card
                self._cards.insertWidget(self._cards.count() - 1, card)
        self._show_rows(first, self.model.rowCount() - 1)

    @Slot(QModelIndex, QModelIndex)
    def _on_data_changed(self, top: QModelIndex, bottom: QModelIndex) -> None:
        self._show_rows(top.row(), bottom.row())

    def _show_rows(self, first: int, last: int) -> None:
        for number in range(first, last + 1):
            view = self.model.view(number)
            card = self.cards.get(view.job.id)
            if card is not None:
                card.show_view(view, is_writable=not self.session.is_read_only)

    @Slot(str, int)
    def _put_first(self, job_id: int) -> None:
        project = self.session.project
        waiting = [job.priority for job in project.jobs([JobState.QUEUED])]
        self.session.do(lambda: project.set_priority(job_id, max(waiting, default=0) + 1))

    def ask(self, what: str, job_id: int) -> None:
        """Do what a card's button says."""
        if what in ("cancel", "pause"):
            self.model.note_stopping(job_id)  # the answer to a click must not wait for a worker
        if what == "cancel":
            self.session.cancel(job_id)
        elif what in ("save", "sample"):
            self.session.jobs.wish(job_id, what)
            self.model.note_wish(job_id, WISHED[what])
        elif what == "first":
            self._put_first(job_id)
        elif what == "pause":
            self.session.pause(job_id)
        else:
            self.session.resume([job_id])
