"""Fields of forms in one call each. The mouse wheel changes them only while they have the focus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QSpinBox

from app.widgets.parts import guard_wheel

LEAST = 90  # pixels


def choice(items: Mapping[Any, str], name: str = "", tip: str = "") -> QComboBox:
    """One of {value: words}; `name` for screen readers, where no form gives one."""
    made = QComboBox()
    made.setAccessibleName(name)
    made.setToolTip(tip)
    made.setMinimumWidth(LEAST)  # long words give way in a narrow window
    for value, words in items.items():
        made.addItem(words, value)
    guard_wheel(made)
    return made


def whole_number(
    low: int, high: int, tip: str = "", *, value: int | None = None, step: int = 1,
    suffix: str = "", lowest: str = "",
) -> QSpinBox:  # fmt: skip
    """A whole number; `lowest` is what stands there instead of the lowest one."""
    made = QSpinBox()
    made.setRange(low, high)
    made.setSingleStep(step)
    made.setValue(low if value is None else value)
    made.setSuffix(suffix)
    made.setSpecialValueText(lowest)
    made.setToolTip(tip)
    guard_wheel(made)
    return made


def number(
    low: float, high: float, tip: str = "", *, value: float | None = None, step: float = 1.0,
    decimals: int = 2,
) -> QDoubleSpinBox:  # fmt: skip
    """A number with decimals."""
    made = QDoubleSpinBox()
    made.setDecimals(decimals)
    made.setRange(low, high)
    made.setSingleStep(step)
    made.setValue(low if value is None else value)
    made.setToolTip(tip)
    guard_wheel(made)
    return made
