"""After training: look at a classifier, use it, hand it on; curves for TensorBoard."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dafusion_core.domain.errors import UserError, translate_os_error
from dafusion_core.domain.records import Artefact, Job, TrainingRun
from dafusion_core.domain.specs import ModelExportSpec, ModelFormat, PredictionSpec
from dafusion_core.evaluation.event_files import write_events
from dafusion_core.evaluation.inspection import Inspection, inspect_record
from dafusion_core.language import _
from dafusion_core.storage.results import artefacts, get_run

if TYPE_CHECKING:
    from dafusion_core.api.project import Project

__all__ = [
    "PICTURE_ENDINGS",
    "collect_pictures",
    "copy_artefact",
    "export_model",
    "find_run",
    "inspect_run",
    "job_artefacts",
    "predict",
    "write_tensorboard",
]

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")


def find_run(project: Project, run_id: int | None = None) -> TrainingRun:
    """The run of that id, or the best of the newest training.

    Best on the validation images where there are any; else the first: choosing among runs by
    their test images would spoil the figures. Raises UserError when there is none.
    """
    if run_id is not None:
        return get_run(project.file.db, run_id)
    runs = project.runs()
    if not runs:
        raise UserError(_("There is no trained classifier yet."), _("Train one first."))
    newest = [run for run in runs if run.job_id == max(run.job_id for run in runs)]

    def on_validation(run: TrainingRun) -> float:
        chosen = run.record["epochs"][run.record.get("chosen_epoch", 0) - 1]
        return float(chosen.get("validation_accuracy") or 0)

    return max(newest, key=lambda run: (on_validation(run), -run.id))


def inspect_run(project: Project, run_id: int) -> Inspection:
    """Confusions with image ids, figures per class, calibration, mistakes and map of a run."""
    return inspect_record(get_run(project.file.db, run_id).record)


def predict(project: Project, run_id: int, source: Path | str) -> Job:
    """Queue asking a classifier about a picture, a folder or a CSV list of pictures.

    The job leaves one artefact, the table "table" (CSV); see `copy_artefact`.
    """
    paths = tuple(str(path) for path in collect_pictures(Path(source)))
    return project.enqueue(PredictionSpec(run_id=run_id, paths=paths))


def export_model(
    project: Project,
    run_id: int,
    formats: Sequence[ModelFormat] = ("safetensors", "torchscript", "onnx"),
) -> Job:
    """Queue writing a classifier for other programs; one artefact per format."""
    return project.enqueue(ModelExportSpec(run_id=run_id, formats=tuple(formats)))


def collect_pictures(source: Path) -> list[Path]:
    """The pictures that `source` means, absolute: itself, all below a folder, or those that the
    first column of a CSV file names (relative to that file; a header "path" may be there).

    Raises UserError when there is none.
    """
    if source.is_dir():
        found = sorted(p for p in source.rglob("*") if p.suffix.lower() in PICTURE_ENDINGS)
        if not found:
            raise UserError(
                _("There is no picture in “{source}”.").format(source=source),
                _("Check the folder."),
            )
        return [path.absolute() for path in found]
    if not source.is_file():
        raise UserError(
            _("“{source}” is not there.").format(source=source),
            _("Name a picture, a folder or a CSV list."),
        )
    if source.suffix.lower() != ".csv":
        return [source.absolute()]
    try:
        with source.open(encoding="utf-8-sig", newline="") as stream:
            names = [row[0].strip() for row in csv.reader(stream) if row and row[0].strip()]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            _("“{source}” is not a CSV file in UTF-8 ({error}).").format(source=source, error=error)
        ) from error
    if names and names[0].lower() in ("path", "file", "filename", "image"):
        names = names[1:]
    if not names:
        raise UserError(
            _("“{source}” names no picture.").format(source=source), _("Put one path per line.")
        )
    return [(source.parent / name).absolute() for name in names]


def job_artefacts(project: Project, job_id: int) -> list[Artefact]:
    """The files that a prediction or an export left."""
    return artefacts(project.file.db, job_id)


def copy_artefact(project: Project, artefact: Artefact, target: Path | str) -> Path:
    """Copy an artefact's file to `target`, replacing what is there. Returns the path."""
    target = Path(target)
    if target.is_dir():
        raise UserError(
            _("“{target}” is a folder.").format(target=target), _("Give the name of a file.")
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(project.file.objects.path(artefact.path), target)
    except OSError as error:
        raise translate_os_error(error, _("writing {name}").format(name=target.name)) from error
    return target


def write_tensorboard(
    project: Project, folder: Path | str, jobs: Sequence[int] | None = None
) -> list[Path]:
    """Write the curves of jobs (None: all that have some) as TensorBoard event files.

    One folder per job and unit: `tensorboard --logdir FOLDER` shows them side by side.
    Raises UserError when no job has a curve.
    """
    written = []
    for job in project.jobs():
        if jobs is not None and job.id not in jobs:
            continue
        units = {unit.id: unit.key for unit in project.units(job.id)}
        by_unit: dict[int | None, list[int]] = {}
        metrics = project.metrics(job.id)
        for number, metric in enumerate(metrics):
            by_unit.setdefault(metric.unit_id, []).append(number)
        for unit_id, places in by_unit.items():
            name = f"job {job.id} {job.kind}"
            if unit_id in units:
                name += f" {units[unit_id]}"
            place = Path(folder) / re.sub(r"[^\w .,=-]+", "_", name)
            try:
                written.append(write_events(place, (metrics[i] for i in places)))
            except OSError as error:
                raise translate_os_error(error, _("writing curves")) from error
    if not written:
        raise UserError(_("There are no curves yet."), _("Run a training or an inversion first."))
    return written
