"""Projects and driver processes for the end-to-end tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from dafusion_core.api import Project, create
from dafusion_core.domain.records import Job
from dafusion_core.jobs.events import JobEvent
from dafusion_core.jobs.supervisor import JobSupervisor
from tests.fake_methods import TARGET, picture

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("dock", "nettle", "thistle")


def make_folder(folder: Path, per_class: int = 10) -> Path:
    """A folder per class with small pictures, all different."""
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for index in range(per_class):
            image = picture(number * 1000 + index * 7919)
            image.resize((40, 30), Image.Resampling.BILINEAR).save(folder / name / f"{index}.png")
    return folder


def make_project(folder: Path, per_class: int = 10) -> Project:
    """A project with `per_class` images per class, half of them for training."""
    project = create(folder / "weeds")
    project.import_folder(make_folder(folder / "pictures", per_class))
    project.make_split()
    return project


def plan_generation(project: Project, images: int = 60) -> Job:
    """A generation of exactly `images` images, named concepts, no model needed by the fake."""
    sources = len(project.images(part="train"))
    assert images % (sources * 2) == 0
    return project.generate(t0_set=(0.25, 0.75), variants=images // (sources * 2), batch_size=4)


def run_queue(
    project: Project, events: list[JobEvent] | None = None, target: str = TARGET
) -> JobSupervisor:
    """Run the queue to its end with the fake worker; returns the (closed) supervisor."""
    supervisor = JobSupervisor(
        project.file, (events if events is not None else []).append, ("cpu",), target
    )
    try:
        supervisor.run()
    finally:
        supervisor.close()
    return supervisor


def start_driver(path: Path, **environment: str) -> subprocess.Popen[bytes]:
    """A program of its own that opens the project, resumes what can go on, and runs the queue."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.drive_queue", str(path)],
        cwd=ROOT,
        env=os.environ | environment,
        start_new_session=True,
    )


def contents(project: Project) -> dict[str, str]:
    """Unit key → SHA-256 of its picture: what two runs must agree on."""
    units = {unit.id: unit.key for job in project.jobs() for unit in project.units(job.id)}
    images = project.synthetic(project.synthetic_ids())
    assert len({image.unit_id for image in images}) == len(images)
    for image in images:
        assert project.synthetic_path(image).is_file()
    return {units[image.unit_id]: image.sha256 for image in images}
