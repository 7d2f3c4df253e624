"""The table and the curves of an experiment: accuracy by arm and number of shots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dafusion_core.domain.inputs import RunInput
from dafusion_core.domain.specs import Plain
from dafusion_core.evaluation.intervals import student_quantile
from dafusion_core.evaluation.metrics import class_accuracy, confusion_matrix
from dafusion_core.evaluation.verdict import Verdict, percent, points, wrap
from dafusion_core.evaluation.wording import explain_arm
from dafusion_core.language import _, count

__all__ = ["Cell", "ExperimentTable", "Point", "describe_cell", "render_experiment"]


@dataclass(frozen=True, slots=True)
class Point(Plain):
    """One arm at one number of shots: mean per-class accuracy over seeds, 0 to 1.

    `low`, `high`: 95 % interval of the mean over seeds (Student's t), None with one seed. It says
    how sure the arm's own height is; whether two arms differ is said by the verdict, which pairs
    them and is much surer.
    """

    arm: str
    mean: float
    low: float | None
    high: float | None
    accuracies: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Cell(Plain):
    """Everything at one number of shots (0: all). `verdict` is None until two arms can be
    compared; `finished` of `planned` trainings are done."""

    shots: int
    points: tuple[Point, ...]
    verdict: Verdict | None
    finished: int
    planned: int


@dataclass(frozen=True, slots=True)
class ExperimentTable(Plain):
    """What an experiment found so far."""

    experiment: str
    baseline: str
    arms: tuple[str, ...]
    cells: tuple[Cell, ...]
    finished: int
    planned: int

    @property
    def sentences(self) -> tuple[str, ...]:
        """The findings in words, by shots and arm."""
        return tuple(
            f"{shots_text(cell.shots)}: {explain_arm(cell.verdict, arm)}"
            for cell in self.cells
            if cell.verdict
            for arm in cell.verdict.arms
        )


def shots_text(shots: int) -> str:
    """ "4 shots" or "All images"."""
    return _("All images") if not shots else count(shots, "{n} shot", "{n} shots")


def describe_cell(
    shots: int, runs: Sequence[RunInput], classes: int, verdict: Verdict | None, planned: int
) -> Cell:
    """A cell from the runs at one number of shots, arms in the order of their first runs."""
    by_arm: dict[str, list[float]] = {}
    for run in runs:
        guess = np.asarray(run.probabilities).argmax(axis=1)
        accuracy = class_accuracy(confusion_matrix(run.truth, guess, classes)).mean
        by_arm.setdefault(run.arm, []).append(accuracy)
    return Cell(
        shots=shots,
        points=tuple(_point(arm, found) for arm, found in by_arm.items()),
        verdict=verdict,
        finished=len(runs),
        planned=planned,
    )


def _point(arm: str, accuracies: Sequence[float]) -> Point:
    values = np.asarray(accuracies, np.float64)
    mean, low, high = float(values.mean()), None, None
    if len(values) > 1:
        error = float(values.std(ddof=1)) / math.sqrt(len(values))
        reach = student_quantile(0.975, len(values) - 1) * error
        low, high = mean - reach, mean + reach
    return Point(arm, mean, low, high, tuple(values.tolist()))


def render_experiment(table: ExperimentTable) -> str:
    """The table as text, at most 100 columns wide where names allow."""
    lines = [
        f"{table.experiment}: {table.finished} of {table.planned} trainings done, "
        f"compared with “{table.baseline}”."
    ]
    names = [name if len(name) <= 30 else name[:29] + "…" for name in table.arms]
    width = max(len(name) for name in names)
    for cell in table.cells:
        lines += ["", f"{shots_text(cell.shots)} ({cell.finished} of {cell.planned})"]
        verdicts = {one.name: one for one in cell.verdict.arms} if cell.verdict else {}
        for point in cell.points:
            found = verdicts.get(point.arm)
            name = names[table.arms.index(point.arm)]
            text = f"  {name:{width}}  {percent(point.mean):>7}  {len(point.accuracies)} seeds"
            if found is not None:
                span = (
                    "" if found.low is None else f" ({points(found.low)} to {points(found.high)})"
                )
                text += f"  {points(found.difference)} points{span}: {found.finding}"
            lines.append(text.rstrip())
    for sentence in table.sentences:
        lines += ["", *wrap(sentence)]
    return "\n".join(lines)
