"""The one object a method is handed besides its values: progress, cancelling, results."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dafusion_core.domain.records import JobUnit


class JobContext(Protocol):
    """How a method talks to whoever runs it.

    `device` is a torch device string ("cpu", "cuda:0"); `scratch` an existing folder for files
    that are not finished yet. `kept` is a folder, not made yet, for what lets the job go on where
    it was after a stop; it outlives the process and goes away when the job has succeeded.
    """

    device: str
    scratch: Path

    @property
    def kept(self) -> Path:
        """Where to leave what the next attempt can use."""

    def resolve(self, path: str) -> Path:
        """The real path of an input."""

    def check_cancelled(self) -> None:
        """Raise Cancelled or Stopped if the job should end now. Call at every step."""

    def take_wish(self, what: str) -> bool:
        """Whether the user has asked for "save", "sample" or "finish" since the last time. See
        `Wish`."""

    def progress(self, done: float, total: float, phase: str = "") -> None:
        """Report progress in units of the whole job; also a cancel point."""

    def log(self, text: str, level: str = "info") -> None:
        """A line for people."""

    def metric(self, series: str, step: int, value: float, unit: JobUnit | None = None) -> None:
        """Store one number of a curve."""

    def preview(self, path: Path, text: str = "") -> None:
        """Announce a picture in `scratch`."""

    def finish_unit(
        self, unit: JobUnit, files: Mapping[str, Path], record: Mapping[str, Any]
    ) -> None:
        """Record a unit's result: adopt `files` (by role) and store `record` (JSON values)."""

    def fail_unit(self, unit: JobUnit, error: Exception) -> None:
        """Record that this unit cannot be done; the job goes on with the others."""


@dataclass
class NullContext:
    """A context for tests and notebooks: keeps results in memory, files where they are."""

    scratch: Path
    root: Path = field(default_factory=Path)
    device: str = "cpu"
    results: dict[str, tuple[dict[str, Path], dict[str, Any]]] = field(default_factory=dict)
    failures: dict[str, Exception] = field(default_factory=dict)
    metrics: list[tuple[str, int, float]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def kept(self) -> Path:
        """A folder in `scratch`."""
        return self.scratch / "kept"

    def resolve(self, path: str) -> Path:
        """Paths are taken relative to `root`."""
        return self.root / path

    def check_cancelled(self) -> None:
        """Never cancels."""

    def take_wish(self, what: str) -> bool:
        """Nobody asks."""
        return False

    def progress(self, done: float, total: float, phase: str = "") -> None:
        """Ignored."""

    def log(self, text: str, level: str = "info") -> None:
        """Kept in `lines`."""
        self.lines.append(text)

    def metric(self, series: str, step: int, value: float, unit: JobUnit | None = None) -> None:
        """Kept in `metrics`."""
        self.metrics.append((series, step, value))

    def preview(self, path: Path, text: str = "") -> None:
        """Ignored."""

    def finish_unit(
        self, unit: JobUnit, files: Mapping[str, Path], record: Mapping[str, Any]
    ) -> None:
        """Kept in `results` by unit key; files are copied aside so that `scratch` may be reused."""
        kept = {}
        for role, path in files.items():
            kept[role] = path.with_name(f"kept-{unit.id}-{path.name}")
            shutil.copyfile(path, kept[role])
        self.results[unit.key] = (kept, dict(record))

    def fail_unit(self, unit: JobUnit, error: Exception) -> None:
        """Kept in `failures` by unit key."""
        self.failures[unit.key] = error
