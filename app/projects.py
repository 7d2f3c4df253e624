"""Where a new project goes, and the sample. No Qt."""

from __future__ import annotations

import os
from pathlib import Path

SUFFIX = ".dafusion"


def project_path_for(folder: Path) -> Path:
    """The project file beside a folder of pictures, or in the home folder if that is impossible."""
    parent = folder.parent
    if not os.access(parent, os.W_OK):
        parent = default_folder()
    return parent / f"{folder.name}{SUFFIX}"


def default_folder() -> Path:
    """Where projects go that have no better place."""
    return Path.home() / "DA-Fusion Studio"


def sample_project_path() -> Path:
    """Where the sample project is or will be."""
    return default_folder() / f"sample{SUFFIX}"
