"""Names of files and classes: one normal form, and the order that people expect."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import PurePath

__all__ = ["is_hidden_name", "is_text_name", "natural_key", "normal_name", "path_key", "show_name"]

# Left behind by operating systems and archivers, never by people.
_SYSTEM_NAMES = frozenset(
    ["thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "icon\r"]
) | {"system volume information", "@eadir", "lost+found"}

NaturalKey = tuple[tuple[str | int, ...], str]


def normal_name(name: str) -> str:
    """Unicode NFC without surrounding white space, so that macOS and Linux give one class."""
    return unicodedata.normalize("NFC", name).strip()


def is_hidden_name(name: str) -> bool:
    """True for what a file manager hides or a system left behind; skipped without a word."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def is_text_name(name: str) -> bool:
    """False when the name holds bytes that are no valid text (possible on Linux)."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def show_name(path: object) -> str:
    """The path as text that can always be shown and stored."""
    return str(path).encode("utf-8", "replace").decode()


@lru_cache(maxsize=1 << 14)  # the same names are compared several times while a folder is planned
def natural_key(name: str) -> NaturalKey:
    """Sort key: "b2" before "b10", case and Unicode form ignored, the raw name to break ties."""
    pieces = re.split(r"([0-9]+)", unicodedata.normalize("NFC", name).casefold())
    # Splitting alternates text and digits, so pieces at one place are always of one type.
    return tuple(int(p) if i % 2 else p for i, p in enumerate(pieces)), name


def path_key(path: PurePath) -> tuple[NaturalKey, ...]:
    """`natural_key` of every part of the path."""
    return tuple(natural_key(part) for part in path.parts)
