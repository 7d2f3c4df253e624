"""Made-up pairs of arms whose true difference is known."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dafusion_core.evaluation.intervals import ImageWeights

CLASSES = 3


def simulate(
    rng: np.random.Generator, seeds: int, per_class: int, spread: float, shift: float
) -> NDArray[np.float64]:
    """Gains [seeds, images] in {−1, 0, 1} of a made-up pair of arms.

    Whether an image is recognised depends on how hard it is, on how it suits the arm (the same in
    all seeds), on how the run went as a whole (`spread`) and on chance; `shift` is what
    the second arm is better by.
    """
    images = CLASSES * per_class
    ease = rng.normal(0.5, 1.5, images) + rng.normal(0, 0.7, (2, 1, images))
    level = rng.normal(0, spread, (2, seeds, 1)) + np.array([0, shift])[:, None, None]
    is_right = ease + level + rng.normal(0, 0.5, (2, seeds, images)) > 0
    return is_right[1].astype(float) - is_right[0]


def true_gain(spread: float, shift: float) -> float:
    """What `simulate` gives on average over all images and runs."""
    whole = NormalDist(sigma=(1.5**2 + 0.7**2 + spread**2 + 0.5**2) ** 0.5)
    return whole.cdf(0.5 + shift) - whole.cdf(0.5)


def whole_test(per_class: int) -> ImageWeights:
    """Test images that all seeds share, `per_class` of each class."""
    truth = np.repeat(np.arange(CLASSES), per_class)
    strata = tuple(np.flatnonzero(truth == label) for label in range(CLASSES))
    return ImageWeights(truth, np.full(len(truth), 1 / len(truth)), strata)
