"""What this computer has and what that allows, found by a helper process: torch takes seconds
to load, and the window never loads it."""

from __future__ import annotations

import json
import os
import shutil
from datetime import date
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from app import ui_state
from app.widgets.helper import Helper
from app.widgets.parts import button, heading, label, row
from dafusion_core.language import _

GIB = 2**30
STORED = "hardware"
NOT_LOOKED = _("Graphics card and torch have not been looked at yet; the check takes some seconds.")


def torch_free_lines() -> list[tuple[str, str]]:
    """What is known at once, without torch."""
    import psutil  # not needed before the window is there

    memory = psutil.virtual_memory()
    free = shutil.disk_usage(Path.home()).free
    return [
        (_("Processor"), _("{cores} cores").format(cores=os.cpu_count() or 1)),
        (
            _("Memory"),
            _("{total:.0f} GB, {available:.0f} GB free").format(
                total=memory.total / GIB, available=memory.available / GIB
            ),
        ),
        (_("Disk"), _("{free:.0f} GB free").format(free=free / GIB)),
    ]


def allows(gpu_gib: float | None) -> str:
    """One sentence on what can be expected; `gpu_gib` None for a machine without a GPU."""
    if gpu_gib is None:
        return _(
            "No graphics card that torch can use: the bundled model runs in minutes. "
            "Stable Diffusion works, but takes hours for what a card does in minutes."
        )
    if gpu_gib < 6:
        return _("The bundled model runs at once. Stable Diffusion fits only for generating.")
    if gpu_gib < 12:
        return _(
            "Stable Diffusion 1.x fits for learning and generating; full erasure (ESD) may not."
        )
    return _("Stable Diffusion fits with every method.")


def topic_title(topic: str) -> str:
    """What was looked at, as people read it; names of programs stay."""
    if topic.startswith("Device "):
        return _("Device {name}").format(name=topic.removeprefix("Device "))
    return {
        "Program": _("Program"),
        "Memory": _("Memory"),
        "Disk": _("Disk"),
        "Devices": _("Devices"),
        "Bundled model": _("Bundled model"),
        "Project": _("Project"),
        "Settings": _("Settings"),
    }.get(topic, topic)


class HardwareCard(QFrame):
    """Lines of name and value. `start` asks the helper; it is ended with the card."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self._at_once = dict(torch_free_lines())
        self.lines: dict[str, str] = dict(self._at_once)
        self.text = label("", select=True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.verdict = label("", "muted", wrap=True)
        self.more = button(
            _("Check this computer"), self.start, "link", _("Loads torch once, in another process.")
        )
        self.helper = Helper(self)
        self.helper.answered.connect(self._on_answer)
        self._recall()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(16, 12, 16, 12)
        layout.setSpacing(4)
        layout.addLayout(row(heading(_("This computer"), 1.1), None, self.more))
        layout.addWidget(self.text)
        layout.addWidget(self.verdict)
        self._show()

    def start(self) -> None:
        """Ask the helper; what it finds appears when it is there."""
        if not self.helper.is_busy:
            self.more.setEnabled(False)
            self.more.setText(_("Checking…"))
            self.helper.start("doctor")

    def stop(self) -> None:
        """End the helper."""
        self.helper.end()

    def _on_answer(self, answer: dict[str, Any] | None) -> None:
        self.more.setEnabled(True)
        self.more.setText(_("Check again"))
        if answer is None:
            self.verdict.setText(_("The check did not answer. `dafusion doctor` says more."))
        else:
            self.take(answer)

    def take(self, answer: dict[str, Any]) -> None:
        """Show what `dafusion doctor --json` found."""
        wrong = []
        gpu: float | None = None
        for finding in answer.get("findings", []):
            topic, value = str(finding["topic"]), str(finding["value"])
            if topic == "torch" or topic.startswith("Device"):
                self.lines[topic_title(topic)] = value
            if topic.startswith("Device cuda"):
                gpu = max(gpu or 0.0, finding.get("total_bytes", 0) / 1e9)
            # A card that torch cannot use is only a note to the doctor; here it decides a lot.
            if finding["state"] == "problem" or (topic == "torch" and finding["text"]):
                wrong.append(f"{topic_title(topic)}: {finding['text']}")
        self.verdict.setText("\n".join([*wrong, allows(gpu)]))
        found = {name: self.lines[name] for name in self.lines if name not in self._at_once}
        stored = {"lines": found, "verdict": self.verdict.text(), "day": date.today().isoformat()}
        ui_state.store_text(STORED, json.dumps(stored))
        self._show()

    def _recall(self) -> None:
        """What the last check found: asking anew takes seconds, and machines rarely change."""
        try:
            stored = json.loads(ui_state.load_text(STORED))
            self.lines |= {str(name): str(value) for name, value in stored["lines"].items()}
            self.verdict.setText(
                _("{verdict}\nLooked at on {day}.").format(
                    verdict=stored["verdict"], day=stored["day"]
                )
            )
            self.more.setText(_("Check again"))
        except (ValueError, KeyError, TypeError, AttributeError):
            self.verdict.setText(NOT_LOOKED)

    def _show(self) -> None:
        self.text.setText("   ·   ".join(f"{name}: {value}" for name, value in self.lines.items()))
        self.text.setWordWrap(True)
