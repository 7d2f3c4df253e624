"""Which pictures are shown: classes, t0, decisions, stars, order, and saved views."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtGui import QAction, QActionGroup, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QInputDialog, QMenu, QPushButton, QWidget

from app.models.curation_filter import MARK_NAMES, SORT_NAMES, CurationFilter, Mark, Sort
from app.text import CURATION_TITLES, t0_words
from app.widgets.parts import button
from dafusion_core.api.project import Project
from dafusion_core.domain.records import Curation
from dafusion_core.language import _, count

PAGE = "curate"


class _KeepOpenMenu(QMenu):
    """Stays open while several entries are ticked."""

    def mouseReleaseEvent(self, event: Any) -> None:
        """Tick without closing; Esc or a click outside closes."""
        action = self.actionAt(event.position().toPoint())
        if action is not None and action.isCheckable() and action.actionGroup() is None:
            action.trigger()
            return
        super().mouseReleaseEvent(event)


class FilterBar(QWidget):
    """A row of menus; each says on its face what it lets through.

    Signals:
        changed(CurationFilter): something else is wanted.
        check_wanted(): measure the pictures.
        copies_wanted(): look for near copies.
        best_wanted(): keep the best of each group of them.
    """

    changed = Signal(object)
    check_wanted = Signal()
    copies_wanted = Signal()
    best_wanted = Signal()

    def __init__(self, project: Project, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._project = project
        self.filter = CurationFilter()
        self._names: Mapping[int, str] = {}
        self._t0s: list[float] = []
        self.buttons: dict[str, QPushButton] = {}
        self.has_groups = False
        self._is_tight = False
        self._full_width = 0
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        for kind, tip in (
            ("concepts", _("Show only some classes.")),
            ("t0s", _("Show only some distances from the photo.")),
            ("states", _("Show only what is kept, rejected or undecided.")),
            ("stars", _("Show only what has that many stars or more.")),
            ("marks", _("Show only what a check noticed, or have the pictures checked.")),
            ("sort", _("The order of the list. The grid always goes by photo.")),
            ("views", _("Filters under a name.")),
        ):
            made = button("", lambda: None, "menu", tip)
            menu = _KeepOpenMenu(made)
            menu.setToolTipsVisible(True)
            menu.aboutToShow.connect(partial(self._fill, kind, menu))
            made.setMenu(menu)
            made.setMinimumWidth(52)  # a narrow window cuts the words, not the page
            self.buttons[kind] = made
            layout.addWidget(made)
        self.clear = button(_("Show all"), self.reset, "link", _("Take every filter away."))
        layout.addWidget(self.clear)
        layout.addStretch(1)
        self._say()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where there is little room the words stay and the little arrows go."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        wanted = sum(made.sizeHint().width() + 6 for made in self.buttons.values())
        is_tight = self.width() < (self._full_width if self._is_tight else wanted)
        if is_tight is not self._is_tight:
            self._is_tight = is_tight
            self._full_width = max(self._full_width, wanted)
            for made in self.buttons.values():
                made.setProperty("tight", is_tight)
                made.style().unpolish(made)
                made.style().polish(made)

    def offer(self, names: Mapping[int, str], t0s: Iterable[float]) -> None:
        """The classes and t0 there are."""
        self._names, self._t0s = dict(names), list(t0s)
        self._say()

    def set_filter(self, wanted: CurationFilter) -> None:
        """Want this from now on."""
        if wanted != self.filter:
            self.filter = wanted
            self._say()
            self.changed.emit(wanted)

    def reset(self) -> None:
        """Show everything, in the order chosen."""
        self.set_filter(CurationFilter(sort=self.filter.sort))

    def _say(self) -> None:
        wanted = self.filter
        one = {
            "concepts": [self._names.get(i, "?") for i in wanted.concepts],
            "t0s": [f"t0 {t0:g}" for t0 in sorted(wanted.t0s)],
            "states": [CURATION_TITLES[s] for s in Curation if s in wanted.states],
            "marks": [MARK_NAMES[m] for m in Mark if m in wanted.marks],
        }
        every = {
            "concepts": _("All classes"), "t0s": _("All t0"), "states": _("Any decision"),
            "marks": _("Checks"),
        }  # fmt: skip
        many = {
            "concepts": _("{} classes"), "t0s": _("{} t0"), "states": _("{} decisions"),
            "marks": _("{} checks"),
        }  # fmt: skip
        for kind, values in one.items():
            text = every[kind] if not values else values[0]
            if len(values) > 1:
                text = many[kind].format(len(values))
            self._label(kind, text, bool(values))
        stars = wanted.min_rating
        self._label(
            "stars",
            _stars(stars) if stars else _("Any stars"),
            stars > 0,
        )
        self._label("sort", SORT_NAMES[wanted.sort], False)
        self._label("views", _("Views"), False)
        self.clear.setVisible(not wanted.is_everything)
        self._fit()

    def _label(self, kind: str, text: str, is_on: bool) -> None:
        made = self.buttons[kind]
        made.setText(text)
        made.setProperty("on", is_on)
        made.setAccessibleName(text)
        made.style().unpolish(made)
        made.style().polish(made)

    # Menus --------------------------------------------------------------------------------

    def _fill(self, kind: str, menu: QMenu) -> None:
        menu.clear()
        if kind == "stars":
            self._fill_choice(
                menu,
                [(_("Any stars"), 0)] + [(_stars(n), n) for n in range(1, 6)],
                self.filter.min_rating,
                lambda value: replace(self.filter, min_rating=value),
            )
        elif kind == "sort":
            choices = [(name, sort) for sort, name in SORT_NAMES.items()]
            self._fill_choice(
                menu, choices, self.filter.sort, lambda value: replace(self.filter, sort=value)
            )
        elif kind == "views":
            self._fill_views(menu)
        else:
            offered: dict[str, list[tuple[str, Any]]] = {
                "concepts": [(name, i) for i, name in self._names.items()],
                "t0s": [(f"t0 {t0:g}, {t0_words(t0)}", t0) for t0 in self._t0s],
                "states": [(CURATION_TITLES[s], s) for s in Curation],
                "marks": [(MARK_NAMES[m], m) for m in Mark],
            }
            for text, value in offered[kind]:
                action = menu.addAction(text)
                action.setCheckable(True)
                action.setChecked(value in getattr(self.filter, kind))
                action.triggered.connect(partial(self._toggle, kind, value))
            if kind == "marks":
                menu.addSeparator()
                measure = menu.addAction(_("Check all pictures of this generation"))
                measure.setToolTip(_("Distances to photos, what a classifier says, sharpness."))
                measure.setEnabled(not self._project.is_read_only)
                measure.triggered.connect(lambda _=False: self.check_wanted.emit())
                menu.addSeparator()
                look = menu.addAction(_("Find near copies"))
                look.setToolTip(_("Compares all pictures of a class with each other."))
                look.triggered.connect(lambda _=False: self.copies_wanted.emit())
                best = menu.addAction(_("Keep the best of each group of near copies"))
                best.setToolTip(
                    _(
                        "By stars, then decisions, then checks. The others are rejected; one undo "
                        "takes it all back."
                    )
                )
                best.setEnabled(self.has_groups and not self._project.is_read_only)
                best.triggered.connect(lambda _=False: self.best_wanted.emit())

    def _fill_choice(
        self,
        menu: QMenu,
        choices: list[tuple[str, Any]],
        current: int | Sort,
        made: Callable[[Any], CurationFilter],
    ) -> None:
        group = QActionGroup(menu)
        for text, value in choices:
            action = menu.addAction(text)
            action.setCheckable(True)
            action.setChecked(value == current)
            group.addAction(action)
            action.triggered.connect(lambda _on=False, v=value: self.set_filter(made(v)))

    def _toggle(self, kind: str, value: Any, _checked: bool = False) -> None:
        self.set_filter(self.filter.toggled(kind, value))

    def _fill_views(self, menu: QMenu) -> None:
        views = self._project.saved_views(PAGE)
        for view in views:
            wanted = CurationFilter.from_dict(view.spec, self._names)
            action = menu.addAction(view.name)
            action.setToolTip(wanted.describe(self._names))
            action.triggered.connect(lambda _on=False, w=wanted: self.set_filter(w))
        if views:
            menu.addSeparator()
        save: QAction = menu.addAction(_("Save what is shown as…"))
        save.setEnabled(not self._project.is_read_only)
        save.triggered.connect(self._ask_name)
        if views and not self._project.is_read_only:
            gone = menu.addMenu(_("Forget"))
            for view in views:
                gone.addAction(view.name).triggered.connect(
                    lambda _on=False, name=view.name: self._project.delete_view(PAGE, name)
                )

    def _ask_name(self) -> None:
        suggestion = self.filter.describe(self._names)
        name, is_given = QInputDialog.getText(
            self, _("Save a view"), _("Name of the view"), text=suggestion
        )
        if is_given and name.strip():
            self.save_as(name.strip())

    def save_as(self, name: str) -> None:
        """Store the present filter."""
        self._project.save_view(PAGE, name, self.filter.to_dict(self._names))


def _stars(number: int) -> str:
    """“3 stars or more”."""
    if number == 5:
        return _("5 stars")
    return count(number, "{n} star or more", "{n} stars or more")
