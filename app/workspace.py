"""What is shown while a project is open: rail, pages, jobs, and the lines above the pages."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QTimer, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from app import ui_state
from app.actions import Actions, Situation
from app.notices import Notices
from app.pages.shelf import KEYS_OF_PAGES, MAIN_KEYS, PageShelf, make_page
from app.plans import DEFAULTS, main_verb, queue_missing, stopped_jobs
from app.session import Session
from app.steps import Facts, Step, StepStatus, derive_states, gather_facts
from app.steps import has_unfinished as jobs_unfinished
from app.verbs import MAIN_TEXTS, MainVerb
from app.widgets.jobs_dock import JobsPanel
from app.widgets.message_bar import MessageBar
from app.widgets.page import Page
from app.widgets.rail import Rail
from dafusion_core.datasets.importing import ImportReport
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import Job, JobState
from dafusion_core.language import _, ngettext

if TYPE_CHECKING:
    from app.pages.curate.page import CuratePage
    from app.pages.images.page import ImagesPage

#: Below this width the jobs are as narrow as they can be.
SMALL = 1180

#: How often the pictures that are in already are shown while others are still being imported.
IMPORT_SHOW_S = 2.0


class Workspace(QWidget):
    """One open project.

    Signals:
        situation_changed(Situation): which actions can be used may have changed.
        said(str): a short sentence for the status line.
    """

    situation_changed = Signal(object)
    said = Signal(str)

    def __init__(self, session: Session, actions: Actions, bar: MessageBar) -> None:
        super().__init__()
        self.session = session
        self.actions_table = actions
        self.bar = bar
        self.states: dict[Step, StepStatus] = {}
        self.main_verb = MainVerb.EVERYTHING
        self._shown_at = 0.0
        self.rail = Rail(actions["everything"])
        self.stack = QStackedWidget()
        self.pages = PageShelf(self._make_page)
        for key, step in KEYS_OF_PAGES.items():
            actions.bind(key, partial(self._make_and_run, step, key))
        self.jobs = JobsPanel(session)
        middle = QWidget()
        middle_layout = QVBoxLayout(middle)
        middle_layout.setContentsMargins(0, 0, 0, 0)
        middle_layout.setSpacing(0)
        middle_layout.addWidget(bar)
        middle_layout.addWidget(self.stack, 1)
        self.splitter = QSplitter()
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(1)
        self.splitter.addWidget(middle)
        self.splitter.addWidget(self.jobs)
        self.splitter.setStretchFactor(0, 1)
        self.jobs.setMinimumWidth(230)
        self.splitter.setSizes([900, 270])
        stored = ui_state.load_bytes("splitter")
        if stored is not None:
            self.splitter.restoreState(stored)
        self.jobs.setVisible(ui_state.load_text("jobs", "on") == "on")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.rail)
        layout.addWidget(self.splitter, 1)
        # States need a few queries; many small changes in a row need them once.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(60)
        self._soon.timeout.connect(self._refresh_behind)
        self._after_files = QTimer(self)
        self._after_files.setSingleShot(True)
        self._after_files.setInterval(250)
        self._after_files.timeout.connect(self._look_after_files)
        self.rail.chosen.connect(self.show_step)
        session.changes.changed.connect(self._on_changed)
        session.imported.connect(self._on_import_progress)
        session.made.connect(self._on_made)
        session.failed.connect(self._on_failed)
        session.lost.connect(self._on_lost)
        actions.bind("step", self._do_step)
        actions.bind("everything", self.do_next)
        actions.bind("regions", self._mark_regions)
        actions.bind("care", self._show_care)
        actions.bind("undo", lambda: session.do(session.project.undo))
        actions.bind("redo", lambda: session.do(session.project.redo))
        self.notices = Notices(session, self, lambda kind, text: bar.say("notice", kind, text))
        self.show_step(self._last_step())
        self._greet()

    # Layout -------------------------------------------------------------------------------

    def store_layout(self) -> None:
        """Remember where things are for the next start."""
        ui_state.store_bytes("splitter", self.splitter.saveState())
        ui_state.store_text("jobs", "on" if self.jobs.isVisibleTo(self) else "off")
        ui_state.store_text("step", f"{self.step.value}|{self.session.project.path}")

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A small window leaves its room to the page."""
        super().resizeEvent(event)
        least = self.jobs.minimumWidth()
        if self.width() < SMALL and self.jobs.width() > least and self.jobs.isVisibleTo(self):
            self.splitter.setSizes([self.splitter.width() - least, least])

    def toggle_jobs(self) -> None:
        """Show or hide the jobs; work goes on either way."""
        self.jobs.setVisible(not self.jobs.isVisibleTo(self))

    def _last_step(self) -> Step:
        """The step shown last, if it was in this project."""
        name, _, path = ui_state.load_text("step").partition("|")
        is_same = path == str(self.session.project.path)
        return Step(name) if is_same and name in set(Step) else Step.IMAGES

    # Pages --------------------------------------------------------------------------------

    def _make_page(self, step: Step) -> Page:
        page = make_page(step, self.session, self.actions_table)
        self.stack.addWidget(page)
        return page

    def _make_and_run(self, step: Step, key: str) -> None:
        """An action whose page was not there yet: the page binds it to what it does."""
        if not self.pages.is_made(step):
            _made = self.pages[step]
            self.actions_table.run(key)

    def _do_step(self) -> None:
        """Press the main button of the page shown, if it can be pressed."""
        self.actions_table[MAIN_KEYS[self.step]].trigger()

    def show_step(self, step: Step) -> None:
        """Show the page of a step."""
        page = self.pages[step]
        self.stack.setCurrentWidget(page)
        self.rail.select(step)
        page.take_focus()

    def _show_care(self) -> None:
        from app.pages.images.care import CareDialog

        CareDialog(self.session, self).open()

    def _mark_regions(self) -> None:
        self.show_step(Step.IMAGES)
        cast("ImagesPage", self.pages[Step.IMAGES]).open_editor()

    @property
    def step(self) -> Step:
        """The step whose page is shown."""
        return self.pages.step_of(self.stack.currentWidget())

    @property
    def curate(self) -> CuratePage:
        """The curation page."""
        return cast("CuratePage", self.pages[Step.CURATE])

    def refresh(self) -> None:
        """Derive the states of the steps and of the actions from the rows."""
        if self.session.is_closing:
            return
        self._show_facts(gather_facts(self.session.project, self.session.imports.is_busy))

    def _refresh_behind(self) -> None:
        """The same without holding the window up; what changes meanwhile is looked at after."""
        if self.session.is_closing:
            return
        if self.session.reads.is_busy:
            self._soon.start()
            return
        project, is_importing = self.session.project, self.session.imports.is_busy
        self.session.reads.submit(lambda: gather_facts(project, is_importing), self._show_facts)

    def _show_facts(self, facts: Facts) -> None:
        self.states = derive_states(facts)
        self.rail.show_states(self.states)
        self.main_verb = main_verb(facts, self.states, self.session.jobs.is_running)
        self.rail.hint.setText(MAIN_TEXTS[self.main_verb][1])
        self.situation_changed.emit(self._situation(facts))
        if facts.is_importing:
            self._after_files.start()

    def _look_after_files(self) -> None:
        """Reports and copies are written by the thread that imports, and announce no change."""
        if self.session.imports.is_busy:
            self._after_files.start()
        elif not self.session.is_closing:
            self._soon.start()

    def _situation(self, facts: Facts) -> Situation:
        project = self.session.project
        return Situation(
            has_project=True,
            is_read_only=project.is_read_only,
            has_images=facts.images > 0,
            is_importing=facts.is_importing,
            is_busy=jobs_unfinished(facts.jobs) and self.session.jobs.is_running,
            main=self.main_verb,
            has_pictures=sum(facts.curation.values()) > 0,
            has_verdict=bool(facts.evaluations),
            undo_text=project.undo_text(),
            redo_text=project.redo_text(),
        )

    def _on_changed(self, changes: ProjectChanges) -> None:
        if changes.text:
            self.said.emit(changes.text)
        if not self._soon.isActive():
            self._soon.start()

    # Work ---------------------------------------------------------------------------------

    def do_next(self) -> None:
        """What the main button says: queue the whole path, go on, or repeat what is stale."""
        project = self.session.project
        self.bar.remove("resume")
        if self.main_verb is MainVerb.RESUME:
            self.session.resume([job.id for job in stopped_jobs(project.jobs())])
        elif self.main_verb is MainVerb.CATCH_UP:
            states = dict(self.states)
            self.session.run(lambda: queue_missing(project, states))
        elif self.main_verb is MainVerb.EVERYTHING:
            self.session.run(lambda: project.plan_chain(DEFAULTS))
            self.show_step(Step.CURATE)

    def import_folder(self, folder: Path) -> None:
        """Import in the background; the page fills when it is done."""
        self.session.import_folder(folder, self._on_imported)
        self._say_importing(_("Importing “{name}”…").format(name=folder.name))

    def import_sample(self) -> None:
        """Draw the sample pictures and import them, in the background."""
        self.session.import_sample(self._on_imported)
        self._say_importing(_("Drawing the sample pictures…"))

    def _say_importing(self, text: str) -> None:
        self.bar.say("import", "info", text, [(_("Stop"), self.session.stop_import)])
        self._shown_at = time.monotonic()
        self.show_step(Step.IMAGES)
        self.refresh()

    def _on_import_progress(self, values: tuple[int, ...]) -> None:
        done, total, name = values
        message = self.bar.messages.get("import")
        if message is not None:
            text = _("Importing: {done:,} of {total:,} files")
            if not name:
                text = _("Drawing the sample pictures: {done:,} of {total:,}")
            message.set_text(text.format(done=done, total=total))
        if time.monotonic() - self._shown_at > IMPORT_SHOW_S:
            self._shown_at = time.monotonic()
            self.session.changes.publish(ProjectChanges(images=True))

    def _on_imported(self, report: ImportReport) -> None:
        self.said.emit(report.sentence)
        lines = [report.sentence, *report.warnings]
        if report.refused:
            lines.append(_("The list below the pictures says why."))
        kind = "warning" if report.warnings or not report.imported else "info"
        choices = [(_("Undo import"), self.session.undo_import), (_("Close"), lambda: None)]
        self.bar.say("import", kind, " ".join(lines), choices if report.imported else ())
        self.refresh()

    def _on_failed(self, error: Exception) -> None:
        # It may have been an import, and then what is possible has changed.
        if not self.session.imports.is_busy:
            self.bar.remove("import")
        self._soon.start()

    def _on_made(self, what: tuple[str, Path]) -> None:
        sentence, path = what
        opened = QUrl.fromLocalFile(str(path))
        choices = [
            (_("Open"), lambda: QDesktopServices.openUrl(opened)),
            (_("Close"), lambda: None),
        ]
        self.bar.say("made", "info", sentence, choices)

    def _on_lost(self, is_lost: bool) -> None:
        path = self.session.project.path
        if not is_lost:
            self.bar.remove("lost")
            self.said.emit(_("{name} is there again.").format(name=path.name))
            return
        text = _(
            "“{name}” is gone from {parent}: moved, renamed, or unplugged. What was "
            "decided before is in it. Put it back, or close and open it where it is now."
        ).format(name=path.name, parent=path.parent)
        self.bar.say("lost", "error", text, [(_("Close the project"), self._close_asked)])

    def _close_asked(self) -> None:
        self.actions_table["close"].trigger()

    # On opening ---------------------------------------------------------------------------

    def _greet(self) -> None:
        """Say what the user should know at once; start nothing by ourselves after a crash."""
        project = self.session.project
        for number, text in enumerate(project.warnings):
            self.bar.say(f"warning-{number}", "warning", text)
        if self.session.is_read_only:
            return
        unfinished = unfinished_jobs(project.jobs())
        if not unfinished:
            return
        self.bar.say(
            "resume",
            "info",
            unfinished_sentence(unfinished),
            [
                (_("Resume"), self._resume_unfinished),
                (_("Not now"), lambda: None),
            ],
        )

    def _resume_unfinished(self) -> None:
        self.session.resume([job.id for job in unfinished_jobs(self.session.project.jobs())])


def unfinished_jobs(jobs: list[Job]) -> list[Job]:
    """What could go on: interrupted jobs, and queued ones nobody paused."""
    return [
        job
        for job in jobs
        if job.state is JobState.INTERRUPTED or (job.state is JobState.QUEUED and not job.is_held)
    ]


def unfinished_sentence(unfinished: list[Job]) -> str:
    """“Interrupted: 12 of 60 kept.”"""
    interrupted = [job for job in unfinished if job.state is JobState.INTERRUPTED]
    waiting = len(unfinished) - len(interrupted)
    parts = [
        _("Interrupted: {title}, {done:,} of {total:,} kept.").format(
            title=job.title, done=job.done, total=job.total
        )
        for job in interrupted
    ]
    if waiting:
        if interrupted:
            more = ngettext(
                "{n:,} more job waits to be started.",
                "{n:,} more jobs wait to be started.",
                waiting,
            )
        else:
            more = ngettext(
                "{n:,} job waits to be started.", "{n:,} jobs wait to be started.", waiting
            )
        parts.append(more.format(n=waiting))
    return " ".join(parts)
