"""Where the focused picture comes from: everything that would make it again."""

from __future__ import annotations

import re
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QGridLayout, QVBoxLayout, QWidget

from app.text import CURATION_NAMES, t0_words
from app.widgets.parts import button, heading, label, row, scrolled
from dafusion_core.api.project import Project
from dafusion_core.domain.errors import DaFusionError
from dafusion_core.domain.records import Lineage
from dafusion_core.language import _, count
from dafusion_core.storage.checks import SyntheticCheck

WIDTH = 250


class InfoPanel(QFrame):
    """Name and value lines; every value can be selected and all of them copied."""

    def __init__(self, project: Project, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self._project = project
        self._shown: int | None = None
        self.lines: list[tuple[str, str]] = []
        self.grid = QGridLayout()
        self.grid.setHorizontalSpacing(10)
        self.grid.setVerticalSpacing(5)
        self.grid.setColumnStretch(1, 1)
        inner = QWidget()
        stack = QVBoxLayout(inner)
        stack.setContentsMargins(0, 0, 6, 0)
        stack.addLayout(self.grid)
        stack.addStretch(1)
        scroll = scrolled(inner)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.copy_button = button(_("Copy"), self._copy, "small", _("Copy all lines as text."))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 12, 8, 10)
        layout.addLayout(row(heading(_("About this picture"), 1.05), None, self.copy_button))
        layout.addWidget(scroll, 1)
        self.setFixedWidth(WIDTH)
        self.show_picture(None)

    def show_picture(self, synthetic_id: int | None, *, again: bool = False) -> None:
        """Show a picture's lineage; `again` reads it anew."""
        if synthetic_id == self._shown and not again and self.lines:
            return
        self._shown = synthetic_id
        lines: list[tuple[str, str]] = []
        if synthetic_id is not None:
            try:
                lines = lineage_lines(self._project.lineage(synthetic_id))
                check = self._project.checks([synthetic_id]).get(synthetic_id)
                lines[4:4] = check_lines(check) if check else []
            except DaFusionError as error:
                lines = [("", error.text)]
        self.lines = lines
        self.copy_button.setEnabled(bool(lines))
        self._fill(lines or [("", _("Choose a synthetic image to see what it was made from."))])

    def _fill(self, lines: list[tuple[str, str]]) -> None:
        while (item := self.grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for number, (name, value) in enumerate(lines):
            title = label(name, "muted")
            title.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
            shown = label(breakable(value), wrap=True, select=bool(name))
            shown.setMinimumWidth(10)
            if name:
                self.grid.addWidget(title, number, 0)
                self.grid.addWidget(shown, number, 1)
            else:
                shown.setProperty("role", "muted")
                self.grid.addWidget(shown, number, 0, 1, 2)

    def _copy(self) -> None:
        text = "\n".join(f"{name}: {value}" for name, value in self.lines)
        QGuiApplication.clipboard().setText(text)


def breakable(text: str) -> str:
    """The text with places to break very long words at, which cannot be seen."""
    return re.sub(r"[^\s\u200b]{17}(?=\S)", "\\g<0>\u200b", text)


def lineage_lines(found: Lineage) -> list[tuple[str, str]]:
    """Name and value, from what matters most to what is only there to be traced."""
    image, plan = found.image, found.plan
    model = plan.get("model") or {}
    learned, erased = found.embedding, found.erased
    lines = [
        (_("Class"), found.concept.name),
        ("t0", f"{image.t0:g}, {t0_words(image.t0)}"),
        (_("Decision"), CURATION_NAMES[image.curation]),
        (_("Stars"), str(image.rating) if image.rating else _("none")),
        (_("Photo"), Path(found.source.original_path).name),
        (_("Prompt"), found.prompt),
        (_("Guidance"), f"{plan.get('guidance', 0):g}"),
        (_("Steps"), f"{plan.get('steps', 0):,}, {plan.get('scheduler', '')}"),
        (_("Seed"), str(image.seed)),
        (_("Variant"), str(image.variant + 1)),
        (_("Size"), f"{image.width} × {image.height}"),
        (_("Base model"), str(model.get("location") or _("bundled model"))),
    ]
    if erased is not None:
        names = count(len(erased.concepts), "{n:,} concept", "{n:,} concepts")
        lines.append((_("Erased"), f"{names}, {erased.method.upper()}, {erased.sha256[:12]}"))
    else:
        lines.append((_("Erased"), _("nothing")))
    if learned is not None:
        lines.append((_("Token"), f"{learned.placeholder}, {learned.sha256[:12]}"))
    else:
        lines.append((_("Token"), _("none: the class by its name")))
    lines += [
        (_("Made by"), _("job {id}").format(id=image.job_id)),
        (_("Made at"), image.created_at[:16].replace("T", " ") + " UTC"),
        (_("File"), image.path),
        ("SHA-256", image.sha256[:16]),
    ]
    return lines


def check_lines(check: SyntheticCheck) -> list[tuple[str, str]]:
    """What was measured, in words."""
    lines = []
    if check.source_distance is not None:
        lines.append((_("From its photo"), f"{check.source_distance:.3f}"))
    if check.train_distance is not None:
        lines.append(
            (
                _("Nearest photo"),
                _("{distance:.3f} (image {id})").format(
                    distance=check.train_distance, id=check.train_image_id
                ),
            )
        )
    if check.agreement is not None:
        said = _(", says {name}").format(name=check.predicted) if check.predicted else ""
        lines.append((_("Classifier"), f"{check.agreement:.0%}{said}".replace("%", " %")))
    lines.append(
        (_("Sharpness"), f"{check.sharpness:.0f}" + (_(", blank") if check.is_blank else ""))
    )
    return lines
