"""What an erasure changed: pictures of each prompt before and after, and numbers beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QPixmap
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from app.widgets.parts import button, heading, label, row
from app.widgets.plain_table import PlainTable
from dafusion_core.domain.records import ErasedModel

MAX_WIDTH = 560


class BeforeAfterDialog(QDialog):
    """The sheet the erasure drew, and its check as a table. `sheet` may be missing."""

    def __init__(
        self, erased: ErasedModel, sheet: Path | None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Before and after erasing")
        self.table = PlainTable(["Prompt", "Pictures", "Predictions"], (1, 2))
        self.table.fill([_row(line) for line in erased.record.get("check", {}).get("prompts", [])])
        self.table.setMinimumWidth(400)
        picture = QLabel()
        pixmap = QPixmap(str(sheet)) if sheet is not None else QPixmap()
        if pixmap.isNull():
            picture.setText("There is no picture of this erasure.")
        else:
            if pixmap.width() > MAX_WIDTH:
                pixmap = pixmap.scaledToWidth(MAX_WIDTH, Qt.TransformationMode.SmoothTransformation)
            picture.setPixmap(pixmap)
        picture.setAlignment(Qt.AlignmentFlag.AlignTop)
        scroll = QScrollArea()
        scroll.setWidget(picture)
        scroll.setMinimumWidth(min(MAX_WIDTH, pixmap.width()) + 24)
        body = QHBoxLayout()
        body.setSpacing(16)
        body.addWidget(scroll)
        body.addWidget(self.table, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(10)
        layout.addWidget(heading("Before and after erasing", 1.2))
        layout.addWidget(
            label(
                "One row per prompt, in the order of the table: pictures from the model before, "
                "then from the same noise after. What was erased should change, the rest should "
                "stay as it was.",
                "muted",
                wrap=True,
            )
        )
        layout.addLayout(body, 1)
        layout.addLayout(row(None, button("Close", self.close)))
        self.resize(self.sizeHint().width(), 560)


def _row(line: dict[str, Any]) -> list[str]:
    name = line["prompt"] or "(no prompt)"
    role = {"concept": "erased", "preserve": "kept", "guide": "guide"}.get(line["role"], "")
    return [
        f"{name}  ({role})" if role else name,
        f"{line['pixel_change']:.4f}",
        f"{line['prediction_change']:.4f}",
    ]
