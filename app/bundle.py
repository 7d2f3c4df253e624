"""The debug bundle: what helps others to help, and nothing private. No Qt."""

from __future__ import annotations

import json
import platform
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import dafusion_core
from dafusion_core.settings import Settings

if TYPE_CHECKING:
    from dafusion_core.api.project import Project

PACKAGES = ("torch", "torchvision", "diffusers", "transformers", "accelerate", "safetensors",
            "PySide6-Essentials", "numpy", "pillow", "sqlite-utils")  # fmt: skip
LOG_BYTES = 400_000


def write_bundle(target: Path, project: Project | None) -> None:
    """Write a zip with versions, settings, jobs and the ends of the logs.

    Home folders are written as “~”, and no picture, class name or file list goes in. Raises
    OSError where `target` cannot be written.
    """
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("versions.json", json.dumps(_versions(), indent=2))
        archive.writestr("settings.json", json.dumps(Settings().overrides(), indent=2))
        if project is None:
            return
        archive.writestr("jobs.json", json.dumps(_jobs(project), indent=2))
        for log in sorted(project.log_path().parent.glob("*.log")):
            text = log.read_bytes()[-LOG_BYTES:].decode("utf-8", "replace")
            archive.writestr(f"logs/{log.name}", _without_home(text))


def _versions() -> dict[str, str]:
    found = {
        "dafusion-studio": dafusion_core.__version__,
        "python": sys.version,
        "platform": platform.platform(),
    }
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _jobs(project: Project) -> list[dict[str, object]]:
    return [
        {
            "id": job.id,
            "kind": job.kind,
            "state": job.state.value,
            "done": job.done,
            "failed": job.failed,
            "total": job.total,
            "attempt": job.attempt,
            "device": job.device,
            "error_kind": job.error_kind,
            "error": _without_home(job.error_text or ""),
        }
        for job in project.jobs()
    ]


def _without_home(text: str) -> str:
    return text.replace(str(Path.home()), "~")
