"""Who was taken for whom: a matrix whose cells open their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QBrush, QColor
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.models.image_list import ImageListModel
from app.pages.train.run_chooser import RunChooser
from app.session import Session
from app.theme import theme
from app.widgets.elided import ElidedLabel
from app.widgets.parts import label, row
from app.widgets.picture_grid import FoldedGrid
from app.widgets.plain_table import PlainTable
from dafusion_core.domain.records import TrainingRun
from dafusion_core.language import _, count

NAMES = 150  # pixels at most for the names of the rows
CELL = 36


@dataclass(frozen=True, slots=True)
class Answer:
    """What one run said of one test image; `share` is the probability of its answer."""

    image_id: int
    truth: int
    said: int
    share: float


def answers_of(runs: Sequence[TrainingRun]) -> list[Answer]:
    """Every answer of these runs on their test images."""
    found = []
    for run in runs:
        test = run.record["test"]
        for image_id, truth, shares in zip(
            test["image_ids"], test["truth"], test["probabilities"], strict=True
        ):
            said = max(range(len(shares)), key=shares.__getitem__)
            found.append(Answer(int(image_id), int(truth), said, float(shares[said])))
    return found


class MistakesView(QWidget):
    """Choose a way of training; a click on a cell shows its test images, the surest first."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._answers: list[Answer] = []
        self.chooser = RunChooser()
        self.show_runs = self.chooser.show_runs
        self.table = PlainTable([_("Class")])
        self.table.setAccessibleName(_("True class by predicted class"))
        self.table.fits_width = False
        self.table.verticalHeader().show()
        self.table.verticalHeader().setSectionsClickable(False)
        self.table.verticalHeader().setTextElideMode(Qt.TextElideMode.ElideRight)
        self.table.verticalHeader().setMaximumWidth(NAMES)
        self.table.horizontalHeader().setMinimumSectionSize(CELL)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectItems)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.model = ImageListModel(session.project, self)
        self.grid = FoldedGrid(self.model, session.thumbnails)
        self.grid.setAccessibleName(_("Test images of the chosen cell"))
        self.grid.wanted_size = 84
        self.words = label("", wrap=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        legend = ElidedLabel(role="muted")
        legend.setText(_("Rows: true class · columns: taken for"))
        head = row(self.chooser, legend)
        head.setStretch(1, 1)
        layout.addLayout(head)
        both = QHBoxLayout()
        both.setSpacing(12)
        both.addWidget(self.table, 3)
        right = QVBoxLayout()
        right.addWidget(self.words)
        right.addWidget(self.grid, 1)
        both.addLayout(right, 2)
        layout.addLayout(both, 1)
        self.chooser.changed.connect(self._show)
        self.table.currentCellChanged.connect(lambda *_: self._show_pictures())
        theme.changed.connect(self._show)

    def _show(self) -> None:
        runs = self.chooser.chosen
        self._answers = answers_of(runs)
        labels = list(runs[0].record["labels"]) if runs else []
        current = (self.table.currentRow(), self.table.currentColumn())
        self.table.blockSignals(True)
        self.table.set_columns(labels)
        self.table.setRowCount(len(labels))
        self.table.setVerticalHeaderLabels(labels)
        for number, name in enumerate(labels):
            self.table.verticalHeaderItem(number).setToolTip(name)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setTextElideMode(Qt.TextElideMode.ElideRight)
        for number, name in enumerate(labels):
            title = self.table.horizontalHeaderItem(number)
            if title is not None:
                title.setToolTip(_("Taken for {name}").format(name=name))
                title.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
        counts = [[0] * len(labels) for _ in labels]
        for answer in self._answers:
            counts[answer.truth][answer.said] += 1
        for truth, name in enumerate(labels):
            total = sum(counts[truth]) or 1
            for said, number in enumerate(counts[truth]):
                item = QTableWidgetItem(f"{number:,}" if number else "·")
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                item.setBackground(QBrush(_shade(number / total, is_right=truth == said)))
                item.setToolTip(
                    _("{name} taken for {other}: {number:,} of {total:,} answers").format(
                        name=name, other=labels[said], number=number, total=total
                    )
                )
                self.table.setItem(truth, said, item)
        self.table.blockSignals(False)
        if current[0] >= 0:
            self.table.setCurrentCell(*current)
        self._show_pictures()

    def _show_pictures(self) -> None:
        truth, column = self.table.currentRow(), self.table.currentColumn()
        runs = self.chooser.chosen
        names = list(runs[0].record["labels"]) if runs else []
        if truth >= 0 and column >= 0:
            found = [a for a in self._answers if (a.truth, a.said) == (truth, column)]
            text = (
                _("{name}, recognised").format(name=names[truth])
                if truth == column
                else _("{name}, taken for {other}").format(name=names[truth], other=names[column])
            )
        else:
            found = [a for a in self._answers if a.truth != a.said]
            text = _("All mistakes") if self._answers else _("No answers yet")
        found.sort(key=lambda answer: -answer.share)
        ids = list(dict.fromkeys(answer.image_id for answer in found))
        self.words.setText(
            _("{text}: {images}, the surest first.").format(
                text=text, images=count(len(ids), "{n:,} test image", "{n:,} test images")
            )
        )
        self.model.show_images(ids)


def _shade(share: float, *, is_right: bool) -> QColor:
    color = QColor(theme.colors.kept if is_right else theme.colors.rejected)
    color.setAlphaF(min(0.45, 0.5 * share))
    return color
