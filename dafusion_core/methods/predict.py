"""Ask a trained classifier about pictures; the answers go into a CSV table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from dafusion_core.domain.errors import BadImage
from dafusion_core.domain.inputs import PredictionInputs
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import PredictionSpec
from dafusion_core.engine.devices import guard, resolve_device
from dafusion_core.engine.picture_store import PictureStore
from dafusion_core.engine.torch_setup import torch
from dafusion_core.engine.trained import load_trained
from dafusion_core.jobs.context import JobContext
from dafusion_core.language import _

__all__ = ["run"]


def run(
    spec: PredictionSpec, inputs: PredictionInputs, units: Sequence[JobUnit], ctx: JobContext
) -> None:
    """One CSV row per picture, in the order asked for: path, label, confidence, probability of
    each label, and why not for pictures that cannot be read."""
    device = resolve_device(ctx.device)
    trained = load_trained(ctx.resolve(inputs.weights.path), device)
    store = PictureStore(trained.resolution, budget_bytes=0, device=device)
    for unit in units:
        table = ctx.scratch / f"predictions-{unit.id}.csv"
        bad = 0
        with table.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["path", "label", "confidence", *trained.labels, "problem"])
            for start in range(0, len(spec.paths), spec.batch_size):
                ctx.progress(start, len(spec.paths), _("looking at pictures"))
                part = spec.paths[start : start + spec.batch_size]
                pictures, problems = _load(store, part)
                with guard(
                    device, _("looking at {number} pictures at once").format(number=len(part))
                ):
                    rows = (
                        trained.probabilities(torch.stack(pictures), device).tolist()
                        if pictures
                        else []
                    )
                answers = iter(rows)
                for path, problem in zip(part, problems, strict=True):
                    if problem:
                        bad += 1
                        writer.writerow([path, "", "", *[""] * len(trained.labels), problem])
                        continue
                    row = next(answers)
                    best = max(range(len(row)), key=row.__getitem__)
                    figures = [f"{p:.6f}" for p in row]
                    writer.writerow([path, trained.labels[best], figures[best], *figures, ""])
        ctx.finish_unit(unit, {"table": table}, {"pictures": len(spec.paths), "unreadable": bad})
        if bad:
            ctx.log(
                _("{bad} of {number} pictures could not be read.").format(
                    bad=bad, number=len(spec.paths)
                ),
                "warning",
            )
    ctx.progress(1, 1, "done")


def _load(store: PictureStore, paths: Sequence[str]) -> tuple[list[torch.Tensor], list[str]]:
    """(pictures that could be read, problem of each path or "")."""
    pictures, problems = [], []
    for path in paths:
        try:
            pictures.append(store.get(Path(path)))
            problems.append("")
        except BadImage as error:
            problems.append(error.text)
        except OSError as error:
            problems.append(error.strerror or str(error))
    return pictures, problems
