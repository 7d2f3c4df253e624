"""What a classifier gets wrong, and which pictures those are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dafusion_core.domain.specs import Plain
from dafusion_core.evaluation.metrics import (
    CalibrationBin,
    ClassFigures,
    calibration_bins,
    calibration_error,
    class_accuracy,
    class_figures,
    confusion_matrix,
)

__all__ = ["Inspection", "MapPoint", "Mistake", "inspect_record"]

_MOST_MISTAKES = 50


@dataclass(frozen=True, slots=True)
class Mistake(Plain):
    """A test image that was taken for something else, and how sure the network was (0 to 1)."""

    image_id: int
    truth: int
    guess: int
    confidence: float


@dataclass(frozen=True, slots=True)
class MapPoint(Plain):
    """A picture in the plane of the network's features. `guess` is None for training images."""

    image_id: int
    label: int
    guess: int | None
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Inspection(Plain):
    """One training run on its test images.

    `cells[t][g]`: ids of the images of class t that were taken for class g; `accuracy`: mean per
    class; `mistakes`: the most confident first; `map_method`: "PCA" or "UMAP"; `shares`: how much
    of the variance of the features each axis of a PCA map shows.
    """

    arm: str
    seed: int
    labels: tuple[str, ...]
    accuracy: float
    classes: tuple[ClassFigures, ...]
    cells: tuple[tuple[tuple[int, ...], ...], ...]
    calibration: tuple[CalibrationBin, ...]
    calibration_error: float
    mistakes: tuple[Mistake, ...]
    points: tuple[MapPoint, ...] = ()
    shares: tuple[float, ...] = ()
    map_method: str = "PCA"

    @property
    def confusion(self) -> tuple[tuple[int, ...], ...]:
        """Counts [true][taken for]."""
        return tuple(tuple(len(ids) for ids in row) for row in self.cells)


def inspect_record(record: Mapping[str, Any]) -> Inspection:
    """An inspection from what a training run recorded. Raises UserError without test images."""
    labels, test = tuple(record["labels"]), record["test"]
    truth, ids = test["truth"], test["image_ids"]
    probabilities = np.asarray(test["probabilities"], np.float64)
    guesses = probabilities.argmax(axis=1).tolist()
    matrix = confusion_matrix(truth, guesses, len(labels))
    cells: list[list[list[int]]] = [[[] for _ in labels] for _ in labels]
    for image, true, guess in zip(ids, truth, guesses, strict=True):
        cells[true][guess].append(image)
    mistakes = [
        Mistake(image, true, guess, float(row[guess]))
        for image, true, guess, row in zip(ids, truth, guesses, probabilities, strict=True)
        if true != guess
    ]
    mistakes.sort(key=lambda one: (-one.confidence, one.image_id))
    found = record.get("map") or {}
    return Inspection(
        arm=record["arm"],
        seed=record["seed"],
        labels=labels,
        accuracy=class_accuracy(matrix).mean,
        classes=class_figures(matrix),
        cells=tuple(tuple(tuple(cell) for cell in row) for row in cells),
        calibration=calibration_bins(truth, probabilities),
        calibration_error=calibration_error(truth, probabilities),
        mistakes=tuple(mistakes[:_MOST_MISTAKES]),
        points=tuple(_points(found, dict(zip(ids, guesses, strict=True)))),
        shares=tuple(found.get("shares", ())),
        map_method=str(found.get("method", "PCA")),
    )


def _points(found: Mapping[str, Any], guesses: Mapping[int, int]) -> Sequence[MapPoint]:
    if not found:
        return ()
    rows = zip(found["image_ids"], found["labels"], found["is_test"], found["points"], strict=True)
    return [
        MapPoint(image, label, guesses.get(image) if is_test else None, float(x), float(y))
        for image, label, is_test, (x, y) in rows
    ]
