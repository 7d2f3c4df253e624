"""Did it help? Arms of one training against a baseline arm, with an honest interval.

What is compared: mean per-class accuracy at the last epoch on the whole test split; the
difference to the baseline within each seed that both arms have, averaged over seeds.

The interval covers both ways in which the figure could have come out otherwise:

* other test images: a bootstrap that draws images within each class, the same images for both
  arms and all seeds. Deviations are scaled by √(m/(m−1)) in a class of m images, which makes
  the spread unbiased, and by a draw that gives them the tails of Student's t;
* other seeds: their standard error times draws from Student's t with S − 1 degrees of freedom.
  What seeds differ by only because each has its own luck with the images is taken out of it, as
  it is in the first part already (`intervals.py`). Drawing seeds with replacement would be
  simpler, but a few seeds have too few combinations: in simulations (2 to 8 seeds, 18 to 180 test
  images) such 95 % intervals held the truth 82 to 98 times in 100, least where runs differ most;
  these held it 93 to 97 times with five seeds or more, and more often with two or three. The
  price is that two seeds rarely decide anything.

Seeds may have different test images (each with a split of its own, or folds); an image that
several seeds were tested on is drawn for all of them together.

Rules, in this order:

1. fewer than 2 common seeds or 10 test images: "too few to tell";
2. the interval lies above zero: "helps"; below zero: "hurts";
3. the interval lies within ±5 points: "no difference seen";
4. otherwise: "too few to tell", with the number of images or seeds that would be enough.

Several arms are each compared on their own; nothing is corrected for their number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.inputs import EvaluationInputs, RunInput
from dafusion_core.domain.specs import EvaluationSpec
from dafusion_core.evaluation.intervals import (
    Floats,
    ImageWeights,
    difference_interval,
    needed_to_see,
)
from dafusion_core.evaluation.metrics import calibration_error, class_accuracy, confusion_matrix
from dafusion_core.evaluation.notes import ABSENT, CUT, CUT_RUN, LONELY, MANY, SINGLE
from dafusion_core.evaluation.verdict import (
    ArmScores,
    ArmVerdict,
    Finding,
    PaperFigure,
    Verdict,
    render_table,
)
from dafusion_core.evaluation.wording import (
    MIN_IMAGES,
    MIN_SEEDS,
    RELEVANT,
    Figures,
    Needed,
    word_finding,
)
from dafusion_core.language import ENGLISH, speaking

__all__ = ["Verdict", "compare_runs", "render_table"]


def compare_runs(inputs: EvaluationInputs, spec: EvaluationSpec) -> Verdict:
    """Compare every arm with `spec.baseline` by the rules at the top of this file.

    Arms keep the order of their first runs; no figure depends on the order of runs or images.
    Raises UserError when the runs cannot be compared: no such baseline, nothing beside it,
    different test images, incomplete predictions.
    """
    if not 0.5 <= spec.confidence < 1 or spec.resamples < 200:
        raise UserError(
            f"A confidence of {spec.confidence:g} with {spec.resamples} resamples is not possible.",
            "Use a confidence from 0.5 to below 1, and 200 resamples or more.",
        )
    arms = _by_arm(inputs, spec)
    pool = _pool(inputs)
    runs = {(run.arm, run.seed): _correct(run, tuple(pool), inputs) for run in inputs.runs}
    counts = np.bincount(np.array(list(pool.values())), minlength=len(inputs.labels))
    verdict_of = {
        name: _judge(name, arms[name], runs, _Test(inputs, pool, counts), spec)
        for name in arms
        if name != spec.baseline
    }
    return Verdict(
        labels=inputs.labels,
        test_images=tuple(counts.tolist()),
        baseline=spec.baseline,
        scores=tuple(_score(name, arms[name], len(inputs.labels), spec) for name in arms),
        arms=tuple(verdict_of.values()),
        confidence=spec.confidence,
        resamples=spec.resamples,
        seed=spec.seed,
        notes=tuple(_notes(inputs, counts, arms, spec.baseline)),
    )


def _by_arm(inputs: EvaluationInputs, spec: EvaluationSpec) -> dict[str, list[RunInput]]:
    """Runs of each arm by seed, the baseline first, after checking that they fit together."""
    arms: dict[str, list[RunInput]] = {}
    for run in inputs.runs:
        arms.setdefault(run.arm, []).append(run)
    if spec.baseline not in arms:
        known = ", ".join(f"“{name}”" for name in arms) or "none"
        raise UserError(
            f"There is no finished run of the baseline “{spec.baseline}” (there are: {known}).",
            "Train it, or choose another arm as baseline.",
        )
    if len(arms) < 2:
        raise UserError(
            f"There is nothing to compare with the baseline “{spec.baseline}”.",
            "Train a second arm, for example one with synthetic images.",
        )
    first_of: dict[int, RunInput] = {}
    for run in inputs.runs:
        first = first_of.setdefault(run.seed, run)
        name = f"run “{run.arm}”, seed {run.seed}"
        shape = (len(run.image_ids), len(inputs.labels))
        probabilities = np.asarray(run.probabilities, np.float64)
        if probabilities.shape != shape or len(run.truth) != shape[0] or not shape[0]:
            raise UserError(f"The predictions of {name} are incomplete.", "Train it again.")
        if not np.isfinite(probabilities).all():
            raise UserError(
                f"The predictions of {name} are not numbers: its training diverged.",
                "Train again with a lower learning rate.",
            )
        expected = dict(zip(first.image_ids, first.truth, strict=False))
        if (
            len(set(run.image_ids)) != shape[0]
            or dict(zip(run.image_ids, run.truth, strict=True)) != expected
        ):
            raise UserError(
                f"The test images of {name} differ from those of “{first.arm}”, seed "
                f"{first.seed}, so their figures cannot be compared.",
                "Train all arms on the same split.",
            )
    for name, runs in arms.items():
        runs.sort(key=lambda run: run.seed)
        if len({run.seed for run in runs}) != len(runs):
            raise UserError(f"A seed of “{name}” is listed twice.")
    return {spec.baseline: arms[spec.baseline]} | arms


def _pool(inputs: EvaluationInputs) -> dict[int, int]:
    """Every image that some run was tested on, by id, with its class.

    Raises UserError when an image changed its class between runs.
    """
    pool: dict[int, int] = {}
    for run in inputs.runs:
        for image, label in zip(run.image_ids, run.truth, strict=True):
            if pool.setdefault(image, label) != label:
                raise UserError(
                    f"Image {image} has another class in some runs: it was relabelled in between.",
                    "Train all arms again.",
                )
    return dict(sorted(pool.items()))


def _correct(run: RunInput, order: Sequence[int], inputs: EvaluationInputs) -> Floats:
    """[n] 1 where the image, in `order`, was recognised, else 0; NaN where it was not tested."""
    predicted = np.asarray(run.probabilities, np.float64).argmax(axis=1)
    is_right = dict(zip(run.image_ids, predicted == np.asarray(run.truth), strict=True))
    return np.array([float(is_right.get(image, np.nan)) for image in order])


class _Test:
    """The test images of a comparison: which seed was tested on which."""

    def __init__(
        self, inputs: EvaluationInputs, pool: dict[int, int], counts: NDArray[np.int64]
    ) -> None:
        self.counts = counts
        self.truth = np.array(list(pool.values()), np.int64)
        order = tuple(pool)
        self._there = {
            run.seed: np.isin(np.array(order), np.array(run.image_ids)) for run in inputs.runs
        }

    def weigh(self, seeds: Sequence[int]) -> tuple[ImageWeights, NDArray[np.int64]]:
        """(weights, rows of the images) of the images that any of `seeds` was tested on."""
        there = np.stack([self._there[seed] for seed in seeds])
        rows = np.flatnonzero(there.any(axis=0))
        there, truth = there[:, rows], self.truth[rows]
        classes = np.eye(len(self.counts))[truth]
        counts = there @ classes  # [seeds, classes]
        weights = there / (
            (counts > 0).sum(axis=1, keepdims=True) * np.maximum(counts, 1)[:, truth]
        )
        is_shared = bool(there.all())
        return ImageWeights(truth, weights[0] if is_shared else weights, _strata(truth)), rows


def _strata(truth: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    strata = [np.flatnonzero(truth == label) for label in np.unique(truth)]
    # A class of one image cannot show how much images differ: such classes are drawn together,
    # and a lone one together with the smallest other class.
    alone = [rows for rows in strata if len(rows) == 1]
    strata = sorted((rows for rows in strata if len(rows) > 1), key=len)
    if len(alone) == 1 and strata:
        strata[0] = np.concatenate([strata[0], *alone])
    elif alone:
        strata.append(np.concatenate(alone))
    return tuple(strata)


def _score(name: str, runs: Sequence[RunInput], classes: int, spec: EvaluationSpec) -> ArmScores:
    matrices = [
        confusion_matrix(run.truth, np.asarray(run.probabilities).argmax(axis=1), classes)
        for run in runs
    ]
    each = [class_accuracy(matrix) for matrix in matrices]
    accuracies = tuple(score.mean for score in each)
    return ArmScores(
        name=name,
        seeds=tuple(run.seed for run in runs),
        accuracies=accuracies,
        mean=float(np.mean(accuracies)),
        per_class=tuple(
            float(np.mean(found)) if (found := [s for s in shares if s is not None]) else None
            for shares in zip(*(score.per_class for score in each), strict=True)
        ),
        confusion=tuple(tuple(row) for row in np.sum(matrices, axis=0).tolist()),
        calibration_error=float(
            np.mean([calibration_error(run.truth, np.asarray(run.probabilities)) for run in runs])
        ),
        paper=_paper_figure(runs, spec),
    )


def _paper_figure(runs: Sequence[RunInput], spec: EvaluationSpec) -> PaperFigure | None:
    curves = [run.epoch_accuracies for run in runs]
    if all(curves) and len({len(curve) for curve in curves}) == 1:
        by_epoch = np.asarray(curves, np.float64)  # [seeds, epochs]
        values = by_epoch[:, by_epoch.mean(axis=0).argmax()]
    else:  # old runs, or runs that stopped early at different epochs: each its own best
        values = np.asarray([run.best_epoch_accuracy for run in runs], np.float64)
    if not np.isfinite(values).all():
        return None
    rng = np.random.default_rng(spec.seed)
    means = values[rng.integers(len(values), size=(spec.resamples, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [16, 84])
    return PaperFigure(float(values.mean()), float(low), float(high))


def _judge(
    name: str,
    runs: Sequence[RunInput],
    correct: dict[tuple[str, int], Floats],
    tests: _Test,
    spec: EvaluationSpec,
) -> ArmVerdict:
    seeds = tuple(run.seed for run in runs if (spec.baseline, run.seed) in correct)
    if not seeds:
        raise UserError(
            f"“{name}” and “{spec.baseline}” have no seed in common, so no fair pair can be made.",
            "Train both with the same seeds.",
        )
    test, rows = tests.weigh(seeds)
    before, after = (
        np.nan_to_num(np.stack([correct[arm, seed][rows] for seed in seeds]))
        for arm in (spec.baseline, name)
    )
    gains = after - before  # [seeds, images] in {−1, 0, 1}
    by_seed = test.average(gains)
    difference = float(by_seed.mean())
    low = high = sought = needed_images = needed_seeds = None
    if len(seeds) >= MIN_SEEDS:
        low, high = difference_interval(gains, test, spec.confidence, spec.resamples, spec.seed)
    finding = _find(low, high, len(seeds), len(test.truth))
    if finding == "too few to tell" and low is not None:
        sought = max(abs(difference), RELEVANT)
        needed_images, needed_seeds = needed_to_see(gains, test, sought, spec.confidence)
    figures = Figures(
        float(test.average(before).mean()),
        float(test.average(after).mean()),
        low,
        high,
        len(seeds),
        len(test.truth),
    )
    needed = Needed(sought, needed_images, needed_seeds)
    with speaking(ENGLISH):  # what is stored; readers get it worded anew
        sentence = word_finding(name, spec.baseline, finding, figures, needed, spec.confidence)
    return ArmVerdict(
        name=name,
        finding=finding,
        sentence=sentence,
        difference=difference,
        low=low,
        high=high,
        seeds=seeds,
        differences=tuple(by_seed.tolist()),
        class_differences=_class_differences(gains, test, len(tests.counts)),
        sought=sought,
        needed_images=needed_images,
        needed_seeds=needed_seeds,
    )


def _class_differences(gains: Floats, test: ImageWeights, classes: int) -> tuple[float | None, ...]:
    """Per class, the mean over the seeds that had test images of it."""
    there = np.broadcast_to(test.weights > 0, gains.shape)
    found: list[float | None] = []
    for label in range(classes):
        mine = test.truth == label
        counts = there[:, mine].sum(axis=1)
        sums = gains[:, mine].sum(axis=1)[counts > 0]
        found.append(float((sums / counts[counts > 0]).mean()) if sums.size else None)
    return tuple(found)


def _find(low: float | None, high: float | None, seeds: int, images: int) -> Finding:
    """The rules at the top of this file."""
    if low is None or high is None or seeds < MIN_SEEDS or images < MIN_IMAGES:
        return "too few to tell"
    tiny = 1e-9  # what adding up in floating point may leave of zero
    if low > tiny:
        return "helps"
    if high < -tiny:
        return "hurts"
    if low > -RELEVANT and high < RELEVANT:
        return "no difference seen"
    return "too few to tell"


def _notes(
    inputs: EvaluationInputs,
    counts: NDArray[np.int64],
    arms: dict[str, list[RunInput]],
    baseline: str,
) -> list[str]:
    notes = []
    absent = [label for label, count in zip(inputs.labels, counts, strict=True) if not count]
    if absent:
        notes.append(ABSENT.format(classes=", ".join(f"“{label}”" for label in absent)))
    single = [label for label, count in zip(inputs.labels, counts, strict=True) if count == 1]
    if single:
        notes.append(SINGLE.format(classes=", ".join(f"“{label}”" for label in single)))
    cut = [
        CUT_RUN.format(arm=run.arm, seed=run.seed, epoch=run.stopped_at)
        for run in inputs.runs
        if run.stopped_at is not None
    ]
    if cut:
        notes.append(CUT.format(runs=", ".join(cut)))
    partners = {run.seed for run in arms[baseline]}
    for name, runs in arms.items():
        lonely = [str(run.seed) for run in runs if run.seed not in partners]
        if lonely:
            notes.append(LONELY.format(seeds=", ".join(lonely), arm=name, baseline=baseline))
    if len(arms) > 3:
        notes.append(MANY.format(number=len(arms) - 1, baseline=baseline))
    return notes
