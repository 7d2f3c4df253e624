"""Experiments that are asked for again and again, ready to queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dafusion_core.api.chain import (
    AUGMENTED,
    BASELINE,
    ChainOptions,
    erasure_spec,
    generation_plan,
    inversion_spec,
    training_spec,
)
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.experiments import ExperimentArm, ExperimentSpec, Generator
from dafusion_core.language import _

__all__ = ["ARMS", "PRESETS", "make_experiment", "named_arm"]

#: Name → what it asks, for people.
PRESETS: dict[str, str] = {
    "quick": _("Does it help? Standard augmentation against DA-Fusion, all training images."),
    "curves": _(
        "Few-shot curves, the paper's figure: five ways to train, 1 to 16 images per class."
    ),
    "ablation-k": _("How many distances t0 from the photo are needed (k = 1, 2, 4)?"),
    "ablation-alpha": _("How often should a synthetic image take a photo's place?"),
    "ablation-m": _("How many synthetic images per photo are enough?"),
    "ablation-masking": _("Edit everything, only the object, or only what is around it?"),
}

#: Arms that can be added to any experiment by name.
ARMS: dict[str, ExperimentArm] = {
    arm.name: arm
    for arm in (
        ExperimentArm("no augmentation", augmentation="none"),
        ExperimentArm(BASELINE),
        ExperimentArm("RandAugment", augmentation="randaugment"),
        ExperimentArm("CutMix", batch_mix="cutmix"),
        ExperimentArm("MixUp", batch_mix="mixup"),
        ExperimentArm("Real Guidance", alpha=0.5, generator="Real Guidance"),
        ExperimentArm(AUGMENTED, alpha=0.5, generator=AUGMENTED),
        ExperimentArm("curated DA-Fusion", alpha=0.5, generator=AUGMENTED, only_kept=True),
        ExperimentArm("DA-Fusion + CutMix", alpha=0.5, generator=AUGMENTED, batch_mix="cutmix"),
        ExperimentArm("DA-Fusion, concatenated", mixing="concatenate", generator=AUGMENTED),
        ExperimentArm("synthetic only", mixing="only", generator=AUGMENTED),
    )
}

_SHOTS = (1, 2, 4, 8, 16)
_FEW = 4  # shots of the ablations
LAPTOP_SEEDS = 3
REAL_GUIDANCE = "Real Guidance"


def make_experiment(
    preset: str,
    labels: Sequence[str],
    options: ChainOptions | None = None,
    *,
    name: str = "",
    shots: Sequence[int] = (),
    seeds: Sequence[int] = (),
) -> ExperimentSpec:
    """The experiment of a preset (a key of `PRESETS`) for classes called `labels`.

    `options` say how models are changed, images made and classifiers trained. `shots` and `seeds`
    replace the preset's. Raises UserError for an unknown preset.
    """
    if preset not in _MAKERS:
        raise UserError(
            _("There is no preset “{preset}”.").format(preset=preset),
            _("There are: {PRESETS}.").format(PRESETS=", ".join(PRESETS)),
        )
    options = options or ChainOptions()
    made = _MAKERS[preset](options, labels)
    return replace(
        made,
        name=name or preset,
        shots=tuple(shots) or made.shots,
        seeds=tuple(seeds) or made.seeds,
    )


def named_arm(spec: ExperimentSpec, name: str) -> tuple[ExperimentArm, Generator | None]:
    """An arm of `ARMS` for an experiment, and the generator it needs if that is not there yet.

    Raises UserError when the experiment has no generator that the arm could be made from.
    """
    if name not in ARMS:
        raise UserError(
            _("There is no arm “{name}”.").format(name=name),
            _("There are: {ARMS}.").format(ARMS=", ".join(ARMS)),
        )
    arm = ARMS[name]
    there = {generator.name: generator for generator in spec.generators}
    if not arm.uses_synthetics or arm.generator in there:
        return arm, None
    learned = [generator for generator in spec.generators if generator.inversion is not None]
    if arm.generator != REAL_GUIDANCE or not learned:
        raise UserError(
            _("The experiment does not make the images that “{name}” needs.").format(name=name),
            _("Plan one with a preset that does, such as quick or curves."),
        )
    return arm, _guided(learned[0])


def _guided(learned: Generator) -> Generator:
    """Real Guidance: the class name in the prompt, one distance from the photo."""
    plan = replace(learned.plan, inversion_job=None, t0_set=(0.5,))
    return replace(learned, name=REAL_GUIDANCE, inversion=None, plan=plan)


def _generator(options: ChainOptions, labels: Sequence[str], name: str = AUGMENTED) -> Generator:
    return Generator(
        name=name,
        erasure=erasure_spec(options, labels) if options.erase else None,
        inversion=inversion_spec(options, 0, None),
        plan=generation_plan(options, 0, 0, None),
    )


def _experiment(
    options: ChainOptions,
    arms: Sequence[ExperimentArm],
    generators: Sequence[Generator],
    shots: Sequence[int],
) -> ExperimentSpec:
    return ExperimentSpec(
        name="",
        arms=tuple(arms),
        baseline=arms[0].name,
        training=training_spec(options, 0, 0),
        generators=tuple(generators),
        shots=tuple(shots),
        # A seed is a split of its own here, with words to learn and images to make.
        seeds=options.seeds if options.protocol == "paper" else options.seeds[:LAPTOP_SEEDS],
        test=options.test,
        validation=options.validation,
        split_seed=options.seed,
    )


def _quick(options: ChainOptions, labels: Sequence[str]) -> ExperimentSpec:
    arms = (
        ExperimentArm(BASELINE),
        ExperimentArm(AUGMENTED, alpha=options.alpha, generator=AUGMENTED),
    )
    return _experiment(options, arms, [_generator(options, labels)], [options.shots or 0])


def _curves(options: ChainOptions, labels: Sequence[str]) -> ExperimentSpec:
    learned = _generator(options, labels)
    arms = (
        ExperimentArm(BASELINE),
        ExperimentArm("no augmentation", augmentation="none"),
        ExperimentArm("RandAugment", augmentation="randaugment"),
        ExperimentArm(REAL_GUIDANCE, alpha=options.alpha, generator=REAL_GUIDANCE),
        ExperimentArm(AUGMENTED, alpha=options.alpha, generator=AUGMENTED),
    )
    made = _experiment(options, arms, [learned, _guided(learned)], _SHOTS)
    return replace(made, seeds=tuple(range(8)))


def _ablation_k(options: ChainOptions, labels: Sequence[str]) -> ExperimentSpec:
    ladder: list[tuple[float, ...]] = [(0.5,), (0.5, 1.0), (0.25, 0.5, 0.75, 1.0)]
    options = replace(options, t0_set=ladder[-1])
    arms = [ExperimentArm(BASELINE)] + [
        ExperimentArm(f"k = {len(t0_set)}", alpha=options.alpha, generator=AUGMENTED, t0_set=t0_set)
        for t0_set in ladder
    ]
    return _experiment(options, arms, [_generator(options, labels)], [_FEW])


def _ablation_alpha(options: ChainOptions, labels: Sequence[str]) -> ExperimentSpec:
    arms = [ExperimentArm(BASELINE)] + [
        ExperimentArm(f"alpha = {alpha:g}", alpha=alpha, generator=AUGMENTED)
        for alpha in (0.3, 0.5, 0.7)
    ]
    return _experiment(options, arms, [_generator(options, labels)], [_FEW])


def _ablation_m(options: ChainOptions, labels: Sequence[str]) -> ExperimentSpec:
    steps = [options.variants, 2 * options.variants, 4 * options.variants]
    options = replace(options, variants=steps[-1])
    per_variant = len(options.t0_set)
    arms = [ExperimentArm(BASELINE)] + [
        ExperimentArm(
            f"M = {variants * per_variant}",
            alpha=options.alpha,
            generator=AUGMENTED,
            variants=variants,
        )
        for variants in steps
    ]
    return _experiment(options, arms, [_generator(options, labels)], [_FEW])


def _ablation_masking(options: ChainOptions, labels: Sequence[str]) -> ExperimentSpec:
    whole = _generator(options, labels, "whole picture")
    generators = [
        whole,
        replace(whole, name="object", plan=replace(whole.plan, mask="object")),
        replace(whole, name="background", plan=replace(whole.plan, mask="background")),
    ]
    arms = [ExperimentArm(BASELINE)] + [
        ExperimentArm(f"edit the {one.name}", alpha=options.alpha, generator=one.name)
        for one in generators
    ]
    return _experiment(options, arms, generators, [_FEW])


_MAKERS: dict[str, Callable[[ChainOptions, Sequence[str]], ExperimentSpec]] = {
    "quick": _quick,
    "curves": _curves,
    "ablation-k": _ablation_k,
    "ablation-alpha": _ablation_alpha,
    "ablation-m": _ablation_m,
    "ablation-masking": _ablation_masking,
}
