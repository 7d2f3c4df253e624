"""What an erasure changed: pictures of each prompt before and after, and numbers beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QHBoxLayout,
    QLabel,
    QWidget,
)

from app.widgets.parts import button, dialog_layout, guard_wheel, row, scrolled
from app.widgets.plain_table import PlainTable
from dafusion_core.domain.records import ErasedModel
from dafusion_core.language import _

MAX_WIDTH = 560
PICTURES_TIP = _("How much the pixels changed, from the same noise: 0 not at all.")
PREDICTIONS_TIP = _("How far the network's predictions for this prompt moved (root mean square).")


class BeforeAfterDialog(QDialog):
    """The sheet an erasure drew, and its check as a table; with one model per class, the class is
    chosen above them. Sheets may be missing."""

    def __init__(
        self,
        models: Sequence[tuple[ErasedModel, Path | None]],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._models = list(models)
        self.choice = QComboBox()
        self.choice.setAccessibleName(_("Model"))
        for erased, _sheet in self._models:
            self.choice.addItem(
                _("The model without {concepts}").format(concepts=", ".join(erased.concepts))
            )
        self.choice.setVisible(len(self._models) > 1)
        guard_wheel(self.choice)
        self.table = PlainTable([_("Prompt"), _("Pictures"), _("Predictions")], (1, 2))
        self.table.setMinimumWidth(330)
        for place, tip in ((1, PICTURES_TIP), (2, PREDICTIONS_TIP)):
            item = self.table.horizontalHeaderItem(place)
            if item is not None:
                item.setToolTip(tip)
        self.picture = QLabel()
        self.picture.setAlignment(Qt.AlignmentFlag.AlignTop)
        scroll = scrolled(self.picture)
        scroll.setMinimumWidth(MAX_WIDTH + 4)
        body = QHBoxLayout()
        body.setSpacing(16)
        body.addWidget(scroll)
        body.addWidget(self.table, 1)
        layout = dialog_layout(
            self,
            _("Before and after erasing"),
            _(
                "One row per prompt, in the order of the table: pictures from the model before, "
                "then from the same noise after. What was erased should change, the rest should "
                "stay as it was."
            ),
        )
        layout.addLayout(row(self.choice, None))
        layout.addLayout(body, 1)
        layout.addLayout(row(None, button(_("Close"), self.close)))
        self.choice.currentIndexChanged.connect(self._show)
        self._show(0)
        self.resize(max(960, self.sizeHint().width()), 560)

    def _show(self, place: int) -> None:
        erased, sheet = self._models[place]
        self.table.fill([_row(line) for line in erased.record.get("check", {}).get("prompts", [])])
        pixmap = QPixmap(str(sheet)) if sheet is not None else QPixmap()
        if pixmap.isNull():
            self.picture.setText(_("There is no picture of this erasure."))
            return
        if pixmap.width() > MAX_WIDTH:
            pixmap = pixmap.scaledToWidth(MAX_WIDTH, Qt.TransformationMode.SmoothTransformation)
        self.picture.setPixmap(pixmap)
        self.picture.setAccessibleName(_("Pictures before, at the left, and after, at the right"))


def _row(line: dict[str, Any]) -> list[str]:
    name = line["prompt"] or _("(no prompt)")
    role = {"concept": _("erased"), "preserve": _("kept"), "guide": _("guide")}.get(
        line["role"], ""
    )
    return [
        f"{name}  ({role})" if role else name,
        f"{line['pixel_change']:.4f}",
        f"{line['prediction_change']:.4f}",
    ]
