"""What this window remembers between starts: geometry and recent projects. Never project data."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QByteArray, QSettings

ORGANISATION = "dafusion-studio"
MAX_RECENT = 8


def _settings() -> QSettings:
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, ORGANISATION, "window")


def recent_projects() -> list[Path]:
    """Newest first; some may be gone."""
    stored = _settings().value("recent", [])
    if isinstance(stored, str):  # a list of one comes back as text
        return [Path(stored)]
    return [Path(str(name)) for name in stored] if isinstance(stored, list) else []


def remember_project(path: Path) -> None:
    """Put a project at the top of the recent ones."""
    names = [str(path)] + [str(old) for old in recent_projects() if old != path]
    _settings().setValue("recent", names[:MAX_RECENT])


def forget_project(path: Path) -> None:
    """Take a project off the recent ones; the file stays."""
    _settings().setValue("recent", [str(old) for old in recent_projects() if old != path])


def load_bytes(key: str) -> QByteArray | None:
    """A stored geometry or state."""
    value = _settings().value(key)
    return value if isinstance(value, QByteArray) else None


def store_bytes(key: str, value: QByteArray) -> None:
    """Store a geometry or state."""
    _settings().setValue(key, value)


def load_text(key: str, default: str = "") -> str:
    """A stored word."""
    return str(_settings().value(key, default))


def store_text(key: str, value: str) -> None:
    """Store a word."""
    _settings().setValue(key, value)
