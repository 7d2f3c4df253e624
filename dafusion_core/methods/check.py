"""Measure synthetic images (§6): how far from what is real, of which class, sharp or blank.

The classifier that is asked for their class has seen real training images only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from dafusion_core.datasets.pictures import load_rgb
from dafusion_core.domain.errors import BadImage, UserError
from dafusion_core.domain.inputs import CheckInputs, ImageInput, SyntheticInput
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import CheckSpec
from dafusion_core.engine import measures
from dafusion_core.engine.classifiers import bundled_weights
from dafusion_core.engine.devices import guard, resolve_device
from dafusion_core.engine.models import shared_cache
from dafusion_core.engine.torch_setup import torch
from dafusion_core.jobs.context import JobContext
from dafusion_core.language import _

__all__ = ["run"]


@dataclass(frozen=True, slots=True)
class _Known:
    """Real images that could be read, and their features [n, d]."""

    items: list[ImageInput]
    features: torch.Tensor


def run(spec: CheckSpec, inputs: CheckInputs, units: Sequence[JobUnit], ctx: JobContext) -> None:
    """Measure the synthetic images that the units name.

    An image that cannot be read is left out with a line in the log. Raises UserError when no
    training image can be read, or the features' model does not load.
    """
    device = resolve_device(ctx.device)
    ctx.progress(0, len(units), _("loading the model"))
    with guard(device, _("measuring pictures")):
        features = _features(spec, device)
        ctx.log(_("Pictures are compared by the features of: {name}.").format(name=features.name))
        train = _encode(inputs.train, features, spec, ctx, _("reading training images"))
        test = _encode(inputs.test, features, spec, ctx, _("reading held-out images"))
        if not train.items:
            raise UserError(
                _("No training image could be read, so there is nothing to compare with."),
                _("Put the pictures back where they were, then retry."),
            )
        judge = _Judge(inputs, features, train, test)
        for done, unit in enumerate(units):
            rows: list[dict[str, Any]] = []
            wanted = [inputs.synthetics.get(str(i)) for i in unit.payload["units"]]
            made = [item for item in wanted if item is not None]
            for start in range(0, len(made), spec.batch_size):
                ctx.progress(done + start / max(1, len(made)), len(units), "measuring")
                rows += judge.measure(made[start : start + spec.batch_size], ctx)
            ctx.finish_unit(unit, {}, {"rows": rows})
    ctx.progress(len(units), len(units), "done")


def _features(spec: CheckSpec, device: torch.device) -> measures.Features:
    """What the spec names, or else the best that is at hand (§6)."""
    folder = None
    if spec.features == "":
        folder = measures.find_image_model()
    elif spec.features not in ("bundled", "network"):
        folder = Path(spec.features).expanduser()
    if folder is not None:
        return measures.FolderFeatures(folder, device)
    bundled = next(iter(bundled_weights()), None)
    if spec.features == "bundled" or (bundled is not None and spec.features == ""):
        return measures.BackboneFeatures(bundled or "resnet50", device, spec.resolution)
    model = shared_cache().get(spec.model, device=device, dtype=torch.float32)
    return measures.NetworkFeatures(model, spec.resolution)


def _encode(
    items: Sequence[ImageInput],
    features: measures.Features,
    spec: CheckSpec,
    ctx: JobContext,
    phase: str,
) -> _Known:
    known: list[ImageInput] = []
    parts: list[torch.Tensor] = []
    for start in range(0, len(items), spec.batch_size):
        ctx.progress(0, 1, phase)
        batch = []
        for item in items[start : start + spec.batch_size]:
            picture = _read(ctx.resolve(item.path), ctx)
            if picture is not None:
                batch.append(picture)
                known.append(item)
        if batch:
            parts.append(features(batch))
    return _Known(known, torch.cat(parts) if parts else torch.zeros(0, 0))


def _read(path: Path, ctx: JobContext) -> Image.Image | None:
    try:
        return load_rgb(path)
    except (BadImage, OSError) as error:
        ctx.log(_("{name} is left out: {error}").format(name=path.name, error=error), "warning")
        return None


class _Judge:
    """Measures synthetic images against the real ones."""

    def __init__(
        self, inputs: CheckInputs, features: measures.Features, train: _Known, test: _Known
    ) -> None:
        self._labels = inputs.labels
        self._features, self._train, self._test = features, train, test
        self._near = measures.Neighbours(train.features)
        self._place = {item.id: row for row, item in enumerate(train.items)}
        labels = [item.label for item in train.items]
        self._probe = None
        if len(set(labels)) > 1:
            self._probe = measures.Probe(train.features, labels, len(inputs.labels))

    def measure(self, made: Sequence[SyntheticInput], ctx: JobContext) -> list[dict[str, Any]]:
        """One row of the table per image that can be read."""
        pictures = [(item, _read(ctx.resolve(item.path), ctx)) for item in made]
        seen = [(item, picture) for item, picture in pictures if picture is not None]
        if not seen:
            return []
        found = self._features([picture for _, picture in seen])
        train_distance, train_row = self._near.nearest(found, self._train.features)
        rows = []
        for i, (item, picture) in enumerate(seen):
            own = found[i : i + 1]
            row: dict[str, Any] = {
                "synthetic_id": item.id,
                "features": self._features.name,
                "source_distance": self._to_source(own, item),
                "train_distance": float(train_distance[i]),
                "train_image_id": self._train.items[int(train_row[i])].id,
                "test_distance": None,
                "test_image_id": None,
                "agreement": None,
                "predicted": None,
                "sharpness": measures.sharpness(picture),
                "is_blank": int(measures.is_blank(picture)),
            }
            if self._test.items:
                distance, place = self._near.nearest(own, self._test.features)
                row["test_distance"] = float(distance[0])
                row["test_image_id"] = self._test.items[int(place[0])].id
            if self._probe is not None:
                probabilities = self._probe(own)[0]
                row["agreement"] = float(probabilities[item.label])
                row["predicted"] = self._labels[int(probabilities.argmax())]
            rows.append(row)
        return rows

    def _to_source(self, own: torch.Tensor, item: SyntheticInput) -> float | None:
        place = self._place.get(item.source_image_id)
        if place is None:
            return None
        return float(self._near.between(own, self._train.features[place : place + 1])[0])
