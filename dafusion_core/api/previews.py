"""Previews: what a plan would make of one image at every t0, before anything is generated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dafusion_core.domain.records import Job, JobState
from dafusion_core.domain.specs import GenerationPlan, PreviewSpec
from dafusion_core.storage.previews import find_kept
from dafusion_core.storage.results import artefacts

if TYPE_CHECKING:
    from dafusion_core.api.project import Project

__all__ = ["PreviewPicture", "preview", "preview_pictures"]


@dataclass(frozen=True, slots=True)
class PreviewPicture:
    """A picture of a preview: how far from the photo, its file, and whether it was kept."""

    t0: float
    path: Path
    is_kept: bool = False


def preview(project: Project, plan: GenerationPlan, image_id: int) -> Job:
    """Queue what `plan` would make of a training image, one picture per t0, before other work.

    The pictures are looked at and not trained on; generating with the same plan makes the same
    ones again, and those that `Project.keep_preview` kept are kept there too. Raises UserError
    when the image is not one that synthetic images are made from.
    """
    waiting = [job.priority for job in project.jobs([JobState.QUEUED])]
    return project.enqueue(PreviewSpec(image_id, plan), max(waiting, default=0) + 1)


def preview_pictures(project: Project, job_id: int) -> list[PreviewPicture]:
    """The pictures of a preview that are there already, the closest to the photo first."""
    db, objects = project.file.db, project.file.objects
    kept = find_kept(db, job_id)
    found = [
        PreviewPicture(t0, objects.path(item.path), t0 in kept)
        for item in artefacts(db, job_id)
        for t0 in [float(item.record["t0"])]
    ]
    return sorted(found, key=lambda picture: picture.t0)
