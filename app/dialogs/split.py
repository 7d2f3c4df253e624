"""Asks how to divide the images into training and test, and shows what would come of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFileDialog,
    QSpinBox,
    QWidget,
)

from app.session import Session
from app.text import PART_NAMES, PART_TITLES
from app.widgets.fields import whole_number
from app.widgets.parts import button, dialog_layout, form, guard_wheel, label, row
from app.widgets.plain_table import PlainTable
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import DaFusionError
from dafusion_core.domain.records import Part
from dafusion_core.language import _, count, ngettext

WAIT_MS = 200
Counts = dict[str, dict[str, int]]


class SplitDialog(QDialog):
    """Shares per class, few-shot or all, a seed; counts and results that would be out of date; the
    lock of the test part; earlier splits and lists."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._project = session.project
        self._asked = 0
        self.test = self._percent(50)
        self.validation = self._percent(0)
        self.few = QCheckBox(_("Only this many training images per class"))
        self.shots = whole_number(1, 10_000, value=8)
        self.shots.setEnabled(False)
        self.shots.setAccessibleName(_("Training images per class"))
        self.few.toggled.connect(self.shots.setEnabled)
        self.seed = whole_number(
            0, 2**31 - 1, _("The same seed divides the same images in the same way.")
        )
        self.unsure = QCheckBox(_("Use images whose class is not sure"))
        self.unsure.setChecked(True)
        fields = form(
            (_("Test images"), self.test),
            (_("Validation images"), self.validation),
            (self.few, self.shots),
            (_("Seed"), self.seed),
        )
        self.counts = PlainTable([_("Class"), *(PART_TITLES[part] for part in Part)],
                                 range(1, 5))  # fmt: skip
        self.counts.setAccessibleName(_("Images per class and part, if divided so"))
        self.counts.setMinimumHeight(130)
        self.stale = label("", "muted", wrap=True)
        self.lock_line = label("", wrap=True)
        self.lock = button("", self._toggle_lock, "small")
        self.earlier = QComboBox()
        self.earlier.setAccessibleName(_("Earlier splits"))
        self.use = button(
            _("Use"), self._use, "small", _("Go back to this split; undo comes back.")
        )
        guard_wheel(self.earlier)
        self.start = button(_("Divide"), self._divide, "primary")
        layout = dialog_layout(
            self,
            _("Divide images"),
            _(
                "Test images are only looked at for the verdict: nothing is learned or generated "
                "from them. Groups stay together. What was made with an older split is kept and "
                "marked as out of date."
            ),
            spacing=12,
        )
        layout.addLayout(fields)
        layout.addWidget(self.unsure)
        layout.addWidget(self.counts, 1)
        layout.addWidget(self.stale)
        lock_row = row(self.lock_line, self.lock)
        lock_row.setStretch(0, 1)
        layout.addLayout(lock_row)
        self._earlier_row = QWidget()
        self._earlier_row.setLayout(row(label(_("Earlier")), self.earlier, self.use))
        layout.addWidget(self._earlier_row)
        from_list = button(
            _("From a list…"), self._ask_list, "", _("A CSV or TSV with paths and parts.")
        )
        layout.addLayout(row(from_list, None, button(_("Cancel"), self.reject), self.start))
        self.resize(500, self.sizeHint().height())
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(WAIT_MS)
        self._soon.timeout.connect(self.look)
        for box in (self.test, self.validation, self.shots, self.seed):
            box.valueChanged.connect(lambda _value: self._soon.start())
        for tick in (self.few, self.unsure):
            tick.toggled.connect(lambda _on: self._soon.start())
        session.changes.changed.connect(self._on_changed)
        self.finished.connect(self._forget)
        self.finished.connect(self.deleteLater)
        self._show_project()
        self.look()

    def _percent(self, value: int) -> QSpinBox:
        return whole_number(0, 90, step=5, suffix=" %", value=value)

    @property
    def choices(self) -> dict[str, Any]:
        """What `make_split` and `plan_parts` are asked."""
        return {
            "seed": self.seed.value(),
            "test": self.test.value() / 100,
            "validation": self.validation.value() / 100,
            "shots": self.shots.value() if self.few.isChecked() else None,
            "with_unsure": self.unsure.isChecked(),
        }

    def _forget(self) -> None:
        """Closed: answers that are still on their way find nobody."""
        self._asked += 1
        self._soon.stop()

    # What would be ------------------------------------------------------------------------

    def look(self) -> None:
        """Count in the background what such a split would be."""
        self._asked += 1
        number, project, choices = self._asked, self._project, self.choices

        def work() -> tuple[Counts, int, int]:
            parts = project.plan_parts(**choices)
            stale = project.stale_results(parts)
            return project.count_parts(parts), len(stale), sum(one.is_leak for one in stale)

        self._session.reads.submit(
            work,
            lambda found: self._show(number, *found),
            lambda error: self._refuse(number, error),
        )

    def _show(self, number: int, counts: Counts, stale: int, leaks: int) -> None:
        if number != self._asked:
            return
        parts = [part.value for part in Part]
        rows = [[name, *(f"{found.get(part, 0):,}" for part in parts)] for name, found in
                counts.items()]  # fmt: skip
        totals = [sum(found.get(part, 0) for found in counts.values()) for part in parts]
        self.counts.fill([*rows, [_("All"), *(f"{total:,}" for total in totals)]])
        words = _("No result would be out of date.")
        if stale:
            words = count(
                stale, "{n:,} result would be out of date.", "{n:,} results would be out of date."
            )
        if leaks:
            words = ngettext(
                "{n:,} result would be out of date, {leaks:,} of them learned from what would be "
                "tested.",
                "{n:,} results would be out of date, {leaks:,} of them learned from what would be "
                "tested.",
                stale,
            ).format(n=stale, leaks=leaks)
        self.stale.setText(words)
        self.start.setEnabled(not self._session.is_read_only)

    def _refuse(self, number: int, error: Exception) -> None:
        if number != self._asked:
            return
        if not isinstance(error, DaFusionError):
            self._session.failed.emit(error)
            return
        self.counts.fill([])
        self.stale.setText(str(error))
        self.start.setEnabled(False)

    # What is ------------------------------------------------------------------------------

    def _show_project(self) -> None:
        locked = len(self._project.locked_test())
        current = self._project.current_split()
        is_writable = not self._session.is_read_only
        if locked:
            self.lock_line.setText(
                count(
                    locked,
                    "The test part is locked: {n:,} image, always.",
                    "The test part is locked: {n:,} images, always.",
                )
            )
            self.lock.setText(_("Unlock"))
            self.lock.setToolTip(_("A new split may then test on other images."))
        else:
            self.lock_line.setText(_("A locked test part stays the same in every later split."))
            self.lock.setText(_("Lock the test part"))
            self.lock.setToolTip(_("Results stay comparable, whatever is divided anew."))
        has_test = current is not None and bool(current.counts.get(Part.TEST.value))
        self.lock.setEnabled(is_writable and (bool(locked) or has_test))
        self.test.setEnabled(not locked)
        self.earlier.clear()
        for split in self._project.splits():
            if current is None or split.id != current.id:
                words = ", ".join(f"{n:,} {PART_NAMES[Part(p)]}" for p, n in split.counts.items())
                self.earlier.addItem(f"{split.name}: {words}", split.id)
        self._earlier_row.setVisible(self.earlier.count() > 0)
        self.use.setEnabled(is_writable)

    def _on_changed(self, changes: ProjectChanges) -> None:
        if self.isVisible() and (changes.splits or changes.images):
            self._show_project()
            self._soon.start()

    # Doing --------------------------------------------------------------------------------

    def _do(self, command: Callable[[], ProjectChanges]) -> None:
        if not self._session.is_read_only:
            self._session.do(command)

    def _toggle_lock(self) -> None:
        is_locked = bool(self._project.locked_test())
        self._do(self._project.unlock_test if is_locked else self._project.lock_test)

    def _use(self) -> None:
        split_id = self.earlier.currentData()
        if split_id is not None:
            self._do(lambda: self._project.use_split(split_id))
            self.accept()

    def _ask_list(self) -> None:
        name, _rest = QFileDialog.getOpenFileName(
            self, _("A list of paths and parts"), "", _("Lists (*.csv *.tsv *.txt)")
        )
        if name:
            self.divide_by_list(Path(name))

    def divide_by_list(self, path: Path) -> None:
        """Take the parts from a CSV or TSV."""

        def command() -> ProjectChanges:
            split = self._project.split_by_list(path)
            return ProjectChanges(splits=True, text=_("{name} made").format(name=split.name))

        self._do(command)
        self.accept()

    def _divide(self) -> None:
        choices = self.choices

        def command() -> ProjectChanges:
            split = self._project.make_split(**choices)
            return ProjectChanges(splits=True, text=_("{name} made").format(name=split.name))

        self._do(command)
        self.accept()
