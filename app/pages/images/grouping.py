"""Finding groups by a pattern, by folder or by the day of the photograph, with a preview."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QLineEdit,
    QWidget,
)

from app.session import Session
from app.widgets.fields import choice, whole_number
from app.widgets.parts import button, dialog_layout, form, label, row
from app.widgets.plain_table import PlainTable
from dafusion_core.language import _, count

WAYS = {
    "name": _("A pattern in the file name"),
    "path": _("A pattern in the whole path"),
    "folder": _("The folder"),
    "date": _("The day of the photograph (EXIF)"),
}
EXAMPLE = r"^(.+?)[-_ ]?\d+\."
WAIT_MS = 250
SHOWN = 200


class GroupingDialog(QDialog):
    """How to group at the top, the groups that would come of it below."""

    def __init__(
        self, session: Session, chosen: Sequence[int], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.resize(520, 560)
        self._session = session
        self._chosen = list(chosen)
        self.way = choice(WAYS)
        self.pattern = QLineEdit(EXAMPLE)
        self.pattern.setToolTip(
            _("A regular expression. What stands in its first brackets names the group.")
        )
        self.level = whole_number(1, 9, _("1 is the folder of the picture, 2 the one around it."))
        self.only = QCheckBox(
            count(len(self._chosen), "Only {n:,} chosen picture", "Only {n:,} chosen pictures")
        )
        self.only.setVisible(len(self._chosen) > 1)
        self.found = PlainTable([_("Group"), _("Pictures")], (1,))
        self.found.setAccessibleName(_("Groups that would be made"))
        self.what = label("", "muted", wrap=True)
        self.start = button(_("Group"), self._group, "primary")
        layout = dialog_layout(
            self,
            _("Find groups"),
            _(
                "Pictures of one plant, animal, place or day stay together in every split, so that "
                "nothing is tested on a relative of what was learned."
            ),
            spacing=12,
        )
        self.fields = form(
            (_("Group by"), self.way), (_("Pattern"), self.pattern), (_("Folders up"), self.level)
        )
        layout.addLayout(self.fields)
        layout.addWidget(self.only)
        layout.addWidget(self.found, 1)
        layout.addWidget(self.what)
        layout.addLayout(row(None, button(_("Cancel"), self.reject), self.start))
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(WAIT_MS)
        self._soon.timeout.connect(self.look)
        self._asked = 0
        for signal in (
            self.way.currentIndexChanged,
            self.pattern.textChanged,
            self.level.valueChanged,
            self.only.toggled,
        ):
            signal.connect(lambda _value: self._later())
        self.finished.connect(self._forget)
        self._later()

    def _forget(self) -> None:
        """Closed: answers that are still on their way find nobody."""
        self._asked += 1
        self._soon.stop()

    @property
    def arguments(self) -> dict[str, Any]:
        """What `find_groups` and `group_by` are asked."""
        way = self.way.currentData()
        ids = self._chosen if self.only.isVisible() and self.only.isChecked() else None
        if way in ("name", "path"):
            found = {"how": "pattern", "pattern": self.pattern.text(), "where": way}
        else:
            found = {"how": way, "level": self.level.value()}
        return {**found, "image_ids": ids}

    def _later(self) -> None:
        way = self.way.currentData()
        self.fields.setRowVisible(self.pattern, way in ("name", "path"))
        self.fields.setRowVisible(self.level, way == "folder")
        self.start.setEnabled(False)
        self._soon.start()

    def look(self) -> None:
        """Find the groups in the background."""
        self._asked += 1
        number, project, arguments = self._asked, self._session.project, self.arguments
        self.what.setText(_("Looking…"))
        self._session.reads.submit(
            lambda: project.find_groups(**arguments),
            lambda found: self._show(number, found, ""),
            lambda error: self._show(number, {}, str(error)),
        )

    def _show(self, number: int, groups: dict[str, list[int]], problem: str) -> None:
        if number != self._asked:
            return  # something else was asked meanwhile
        pairs = sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))
        self.found.fill([(name, f"{len(ids):,}") for name, ids in pairs[:SHOWN]])
        pictures = sum(map(len, groups.values()))
        words = _("{groups} of {images}.").format(
            groups=count(len(groups), "{n:,} group", "{n:,} groups"),
            images=count(pictures, "{n:,} picture", "{n:,} pictures"),
        )
        if len(groups) == pictures > 0:
            words += _(" Each picture would be alone in its group.")
        self.what.setText(problem or (words if groups else _("No picture fits, so no group.")))
        can_group = bool(groups) and not self._session.is_read_only
        self.start.setEnabled(can_group)

    def _group(self) -> None:
        project, arguments = self._session.project, self.arguments
        self._session.do(lambda: project.group_by(**arguments))
        self.accept()
