"""Real pictures by class, how they are divided, and what an import left out."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
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
from app.pages.images.labelling import HINT, LabelGrid, Labelling
from app.session import Session
from app.text import count
from app.widgets.drop_zone import DropZone
from app.widgets.page import Page
from app.widgets.parts import EmptyState, action_button, button, label, row
from app.widgets.plain_table import PlainTable
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import Part

ALL = "All classes"
NO_CLASS = "No class yet"


class ImagesPage(Page):
    """Shows the images of one class or all, and takes dropped folders."""

    watch = ("images", "splits")

    def __init__(self, session: Session, actions: Actions) -> None:
        super().__init__(
            session, "Images", "The real pictures. Each folder you import is one class."
        )
        self.buttons.addWidget(action_button(actions["health"]))
        self.buttons.addWidget(action_button(actions["split"]))
        self.buttons.addWidget(action_button(actions["import"]))
        self.model = ImageListModel(self.project, self)
        self.grid = LabelGrid(self.model, session.thumbnails)
        self.grid.setAccessibleName("Real images")
        self.labelling = Labelling(session, self.grid, self.model)
        self.hint = label(HINT, "muted", wrap=True)
        self._names: list[str] = []
        self.classes = self._make_table()
        self.split_line = label("", "muted", wrap=True)
        self.problems = QListWidget()
        self.problems.setMaximumHeight(150)
        self.problems.hide()
        self.problems.setAccessibleName("Files that were left out")
        self.problem_line = label("")
        self.problem_button = button("Show", self._toggle_problems, "link")
        side = QWidget()
        side_layout = QVBoxLayout(side)
        side_layout.setContentsMargins(0, 0, 8, 0)
        side_layout.addWidget(self.classes, 1)
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
            "No pictures yet",
            "Drop a folder here. Inside it, one folder per class: its name becomes the class "
            "name, its pictures the examples. A handful per class is enough.",
            action_button(actions["import"], "primary"),
        )
        self._actions = actions
        actions.bind("health", lambda: HealthDialog(session, self).open())
        zone = DropZone()
        zone_layout = QVBoxLayout(zone)
        zone_layout.addWidget(empty)
        zone.dropped.connect(self._on_dropped)
        self.set_pages(content, zone)

    def _on_dropped(self, path: Path) -> None:
        self._actions.import_from(path)

    def _make_table(self) -> PlainTable:
        table = PlainTable(["Class", "All", "Train", "Test", "Key"], (1, 2, 3, 4))
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setMinimumWidth(260)
        table.itemSelectionChanged.connect(self._show_class)
        table.setAccessibleName("Classes")
        return table

    def refresh(self, changes: ProjectChanges | None) -> None:
        """Read counts, split and problems again."""
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
            text = "Not divided into training and test images yet."
        else:
            named = [
                count(split.counts[part.value], f"{part.value} image")
                for part in (Part.TRAIN, Part.VALIDATION, Part.TEST)
                if split.counts.get(part.value)
            ]
            text = f"{split.name}: " + ", ".join(named) + "."
            if left := split.counts.get(Part.UNUSED.value, 0):
                text += f" {count(left, 'image')} left out of it."
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

    def _show_class(self) -> None:
        number = self.classes.currentRow()
        name = self._names[number] if 0 < number < len(self._names) else None
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
            verb = "was" if refused == 1 else "were"
            words.append(f"{count(refused, 'file')} {verb} left out")
        if noted := len(problems) - refused:
            words.append(f"{count(noted, 'file')} imported with a warning")
        self.problem_line.setText(", ".join(words) + ".")
        self.problems.clear()
        for problem in problems:
            verb = "Left out" if problem.is_refused else "Imported"
            self.problems.addItem(f"{Path(problem.path).name}: {problem.reason}  ({verb.lower()})")
            self.problems.item(self.problems.count() - 1).setToolTip(problem.path)
        if not problems:
            self.problems.hide()

    def _toggle_problems(self) -> None:
        self.problems.setVisible(not self.problems.isVisible())
        self.problem_button.setText("Hide" if self.problems.isVisible() else "Show")
