"""Real pictures by class, how they are divided, and what an import left out."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListWidget,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from app.actions import Actions
from app.dialogs.health import HealthDialog
from app.models.image_list import ImageListModel
from app.pages.images.classes import ClassCare
from app.pages.images.labelling import HINT, LabelGrid, Labelling
from app.regions.editor import RegionEditor
from app.session import Session
from app.widgets.drop_zone import DropZone
from app.widgets.page import Page
from app.widgets.parts import EmptyState, action_button, button, label, row
from app.widgets.plain_table import PlainTable
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import Part
from dafusion_core.language import _, count

TITLE = _("Images")
SUBTITLE = _("The real pictures. Each folder you import is one class.")
ALL = _("All classes")
NO_CLASS = _("No class yet")


class ImagesPage(Page):
    """Shows the images of one class or all, and takes dropped folders."""

    watch = ("images", "splits")

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__(session, TITLE, SUBTITLE)
        self._head = [action_button(actions[key]) for key in ("health", "split", "import")]
        for made in self._head:
            self.buttons.addWidget(made)
        self.model = ImageListModel(self.project, self)
        self.grid = LabelGrid(self.model, session)
        self.grid.opened.connect(self.open_editor)
        self.editor: RegionEditor | None = None
        self.grid.setAccessibleName(_("Real images"))
        self.labelling = Labelling(session, self.grid, self.model)
        self.hint = label(HINT, "muted", wrap=True)
        self._names: list[str] = []
        self.classes = self._make_table()
        self.class_care = ClassCare(session, self.classes, self.labelling, self.class_name)
        self.class_button = button(
            _("Classes…"),
            self._show_class_menu,
            "small",
            _("New, rename, merge, split, order, remove.  (right click)"),
        )
        self.group_button = button(
            _("Find groups…"),
            self.labelling.find_groups,
            "small",
            _("By a pattern in the name, by folder or by day."),
        )
        for made in (self.class_button, self.group_button):
            made.setEnabled(not session.is_read_only)
        self.split_line = label("", "muted", wrap=True)
        self.problems = QListWidget()
        self.problems.setMaximumHeight(150)
        self.problems.hide()
        self.problems.setAccessibleName(_("Files that were left out"))
        self.problem_line = label("")
        self.problem_button = button(_("Show"), self._toggle_problems, "link")
        side = QWidget()
        side_layout = QVBoxLayout(side)
        side_layout.setContentsMargins(0, 0, 8, 0)
        side_layout.addWidget(self.classes, 1)
        side_layout.addLayout(row(self.class_button, self.group_button, None, spacing=6))
        side_layout.addWidget(self.split_line)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(side)
        splitter.addWidget(self.grid)
        splitter.setSizes([350, 650])
        splitter.setStretchFactor(1, 1)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(splitter, 1)
        layout.addWidget(self.hint)
        self.hint.setVisible(not session.is_read_only)
        self.problem_bar = QWidget()
        self.problem_bar.setLayout(row(self.problem_line, self.problem_button, None))
        layout.addWidget(self.problem_bar)
        layout.addWidget(self.problems)
        empty = EmptyState(
            _("No pictures yet"),
            _(
                "Drop a folder here. Inside it, one folder per class: its name becomes the class "
                "name, its pictures the examples. A handful per class is enough."
            ),
            action_button(actions["import"], "primary"),
        )
        self._actions = actions
        actions.bind("health", lambda: HealthDialog(session, self).open())
        # Regions are read anew by who shows them; the grid need not be.
        session.changes.changed.connect(self._follow_in_editor)
        zone = DropZone()
        zone_layout = QVBoxLayout(zone)
        zone_layout.addWidget(empty)
        zone.dropped.connect(self._on_dropped)
        self.set_pages(content, zone)

    # One picture ----------------------------------------------------------------------------

    @property
    def is_editing(self) -> bool:
        """Whether one picture is shown large."""
        return self.editor is not None and self.stack.currentWidget() is self.editor

    def open_editor(self) -> None:
        """Show the focused picture (or else the first one) large, to mark regions on it."""
        if not self.model.rowCount():
            return
        if self.editor is None:
            self.editor = RegionEditor(self.session)
            self.editor.closed.connect(self.close_editor)
            self.editor.moved.connect(self._move)
            self.editor.pressed_key.connect(self.labelling.press)
            self.stack.addWidget(self.editor)
        self._show_in_editor(max(0, self.grid.folded.place(self.grid.currentIndex())))
        self.stack.setCurrentWidget(self.editor)
        for made in self._head:
            made.hide()
        self.editor.canvas.setFocus()

    def close_editor(self) -> None:
        """Back to all pictures, with the one that was shown in focus."""
        if not self.is_editing:
            return
        self.title.setText(TITLE)
        self.subtitle.setText(SUBTITLE)
        for made in self._head:
            made.show()
        self.stack.setCurrentWidget(self.content)
        if self.editor is not None:
            self.editor.show_image(None)
        self.refresh(None)
        self.grid.setFocus()

    def _show_in_editor(self, place: int) -> None:
        if self.editor is None or not 0 <= place < self.model.rowCount():
            return
        self.grid.go_to_place(place)
        found = self.project.images_by_id([self.model.ids[place]])
        if not found:
            return
        self.editor.show_image(found[0])
        title, line = self.editor.caption(place, self.model.rowCount())
        self.title.setText(title)
        self.subtitle.setText(line)

    def _move(self, by: int) -> None:
        place = self.grid.folded.place(self.grid.currentIndex()) + by
        if self.editor is not None:
            if 0 <= place < self.model.rowCount():
                self._show_in_editor(place)
            else:
                self.editor.hint.setText(
                    _("This is the last picture of this list.")
                    if by > 0
                    else _("This is the first picture of this list.")
                )

    def _follow_in_editor(self, changes: ProjectChanges) -> None:
        """Class, note and part of the picture that is shown; gone is gone."""
        if not self.is_editing or not (changes.images or changes.splits or changes.concepts):
            return
        place = self.grid.folded.place(self.grid.currentIndex())
        is_there = 0 <= place < self.model.rowCount() and bool(
            self.project.images_by_id([self.model.ids[place]])
        )
        if is_there:
            self._show_in_editor(place)
        else:
            self.close_editor()

    def _on_dropped(self, path: Path) -> None:
        self._actions.import_from(path)

    def _make_table(self) -> PlainTable:
        table = PlainTable([_("Class"), _("All"), _("Train"), _("Test"), _("Key")], (1, 2, 3, 4))
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setMinimumWidth(260)
        table.itemSelectionChanged.connect(self._show_class)
        table.setAccessibleName(_("Classes"))
        return table

    def refresh(self, changes: ProjectChanges | None) -> None:
        """Read counts, split and problems again; behind a large picture that waits."""
        if self.is_editing:
            return
        by_class = self.project.part_counts()
        parts = (Part.TRAIN, Part.TEST)
        counts = {
            name: [sum(found.values()), *(found.get(part, 0) for part in parts)]
            for name, found in by_class.items()
        }
        totals = [sum(values) for values in zip(*counts.values(), strict=True)] or [0, 0, 0]
        self.show_content(totals[0] > 0)
        split = self.project.current_split()
        self._fill([(ALL, totals), *counts.items()], has_split=split is not None)
        if split is None:
            text = _("Not divided into training and test images yet.")
        else:
            train, validation, test, left = (
                split.counts.get(part.value, 0)
                for part in (Part.TRAIN, Part.VALIDATION, Part.TEST, Part.UNUSED)
            )
            named = [
                train and count(train, "{n:,} train image", "{n:,} train images"),
                validation
                and count(validation, "{n:,} validation image", "{n:,} validation images"),
                test and count(test, "{n:,} test image", "{n:,} test images"),
            ]
            text = f"{split.name}: {', '.join(str(words) for words in named if words)}."
            if left:
                text += " " + count(
                    left, "{n:,} image left out of it.", "{n:,} images left out of it."
                )
        self.split_line.setText(text)
        self._show_class()
        self._refresh_problems()

    def _fill(self, rows: list[tuple[str, list[int]]], has_split: bool) -> None:
        table = self.classes
        chosen = table.currentRow()
        table.blockSignals(True)
        texts = [
            [
                name or NO_CLASS,
                f"{counts[0]:,}",
                *(f"{n:,}" if has_split else "–" for n in counts[1:]),
                str(number) if name and 0 < number < 10 else "",
            ]
            for number, (name, counts) in enumerate(rows)
        ]
        self._names = [name for name, _counts in rows]
        table.fill(texts, [name for name, _counts in rows])
        table.selectRow(chosen if 0 <= chosen < len(rows) else 0)
        table.blockSignals(False)

    def class_name(self) -> str | None:
        """The class of the chosen row, "" for pictures without one, None for all."""
        number = self.classes.currentRow()
        return self._names[number] if 0 < number < len(self._names) else None

    def _show_class_menu(self) -> None:
        self.class_care.show_menu(self.class_button.mapToGlobal(QPoint(0, 0)))

    def _show_class(self) -> None:
        name = self.class_name()
        place = self.grid.folded.place(self.grid.currentIndex())
        focused = self.model.ids[place] if 0 <= place < self.model.rowCount() else None
        self.model.show_images(self.project.image_ids(name))
        if focused is not None and self.grid.folded.place(self.grid.currentIndex()) < 0:
            # It went to another class: what took its place has the focus now.
            found = self.model.place(focused)
            self.grid.go_to_place(found if found >= 0 else min(place, self.model.rowCount() - 1))

    def _refresh_problems(self) -> None:
        problems = self.project.import_problems()
        refused = sum(problem.is_refused for problem in problems)
        self.problem_bar.setVisible(bool(problems))
        words = []
        if refused:
            words.append(count(refused, "{n:,} file was left out", "{n:,} files were left out"))
        if noted := len(problems) - refused:
            words.append(
                count(
                    noted,
                    "{n:,} file imported with a warning",
                    "{n:,} files imported with a warning",
                )
            )
        self.problem_line.setText(", ".join(words) + ".")
        self.problems.clear()
        for problem in problems:
            verb = _("Left out") if problem.is_refused else _("Imported")
            self.problems.addItem(f"{Path(problem.path).name}: {problem.reason}  ({verb.lower()})")
            self.problems.item(self.problems.count() - 1).setToolTip(problem.path)
        if not problems:
            self.problems.hide()

    def _toggle_problems(self) -> None:
        self.problems.setVisible(not self.problems.isVisible())
        self.problem_button.setText(_("Hide") if self.problems.isVisible() else _("Show"))
