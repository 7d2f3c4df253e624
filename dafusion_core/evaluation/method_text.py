"""What was done, in sentences that could stand in a paper, written from the frozen specs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dafusion_core.domain.specs import (
    Arm,
    ErasureSpec,
    EvaluationSpec,
    GenerationPlan,
    InversionSpec,
    TrainingSpec,
)

__all__ = ["describe_method", "list_settings"]

_SCHEDULERS = {
    "pndm": "PNDM",
    "ddim": "DDIM",
    "dpmsolver++": "DPM-Solver++",
    "euler": "Euler",
    "unipc": "UniPC",
}


_MIXES = {"cutmix": "CutMix", "mixup": "MixUp"}
_AUGMENTATIONS = {
    "none": "no augmentation",
    "standard": "mirrored and turned by up to 15°",
    "aerial": "mirrored both ways and turned by up to 45°",
    "randaugment": "RandAugment",
    "standard+randaugment": "mirrored, turned by up to 15°, RandAugment",
}


def describe_method(
    erasure: ErasureSpec | None = None,
    inversion: InversionSpec | None = None,
    generation: GenerationPlan | None = None,
    training: TrainingSpec | None = None,
    evaluation: EvaluationSpec | None = None,
) -> tuple[str, ...]:
    """One or two sentences per step that was taken, in order."""
    sentences: list[str] = []
    if erasure is not None:
        sentences += _erasure(erasure)
    if inversion is not None:
        sentences.append(
            f"For each class a new word of {_count(inversion.vectors, 'vector')} was learned from "
            f"its training images only (textual inversion: {inversion.steps:,} steps of "
            f"{inversion.batch_size} images, learning rate {inversion.learning_rate:g})."
        )
    if generation is not None:
        sentences += _generation(generation)
    if training is not None:
        sentences += _training(training)
    if evaluation is not None:
        sentences.append(
            "Every figure is the mean of the per-class accuracies on all test images after the "
            f"last epoch. Each arm is compared with “{evaluation.baseline}” within each seed; the "
            f"{100 * evaluation.confidence:g} % interval accounts for the choice of test images "
            f"(bootstrap within classes, {evaluation.resamples:,} draws) and of seeds (Student's "
            "t)."
        )
    return tuple(sentences)


def _erasure(spec: ErasureSpec) -> Iterator[str]:
    names = ", ".join(f"“{name}”" for name in spec.concepts)
    how = (
        f"UCE, closed form on the cross-attention keys and values, ridge {spec.ridge:g}"
        if spec.method == "uce"
        else (
            f"ESD, {spec.iterations:,} gradient steps on the “{spec.train_parameters}” parameters "
            f"with learning rate {spec.learning_rate:g}, η {spec.eta:g}, guidance {spec.guidance:g}"
        )
    )
    yield (
        f"The base model's own knowledge of {names} was erased first ({how}), so that what it "
        "knew before cannot be mistaken for what it learned from the training images."
    )


def _generation(plan: GenerationPlan) -> Iterator[str]:
    strengths = ", ".join(f"{t0:g}" for t0 in plan.t0_set)
    each = (
        f"{_count(plan.variants, 'synthetic image')} per training image and t0 ∈ {{{strengths}}}"
        if plan.draw == "each"
        else (
            f"{_count(plan.variants, 'synthetic image')} per training image, each with t0 drawn "
            f"from {{{strengths}}}"
        )
    )
    yield (
        "Every training image, and no other, was then noised to t0 and denoised again with the "
        f"prompt “{plan.prompt}” (SDEdit: {_SCHEDULERS.get(plan.scheduler, plan.scheduler)}, "
        f"{plan.steps} steps, guidance {plan.guidance:g}, {plan.model.title}): {each}."
    )
    if plan.inversion_job is None:
        yield (
            "No word was learned: the class name itself stood in the prompt (Real Guidance)."
            if "{concept}" in plan.prompt
            else "The prompt names no class."
        )


def _training(spec: TrainingSpec) -> Iterator[str]:
    how = {
        "paper": "its weights frozen and a linear layer trained on top, as in the paper",
        "probe": "frozen, and a linear layer trained on its features",
        "finetune": "all its weights fine-tuned",
    }[spec.protocol]
    yield (
        f"A {spec.backbone} classifier ({how}) was trained once per arm and seed for "
        f"{_count(spec.epochs, 'epoch')} of {spec.iterations_per_epoch:,} batches of "
        f"{spec.batch_size} images at {spec.resolution} pixels, learning rate "
        f"{spec.learning_rate:g}, seeds {', '.join(str(seed) for seed in spec.seeds)}."
    )
    if spec.patience is not None:
        yield (
            f"Training stopped when validation had not improved for {spec.patience} epochs; the "
            "best epoch on validation counts."
        )
    for arm in spec.arms:
        yield _arm(arm, spec.use_undecided)


def _arm(arm: Arm, use_undecided: bool) -> str:
    on_top = "" if arm.batch_mix == "none" else f" {_MIXES[arm.batch_mix]} came on top."
    if not arm.uses_synthetics:
        return (
            f"Arm “{arm.name}” saw real images only ({_AUGMENTATIONS[arm.augmentation]}).{on_top}"
        )
    is_all = use_undecided and not arm.only_kept
    taken = "all but the rejected" if is_all else "only the kept"
    how = {
        "own": f"each drawn training image was replaced, with probability {arm.alpha:g}, by one of "
        "its own synthetic images",
        "global": f"each drawn training image was replaced, with probability {arm.alpha:g}, by any "
        "synthetic image, with that one's label",
        "concatenate": "real and synthetic images were drawn from one list",
        "only": "synthetic images alone were seen",
    }[arm.mixing]
    return f"In arm “{arm.name}” {how} ({taken} ones; {_AUGMENTATIONS[arm.augmentation]}).{on_top}"


def list_settings(values: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """(name, value) rows from the JSON values of a spec, nested names joined by dots."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += [(f"{name}.{inner}", text) for inner, text in list_settings(value)]
        elif isinstance(value, (list, tuple)) and any(isinstance(v, Mapping) for v in value):
            for i, item in enumerate(value):
                inner_rows = (
                    list_settings(item) if isinstance(item, Mapping) else (("", str(item)),)
                )
                rows += [
                    (f"{name}[{i + 1}].{inner}".rstrip("."), text) for inner, text in inner_rows
                ]
        elif isinstance(value, (list, tuple)):
            rows.append((name, ", ".join(str(item) for item in value) or "–"))
        else:
            rows.append((name, "–" if value in (None, "") else str(value)))
    return tuple(rows)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
