"""Accuracy per class and what follows from it; every class counts the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.specs import Plain

__all__ = [
    "CalibrationBin",
    "ClassAccuracy",
    "ClassFigures",
    "calibration_bins",
    "calibration_error",
    "class_accuracy",
    "class_figures",
    "confusion_matrix",
]


@dataclass(frozen=True, slots=True)
class ClassAccuracy(Plain):
    """Accuracies from 0 to 1.

    `per_class`: share of the images of each class that were recognised, None for a class without
    images; `mean`: unweighted mean over the classes that have some; `absent`: the others, by
    index. The DA-Fusion programs count an absent class as 0, which says nothing about the model.
    """

    mean: float
    per_class: tuple[float | None, ...]
    absent: tuple[int, ...] = ()


def confusion_matrix(truth: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Counts [true class, predicted class] from two [n] arrays of class indices.

    Raises UserError when the lengths differ or an index is outside 0 … `classes` − 1.
    """
    true, guess = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    if true.shape != guess.shape or true.ndim != 1:
        raise UserError(f"There are {true.size} labels but {guess.size} predictions.")
    both = np.concatenate([true, guess])
    if both.size and (both.min() < 0 or both.max() >= classes):
        raise UserError(f"A class index is outside 0–{classes - 1}.")
    return np.bincount(true * classes + guess, minlength=classes**2).reshape(classes, classes)


def class_accuracy(confusion: NDArray[np.int64]) -> ClassAccuracy:
    """Per-class accuracy and its mean from a confusion matrix [true, predicted].

    Raises UserError when there is no image at all.
    """
    counts = confusion.sum(axis=1)
    present = counts > 0
    if not present.any():
        raise UserError("There are no test images.", "Make a split with a test part.")
    shares = np.diagonal(confusion)[present] / counts[present]
    values = iter(shares.tolist())
    return ClassAccuracy(
        mean=float(shares.mean()),
        per_class=tuple(next(values) if has_images else None for has_images in present),
        absent=tuple(np.flatnonzero(~present).tolist()),
    )


@dataclass(frozen=True, slots=True)
class ClassFigures(Plain):
    """How one class fared, each figure from 0 to 1.

    `precision`: share of what was taken for the class that is of it, None when nothing was;
    `recall`: share of its images that were recognised, None when there are none; `f1`: their
    harmonic mean, 0 when neither is above 0, None when the class has no images and no guesses.
    `images`: how many there are; `guesses`: how many were taken for it.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    images: int
    guesses: int


def class_figures(confusion: NDArray[np.int64]) -> tuple[ClassFigures, ...]:
    """Precision, recall and F1 per class from a confusion matrix [true, predicted]."""
    figures = []
    for label, right in enumerate(np.diagonal(confusion).tolist()):
        images, guesses = int(confusion[label].sum()), int(confusion[:, label].sum())
        figures.append(
            ClassFigures(
                precision=right / guesses if guesses else None,
                recall=right / images if images else None,
                f1=2 * right / (images + guesses) if images + guesses else None,
                images=images,
                guesses=guesses,
            )
        )
    return tuple(figures)


@dataclass(frozen=True, slots=True)
class CalibrationBin(Plain):
    """Predictions whose confidence lies in [low, high): their mean confidence and accuracy."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def calibration_bins(
    truth: ArrayLike, probabilities: Sequence[Sequence[float]] | NDArray[np.float64], bins: int = 15
) -> tuple[CalibrationBin, ...]:
    """The bins of a reliability diagram that hold any prediction. Raises UserError if none do."""
    true, matrix = np.asarray(truth, np.int64), np.asarray(probabilities, np.float64)
    if not true.size:
        raise UserError("There are no test images.", "Make a split with a test part.")
    confidence, is_right = matrix.max(axis=1), matrix.argmax(axis=1) == true
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    return tuple(
        CalibrationBin(
            low=float(b / bins),
            high=float((b + 1) / bins),
            count=int((place == b).sum()),
            confidence=float(confidence[place == b].mean()),
            accuracy=float(is_right[place == b].mean()),
        )
        for b in np.unique(place)
    )


def calibration_error(
    truth: ArrayLike, probabilities: Sequence[Sequence[float]] | NDArray[np.float64], bins: int = 15
) -> float:
    """Expected calibration error, 0 (honest) to 1.

    The predicted class's probability, in `bins` equal bins: mean distance between the bin's mean
    probability and its accuracy, weighted by images (Naeini et al. 2015; Guo et al. 2017).
    """
    found = calibration_bins(truth, probabilities, bins)
    total = sum(one.count for one in found)
    return sum(one.count * abs(one.confidence - one.accuracy) for one in found) / total
