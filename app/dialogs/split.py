"""Asks how to divide the images into training and test."""

from __future__ import annotations

from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.session import Session
from app.widgets.parts import button, form, heading, label, row
from dafusion_core.domain.changes import ProjectChanges


class SplitDialog(QDialog):
    """Shares per class, few-shot or all, and a seed."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Divide images")
        self._session = session
        self.test = self._percent(50)
        self.validation = self._percent(0)
        self.few = QCheckBox("Only this many training images per class")
        self.shots = QSpinBox()
        self.shots.setRange(1, 10_000)
        self.shots.setValue(8)
        self.shots.setEnabled(False)
        self.few.toggled.connect(self.shots.setEnabled)
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip("The same seed divides the same images in the same way.")
        fields = form(
            ("Test images", self.test),
            ("Validation images", self.validation),
            (self.few, self.shots),
            ("Seed", self.seed),
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(12)
        layout.addWidget(heading("Divide images", 1.2))
        layout.addWidget(
            label(
                "Test images are only looked at for the verdict: nothing is learned or generated "
                "from them. Groups stay together. What was made with an older split is kept and "
                "marked as out of date.",
                "muted",
                wrap=True,
            )
        )
        layout.addLayout(fields)
        layout.addLayout(
            row(None, button("Cancel", self.reject), button("Divide", self._divide, "primary"))
        )
        self.resize(440, self.sizeHint().height())

    def _percent(self, value: int) -> QSpinBox:
        box = QSpinBox()
        box.setRange(0, 90)
        box.setSingleStep(5)
        box.setSuffix(" %")
        box.setValue(value)
        return box

    def _divide(self) -> None:
        test, validation = self.test.value() / 100, self.validation.value() / 100
        shots = self.shots.value() if self.few.isChecked() else None
        seed = self.seed.value()

        def command() -> ProjectChanges:
            split = self._session.project.make_split(seed, test, validation, shots)
            return ProjectChanges(splits=True, text=f"{split.name} made")

        self._session.do(command)
        self.accept()
