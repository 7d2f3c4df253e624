"""Previews: what a plan would make of one image at every t0, before anything is generated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dafusion_core.domain.records import Job, JobState
from dafusion_core.domain.specs import GenerationPlan, PreviewSpec
from dafusion_core.storage.results import artefacts

if TYPE_CHECKING:
    from dafusion_core.api.project import Project

__all__ = ["PreviewPicture", "preview", "preview_pictures"]


@dataclass(frozen=True, slots=True)
class PreviewPicture:
    """A picture of a preview: how far from the photo, and its file."""

    t0: float
    path: Path


def preview(project: Project, plan: GenerationPlan, image_id: int) -> Job:
    """Queue what `plan` would make of a training image, one picture per t0, before other work.

    The pictures are looked at and never trained on; generating with the same plan makes the same
    ones again. Raises UserError when the image is not one that synthetic images are made from.
    """
    waiting = [job.priority for job in project.jobs([JobState.QUEUED])]
    return project.enqueue(PreviewSpec(image_id, plan), max(waiting, default=0) + 1)


def preview_pictures(project: Project, job_id: int) -> list[PreviewPicture]:
    """The pictures of a preview that are there already, the closest to the photo first."""
    found = [
        PreviewPicture(float(item.record["t0"]), project.file.objects.path(item.path))
        for item in artefacts(project.file.db, job_id)
    ]
    return sorted(found, key=lambda picture: picture.t0)
