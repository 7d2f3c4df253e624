"""Deciding which synthetic images may train: grid, loupe, filters, counts."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtWidgets import QCheckBox, QComboBox, QStackedWidget, QVBoxLayout, QWidget

from app.actions import Actions
from app.models.curation_grid import CurationGridModel
from app.pages.curate.grid import CurationGrid
from app.pages.curate.loupe import Loupe
from app.session import Session
from app.steps import newest
from app.text import count
from app.widgets.page import Page
from app.widgets.parts import EmptyState, action_button, label, row
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import Curation, Job
from dafusion_core.settings import Settings, get_bool

ALL = "All classes"


class CuratePage(Page):
    """Keys P, X and U decide on the selection, or on the focused picture."""

    watch = ("synthetic", "curation", "jobs", "concepts")

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__(
            session,
            "Curate",
            "Keep what shows the class, reject what does not. "
            "Rejected pictures stay on disk but never train.",
        )
        self.model = CurationGridModel(self.project, self)
        self.grid = CurationGrid(self.model, session.thumbnails)
        self.loupe = Loupe(self.model, session.thumbnails)
        self.views = QStackedWidget()
        self.views.addWidget(self.grid)
        self.views.addWidget(self.loupe)
        self.job_box = QComboBox()
        self.job_box.setAccessibleName("Generation")
        self.job_box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.class_box = QComboBox()
        self.class_box.setAccessibleName("Class")
        self.class_box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.undecided_box = QCheckBox("Only rows with undecided")
        self.advance_box = QCheckBox("Go on after a decision")
        self.advance_box.setToolTip("After P or X, move to the next picture.")
        self.advance_box.setChecked(get_bool("auto_advance"))
        self.counts = label("", "muted")
        self.decisions = [
            action_button(actions[key], "small", text)
            for key, text in (
                ("keep", "Keep  (P)"),
                ("reject", "Reject  (X)"),
                ("undecide", "Undecided  (U)"),
            )
        ]
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(row(self.job_box, self.class_box, self.undecided_box, None, self.counts))
        layout.addWidget(self.views, 1)
        layout.addLayout(row(*self.decisions, None, self.advance_box))
        self.set_pages(
            content,
            EmptyState(
                "Nothing to curate yet",
                "Synthetic images appear here while they are being made, "
                "each beside the photo it started from.",
                action_button(actions["everything"], "primary"),
            ),
        )
        self._connect(actions)

    def _connect(self, actions: Actions) -> None:
        self.job_box.currentIndexChanged.connect(self._on_job_chosen)
        self.class_box.currentIndexChanged.connect(self._filter)
        self.undecided_box.toggled.connect(self._filter)
        self.advance_box.toggled.connect(lambda on: Settings().set("auto_advance", on))
        self.grid.opened.connect(self._open_loupe)
        self.grid.selectionModel().currentChanged.connect(self._follow)
        self.loupe.closed.connect(self._close_loupe)
        self.loupe.moved.connect(self._move_loupe)
        keys = {
            "keep": lambda: self._decide(Curation.KEPT),
            "reject": lambda: self._decide(Curation.REJECTED),
            "undecide": lambda: self._decide(Curation.UNDECIDED),
            "next_undecided": lambda: self.grid.advance(1, only_undecided=True),
            "previous_undecided": lambda: self.grid.advance(-1, only_undecided=True),
        }
        for key, act in keys.items():
            action = actions[key]
            # Letters must not fire while somebody types elsewhere.
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            self.addAction(action)
            actions.bind(key, act)

    # Looking ------------------------------------------------------------------------------

    def refresh(self, changes: ProjectChanges | None) -> None:
        """Take in what is new; nothing that is shown moves."""
        if changes is None or changes.jobs:
            self._refresh_jobs()
        if changes is None or changes.concepts:
            self._refresh_classes()
        if changes is not None and self.model.job_id is not None:
            ids = changes.synthetic_ids
            if changes.synthetic and not ids:
                self._show_job(self.model.job_id)
            elif changes.synthetic:
                self.model.take_new(ids)
            if changes.curation:
                self.model.take_decisions(ids)
        self.show_content(self.model.job_id is not None)
        self._refresh_counts()
        if self.isVisible() and self.views.currentWidget() is self.grid:
            self.grid.focus_first()

    def _refresh_jobs(self) -> None:
        jobs = [job for job in self.project.jobs() if job.kind == "generate"]
        known = [self.job_box.itemData(i) for i in range(self.job_box.count())]
        if [job.id for job in reversed(jobs)] == known:
            return
        shown = self.model.job_id
        followed_newest = not known or shown == known[0]
        self.job_box.blockSignals(True)
        self.job_box.clear()
        for job in reversed(jobs):
            self.job_box.addItem(_job_name(job), job.id)
        latest = newest(jobs, "generate")
        wanted = latest.id if latest and (followed_newest or shown is None) else shown
        self.job_box.setCurrentIndex(max(0, self.job_box.findData(wanted)))
        self.job_box.setVisible(len(jobs) > 1)
        self.job_box.blockSignals(False)
        self._show_job(self.job_box.currentData())

    def _refresh_classes(self) -> None:
        chosen = self.class_box.currentData()
        self.class_box.blockSignals(True)
        self.class_box.clear()
        self.class_box.addItem(ALL, None)
        for concept in self.project.concepts():
            self.class_box.addItem(concept.name, concept.id)
        self.class_box.setCurrentIndex(max(0, self.class_box.findData(chosen)))
        self.class_box.blockSignals(False)

    def _on_job_chosen(self) -> None:
        self._show_job(self.job_box.currentData())
        self._refresh_counts()

    def _show_job(self, job_id: int | None) -> None:
        focused = self._focused_id()
        self.model.show_job(job_id)
        self.grid.go_to(self.model.index_of(focused) if focused else QModelIndex())

    def _filter(self) -> None:
        focused = self._focused_id()
        self.model.set_filter(self.class_box.currentData(), self.undecided_box.isChecked())
        if focused:
            self.grid.go_to(self.model.index_of(focused))
        self.grid.focus_first()
        self._refresh_counts()

    def _focused_id(self) -> int | None:
        cell = self.model.cell(self.grid.currentIndex())
        return cell.synthetic_id if cell else None

    def _refresh_counts(self) -> None:
        totals = dict.fromkeys(Curation, 0)
        waiting = 0
        for column in self.model.counts():
            waiting += column.waiting
            for curation, number in column.by_curation.items():
                totals[curation] += number
        words = [
            f"{totals[Curation.KEPT]:,} kept",
            f"{totals[Curation.REJECTED]:,} rejected",
            f"{totals[Curation.UNDECIDED]:,} undecided",
        ]
        if waiting:
            words.append(f"{waiting:,} to come")
        self.counts.setText(" · ".join(words))
        self.grid.header.refresh_counts()

    # Deciding -----------------------------------------------------------------------------

    def _decide(self, curation: Curation) -> None:
        if self.session.is_read_only:
            return
        ids = self.grid.chosen_ids()
        if not ids:
            return
        project = self.project
        command = {
            Curation.KEPT: project.keep,
            Curation.REJECTED: project.reject,
            Curation.UNDECIDED: project.undecide,
        }[curation]
        self.session.do(lambda: command(ids))
        # Nothing leaves the grid, so the neighbour is simply the next cell; a decision on a
        # whole selection leaves the selection, to be seen and perhaps changed.
        if len(ids) == 1 and curation is not Curation.UNDECIDED and self.advance_box.isChecked():
            self.grid.advance()

    # Loupe --------------------------------------------------------------------------------

    def _open_loupe(self, index: QModelIndex) -> None:
        self.loupe.show_picture(index)
        self.views.setCurrentWidget(self.loupe)
        self.loupe.setFocus()

    def _close_loupe(self) -> None:
        self.views.setCurrentWidget(self.grid)
        self.grid.setFocus()

    def _move_loupe(self, step: int) -> None:
        self.grid.advance(step)

    def _follow(self, index: QModelIndex) -> None:
        if self.views.currentWidget() is self.loupe and index.isValid():
            self.loupe.show_picture(index)

    def focus_grid(self) -> None:
        """Keys go to the pictures."""
        is_loupe = self.views.currentWidget() is self.loupe
        (self.loupe if is_loupe else self.grid).setFocus()
        self.grid.focus_first()


def _job_name(job: Job) -> str:
    return f"Job {job.id}: {count(job.total, 'picture')}"
