"""Preferences, made from their declarations in the core: each takes effect at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDoubleSpinBox,
    QLineEdit,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.theme import Mode, theme
from app.widgets.fields import choice
from app.widgets.parts import button, card, guard_wheel, heading, label, row, scrolled
from dafusion_core.domain.errors import DaFusionError, UserError
from dafusion_core.language import _
from dafusion_core.settings import SETTINGS, Setting, Settings

MODES = {Mode.SYSTEM: _("Follow the system"), Mode.LIGHT: _("Light"), Mode.DARK: _("Dark")}


class SettingsDialog(QDialog):
    """A card per group. Nothing to confirm: what is changed is stored.

    Signals:
        stored(str): the setting of this key has another value now.
    """

    stored = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(_("Settings"))
        self.resize(600, 620)
        self._settings = Settings()
        self.fields: dict[str, QWidget] = {}
        self.problem = label("", "error", wrap=True)
        self.problem.hide()
        inner = QWidget()
        stack = QVBoxLayout(inner)
        stack.setContentsMargins(0, 0, 8, 0)
        stack.setSpacing(12)
        stack.addWidget(card(heading(_("Appearance"), 1.1), self._theme_box()))
        groups: dict[str, list[Setting]] = {}
        for setting in SETTINGS:
            groups.setdefault(setting.group, []).append(setting)
        for name, settings in groups.items():
            parts: list[QWidget] = [heading(_(name), 1.1)]
            parts += [self._line(setting) for setting in settings]
            stack.addWidget(card(*parts, spacing=12))
        stack.addStretch(1)
        scroll = scrolled(inner)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 16, 12, 14)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.problem)
        layout.addLayout(
            row(
                label(
                    _("Stored in {path}").format(path=self._settings.path),
                    "muted",
                    wrap=True,
                    select=True,
                ),
                button(_("Close"), self.close),
            )
        )
        layout.itemAt(2).layout().setStretch(0, 1)  # type: ignore[union-attr]

    def _theme_box(self) -> QComboBox:
        box = choice(MODES, _("Light or dark"))
        box.setCurrentIndex(box.findData(theme.mode))
        box.currentIndexChanged.connect(lambda _i: theme.choose(Mode(box.currentData())))
        return box

    def _line(self, setting: Setting) -> QWidget:
        field = self._field(setting)
        field.setAccessibleName(_(setting.label))
        field.setAccessibleDescription(_(setting.note))
        self.fields[setting.key] = field
        made = QWidget()
        layout = QVBoxLayout(made)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        if isinstance(field, QCheckBox):
            layout.addWidget(field)
        else:
            name = label(_(setting.label))
            name.setBuddy(field)
            layout.addLayout(row(name, None, field))
        layout.addWidget(label(_(setting.note), "muted", wrap=True))
        if os.environ.get(setting.environment_name) is not None:
            field.setEnabled(False)
            text = _("Set by the environment variable {name}.").format(
                name=setting.environment_name
            )
            layout.addWidget(label(text, "muted", wrap=True))
        return made

    def _field(self, setting: Setting) -> QWidget:
        value = self._value(setting)
        store: Callable[[Any], None] = partial(self._store, setting.key)
        if setting.type is bool:
            tick = QCheckBox(_(setting.label))
            tick.setChecked(bool(value))
            tick.toggled.connect(store)
            return tick
        if setting.choices:
            names = setting.names or setting.choices
            box = choice({key: _(name) for key, name in zip(setting.choices, names, strict=True)})
            box.setCurrentIndex(box.findData(value))
            box.currentIndexChanged.connect(lambda _i: store(box.currentData()))
            return box
        if setting.type is str:
            text = QLineEdit(str(value))
            text.setMinimumWidth(220)
            text.editingFinished.connect(lambda: store(text.text()))
            return text
        number = QSpinBox() if setting.type is int else QDoubleSpinBox()
        low = -(10**9) if setting.minimum is None else setting.minimum
        high = 10**9 if setting.maximum is None else setting.maximum
        number.setRange(int(low), int(high))
        number.setValue(value)
        number.setKeyboardTracking(False)
        number.valueChanged.connect(store)
        number.setAlignment(Qt.AlignmentFlag.AlignRight)
        guard_wheel(number)
        return number

    def _value(self, setting: Setting) -> Any:
        try:
            return self._settings.get(setting.key)
        except UserError:  # the environment says something that cannot be
            return setting.default

    def _store(self, key: str, value: Any) -> None:
        try:
            self._settings.set(key, value)
        except DaFusionError as error:
            self.problem.setText(str(error))
            self.problem.show()
            return
        self.problem.hide()
        self.stored.emit(key)
