"""Verbs for trained classifiers: inspect, predict, export-model, curves, backbones."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from dafusion_core.api.classifiers import (
    copy_artefact,
    find_run,
    inspect_run,
    job_artefacts,
    write_tensorboard,
)
from dafusion_core.api.classifiers import (
    export_model as queue_export,
)
from dafusion_core.api.classifiers import (
    predict as queue_prediction,
)
from dafusion_core.cli.options import device_option, project_option, verb
from dafusion_core.cli.output import EXIT_OK, Output, plural
from dafusion_core.cli.running import run_queue
from dafusion_core.cli.session import describe_job, opened
from dafusion_core.domain.records import TrainingRun
from dafusion_core.evaluation.verdict import percent

run_option = click.option(
    "--run", "run_id", type=int, help="Id of a training run. Default: the best on validation."
)
_ENDINGS = {"safetensors": ".safetensors", "torchscript": ".pt", "onnx": ".onnx"}
_SHOWN = 10


def _describe(run: TrainingRun) -> dict[str, Any]:
    return {
        "run": run.id,
        "job": run.job_id,
        "arm": run.arm,
        "seed": run.seed,
        "accuracy": run.record["test_accuracy_last"],
        "alarms": run.record.get("alarms", []),
    }


@click.command()
@project_option
@run_option
@verb
def inspect(out: Output, project_path: Path | None, run_id: int | None) -> int:
    """Show what a trained classifier gets wrong: per class, by confusion, most confident first.

    With --json also the image ids behind every figure, the calibration and the map.

    \b
    Example:
      dafusion inspect --run 3 --project weeds.dafusion
    """
    with opened(out, project_path, to_write=False) as project:
        run = find_run(project, run_id)
        found = inspect_run(project, run.id)
        names = {image.id: image.original_path for image in project.images()}
        out.say(f"Run {run.id}: {found.arm}, seed {found.seed}, {percent(found.accuracy)}")
        for label, figures in zip(found.labels, found.classes, strict=True):
            out.say(
                f"  {label:20} precision {percent(figures.precision)}, recall "
                f"{percent(figures.recall)}, F1 {percent(figures.f1)} "
                f"({plural(figures.images, 'image')})"
            )
        out.say(f"Calibration error {found.calibration_error:.3f}. Most confident mistakes:")
        for one in found.mistakes[:_SHOWN]:
            truth, guess = found.labels[one.truth], found.labels[one.guess]
            out.say(f"  {one.image_id}: {truth}, taken for {guess} ({percent(one.confidence)})")
            out.say(f"      {names.get(one.image_id, '')}")
        for text in run.record.get("alarms", []):
            out.say(f"Alarm: {text}")
        out.result(_describe(run) | {"inspection": found.to_dict()})
    return EXIT_OK


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@project_option
@run_option
@click.option(
    "--output",
    "-o",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("predictions.csv"),
    show_default=True,
    help="The CSV table.",
)
@device_option
@verb
def predict(
    out: Output,
    source: Path,
    project_path: Path | None,
    run_id: int | None,
    target: Path,
    devices: str | None,
) -> int:
    """Ask a trained classifier about SOURCE: a picture, a folder, or a CSV list of pictures.

    The table has a row per picture: path, label, confidence and the probability of every class.

    \b
    Examples:
      dafusion predict new-photos/ --project weeds.dafusion
      dafusion predict list.csv --run 3 -o answers.csv
    """
    with opened(out, project_path) as project:
        run = find_run(project, run_id)
        job = queue_prediction(project, run.id, source)
        code = run_queue(out, project, devices, [job])
        result: dict[str, Any] = {"job": describe_job(project.job(job.id))} | _describe(run)
        for made in job_artefacts(project, job.id):
            result |= made.record | {"table": copy_artefact(project, made, target)}
            out.say(f"Asked run {run.id} ({run.arm}, seed {run.seed}). Wrote {target}.")
            if made.record["unreadable"]:
                out.note(f"{plural(made.record['unreadable'], 'picture')} could not be read.")
        out.result(result)
    return code


@click.command()
@click.argument("target", type=click.Path(path_type=Path, file_okay=False))
@project_option
@run_option
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(list(_ENDINGS)),
    help="May be repeated. Default: all.",
)
@device_option
@verb
def export_model(
    out: Output,
    target: Path,
    project_path: Path | None,
    run_id: int | None,
    formats: tuple[Any, ...],
    devices: str | None,
) -> int:
    """Write a trained classifier into the folder TARGET for other programs.

    Labels and preprocessing are inside the files. Each is loaded again and run on every test
    image, and only kept if its probabilities agree with the network's within 0.0001.

    \b
    Example:
      dafusion export-model classifier/ --format onnx --project weeds.dafusion
    """
    with opened(out, project_path) as project:
        run = find_run(project, run_id)
        job = queue_export(project, run.id, formats or tuple(_ENDINGS))
        code = run_queue(out, project, devices, [job])
        files = []
        for made in job_artefacts(project, job.id):
            path = target / f"classifier-{run.id}{_ENDINGS[made.role]}"
            copy_artefact(project, made, path)
            files.append({"file": path} | made.record)
            out.say(
                f"Wrote {path} (differs by at most {made.record['largest_difference']:.1e} on "
                f"{plural(made.record['tested_on'], 'test image')})."
            )
        out.result({"job": describe_job(project.job(job.id)), "files": files} | _describe(run))
    return code


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@project_option
@click.option("--job", "jobs", type=int, multiple=True, help="Only of this job; may be repeated.")
@verb
def curves(out: Output, folder: Path, project_path: Path | None, jobs: tuple[int, ...]) -> int:
    """Write losses, accuracies, speed and memory into FOLDER as TensorBoard event files.

    \b
    Example:
      dafusion curves board/ --project weeds.dafusion && tensorboard --logdir board
    """
    with opened(out, project_path, to_write=False) as project:
        written = write_tensorboard(project, folder, jobs or None)
        out.say(f"Wrote {plural(len(written), 'event file')} into {folder}.")
        out.result({"folder": folder, "files": written})
    return EXIT_OK


@click.command()
@click.argument("search", default="")
@click.option("--download", metavar="NAME", help="Fetch torchvision's ImageNet weights of NAME.")
@verb
def backbones(out: Output, search: str, download: str | None) -> int:
    """List the networks that can be trained, or fetch ImageNet weights for one.

    Nothing is downloaded unless --download asks for it. SEARCH is a part of the name. Networks
    of timm appear where that library is installed. Where weights come with the program, the line
    says so; --weights bundled uses them.

    \b
    Examples:
      dafusion backbones resnet
      dafusion backbones --download resnet50
    """
    classifiers: Any = _engine()
    if download is not None:
        step = 0

        def tell(done: int, total: int) -> None:
            nonlocal step
            if total and done * 10 // total > step:
                step = done * 10 // total
                out.note(f"  {step * 10} % of {total / 1e6:.0f} MB")

        path = classifiers.download_weights(download, tell)
        out.say(f"The weights of {download} are here: {path}")
        out.result({"backbone": download, "file": path})
        return EXIT_OK
    names = [name for name in classifiers.list_backbones() if search in name]
    bundled = classifiers.bundled_weights()
    for name in names:
        out.say(f"{name}  (weights come with the program)" if name in bundled else name)
    out.result({"backbones": names, "bundled_weights": bundled})
    return EXIT_OK


def _engine() -> Any:
    import_module("dafusion_core.engine.torch_setup").prepare()
    return import_module("dafusion_core.engine.classifiers")


__all__ = ["backbones", "curves", "export_model", "inspect", "predict"]
