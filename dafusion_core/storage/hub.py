"""Where downloaded base models are kept on this computer, and how much of one is there."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["bytes_here", "hub_cache", "hub_folder"]


def hub_cache() -> Path:
    """Where downloaded models are kept, as huggingface_hub decides it."""
    if place := os.environ.get("HF_HUB_CACHE"):
        return Path(place).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or str(Path(base) / "huggingface")
    return Path(home).expanduser() / "hub"


def hub_folder(location: str) -> Path:
    """The folder of a model, there or not; `location`: “owner/name”."""
    return hub_cache() / f"models--{location.replace('/', '--')}"


def bytes_here(location: str) -> int:
    """How much of a hub model has arrived on this computer, unfinished files included."""
    try:
        return sum(path.stat().st_size for path in (hub_folder(location) / "blobs").iterdir())
    except OSError:
        return 0
