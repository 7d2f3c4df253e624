"""Intervals that hold what they promise, and figures that scikit-learn confirms."""

from __future__ import annotations

import numpy as np
import pytest

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.inputs import EvaluationInputs, RunInput
from dafusion_core.domain.specs import EvaluationSpec
from dafusion_core.evaluation.comparison import compare_runs
from dafusion_core.evaluation.intervals import ImageWeights, difference_interval
from dafusion_core.evaluation.metrics import (
    calibration_bins,
    calibration_error,
    class_accuracy,
    class_figures,
    confusion_matrix,
)
from tests.unit.simulated_gains import CLASSES, simulate, true_gain, whole_test

TRIALS = 2000


# ------------------------------------------------------------------------------- coverage


def halves(rng: np.random.Generator, seeds: int, per_class: int) -> ImageWeights:
    """A split of its own for every seed: half of a pool of 2 × `per_class` images per class."""
    truth = np.repeat(np.arange(CLASSES), 2 * per_class)
    there = np.zeros((seeds, len(truth)), bool)
    for label in range(CLASSES):
        rows = np.flatnonzero(truth == label)
        for seed in range(seeds):
            there[seed, rng.permutation(rows)[:per_class]] = True
    strata = tuple(np.flatnonzero(truth == label) for label in range(CLASSES))
    return ImageWeights(truth, there / (CLASSES * per_class), strata)


def folds(rng: np.random.Generator, seeds: int, per_class: int) -> ImageWeights:
    """k-fold: every image of the pool is tested in exactly one run."""
    truth = np.repeat(np.arange(CLASSES), seeds * per_class)
    there = np.zeros((seeds, len(truth)), bool)
    for label in range(CLASSES):
        order = rng.permutation(np.flatnonzero(truth == label))
        for seed in range(seeds):
            there[seed, order[seed::seeds]] = True
    strata = tuple(np.flatnonzero(truth == label) for label in range(CLASSES))
    return ImageWeights(truth, there / (CLASSES * per_class), strata)


def play(
    design: str, seeds: int, per_class: int, spread: float, shift: float, times: int
) -> tuple[float, float]:
    """Shares of intervals that hold the truth, and that say more than it ("helps" if it is 0)."""
    rng = np.random.default_rng(11)
    truth = true_gain(spread, shift)
    hit = above = 0
    for i in range(times):
        match design:
            case "one split":
                test = whole_test(per_class)
            case "split per seed":
                test = halves(rng, seeds, per_class)
            case _:
                test = folds(rng, seeds, per_class)
        gains = simulate(rng, seeds, len(test.truth) // CLASSES, spread, shift)
        low, high = difference_interval(gains * (test.weights > 0), test, 0.95, 400, i)
        hit += low <= truth <= high
        above += low > truth
    return hit / times, above / times


def test_a_known_difference_is_held_by_95_of_100_intervals() -> None:
    share, _ = play("one split", 8, 60, spread=0.1, shift=0.6, times=TRIALS)
    assert 0.93 <= share <= 0.97


def test_without_a_difference_helps_is_hardly_ever_said() -> None:
    share, above = play("one split", 8, 60, spread=0.1, shift=0.0, times=TRIALS)
    assert 0.93 <= share <= 0.97
    assert above <= 0.025


@pytest.mark.slow
@pytest.mark.parametrize("design", ["one split", "split per seed", "folds"])
@pytest.mark.parametrize(("seeds", "per_class"), [(3, 60), (8, 16)])
@pytest.mark.parametrize("shift", [0.0, 0.6])
def test_the_interval_holds_the_truth_in_every_design(
    design: str, seeds: int, per_class: int, shift: float
) -> None:
    share, above = play(design, seeds, per_class, 0.3, shift, TRIALS // 5)
    # Three standard errors of 400 trials at 95 %; few seeds cannot be both sharp and sure, and
    # where each has its own test images the interval is wide.
    assert share >= 0.917
    assert above <= 0.045
    if design == "one split" and seeds == 8:
        assert share <= 0.983


def test_seeds_with_the_same_images_give_what_one_split_gives() -> None:
    rng = np.random.default_rng(3)
    one = whole_test(20)
    each = ImageWeights(one.truth, np.tile(one.weights, (5, 1)), one.strata)
    for luck in range(5):
        gains = simulate(rng, 5, 20, 0.2, 0.4)
        low, high = difference_interval(gains, one, 0.95, 4000, luck)
        other = difference_interval(gains, each, 0.95, 4000, luck)
        assert other == pytest.approx((low, high), abs=0.15 * (high - low))


# --------------------------------------------------------- different test images per seed


def run(arm: str, seed: int, ids: list[int], truth: list[int], right: list[bool]) -> RunInput:
    rows = []
    for label, is_right in zip(truth, right, strict=True):
        guess = label if is_right else (label + 1) % 2
        rows.append(tuple(0.9 if k == guess else 0.1 for k in range(2)))
    return RunInput(arm, seed, tuple(ids), tuple(truth), tuple(rows), 0.5)


def test_seeds_may_have_test_images_of_their_own() -> None:
    truth = [0] * 10 + [1] * 10
    runs = []
    for seed in range(4):
        ids = list(range(5 * seed, 5 * seed + 10)) + list(range(100 + seed, 110 + seed))
        runs.append(run("plain", seed, ids, truth, [True, False] * 10))
        runs.append(run("mixed", seed, ids[::-1], truth[::-1], [True] * 20))
    spec = EvaluationSpec(training_job=1, baseline="plain", resamples=400)
    verdict = compare_runs(EvaluationInputs(("a", "b"), tuple(runs)), spec)
    (arm,) = verdict.arms
    assert arm.difference == pytest.approx(0.5)
    assert arm.class_differences == pytest.approx((0.5, 0.5))
    assert arm.finding == "helps"
    assert verdict.test_images == (25, 13)  # the pool: every image once
    assert "38 test images" in arm.sentence

    # A class that some seed does not test: left out of that seed's mean only.
    lone = [run(a, 9, [500, 501], [0, 0], [r, r]) for a, r in (("plain", False), ("mixed", True))]
    (arm,) = compare_runs(EvaluationInputs(("a", "b"), (*runs, *lone)), spec).arms
    assert arm.differences[-1] == 1.0
    assert arm.class_differences == pytest.approx((0.6, 0.5))

    # Within a seed the arms must be tested on the same images, and labels must not change.
    other = run("mixed", 0, list(range(20)), truth, [True] * 20)
    with pytest.raises(UserError, match="differ from those of"):
        compare_runs(EvaluationInputs(("a", "b"), (*runs[:1], other, *runs[2:])), spec)
    relabelled = [run(arm, 7, [0, 1], [1, 1], [True, True]) for arm in ("plain", "mixed")]
    with pytest.raises(UserError, match="relabelled"):
        compare_runs(EvaluationInputs(("a", "b"), (*runs, *relabelled)), spec)


# --------------------------------------------------------------------------- scikit-learn


@pytest.mark.parametrize("seed", range(4))
def test_scikit_learn_agrees(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", exc_type=ImportError)
    calibration = pytest.importorskip("sklearn.calibration", exc_type=ImportError)
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 7))
    truth = rng.integers(0, classes, 200)
    probabilities = rng.dirichlet(np.ones(classes), 200)
    probabilities[np.arange(200), truth] += rng.random(200)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    guess = probabilities.argmax(axis=1)

    matrix = confusion_matrix(truth, guess, classes)
    assert (matrix == sklearn.confusion_matrix(truth, guess, labels=range(classes))).all()
    expected = sklearn.balanced_accuracy_score(truth, guess)
    assert class_accuracy(matrix).mean == pytest.approx(expected, abs=1e-12)
    found = class_figures(matrix)
    precision, recall, f1, images = sklearn.precision_recall_fscore_support(
        truth, guess, labels=range(classes), zero_division=0
    )
    assert [one.precision or 0 for one in found] == pytest.approx(precision.tolist(), abs=1e-12)
    assert [one.recall or 0 for one in found] == pytest.approx(recall.tolist(), abs=1e-12)
    assert [one.f1 for one in found] == pytest.approx(f1.tolist(), abs=1e-12)
    assert [one.images for one in found] == images.tolist()

    # The reliability diagram of "the guess is right" as a two-class question.
    confidence = probabilities.max(axis=1)
    accuracy, mean = calibration.calibration_curve(guess == truth, confidence, n_bins=15)
    bins = calibration_bins(truth, probabilities)
    assert [one.accuracy for one in bins] == pytest.approx(accuracy.tolist(), abs=1e-12)
    assert [one.confidence for one in bins] == pytest.approx(mean.tolist(), abs=1e-12)
    counts = np.array([one.count for one in bins])
    expected = float((counts * np.abs(accuracy - mean)).sum() / counts.sum())
    assert calibration_error(truth, probabilities) == pytest.approx(expected, abs=1e-12)


def test_figures_of_classes_without_images_or_guesses() -> None:
    found = class_figures(np.array([[2, 0, 1], [0, 0, 0], [1, 0, 0]]))
    assert (found[0].precision, found[0].recall) == (2 / 3, 2 / 3)
    assert (found[1].precision, found[1].recall, found[1].f1) == (None, None, None)
    assert (found[2].precision, found[2].recall, found[2].f1) == (0.0, 0.0, 0.0)
