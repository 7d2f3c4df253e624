"""A plot with what people change about it: which curve, how smooth, logarithmic or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QComboBox, QSlider, QVBoxLayout, QWidget

from app.widgets.parts import guard_wheel, label, row
from app.widgets.plot import Line, Plot
from dafusion_core.language import _


class CurvePanel(QWidget):
    """`show_series` with lines per series; series whose name begins with “accuracy” are shares."""

    def __init__(self, name: str, hint: str = "", unit: str = "") -> None:
        super().__init__()
        self.plot = Plot(name, hint=hint)
        self.plot.unit = unit or _("step")
        self._series: dict[str, list[Line]] = {}
        self.choice = QComboBox()
        self.choice.setAccessibleName(_("{name}: which curve").format(name=name))
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.choice.setMinimumWidth(90)  # in a narrow window it gives way
        self.log = QCheckBox(_("Log"))
        self.log.setToolTip(
            _("Logarithmic values: small differences late in a run become visible.")
        )
        self.smooth = QSlider(Qt.Orientation.Horizontal)
        self.smooth.setRange(0, 95)
        self.smooth.setFixedWidth(70)
        self.smooth.setAccessibleName(_("Smoothing"))
        self.smooth.setToolTip(_("Smooths the lines; the measured values stay visible, faintly."))
        guard_wheel(self.choice, self.smooth)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(row(self.choice, None, label(_("Smooth"), "muted"), self.smooth, self.log))
        layout.addWidget(self.plot, 1)
        self.choice.currentIndexChanged.connect(lambda _i: self._show())
        self.log.toggled.connect(self.plot.set_log)
        self.smooth.valueChanged.connect(lambda value: self.plot.set_smoothing(value / 100))
        self.plot.setToolTip(_("Click a name below the curves to hide it."))

    def show_series(self, series: Mapping[str, Sequence[Line]]) -> None:
        """Show these; the chosen one stays chosen."""
        chosen = self.choice.currentText()
        self._series = {name: list(lines) for name, lines in series.items() if lines}
        if [self.choice.itemText(i) for i in range(self.choice.count())] != [*self._series]:
            self.choice.blockSignals(True)
            self.choice.clear()
            self.choice.addItems([*self._series])
            self.choice.setCurrentIndex(max(0, self.choice.findText(chosen)))
            self.choice.blockSignals(False)
        self.choice.setVisible(len(self._series) > 1)
        self._show()

    def _show(self) -> None:
        name = self.choice.currentText()
        self.plot.is_share = "accuracy" in name.lower()
        self.plot.show_lines(self._series.get(name, []))
