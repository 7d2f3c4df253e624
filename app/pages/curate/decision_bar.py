"""The buttons below the pictures."""

from __future__ import annotations

from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QCheckBox, QWidget

from app.actions import Actions
from app.widgets.parts import action_button, row
from dafusion_core.language import _
from dafusion_core.settings import Settings, get_bool

BUTTONS = (
    ("keep", _("Keep  (P)")),
    ("reject", _("Reject  (X)")),
    ("undecide", _("Undecided  (U)")),
    ("compare", _("Compare  (C)")),
    ("info", _("Info  (I)")),
)
NARROW = 640  # below this the buttons leave out their keys; the tips still have them


class DecisionBar(QWidget):
    """Decisions, comparing and info, and whether a decision moves on."""

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        self.buttons = [action_button(actions[key], "small", text) for key, text in BUTTONS]
        self.advance_box = QCheckBox()
        self.advance_box.setToolTip(_("After P or X, move to the next picture."))
        self.advance_box.setAccessibleName(_("Go on after a decision"))
        self.advance_box.setChecked(get_bool("auto_advance"))
        self.advance_box.toggled.connect(lambda on: Settings().set("auto_advance", on))
        for made in (*self.buttons, self.advance_box):
            made.setMinimumWidth(40)  # the words follow the width
        self.setLayout(row(*self.buttons, None, self.advance_box))
        self._say(is_narrow=False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fewer words where there is less room."""
        super().resizeEvent(event)
        self._say(is_narrow=self.width() < NARROW)

    def _say(self, *, is_narrow: bool) -> None:
        for made, (_key, text) in zip(self.buttons, BUTTONS, strict=True):
            made.setText(text.split("  ")[0] if is_narrow else text)
        self.advance_box.setText(_("Go on") if is_narrow else _("Go on after a decision"))
