"""The first thing to see: drop a folder, open, try the sample, or go on with a recent project."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from app import ui_state
from app.actions import Actions
from app.widgets.drop_zone import DropZone
from app.widgets.hardware_card import HardwareCard
from app.widgets.parts import action_button, button, column, heading, label, row
from dafusion_core.domain.errors import EnvironmentProblem
from dafusion_core.language import _
from dafusion_core.resources import resource_path


def app_icon() -> QIcon:
    """The program's icon, empty where it is missing."""
    try:
        return QIcon(str(resource_path("icons/dafusion-studio.svg")))
    except EnvironmentProblem:
        return QIcon()


class WelcomePage(QWidget):
    """No project is open.

    Signals:
        dropped(Path): a folder or a project file.
        chosen(Path): a recent project.
    """

    dropped = Signal(object)
    chosen = Signal(object)

    def __init__(self, actions: Actions) -> None:
        super().__init__()
        picture = QLabel()
        picture.setPixmap(app_icon().pixmap(72, 72))
        words = column(
            heading("DA-Fusion Studio", 2.0),
            label(_("More training pictures from the few you have, and an answer to: did it help?"),
                  "muted"),
            spacing=2,
        )  # fmt: skip
        head = row(picture, spacing=16)
        head.addLayout(words)
        head.addStretch(1)
        self.zone = DropZone()
        self.zone.dropped.connect(self.dropped)
        zone_title = heading(_("Drop a folder of pictures here"), 1.3)
        zone_text = label(
            _(
                "One folder per class inside it. A project is made beside it; "
                "your pictures are copied and never changed."
            ),
            "muted",
            wrap=True,
        )
        for made in (zone_title, zone_text):
            made.setAlignment(Qt.AlignmentFlag.AlignCenter)
        zone_layout = column(None, zone_title, zone_text, 10, spacing=6)
        zone_layout.addLayout(
            row(
                None,
                action_button(actions["new"], "primary", _("New project from a folder…")),
                action_button(actions["open"], text=_("Open a project…")),
                action_button(actions["sample"], text=_("Try the sample")),
                None,
            )
        )
        zone_layout.addStretch(1)
        zone_layout.setContentsMargins(24, 24, 24, 24)
        self.zone.setLayout(zone_layout)
        self.zone.setMinimumHeight(200)
        self.recent = QVBoxLayout()
        self.recent.setSpacing(2)
        self.recent_title = heading(_("Recent projects"), 1.1)
        inner = QFrame()
        inner.setMaximumWidth(760)
        inner_layout = QVBoxLayout(inner)
        inner_layout.setSpacing(18)
        inner_layout.addLayout(head)
        inner_layout.addWidget(self.zone)
        self.hardware = HardwareCard()
        inner_layout.addWidget(self.hardware)
        inner_layout.addWidget(self.recent_title)
        inner_layout.addLayout(self.recent)
        outer = QVBoxLayout(self)
        outer.addStretch(1)
        line = row(None, inner, None)
        line.setStretch(1, 8)
        outer.addLayout(line)
        outer.addStretch(2)
        self.refresh()

    def refresh(self) -> None:
        """Read the list of recent projects again."""
        while (item := self.recent.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        paths = ui_state.recent_projects()
        self.recent_title.setVisible(bool(paths))
        for path in paths:
            self.recent.addWidget(self._make_line(path))

    def _make_line(self, path: Path) -> QWidget:
        line = QWidget()
        exists = path.is_file()
        name = button(path.stem, lambda: self.chosen.emit(path), "link", str(path))
        name.setEnabled(exists)
        if not exists:
            name.setToolTip(_("It was moved, deleted, or its drive is not connected."))
        where = label(
            str(path.parent) if exists else _("not found in {parent}").format(parent=path.parent),
            "muted",
        )
        forget = button(_("Remove"), lambda: self._forget(path), "link", _("From this list only."))
        forget.setAccessibleName(_("Remove {stem} from the list").format(stem=path.stem))
        forget.setVisible(not exists)
        layout = row(name, where, None, forget)
        line.setLayout(layout)
        return line

    def _forget(self, path: Path) -> None:
        ui_state.forget_project(path)
        self.refresh()
