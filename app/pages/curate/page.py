"""Deciding which synthetic images may train: grid, list, rates, loupe, filters, counts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from app import ui_state
from app.actions import Actions
from app.models.curation_filter import CurationFilter, Mark, Sort
from app.models.curation_grid import CurationGridModel
from app.pages.curate.copies import CopyFinder
from app.pages.curate.decision_bar import DecisionBar
from app.pages.curate.filter_bar import FilterBar
from app.pages.curate.flat import FlatGrid
from app.pages.curate.grid import CurationGrid
from app.pages.curate.info_panel import InfoPanel
from app.pages.curate.keys import DECISIONS, bind_keys
from app.pages.curate.menus import job_name, show_column_menu, show_picture_menu
from app.pages.curate.rates import RatesView
from app.pages.curate.stage import MODE_NAMES, Stage, StageMode
from app.session import Session
from app.steps import newest
from app.text import CURATION_NAMES
from app.widgets.elided import ElidedLabel
from app.widgets.page import Page
from app.widgets.parts import EmptyState, Segments, action_button, row
from app.widgets.region_overlay import overlay_of
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import Curation
from dafusion_core.language import _


class CuratePage(Page):
    """Keys P, X, U and 0 to 5 act on the selection, or on the focused picture."""

    watch = ("synthetic", "curation", "jobs", "concepts")

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__(
            session,
            _("Curate"),
            _(
                "Keep what shows the class, reject what does not. "
                "Rejected pictures stay on disk but never train."
            ),
        )
        self.actions_table = actions
        self.model = CurationGridModel(self.project, self)
        self.grid = CurationGrid(self.model, session.thumbnails)
        self.flat = FlatGrid(self.model, session.thumbnails)
        self.rates = RatesView(self.model)
        self.rates.setMinimumWidth(220)  # its table scrolls
        self.stage = Stage(self.model, session.thumbnails, overlay_of(session))
        self.info = InfoPanel(self.project)
        self.filters = FilterBar(self.project)
        self.copies = CopyFinder(session, self.model, self)
        self.view_name = "grid"
        self._checked = 0
        self._before_stage = "grid"
        self.views = QStackedWidget()
        for view in (self.grid, self.flat, self.rates, self.stage):
            self.views.addWidget(view)
        self.switch = Segments(
            [("grid", _("Grid"), _("A row per photo, a column per t0 (G)")),
             ("list", _("List"), _("Only the pictures, filtered and sorted (L)")),
             ("rates", _("Rates"), _("What was accepted, per class and t0 (R)"))],
            _("View"),
        )  # fmt: skip
        self.modes = Segments(
            [(mode.value, name, _("M: the next way")) for mode, name in MODE_NAMES.items()],
            _("Way of comparing"),
        )
        self.job_box = QComboBox()
        self.job_box.setAccessibleName(_("Generation"))
        self.job_box.setToolTip(_("Which generation to look at."))
        self.job_box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.counts = ElidedLabel("", "muted")
        self.decisions = DecisionBar(actions)
        self.advance_box = self.decisions.advance_box
        self.set_pages(
            self._arrange(),
            EmptyState(
                _("Nothing to curate yet"),
                _(
                    "Synthetic images appear here while they are being made, "
                    "each beside the photo it started from."
                ),
                action_button(actions["everything"], "primary"),
            ),
        )
        self.modes.hide()
        self.info.setVisible(ui_state.load_text("curate/info") == "on")
        self._connect()

    def _arrange(self) -> QWidget:
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        head = row(self.switch, self.modes, self.job_box, self.counts)
        head.setStretch(3, 1)
        layout.addLayout(head)
        layout.addWidget(self.filters)
        middle = QHBoxLayout()
        middle.setSpacing(10)
        middle.addWidget(self.views, 1)
        middle.addWidget(self.info)
        layout.addLayout(middle, 1)
        layout.addWidget(self.decisions)
        return content

    def _connect(self) -> None:
        self.job_box.currentIndexChanged.connect(lambda _=0: self._show_job(self.chosen_job()))
        self.filters.changed.connect(self.apply_filter)
        self.filters.check_wanted.connect(self._check)
        self.filters.copies_wanted.connect(self.copies.look)
        self.filters.best_wanted.connect(self.copies.keep_best)
        self.copies.found.connect(self._show_copies)
        self.switch.chosen.connect(self.show_view)
        self.modes.chosen.connect(lambda name: self.stage.choose(StageMode(name)))
        self.stage.mode_changed.connect(lambda: self.modes.select(self.stage.mode.value))
        self.stage.closed.connect(self.close_stage)
        self.stage.moved.connect(lambda step: self.pictures.advance(step))
        self.rates.wanted.connect(self._show_part)
        self.rates.decided.connect(lambda what, ids: self.decide(DECISIONS[what], ids))
        for view in (self.grid, self.flat):
            view.opened.connect(lambda _index: self.open_stage())
            view.selectionModel().currentChanged.connect(self._follow)
            view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
            view.customContextMenuRequested.connect(partial(show_picture_menu, self))
        self.grid.header.customContextMenuRequested.connect(partial(show_column_menu, self))
        bind_keys(self)

    # Looking ------------------------------------------------------------------------------

    @property
    def pictures(self) -> CurationGrid | FlatGrid:
        """The grid or the list, whichever was looked at last."""
        name = self._before_stage if self.view_name == "stage" else self.view_name
        return self.flat if name == "list" else self.grid

    def refresh(self, changes: ProjectChanges | None) -> None:
        """Take in what is new; nothing that is shown moves."""
        if changes is None or changes.jobs:
            self._refresh_jobs()
        if changes is not None and self.model.job_id is not None:
            ids = changes.synthetic_ids
            if changes.synthetic and not ids:
                self._show_job(self.model.job_id)
            elif changes.synthetic:
                self._pass_on(self.model.take_new(ids))
            if changes.curation:
                self._pass_on(self.model.take_decisions(ids))
            if changes.jobs:
                self._look_at_checks()
        self.show_content(self.model.job_id is not None)
        self._refresh_counts()
        if self.isVisible() and self.view_name in ("grid", "list"):
            self.pictures.focus_first()

    def _pass_on(self, cells: Sequence) -> None:
        if self.pictures is self.flat:
            self.flat.take(list(cells))
        if self.info.isVisible():
            self.info.show_picture(self.pictures.current_id(), again=True)
        self.stage.update()

    def _refresh_jobs(self) -> None:
        every = self.project.jobs()
        kept = set(self.project.previews_with_images())
        # The newest generation comes first, pictures kept from previews last.
        jobs = [job for job in every if job.id in kept]
        jobs += [job for job in every if job.kind == "generate"]
        known = [self.job_box.itemData(i) for i in range(self.job_box.count())]
        if [job.id for job in reversed(jobs)] == known:
            return
        shown = self.model.job_id
        followed_newest = not known or shown == known[0]
        self.job_box.blockSignals(True)
        self.job_box.clear()
        for job in reversed(jobs):
            self.job_box.addItem(job_name(job), job.id)
        latest = newest(jobs, "generate")
        wanted = latest.id if latest and (followed_newest or shown is None) else shown
        self.job_box.setCurrentIndex(max(0, self.job_box.findData(wanted)))
        self.job_box.setVisible(len(jobs) > 1)
        self.job_box.blockSignals(False)
        self._show_job(self.chosen_job())

    def _check(self) -> None:
        job_id, project = self.model.job_id, self.project
        if job_id is not None:
            self.session.run(lambda: project.check(job_id))

    def _look_at_checks(self) -> None:
        done = sum(job.done for job in self.project.jobs() if job.kind == "check")
        if done != self._checked:
            self._checked = done
            self.model.take_checks()
            if self.filters.filter.marks:
                self.apply_filter(self.filters.filter)

    def _show_copies(self) -> None:
        self.filters.has_groups = bool(self.model.groups)
        if self.model.groups:
            self.filters.set_filter(
                CurationFilter(marks=frozenset({Mark.NEAR_COPY}), sort=Sort.GROUP)
            )
            self.apply_filter(self.filters.filter)
            self.show_view("list")

    def chosen_job(self) -> int | None:
        """The generation that is looked at."""
        found = self.job_box.currentData()
        return int(found) if found is not None else None

    def _show_job(self, job_id: int | None) -> None:
        focused = self.grid.current_id()
        self.model.show_job(job_id)
        self.filters.offer(self.model.names, self.model.t0_set)
        self.grid.go_to_id(focused)
        if self.pictures is self.flat:
            self.flat.show_matching()
        self._refresh_counts()

    def apply_filter(self, wanted: CurationFilter) -> None:
        """Show only what is wanted; the focused picture stays in focus if it is still there."""
        focused = self.pictures.current_id()
        self.model.set_filter(wanted)
        self.grid.show_columns()
        self.grid.go_to_id(focused)
        self.grid.focus_first()
        if self.pictures is self.flat:
            self.flat.show_matching()
        self._refresh_counts()

    def _show_part(self, concept_id: int | None, t0: float | None) -> None:
        self.show_view("grid")
        self.filters.set_filter(
            CurationFilter(
                frozenset() if concept_id is None else frozenset({concept_id}),
                frozenset() if t0 is None else frozenset({t0}),
                sort=self.filters.filter.sort,
            )
        )

    def _refresh_counts(self) -> None:
        wanted = self.filters.filter
        total = self.model.tally.total(wanted.concepts, wanted.t0s)
        words = [f"{total.by_curation[state]:,} {CURATION_NAMES[state]}" for state in (
            Curation.KEPT, Curation.REJECTED, Curation.UNDECIDED)]  # fmt: skip
        if total.waiting:
            words.append(_("{waiting:,} to come").format(waiting=total.waiting))
        self.counts.setText(" · ".join(words))
        self.grid.header.refresh_counts()
        if self.view_name == "rates":
            self.rates.refresh(is_writable=not self.session.is_read_only)

    # Views --------------------------------------------------------------------------------

    def show_view(self, name: str) -> None:
        """ "grid", "list" or "rates"; the focused picture stays the same."""
        focused = self.pictures.current_id()
        self.view_name = name
        self.modes.hide()
        self.switch.select(name)
        if name == "list":
            self.flat.show_matching()
            self.flat.go_to_id(focused)
        elif name == "grid":
            self.grid.go_to_id(focused)
        self.views.setCurrentWidget(
            {"grid": self.grid, "list": self.flat, "rates": self.rates}[name]
        )
        self._refresh_counts()
        self.focus_grid()

    def open_stage(self, ids: Sequence[int] | None = None) -> None:
        """Show the focused picture large, or several of them."""
        if self.view_name != "stage":
            self._before_stage = self.view_name if self.view_name != "rates" else "grid"
        found = self.pictures.current_id()
        shown = list(ids) if ids else ([] if found is None else [found])
        self.stage.show_pictures(self.pictures.current_source(), shown)
        self.view_name = "stage"
        self.modes.setVisible(True)
        self.modes.select(self.stage.mode.value)
        self.views.setCurrentWidget(self.stage)
        self.stage.setFocus()

    def close_stage(self) -> None:
        """Back to where it was opened from."""
        if self.view_name == "stage":
            self.show_view(self._before_stage)

    def toggle_loupe(self) -> None:
        """Open or close the large view."""
        self.close_stage() if self.view_name == "stage" else self.open_stage()

    def toggle_compare(self) -> None:
        """The chosen pictures beside their photo, or back."""
        if self.view_name == "stage":
            self.close_stage()
        else:
            self.open_stage(self.pictures.chosen_ids()[:4])

    def toggle_info(self) -> None:
        """Show or hide where the focused picture comes from."""
        is_on = not self.info.isVisible()
        ui_state.store_text("curate/info", "on" if is_on else "off")
        self.info.setVisible(is_on)
        if is_on:
            self.info.show_picture(self.pictures.current_id(), again=True)

    def _follow(self) -> None:
        current = self.pictures.current_id()
        if self.view_name == "stage":
            ids = [] if current is None else [current]
            self.stage.show_pictures(self.pictures.current_source(), ids)
        if self.info.isVisible():
            self.info.show_picture(current)

    def take_focus(self) -> None:
        """Keys go to the pictures."""
        self.focus_grid()

    def focus_grid(self) -> None:
        """Keys go to the pictures."""
        if self.view_name == "rates":
            self.rates.table.setFocus()
        elif self.view_name == "stage":
            self.stage.setFocus()
        else:
            self.pictures.setFocus()
            self.pictures.focus_first()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """W shows the picture large for as long as it is held."""
        if event.key() == Qt.Key.Key_W and not event.modifiers():
            if not event.isAutoRepeat() and self.view_name in ("grid", "list"):
                self.open_stage()
            return
        super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """W let go: back."""
        if event.key() == Qt.Key.Key_W and not event.isAutoRepeat():
            self.close_stage()
            return
        super().keyReleaseEvent(event)

    # Deciding -----------------------------------------------------------------------------

    def target_ids(self) -> list[int]:
        """What a key acts on."""
        return (self.rates if self.view_name == "rates" else self.pictures).chosen_ids()

    def decide(self, curation: Curation, ids: Sequence[int] | None = None) -> None:
        """Keep, reject or undecide the chosen pictures (or these), as one undoable step."""
        chosen = self.target_ids() if ids is None else list(ids)
        if not chosen or self.session.is_read_only:
            return
        project = self.project
        command = {
            Curation.KEPT: project.keep,
            Curation.REJECTED: project.reject,
            Curation.UNDECIDED: project.undecide,
        }[curation]
        self.session.do(lambda: command(chosen))
        # A decision on a whole selection leaves the selection, to be seen and perhaps changed.
        # Where the filter lets the picture go, the neighbour comes to the focus by itself.
        states = self.filters.filter.states
        stays = self.pictures is self.grid or not states or curation in states
        is_one = len(chosen) == 1 and ids is None and self.view_name != "rates"
        if is_one and stays and curation is not Curation.UNDECIDED and self.advance_box.isChecked():
            self.pictures.advance()

    def rate(self, stars: int) -> None:
        """Give the chosen pictures stars (0: none), as one undoable step."""
        chosen = self.target_ids()
        if chosen and not self.session.is_read_only:
            project = self.project
            self.session.do(lambda: project.rate(chosen, stars))
