"""How sure a difference between two arms is, and what it would take to be surer.

The reasoning behind the interval is told in `comparison.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "ImageWeights", "difference_interval", "needed_to_see", "student_quantile"]

Floats = NDArray[np.float64]

_POWER = 0.8
_MOST_SEEDS = 32
_MOST_TIMES = 50  # more test images than this many times those at hand are no advice


@dataclass(frozen=True, slots=True)
class ImageWeights:
    """The test split as a mean per-class accuracy sees it.

    `truth` [n]: class of each image; `weights` [n]: what each adds to the mean, summing to 1;
    `strata`: rows that are drawn among each other, together all rows.
    """

    truth: NDArray[np.int64]
    weights: Floats
    strata: tuple[NDArray[np.int64], ...]

    @property
    def freedom(self) -> int:
        """Degrees of freedom left by one mean per stratum."""
        return max(len(self.truth) - len(self.strata), 1)


def difference_interval(
    gains: Floats, test: ImageWeights, confidence: float, resamples: int, seed: int
) -> tuple[float, float]:
    """(low, high) of the mean difference from gains [seeds ≥ 2, images] in {−1, 0, 1}.

    Nothing stops the tails at the ends of the scale: with two seeds they may lie beyond ±1.
    """
    rng = np.random.default_rng(seed)
    by_seed, mean_gain = gains @ test.weights, gains.mean(axis=0)
    deviations = np.zeros(resamples)
    for rows in test.strata:
        m = len(rows)
        # Only few gains differ, so drawing how often each comes up equals drawing image by image.
        values, counts = np.unique(test.weights[rows] * mean_gain[rows], return_counts=True)
        drawn = rng.multinomial(m, counts / m, resamples) @ values
        deviations += (drawn - counts @ values) * math.sqrt(m / max(m - 1, 1))
    deviations *= np.sqrt(test.freedom / rng.chisquare(test.freedom, resamples))
    seeds = len(by_seed)
    error = by_seed.std(ddof=1) / math.sqrt(seeds)
    deviations += error * rng.standard_t(seeds - 1, resamples)
    tail = 50 * (1 - confidence)
    low, high = by_seed.mean() + np.percentile(deviations, [tail, 100 - tail])
    return float(low), float(high)


def needed_to_see(
    gains: Floats, test: ImageWeights, sought: float, confidence: float
) -> tuple[int | None, int | None]:
    """(test images, seeds) each of which, alone, would show `sought` in 4 of 5 repetitions."""
    seeds, images = gains.shape
    parts = test.weights * gains
    mean_part, spread = parts.mean(axis=0), parts.sum(axis=1).var(ddof=1)
    strata = [rows for rows in test.strata if len(rows) > 1]
    of_images = sum(len(rows) * mean_part[rows].var(ddof=1) for rows in strata)
    # Seeds also differ because each meets the images with its own luck; that part of their
    # spread shrinks with the number of images, like `of_images`.
    residual = (parts - mean_part) * math.sqrt(seeds / (seeds - 1))
    luck = sum(len(rows) * residual[:, rows].var(axis=1, ddof=1).mean() for rows in strata)
    luck = min(luck, spread)
    if of_images + spread == 0:
        return None, None
    tail, power = (1 + confidence) / 2, NormalDist().inv_cdf(_POWER)

    def is_enough(new_images: float, new_seeds: int) -> bool:
        share = images / new_images
        one, other = of_images * share, (spread - luck + luck * share) / new_seeds
        freedom = max(int(new_images) - len(test.strata), 1)
        width = math.hypot(
            student_quantile(tail, freedom) * math.sqrt(one),
            student_quantile(tail, new_seeds - 1) * math.sqrt(other),
        )
        return width + power * math.sqrt(one + other) <= sought

    enough_images = None
    for step in range(1, int(10 * math.log2(_MOST_TIMES)) + 1):
        more = images * 2.0 ** (step / 10)
        if is_enough(more, seeds):
            enough_images = _round_up(more)
            break
    enough_seeds = next(
        (s for s in range(seeds + 1, _MOST_SEEDS + 1) if is_enough(images, s)), None
    )
    return enough_images, enough_seeds


def student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t (Cornish-Fisher above 2 degrees of freedom, within 2 %)."""
    if freedom == 1:
        return math.tan(math.pi * (probability - 0.5))
    if freedom == 2:
        return (2 * probability - 1) / math.sqrt(2 * probability * (1 - probability))
    z = NormalDist().inv_cdf(probability)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _round_up(number: float) -> int:
    """Up to two leading digits: an estimate should not look exact."""
    unit: int = 10 ** max(math.floor(math.log10(number)) - 1, 0)
    return math.ceil(number / unit) * unit
