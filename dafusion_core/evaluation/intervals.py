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
    """The test images as a mean per-class accuracy sees them.

    `truth` [n]: class of each image; `weights`: what each adds to the mean of a seed, summing to
    1; [n] where every seed is tested on the same images, else [seeds, n] with 0 for an image that
    is not among the seed's test images; `strata`: rows that are drawn among each other, together
    all rows.
    """

    truth: NDArray[np.int64]
    weights: Floats
    strata: tuple[NDArray[np.int64], ...]

    @property
    def is_shared(self) -> bool:
        """True when all seeds are tested on the same images."""
        return self.weights.ndim == 1

    @property
    def freedom(self) -> int:
        """Degrees of freedom left by one mean per stratum."""
        return max(len(self.truth) - len(self.strata), 1)

    def average(self, values: Floats) -> Floats:
        """[seeds] mean over classes of values [seeds, n]."""
        means: Floats = (values * self.weights).sum(axis=1)
        return means


def difference_interval(
    gains: Floats, test: ImageWeights, confidence: float, resamples: int, seed: int
) -> tuple[float, float]:
    """(low, high) of the mean difference from gains [seeds ≥ 2, images] in {−1, 0, 1}.

    Gains at images that a seed was not tested on do not count. Nothing stops the tails at the
    ends of the scale: with two seeds they may lie beyond ±1.
    """
    rng = np.random.default_rng(seed)
    by_seed, shares = test.average(gains), _image_shares(gains, test)
    deviations = np.zeros(resamples)
    for rows in test.strata:
        m = len(rows)
        # Only few gains differ, so drawing how often each comes up equals drawing image by image.
        values, counts = np.unique(np.round(shares[rows], 12), return_counts=True)
        drawn = rng.multinomial(m, counts / m, resamples) @ values
        deviations += (drawn - counts @ values) * math.sqrt(m / max(m - 1, 1))
    deviations *= np.sqrt(test.freedom / rng.chisquare(test.freedom, resamples))
    seeds = len(by_seed)
    error = math.sqrt(_own_spread(gains, test) / seeds)
    deviations += error * rng.standard_t(seeds - 1, resamples)
    tail = 50 * (1 - confidence)
    low, high = by_seed.mean() + np.percentile(deviations, [tail, 100 - tail])
    return float(low), float(high)


def _image_shares(gains: Floats, test: ImageWeights) -> Floats:
    """[n] what each image adds to the mean difference; around 0 where seeds differ in images."""
    if test.is_shared:
        shared: Floats = test.weights * gains.mean(axis=0)
        return shared
    shares: Floats = (test.weights * _centred(gains, test)).sum(axis=0) / len(gains)
    return shares


def _centred(gains: Floats, test: ImageWeights) -> Floats:
    """[seeds, n] gains minus their mean over the seed's test images of the class; else 0."""
    centred = np.zeros(gains.shape)
    for label in np.unique(test.truth):
        rows = np.flatnonzero(test.truth == label)
        is_there = test.weights[:, rows] > 0
        count = np.maximum(is_there.sum(axis=1, keepdims=True), 1)
        mean = (gains[:, rows] * is_there).sum(axis=1, keepdims=True) / count
        # A lone image is its own mean; the correction makes the spread of the others unbiased.
        widen = np.sqrt(count / np.maximum(count - 1, 1))
        centred[:, rows] = np.where(is_there, (gains[:, rows] - mean) * widen, 0.0)
    return centred


def _own_spread(gains: Floats, test: ImageWeights) -> float:
    """Variance between seeds that comes from the seeds themselves.

    Each seed also meets its test images with its own luck; that part is in the image term already
    and would be counted twice. It is only an estimate, and worse the fewer seeds there are, so a
    share of the whole spread stays: all of it with two seeds, a quarter with eight.
    """
    spread = float(test.average(gains).var(ddof=1))
    seeds = len(gains)
    return max(spread - _luck(gains, test), spread * min(1.0, 2 / seeds))


def _luck(gains: Floats, test: ImageWeights) -> float:
    """The part of the variance between seeds that the image term of the interval holds too."""
    seeds = len(gains)
    if test.is_shared:
        parts = test.weights * gains
        residual = (parts - parts.mean(axis=0)) * math.sqrt(seeds / (seeds - 1))
        strata = [rows for rows in test.strata if len(rows) > 1]
        return float(
            sum(len(rows) * residual[:, rows].var(axis=1, ddof=1).mean() for rows in strata)
        )
    # Different images per seed: images differ in how much they gain (the same in all seeds that
    # have them), and beside that each seed has its luck with each image. Products of two seeds at
    # one image estimate the first part.
    centred, luck = _centred(gains, test), 0.0
    for label in np.unique(test.truth):
        rows = np.flatnonzero(test.truth == label)
        weights, values = test.weights[:, rows], centred[:, rows]
        is_there = weights > 0
        times = is_there.sum(axis=0)
        whole = (values**2).sum() / max(is_there.sum(), 1)
        pairs = (times * (times - 1)).sum()
        products = values.sum(axis=0) ** 2 - (values**2).sum(axis=0)
        lasting = min(max(products.sum() / pairs, 0.0), whole) if pairs else whole
        squares = (weights**2).sum()
        shared = ((weights.sum(axis=0) ** 2) - (weights**2).sum(axis=0)).sum()
        apart = squares / seeds - shared / (seeds * (seeds - 1))
        luck += (whole - lasting) * squares / seeds + lasting * max(apart, 0.0)
    return luck


def needed_to_see(
    gains: Floats, test: ImageWeights, sought: float, confidence: float
) -> tuple[int | None, int | None]:
    """(test images, seeds) each of which, alone, would show `sought` in 4 of 5 repetitions."""
    seeds, images = gains.shape
    spread = float(test.average(gains).var(ddof=1))
    shares = _image_shares(gains, test)
    strata = [rows for rows in test.strata if len(rows) > 1]
    of_images = float(sum(len(rows) * shares[rows].var(ddof=1) for rows in strata))
    # The part of the seeds' spread that is luck shrinks with the number of images too.
    luck = min(_luck(gains, test), spread)
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
