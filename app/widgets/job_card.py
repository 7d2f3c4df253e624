"""A job of the queue: what it does, where it is, and what can be done with it."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from app.models.job_table import JobView
from app.steps import StepState
from app.theme import scaled_font
from app.widgets.parts import button, column, label, row
from app.widgets.state_dot import StateDot
from dafusion_core.domain.records import JobState
from dafusion_core.language import _

_DOTS = {
    JobState.QUEUED: StepState.WAITING,
    JobState.RUNNING: StepState.RUNNING,
    JobState.SUCCEEDED: StepState.DONE,
    JobState.FAILED: StepState.FAILED,
    JobState.CANCELLED: StepState.EMPTY,
    JobState.INTERRUPTED: StepState.PAUSED,
}
STEPS = 1000


class JobCard(QFrame):
    """Follows the job's row: every button is there because of its state, never of a click.

    Signals:
        asked(str, int): "cancel", "pause", "sample", "save", "resume", "retry" or "first", and
            the job's id.
    """

    asked = Signal(str, int)

    def __init__(self, view: JobView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("jobCard")
        self.job_id = view.job.id
        self.dot = StateDot()
        self.title = label("", wrap=True)
        self.title.setFont(scaled_font(self.title.font(), 1.0, bold=True))
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.state = label("", "muted")
        self.detail = label("", "muted", wrap=True)
        self.bar = QProgressBar()
        self.bar.setRange(0, STEPS)
        self.bar.setTextVisible(False)
        self.error = label("", "error", wrap=True, select=True)
        self.buttons = {
            name: button(text, partial(self._ask, name), "small", tip)
            for name, text, tip in (
                ("resume", _("Resume"), _("Go on with what is not done yet.")),
                ("retry", _("Retry"), _("Run again what is not done; finished pieces are kept.")),
                ("first", _("Do first"), _("Take this job before the others that wait.")),
                (
                    "sample",
                    _("Sample now"),
                    _("Show how far it is: pictures from what it knows now."),
                ),
                ("save", _("Save now"), _("Keep where it stands. It also saves by itself.")),
                ("pause", _("Pause"), _("Free the device; finished pieces are kept.")),
                ("cancel", _("Cancel"), _("End this job; finished pieces are kept.")),
            )
        }
        head = row(self.dot, self.title)
        head.setStretch(1, 1)
        head.setAlignment(self.dot, Qt.AlignmentFlag.AlignTop)
        self._button_row = QWidget()
        wishes = [self.buttons[name] for name in ("sample", "save")]
        others = [made for made in self.buttons.values() if made not in wishes]
        self._button_row.setLayout(
            column(row(*wishes, None, spacing=6), row(*others, None, spacing=6), spacing=6)
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 8, 10, 8)
        layout.setSpacing(5)
        layout.addLayout(head)
        layout.addWidget(self.state)
        layout.addWidget(self.bar)
        layout.addWidget(self.detail)
        layout.addWidget(self.error)
        layout.addWidget(self._button_row)
        self.show_view(view, is_writable=True)

    def _ask(self, what: str) -> None:
        self.asked.emit(what, self.job_id)

    def show_view(self, view: JobView, *, is_writable: bool) -> None:
        """Show the job as it is now."""
        job = view.job
        is_active = job.state in (JobState.RUNNING, JobState.QUEUED, JobState.INTERRUPTED)
        is_paused = job.state is JobState.QUEUED and job.is_held
        self.dot.show_state(StepState.PAUSED if is_paused else _DOTS[job.state])
        self.title.setText(job.title)
        self.state.setText(view.state)
        self.bar.setVisible(job.state is JobState.RUNNING or (is_active and job.done > 0))
        self.bar.setValue(round(view.fraction * STEPS))
        self.detail.setText(view.detail)
        self.detail.setVisible(job.state is JobState.RUNNING)
        text = f"{job.error_text or ''} {job.error_hint or ''}".strip()
        shows_error = job.state is JobState.FAILED and bool(text)
        self.error.setText(text)
        self.error.setVisible(shows_error)
        wanted = {
            "resume": view.can_resume,
            "retry": view.can_retry,
            "first": job.state is JobState.QUEUED and not job.is_held and view.can_be_first,
            "sample": view.can_wish,
            "save": view.can_wish,
            "pause": view.can_pause and job.state is JobState.RUNNING,
            "cancel": view.can_cancel,
        }
        for name, is_wanted in wanted.items():
            self.buttons[name].setVisible(is_wanted and is_writable)
        self._button_row.setVisible(is_writable and any(wanted.values()))
        self.setAccessibleName(f"{job.title}: {view.state}, {view.detail}")
