"""What will train: real and synthetic images of each class, and what may make a result unsure."""

from __future__ import annotations

from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.session import Session
from app.steps import newest
from app.widgets.bars import Balance, BalanceChart
from app.widgets.parts import label, scrolled
from dafusion_core.api.preflight import find_doubts
from dafusion_core.api.project import Project
from dafusion_core.domain.records import Curation, Part
from dafusion_core.language import _, count


def class_balance(project: Project, *, only_kept: bool) -> list[Balance]:
    """Training images of each class, and the newest generation's pictures that may train."""
    parts = project.part_counts()
    generation = newest(project.jobs(), "generate")
    allowed = {Curation.KEPT} if only_kept else {Curation.KEPT, Curation.UNDECIDED}
    by_label: dict[int, int] = {}
    if generation is not None:
        labels = {concept.id: concept.label_id for concept in project.concepts()}
        for (concept_id, _t0), counts in project.curation_counts(generation.id).items():
            number = sum(found for state, found in counts.items() if state in allowed)
            key = labels.get(concept_id, 0)
            by_label[key] = by_label.get(key, 0) + number
    return [
        Balance(item.name, parts.get(item.name, {}).get(Part.TRAIN, 0), by_label.get(item.id, 0))
        for item in project.labels()
    ]


class BalanceView(QWidget):
    """A bar per class, and doubts in words."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.chart = BalanceChart()
        self.words = label("", wrap=True)
        inner = QWidget()
        stack = QVBoxLayout(inner)
        stack.setContentsMargins(0, 0, 8, 0)
        stack.addWidget(self.chart)
        stack.addStretch(1)
        scroll = scrolled(inner)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self.words)
        layout.addWidget(scroll, 1)

    def refresh(self, *, only_kept: bool) -> None:
        """Count again."""
        project = self._session.project
        rows = class_balance(project, only_kept=only_kept)
        self.chart.show_rows(rows)
        real, synthetic = sum(r.real for r in rows), sum(r.synthetic for r in rows)
        sentences = [
            _(
                "{real} and {synthetic} may train. Both ways of training see the same real "
                "ones; synthetic ones only stand in for them."
            ).format(
                real=count(real, "{n:,} real image", "{n:,} real images"),
                synthetic=count(synthetic, "{n:,} synthetic image", "{n:,} synthetic images"),
            )
        ]
        empty = [r.name for r in rows if synthetic and not r.synthetic]
        if empty:
            sentences.append(
                _("No synthetic image of {names} may train: there, both ways are alike.").format(
                    names=", ".join(empty)
                )
            )
        without = [r.name for r in rows if real and not r.real]
        if without:
            sentences.append(
                _("There is no training image of {names}: add some, or divide again.").format(
                    names=", ".join(without)
                )
            )
        self.words.setText("\n".join([*sentences, *find_doubts(project.file)]))
