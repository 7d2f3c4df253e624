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
from dafusion_core.evaluation.wording import arm_title
from dafusion_core.language import N_, _, count

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
    "none": N_("no augmentation"),
    "standard": N_("mirrored and turned by up to 15°"),
    "aerial": N_("mirrored both ways and turned by up to 45°"),
    "randaugment": "RandAugment",
    "standard+randaugment": N_("mirrored, turned by up to 15°, RandAugment"),
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
            _(
                "For each class a new word of {vectors} was learned from its training images only "
                "(textual inversion: {steps:,} steps of {batch} images, learning rate {rate:g})."
            ).format(
                vectors=count(inversion.vectors, "{n:,} vector", "{n:,} vectors"),
                steps=inversion.steps,
                batch=inversion.batch_size,
                rate=inversion.learning_rate,
            )
        )
    if generation is not None:
        sentences += _generation(generation)
    if training is not None:
        sentences += _training(training)
    if evaluation is not None:
        sentences.append(
            _(
                "Every figure is the mean of the per-class accuracies on all test images after the "
                "last epoch. Each arm is compared with “{baseline}” within each seed; the "
                "{confidence:g} % interval accounts for the choice of test images (bootstrap "
                "within classes, {resamples:,} draws) and of seeds (Student's t)."
            ).format(
                baseline=arm_title(evaluation.baseline),
                confidence=100 * evaluation.confidence,
                resamples=evaluation.resamples,
            )
        )
    return tuple(sentences)


def _erasure(spec: ErasureSpec) -> Iterator[str]:
    names = ", ".join(f"“{name}”" for name in spec.concepts)
    how = (
        _("UCE, closed form on the cross-attention keys and values, ridge {ridge:g}").format(
            ridge=spec.ridge
        )
        if spec.method == "uce"
        else _(
            "ESD, {steps:,} gradient steps on the “{parameters}” parameters with learning rate "
            "{rate:g}, η {eta:g}, guidance {guidance:g}"
        ).format(
            steps=spec.iterations,
            parameters=spec.train_parameters,
            rate=spec.learning_rate,
            eta=spec.eta,
            guidance=spec.guidance,
        )
    )
    yield _(
        "The base model's own knowledge of {names} was erased first ({how}), so that what it "
        "knew before cannot be mistaken for what it learned from the training images."
    ).format(names=names, how=how)


def _generation(plan: GenerationPlan) -> Iterator[str]:
    strengths = ", ".join(f"{t0:g}" for t0 in plan.t0_set)
    images = count(plan.variants, "{n:,} synthetic image", "{n:,} synthetic images")
    each = (
        _("{images} per training image and t0 ∈ {{{strengths}}}")
        if plan.draw == "each"
        else _("{images} per training image, each with t0 drawn from {{{strengths}}}")
    ).format(images=images, strengths=strengths)
    yield _(
        "Every training image, and no other, was then noised to t0 and denoised again with the "
        "prompt “{prompt}” (SDEdit: {scheduler}, {steps} steps, guidance {guidance:g}, {model}): "
        "{each}."
    ).format(
        prompt=plan.prompt,
        scheduler=_SCHEDULERS.get(plan.scheduler, plan.scheduler),
        steps=plan.steps,
        guidance=plan.guidance,
        model=plan.model.title,
        each=each,
    )
    if plan.inversion_job is None:
        yield (
            _("No word was learned: the class name itself stood in the prompt (Real Guidance).")
            if "{concept}" in plan.prompt
            else _("The prompt names no class.")
        )


def _training(spec: TrainingSpec) -> Iterator[str]:
    how = {
        "paper": _("its weights frozen and a linear layer trained on top, as in the paper"),
        "probe": _("frozen, and a linear layer trained on its features"),
        "finetune": _("all its weights fine-tuned"),
    }[spec.protocol]
    yield _(
        "A {backbone} classifier ({how}) was trained once per arm and seed for {epochs} of "
        "{iterations:,} batches of {batch} images at {pixels} pixels, learning rate {rate:g}, "
        "seeds {seeds}."
    ).format(
        backbone=spec.backbone,
        how=how,
        epochs=count(spec.epochs, "{n:,} epoch", "{n:,} epochs"),
        iterations=spec.iterations_per_epoch,
        batch=spec.batch_size,
        pixels=spec.resolution,
        rate=spec.learning_rate,
        seeds=", ".join(str(seed) for seed in spec.seeds),
    )
    if spec.patience is not None:
        yield _(
            "Training stopped when validation had not improved for {patience} epochs; the best "
            "epoch on validation counts."
        ).format(patience=spec.patience)
    for arm in spec.arms:
        yield _arm(arm, spec.use_undecided)


def _arm(arm: Arm, use_undecided: bool) -> str:
    name, augmentation = arm_title(arm.name), _(_AUGMENTATIONS[arm.augmentation])
    if not arm.uses_synthetics:
        words = _("Arm “{name}” saw real images only ({augmentation}).").format(
            name=name, augmentation=augmentation
        )
    else:
        is_all = use_undecided and not arm.only_kept
        words = {
            "own": _(
                "In arm “{name}” each drawn training image was replaced, with probability "
                "{alpha:g}, by one of its own synthetic images ({taken}; {augmentation})."
            ),
            "global": _(
                "In arm “{name}” each drawn training image was replaced, with probability "
                "{alpha:g}, by any synthetic image, with that one's label ({taken}; "
                "{augmentation})."
            ),
            "concatenate": _(
                "In arm “{name}” real and synthetic images were drawn from one list ({taken}; "
                "{augmentation})."
            ),
            "only": _(
                "In arm “{name}” synthetic images alone were seen ({taken}; {augmentation})."
            ),
        }[arm.mixing].format(
            name=name,
            alpha=arm.alpha,
            taken=_("all but the rejected ones") if is_all else _("only the kept ones"),
            augmentation=augmentation,
        )
    if arm.batch_mix == "none":
        return words
    return _("{sentence} {mix} came on top.").format(sentence=words, mix=_MIXES[arm.batch_mix])


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
