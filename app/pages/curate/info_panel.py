"""Where the focused picture comes from: everything that would make it again."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QGridLayout, QVBoxLayout, QWidget

from app.text import CURATION_NAMES, count, t0_words
from app.widgets.parts import button, heading, label, row, scrolled
from dafusion_core.api.project import Project
from dafusion_core.domain.errors import DaFusionError
from dafusion_core.domain.records import Lineage
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
        self.copy_button = button("Copy", self._copy, "small", "Copy all lines as text.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 12, 8, 10)
        layout.addLayout(row(heading("About this picture", 1.05), None, self.copy_button))
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
        self._fill(lines or [("", "Choose a synthetic image to see what it was made from.")])

    def _fill(self, lines: list[tuple[str, str]]) -> None:
        while (item := self.grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for number, (name, value) in enumerate(lines):
            title = label(name, "muted")
            title.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
            shown = label(value, wrap=True, select=bool(name))
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


def lineage_lines(found: Lineage) -> list[tuple[str, str]]:
    """Name and value, from what matters most to what is only there to be traced."""
    image, plan = found.image, found.plan
    model = plan.get("model") or {}
    learned, erased = found.embedding, found.erased
    lines = [
        ("Class", found.concept.name),
        ("t0", f"{image.t0:g}, {t0_words(image.t0)}"),
        ("Decision", CURATION_NAMES[image.curation]),
        ("Stars", str(image.rating) if image.rating else "none"),
        ("Photo", Path(found.source.original_path).name),
        ("Prompt", found.prompt),
        ("Guidance", f"{plan.get('guidance', 0):g}"),
        ("Steps", f"{plan.get('steps', 0):,}, {plan.get('scheduler', '')}"),
        ("Seed", str(image.seed)),
        ("Variant", str(image.variant + 1)),
        ("Size", f"{image.width} × {image.height}"),
        ("Base model", str(model.get("location") or "bundled model")),
    ]
    if erased is not None:
        names = count(len(erased.concepts), "concept")
        lines.append(("Erased", f"{names}, {erased.method.upper()}, {erased.sha256[:12]}"))
    else:
        lines.append(("Erased", "nothing"))
    if learned is not None:
        lines.append(("Token", f"{learned.placeholder}, {learned.sha256[:12]}"))
    else:
        lines.append(("Token", "none: the class by its name"))
    lines += [
        ("Made by", f"job {image.job_id}"),
        ("Made at", image.created_at[:16].replace("T", " ") + " UTC"),
        ("File", image.path),
        ("SHA-256", image.sha256[:16]),
    ]
    return lines


def check_lines(check: SyntheticCheck) -> list[tuple[str, str]]:
    """What was measured, in words."""
    lines = []
    if check.source_distance is not None:
        lines.append(("From its photo", f"{check.source_distance:.3f}"))
    if check.train_distance is not None:
        lines.append(
            ("Nearest photo", f"{check.train_distance:.3f} (image {check.train_image_id})")
        )
    if check.agreement is not None:
        said = f", says {check.predicted}" if check.predicted else ""
        lines.append(("Classifier", f"{check.agreement:.0%}{said}".replace("%", " %")))
    lines.append(("Sharpness", f"{check.sharpness:.0f}" + (", blank" if check.is_blank else "")))
    return lines
