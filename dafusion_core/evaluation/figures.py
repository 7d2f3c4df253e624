"""Figures for papers and reports, as SVG and PNG files; matplotlib is loaded when one is drawn."""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dafusion_core.domain.errors import EnvironmentProblem, translate_os_error
from dafusion_core.evaluation.few_shot import ExperimentTable
from dafusion_core.evaluation.fonts import fit_figure
from dafusion_core.evaluation.inspection import Inspection
from dafusion_core.evaluation.verdict import Verdict
from dafusion_core.evaluation.wording import arm_title
from dafusion_core.language import _

__all__ = [
    "Curves",
    "all_figures",
    "are_available",
    "save_figures",
    "to_bytes",
]

#: Curve name → points (step, value).
Curves = Mapping[str, Sequence[tuple[int, float]]]

_INK, _SOFT, _GOOD, _BAD = "#1f2530", "#8b93a0", "#1f66b0", "#b4530c"
_TONES = {"helps": _GOOD, "hurts": _BAD}
_COLOURS = ("#5d6675", "#1f66b0", "#b4530c", "#3b8a5a", "#8a4fa3", "#b08a1f", "#3f9aa8", "#a33f5b")
_MOST_CONFUSION = 24


def are_available() -> bool:
    """True when matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def _figure(width: float, height: float) -> tuple[Any, Any]:
    # The figure alone, without pyplot: no window system and no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_verdict(verdict: Verdict) -> Any:
    """Differences to the baseline: every seed, their mean and the interval."""
    figure, axes = _figure(7, 0.9 + 0.5 * len(verdict.arms))
    for row, arm in enumerate(reversed(verdict.arms)):
        colour = _TONES.get(arm.finding, _SOFT)
        values = [100 * value for value in arm.differences]
        axes.plot(values, [row] * len(values), "o", mfc="none", mec=_SOFT, ms=5)
        if arm.low is not None and arm.high is not None:
            axes.plot([100 * arm.low, 100 * arm.high], [row, row], color=colour, lw=2.5)
        axes.plot([100 * arm.difference], [row], "o", color=colour, ms=7)
    axes.axvline(0, color=_SOFT, ls="--", lw=1)
    axes.set_yticks(
        range(len(verdict.arms)), [arm_title(arm.name) for arm in reversed(verdict.arms)]
    )
    axes.set_ylim(-0.6, len(verdict.arms) - 0.4)
    axes.set_xlabel(
        _("points more than {baseline} ({confidence:g} % interval)").format(
            baseline=arm_title(verdict.baseline), confidence=100 * verdict.confidence
        )
    )
    return figure


def draw_few_shot(table: ExperimentTable) -> Any:
    """Accuracy over shots, a line per arm with the 95 % interval of its mean over seeds."""
    figure, axes = _figure(7, 4.4)
    cells = sorted(table.cells, key=lambda cell: (cell.shots == 0, cell.shots))
    for number, arm in enumerate(table.arms):
        colour = _COLOURS[number % len(_COLOURS)]
        # Side by side, so that intervals at the same shots do not hide each other.
        shift = 0.08 * (number - (len(table.arms) - 1) / 2)
        placed = [(x, p) for x, cell in enumerate(cells) for p in cell.points if p.arm == arm]
        xs, found = [x + shift for x, _p in placed], [p for _x, p in placed]
        ys = [100 * p.mean for p in found]
        axes.plot(xs, ys, "o-", color=colour, label=arm_title(arm), ms=5, lw=1.8)
        for x, point in zip(xs, found, strict=True):
            if point.low is not None and point.high is not None:
                axes.plot([x, x], [100 * point.low, 100 * point.high], color=colour, lw=1.2)
    titles = [str(cell.shots) if cell.shots else _("all") for cell in cells]
    axes.set_xticks(range(len(cells)), titles)
    axes.set_xlabel(_("training images per class"))
    axes.set_ylabel(_("mean per-class accuracy, %"))
    axes.legend(frameon=False, fontsize=9)
    axes.grid(axis="y", color="#e6e9ee", lw=0.8)
    return figure


def draw_curves(curves: Curves, label: str) -> Any:
    """Lines over steps or epochs."""
    figure, axes = _figure(7, 3.6)
    for number, (name, points) in enumerate(curves.items()):
        xs, ys = [step for step, _ in points], [value for _, value in points]
        axes.plot(xs, ys, color=_COLOURS[number % len(_COLOURS)], lw=1.4, label=name)
    axes.set_xlabel(label)
    axes.grid(axis="y", color="#e6e9ee", lw=0.8)
    if len(curves) <= 12:
        axes.legend(frameon=False, fontsize=8)
    return figure


def draw_confusion(name: str, labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Any:
    """A matrix with the share of each true class as shade and the counts as text."""
    size = min(2.2 + 0.55 * len(labels), 11)
    figure, axes = _figure(size + 0.6, size)
    shares = [[count / max(sum(row), 1) for count in row] for row in counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for y, row in enumerate(counts):
        for x, count in enumerate(row):
            colour = "white" if shares[y][x] > 0.55 else _INK
            axes.text(x, y, str(count), ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel(_("taken for"))
    axes.set_ylabel(_("true class"))
    axes.set_title(name, fontsize=10)
    return figure


def draw_calibration(inspection: Inspection) -> Any:
    """Confidence against accuracy, a dot per bin with its number of images."""
    figure, axes = _figure(4.4, 4.2)
    axes.plot([0, 1], [0, 1], color=_SOFT, ls="--", lw=1)
    xs = [one.confidence for one in inspection.calibration]
    ys = [one.accuracy for one in inspection.calibration]
    sizes = [12 + 6 * one.count for one in inspection.calibration]
    axes.scatter(xs, ys, s=[min(size, 300) for size in sizes], color=_GOOD, alpha=0.7)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.set(xlabel=_("confidence"), ylabel=_("share that is right"))
    title = _("{arm}, seed {seed}: ECE {error:.3f}").format(
        arm=arm_title(inspection.arm), seed=inspection.seed, error=inspection.calibration_error
    )
    axes.set_title(title, fontsize=10)
    return figure


def draw_map(inspection: Inspection) -> Any:
    """Pictures in the plane of the features: training small, test large, mistakes crossed."""
    figure, axes = _figure(6, 5)
    for number, label in enumerate(inspection.labels):
        mine = [point for point in inspection.points if point.label == number]
        colour = _COLOURS[(number + 1) % len(_COLOURS)]
        for is_test, size in ((False, 14), (True, 42)):
            found = [point for point in mine if (point.guess is not None) == is_test]
            axes.scatter(
                [point.x for point in found],
                [point.y for point in found],
                s=size,
                color=colour,
                alpha=0.8 if is_test else 0.5,
                label=label if is_test else None,
                linewidths=0,
            )
        wrong = [p for p in mine if p.guess is not None and p.guess != p.label]
        axes.plot([p.x for p in wrong], [p.y for p in wrong], "x", color=_INK, ms=5)
    if inspection.map_method == "UMAP":
        axes.set_xlabel(_("UMAP: what is near is alike; the axes mean nothing"))
        axes.set_xticks([])
        axes.set_yticks([])
    else:
        shares = [f"{100 * share:.0f} %" for share in inspection.shares] or ["", ""]
        axes.set_xlabel(_("first component ({share} of the variance)").format(share=shares[0]))
        axes.set_ylabel(_("second component ({share})").format(share=shares[1]))
    axes.legend(frameon=False, fontsize=8)
    return figure


def all_figures(
    verdict: Verdict | None = None,
    experiments: Sequence[ExperimentTable] = (),
    losses: Curves | None = None,
    accuracies: Curves | None = None,
    inspection: Inspection | None = None,
) -> Iterator[tuple[str, str, Any]]:
    """(file name without ending, title, figure) of everything there is to draw.

    Raises EnvironmentProblem when matplotlib is not installed.
    """
    if not are_available():
        raise EnvironmentProblem(
            _("Figures are drawn with matplotlib, which is not installed."),
            _("Install it with `pip install matplotlib`."),
        )
    for table in experiments:
        if any(cell.points for cell in table.cells):
            name = f"few-shot-{re.sub(r'[^a-z0-9]+', '-', table.experiment.lower())}"
            title = _("Few-shot curves: {name}").format(name=table.experiment)
            yield name, title, draw_few_shot(table)
    if verdict is not None and verdict.arms:
        title = _("Differences to {baseline}").format(baseline=arm_title(verdict.baseline))
        yield "differences", title, draw_verdict(verdict)
        if len(verdict.labels) <= _MOST_CONFUSION:
            for number, scores in enumerate(verdict.scores):
                arm = arm_title(scores.name)
                title = _("{arm}: test images, all seeds").format(arm=arm)
                figure = draw_confusion(title, verdict.labels, scores.confusion)
                yield f"confusion-{number + 1}", _("Confusions of {arm}").format(arm=arm), figure
    if losses:
        yield "training-loss", _("Training loss"), draw_curves(losses, _("step"))
    if accuracies:
        title = _("Accuracy on the test images")
        yield "accuracy", title, draw_curves(accuracies, _("epoch"))
    if inspection is not None:
        yield "calibration", _("Calibration"), draw_calibration(inspection)
        if inspection.points:
            yield "map", _("Training and test images by their features"), draw_map(inspection)


def to_bytes(figure: Any, form: str, dpi: int = 160) -> bytes:
    """A figure as "svg" or "png"; the same figure gives the same bytes."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    fit_figure(figure)
    # Without these an SVG holds the date and random ids.
    with rc_context({"svg.hashsalt": "dafusion", "svg.fonttype": "none"}):
        figure.savefig(
            buffer, format=form, dpi=dpi, metadata={"Date": None} if form == "svg" else {}
        )
    return buffer.getvalue()


def save_figures(figures: Iterator[tuple[str, str, Any]], folder: Path) -> list[Path]:
    """Write each figure as NAME.svg and NAME.png; return the paths."""
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, _title, figure in figures:
            for form in ("svg", "png"):
                path = folder / f"{name}.{form}"
                path.write_bytes(to_bytes(figure, form))
                written.append(path)
    except OSError as error:
        raise translate_os_error(error, _("writing figures")) from error
    return written
