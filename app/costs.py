"""What a step will take in time and disk, from what the same step took before. No Qt.

Where this project has done nothing of the kind yet, the figures of the bundled model on two cores
of a laptop are taken and the sentence says so; for another model no time is promised.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime

from app.text import duration
from dafusion_core.api.base_models import ModelFacts, estimate_memory
from dafusion_core.api.project import Project
from dafusion_core.domain.records import Job, JobState
from dafusion_core.domain.specs import Memory
from dafusion_core.language import _
from dafusion_core.settings import get_str

#: Seconds on two cores with the bundled model: per picture and step, class and step, fit and epoch.
LAPTOP = {"generate": 0.016, "invert": 0.12, "train": 0.12, "erase": 30.0}
PICTURE_BYTES = {True: 10_000, False: 450_000}  # bundled model (64 px), Stable Diffusion (512 px)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds (None: cannot be told) and bytes; `is_measured` if from this project."""

    seconds: float | None
    bytes: int
    is_measured: bool

    @property
    def sentence(self) -> str:
        """“Takes about 3 min and 4 MB, going by what it took last time.”"""
        disk = size_words(self.bytes)
        if self.seconds is None:
            return _(
                "Needs about {disk} on disk. How long it takes shows after the first pieces."
            ).format(disk=disk)
        time = duration(max(1.0, self.seconds))
        words = (
            _("Takes about {time} and {disk} on disk, going by the last time.")
            if self.is_measured
            else _("Takes about {time} and {disk} on disk, on a laptop without a GPU.")
        )
        return words.format(time=time, disk=disk)


def size_words(number: float) -> str:
    """“4 MB”."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.0f}\u00a0{unit}" if number >= 10 else f"{number:.1f}\u00a0{unit}"
        number /= 1000
    return ""


def seconds_per(project: Project, kind: str) -> tuple[float, Job] | None:
    """Seconds per unit of the newest finished job of a kind, and that job."""
    jobs = [
        job
        for job in project.jobs([JobState.SUCCEEDED])
        if job.kind == kind and job.attempt == 1 and job.started_at and job.finished_at
    ]
    if not jobs or not jobs[-1].total:
        return None
    job = jobs[-1]
    took = datetime.fromisoformat(str(job.finished_at)) - datetime.fromisoformat(
        str(job.started_at)
    )
    return took.total_seconds() / job.total, job


def _scaled(
    project: Project, kind: str, number: int, steps: int, key: str, is_bundled: bool
) -> tuple[float | None, bool]:
    found = seconds_per(project, kind)
    if found is not None:
        each, job = found
        before = int(job.spec.get(key) or steps)
        is_same = (job.spec.get("model") or {}).get("kind", "bundled") == "bundled"
        if kind == "train" or is_same == is_bundled:
            return each * number * steps / max(1, before), True
    if kind != "train" and not is_bundled:
        return None, False
    return LAPTOP[kind] * number * steps, False


def generation(project: Project, pictures: int, steps: int, is_bundled: bool = True) -> Cost:
    """Making that many pictures."""
    seconds, measured = _scaled(project, "generate", pictures, steps, "steps", is_bundled)
    return Cost(seconds, pictures * PICTURE_BYTES[is_bundled], measured)


def concepts(
    project: Project, classes: int, steps: int, is_bundled: bool = True, erasures: int = 1
) -> Cost:
    """Learning that many classes, and as many erasures before."""
    seconds, measured = _scaled(project, "invert", classes, steps, "steps", is_bundled)
    if erasures and seconds is not None:
        found = seconds_per(project, "erase")
        seconds += erasures * (found[0] if found else LAPTOP["erase"])
    return Cost(seconds, classes * 5_000 + erasures * 700_000, measured)


def training(project: Project, runs: int, epochs: int) -> Cost:
    """Fitting that many classifiers."""
    seconds, measured = _scaled(project, "train", runs, epochs, "epochs", True)
    return Cost(seconds, runs * 230_000, measured)


def uses_graphics_card() -> bool:
    """Whether work will likely run on a card: chosen in the settings, or there is one."""
    device = get_str("device")
    return device.startswith("cuda") or (
        device == "auto" and shutil.which("nvidia-smi") is not None
    )


def memory_sentence(
    facts: ModelFacts | None, batch: int, resolution: int | None, memory: Memory
) -> str:
    """“Needs about 90 MB of memory; 12 GB are free.” Empty where it cannot be told."""
    on_card = uses_graphics_card()
    size = 2 if on_card else 4
    need = estimate_memory(facts, size, batch, resolution, memory) if facts is not None else None
    if need is None:
        return ""
    if on_card:
        return _("Needs about {need} of the graphics card's memory.").format(need=size_words(need))
    import psutil  # not needed before the window is there

    found = psutil.virtual_memory()
    words = _("Needs about {need} of memory; {free} are free.").format(
        need=size_words(need), free=size_words(found.available)
    )
    if need > found.total:
        words += _(" That is more than this computer has: choose smaller pictures or less at once.")
    return words
