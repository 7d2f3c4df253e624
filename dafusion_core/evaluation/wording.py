"""A verdict in sentences. Those stored with it are English; readers of other languages get them
worded anew."""

from __future__ import annotations

from dataclasses import dataclass

from dafusion_core.domain.records import Curation
from dafusion_core.evaluation.verdict import ArmVerdict, Finding, Verdict, percent, points
from dafusion_core.language import ENGLISH, _, count, pgettext, spoken

MIN_SEEDS = 2
MIN_IMAGES = 10
#: A difference that matters: smaller ones may be called none (5 points).
RELEVANT = 0.05


@dataclass(frozen=True, slots=True)
class Figures:
    """What every sentence quotes: mean accuracies from 0 to 1 and the interval of the difference,
    None with a single seed."""

    before: float
    after: float
    low: float | None
    high: float | None
    seeds: int
    images: int

    def text(self, confidence: float) -> str:
        """All of it, to stand in brackets."""
        words = (
            _("from {before} to {after}, {seeds}, {images}")
            if self.low is None
            else _(
                "from {before} to {after}, {confidence:g} % interval {low} to {high}, "
                "{seeds}, {images}"
            )
        )
        return words.format(
            before=percent(self.before),
            after=percent(self.after),
            confidence=100 * confidence,
            low=points(self.low),
            high=points(self.high),
            seeds=_seeds(self.seeds),
            images=_images(self.images),
        )


@dataclass(frozen=True, slots=True)
class Needed:
    """What would show a difference of `sought`: images or seeds, None where that is not enough."""

    sought: float | None = None
    images: int | None = None
    seeds: int | None = None


def arm_title(name: str) -> str:
    """The name of an arm as people read it: the program's own arms have names in each language."""
    return {
        "no augmentation": _("no augmentation"),
        "standard augmentation": _("standard augmentation"),
        "curated DA-Fusion": _("curated DA-Fusion"),
        "DA-Fusion, concatenated": _("DA-Fusion, concatenated"),
        "synthetic only": _("synthetic only"),
    }.get(name, name)


def finding_title(finding: Finding) -> str:
    """A finding as people read it."""
    return {
        "helps": _("helps"),
        "hurts": _("hurts"),
        "no difference seen": _("no difference seen"),
        "too few to tell": _("too few to tell"),
    }.get(finding, finding)


def span_text(arm: ArmVerdict | None) -> str:
    """The interval of a difference, a dash where there is none."""
    if arm is None or arm.low is None:
        return "–"
    return _("{low} to {high}").format(low=points(arm.low), high=points(arm.high))


def part_title(part: str) -> str:
    """A part of the split as tables of the report name it."""
    return {
        "train": pgettext("part", "train"),
        "validation": pgettext("part", "validation"),
        "test": pgettext("part", "test"),
        "unused": pgettext("part", "unused"),
    }.get(part, part)


def curation_title(curation: Curation) -> str:
    """A decision about a synthetic image in a word."""
    return {
        Curation.KEPT: pgettext("decision", "kept"),
        Curation.REJECTED: pgettext("decision", "rejected"),
        Curation.UNDECIDED: pgettext("decision", "undecided"),
    }[curation]


def explain_arm(verdict: Verdict, arm: ArmVerdict) -> str:
    """The finding on one arm in the installed language.

    In English it is the stored sentence. Otherwise it is made from the stored figures; where
    seeds have different test images, the two accuracies may differ in their last digit.
    """
    if spoken() == ENGLISH:
        return arm.sentence
    scores = verdict.scores_of(verdict.baseline)
    shared = [
        accuracy
        for seed, accuracy in zip(scores.seeds, scores.accuracies, strict=True)
        if seed in arm.seeds
    ]
    before = sum(shared) / len(shared) if shared else scores.mean
    figures = Figures(
        before,
        before + arm.difference,
        arm.low,
        arm.high,
        len(arm.seeds),
        sum(verdict.test_images),
    )
    needed = Needed(arm.sought, arm.needed_images, arm.needed_seeds)
    return word_finding(
        arm.name, verdict.baseline, arm.finding, figures, needed, verdict.confidence
    )


def word_finding(
    name: str,
    baseline: str,
    finding: Finding,
    figures: Figures,
    needed: Needed,
    confidence: float,
) -> str:
    """One sentence or two: what was found of the arm `name`, and what would tell more."""
    name, baseline = arm_title(name), arm_title(baseline)
    difference = figures.after - figures.before
    text = figures.text(confidence)
    size = 100 * abs(difference)
    if finding == "helps":
        return _("{name} helps by {size:.1f} points ({text}).").format(
            name=name, size=size, text=text
        )
    if finding == "hurts":
        return _("{name} hurts by {size:.1f} points ({text}).").format(
            name=name, size=size, text=text
        )
    text = _("{points} points, {text}").format(points=points(difference), text=text)
    if finding == "no difference seen":
        limit = 100 * max(abs(figures.low or 0), abs(figures.high or 0))
        return _(
            "No difference between {name} and {baseline} was seen ({text}); one of more than "
            "{limit:.1f} points is unlikely."
        ).format(name=name, baseline=baseline, text=text, limit=limit)
    if figures.images < MIN_IMAGES:
        return _(
            "Too few test images to tell whether {name} helps ({text}). At least {least} are "
            "needed, and usually many more."
        ).format(name=name, text=text, least=MIN_IMAGES)
    if figures.seeds < MIN_SEEDS:
        return _(
            "Too few seeds to tell whether {name} helps ({text}). A single training cannot show "
            "how much of this is chance; train with at least 3 seeds."
        ).format(name=name, text=text)
    words = _("Too few to tell whether {name} helps ({text}).").format(name=name, text=text)
    return f"{words} {_advise(figures, needed)}"


def _advise(figures: Figures, needed: Needed) -> str:
    size = 100 * (needed.sought or RELEVANT)
    more_images = _("about {images:,} test images with {seeds}").format(
        images=needed.images or 0, seeds=_seeds(figures.seeds)
    )
    more_seeds = _("about {seeds} seeds with {images}").format(
        seeds=needed.seeds or 0, images=_images(figures.images)
    )
    if needed.images is not None and needed.seeds is not None:
        return _(
            "To see a difference of {size:.1f} points, {one} or {other} would be needed."
        ).format(size=size, one=more_images, other=more_seeds)
    if needed.images is not None or needed.seeds is not None:
        return _("To see a difference of {size:.1f} points, {one} would be needed.").format(
            size=size, one=more_seeds if needed.images is None else more_images
        )
    return _(
        "To see a difference of {size:.1f} points, both more test images and more seeds are needed."
    ).format(size=size)


def _seeds(number: int) -> str:
    return count(number, "{n:,} seed", "{n:,} seeds")


def _images(number: int) -> str:
    return count(number, "{n:,} test image", "{n:,} test images")
