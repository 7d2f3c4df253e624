"""What a comparison found, as plain values, and as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dafusion_core.domain.specs import Plain

__all__ = [
    "ArmScores",
    "ArmVerdict",
    "Finding",
    "PaperFigure",
    "Verdict",
    "paper_text",
    "percent",
    "points",
    "render_table",
    "wrap",
]

Finding = Literal["helps", "hurts", "no difference seen", "too few to tell"]

MINUS = "−"


@dataclass(frozen=True, slots=True)
class PaperFigure(Plain):
    """The paper's kind of figure: the best epoch, with a 68 % bootstrap interval over seeds.

    The epoch is chosen on the images it is then scored on, so this is optimistic; it stands
    beside the last-epoch figure only to be compared with published numbers. One epoch is taken
    for all seeds of an arm, the one whose mean over the seeds is best.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ArmScores(Plain):
    """One arm on the test split at the last epoch; accuracies from 0 to 1.

    `accuracies`: mean per-class accuracy, one per entry of `seeds`; `per_class`: mean over seeds,
    None for a class without test images; `confusion`: images [true][predicted], summed over
    seeds; `calibration_error`: mean over seeds.
    """

    name: str
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    mean: float
    per_class: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration_error: float
    paper: PaperFigure | None = None


@dataclass(frozen=True, slots=True)
class ArmVerdict(Plain):
    """One arm against the baseline, over the seeds that both have; differences from −1 to 1.

    `low`, `high`: the interval, None with a single seed; `differences`: per seed;
    `class_differences`: per class, mean over seeds. For "too few to tell": `needed_images` (with
    as many seeds as now) and `needed_seeds` (on as many images as now) would each show a
    difference of `sought` in four of five repetitions; None when that alone is not enough.
    """

    name: str
    finding: Finding
    sentence: str
    difference: float
    low: float | None
    high: float | None
    seeds: tuple[int, ...]
    differences: tuple[float, ...]
    class_differences: tuple[float | None, ...]
    sought: float | None = None
    needed_images: int | None = None
    needed_seeds: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict(Plain):
    """All arms of a training against one of them.

    `test_images`: per class, in the order of `labels`; `notes`: sentences about what was left out.
    """

    labels: tuple[str, ...]
    test_images: tuple[int, ...]
    baseline: str
    scores: tuple[ArmScores, ...]
    arms: tuple[ArmVerdict, ...]
    confidence: float
    resamples: int
    seed: int
    notes: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """The findings in words, one per arm."""
        return tuple(arm.sentence for arm in self.arms)

    def scores_of(self, name: str) -> ArmScores:
        """The scores of the arm called `name`. Raises KeyError."""
        for scores in self.scores:
            if scores.name == name:
                return scores
        raise KeyError(name)


def percent(share: float | None) -> str:
    """ "61.0 %" from 0.61; "–" from None."""
    return "–" if share is None else f"{100 * share:.1f} %"


def points(difference: float | None) -> str:
    """ "+4.2" from 0.042 (percentage points), "–" from None."""
    if difference is None:
        return "–"
    # Rounded first: a tiny negative number is "+0.0", not "−0.0".
    value = round(100 * difference, 1) + 0.0
    return f"{value:+.1f}".replace("-", MINUS)


def paper_text(figure: PaperFigure | None) -> str:
    """ "71.0 % (69.5–72.4)", "–" from None."""
    if figure is None:
        return "–"
    return f"{percent(figure.mean)} ({100 * figure.low:.1f}–{100 * figure.high:.1f})"


def render_table(verdict: Verdict) -> str:
    """The verdict as text: findings, arms by seeds, arms by classes; at most 100 columns wide."""
    seeds = sorted({seed for scores in verdict.scores for seed in scores.seeds})
    blocks = ["\n".join(wrap(sentence)) for sentence in verdict.sentences]
    rows = [["Arm", "mean", "difference", "interval", "best epoch, 68 %*"]]
    for scores in verdict.scores:
        found = next((arm for arm in verdict.arms if arm.name == scores.name), None)
        interval = "baseline" if scores.name == verdict.baseline else "–"
        if found is not None and found.low is not None:
            interval = f"{points(found.low)} to {points(found.high)}"
        rows.append(
            [
                scores.name,
                percent(scores.mean),
                points(found.difference) if found else "",
                interval,
                paper_text(scores.paper),
            ]
        )
    blocks.append(_align(rows))
    by_seed = [["Accuracy by seed", *(str(seed) for seed in seeds)]]
    for scores in verdict.scores:
        of_seed = dict(zip(scores.seeds, scores.accuracies, strict=True))
        by_seed.append([scores.name, *(percent(of_seed.get(seed)) for seed in seeds)])
    blocks.append(_align(by_seed))
    by_class = [["Accuracy by class", "images", *(scores.name for scores in verdict.scores)]]
    for i, label in enumerate(verdict.labels):
        shares = [percent(scores.per_class[i]) for scores in verdict.scores]
        by_class.append([label, str(verdict.test_images[i]), *shares])
    blocks.append(_align(by_class))
    blocks += ["\n".join(wrap(note)) for note in verdict.notes]
    blocks.append(
        "* as the paper counts: the epoch is chosen on the test images themselves, hence too high"
    )
    return "\n\n".join(blocks)


def wrap(text: str, width: int = 100) -> Iterator[str]:
    """Lines of at most `width` characters, where words allow."""
    line = ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def _align(rows: list[list[str]]) -> str:
    """Columns of equal width: the first to the left, the others to the right."""
    rows = [[cell if len(cell) <= 30 else cell[:29] + "…" for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        first = row[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([first, *rest]).rstrip())
    return "\n".join(lines)
