"""Fit a classifier once per arm and seed (§1.6, §1.7).

All arms of one seed begin with the same weights, draw the same real images in the same order and
take the same number of steps; they differ in what stands in for a drawn image and in how it is
augmented.
"""

from __future__ import annotations

from collections.abc import Sequence

from dafusion_core.domain.errors import LeakError, UserError
from dafusion_core.domain.inputs import TrainingInputs
from dafusion_core.domain.records import JobUnit
from dafusion_core.domain.specs import TrainingSpec
from dafusion_core.engine.devices import guard, resolve_device
from dafusion_core.engine.mixing import Batch, BatchSampler
from dafusion_core.engine.picture_store import PictureStore
from dafusion_core.jobs.context import JobContext
from dafusion_core.language import _
from dafusion_core.methods.fitting import Fit, class_accuracy
from dafusion_core.methods.probing import FeatureCache, ProbeFit

__all__ = ["Batch", "BatchSampler", "check_leaks", "class_accuracy", "run"]


def run(
    spec: TrainingSpec, inputs: TrainingInputs, units: Sequence[JobUnit], ctx: JobContext
) -> None:
    """Fit every arm × seed of `units`.

    Raises LeakError when a synthetic image was made from something else than a training image,
    UserError when there is nothing to train or test on or the weights do not fit.
    """
    device = resolve_device(ctx.device)
    check_leaks(inputs)
    _check_parts(spec, inputs)
    arms = {arm.name: arm for arm in spec.arms}
    store = PictureStore(spec.resolution, device=device)
    cache = FeatureCache()
    for n, unit in enumerate(units):
        arm = arms[str(unit.payload["arm"])]
        with guard(
            device, _("training with batches of {batch_size}").format(batch_size=spec.batch_size)
        ):
            parts = (spec, inputs, arm, int(unit.payload["seed"]), device, store, ctx)
            fit = ProbeFit(cache, *parts) if spec.protocol == "probe" else Fit(*parts)
            fit.run(unit, n, len(units))
    ctx.progress(len(units), len(units), "done")


def check_leaks(inputs: TrainingInputs) -> None:
    """Refuse training data that would contain something made from held-out images.

    Every synthetic image must come from an image of the training part, and no image may be in two
    parts, by id or by content. Raises LeakError.
    """
    train = {image.id for image in inputs.train}
    parts = {"validation": inputs.validation, "test": inputs.test}
    for part, images in parts.items():
        shared = train & {image.id for image in images}
        if shared:
            raise LeakError(
                _("{number} images are in the training part and in the {part} part.").format(
                    number=len(shared), part=part
                ),
                _("Make the split again."),
            )
        contents = {image.sha256 for image in inputs.train if image.sha256}
        same = contents & {image.sha256 for image in images if image.sha256}
        if same:
            raise LeakError(
                _(
                    "{number} pictures of the training part are also, byte for byte, in the {part} "
                    "part."
                ).format(number=len(same), part=part),
                _(
                    "Remove the duplicates, or group them so that they stay together, and make the "
                    "split again."
                ),
            )
    held_out = {str(image.id): part for part, images in parts.items() for image in images}
    for arm, by_source in inputs.synthetics.items():
        foreign = [source for source in by_source if int(source) not in train]
        if foreign:
            where = held_out.get(foreign[0], _("no part"))
            raise LeakError(
                _(
                    "The synthetic images of arm “{arm}” include some made from {number} images "
                    "outside the training part (image {foreign} is in {where})."
                ).format(arm=arm, number=len(foreign), foreign=foreign[0], where=where),
                _("Generate again from the training images of this split."),
            )


def _check_parts(spec: TrainingSpec, inputs: TrainingInputs) -> None:
    if not inputs.train or not inputs.test:
        part = "training" if not inputs.train else "test"
        raise UserError(
            _("The split has no {part} images.").format(part=part), _("Make another split.")
        )
    if spec.batch_size < 2 and spec.protocol != "probe":
        raise UserError(
            _("Batches of one picture cannot be trained on: the network compares within a batch."),
            _("Use a batch size of 2 or more; the paper's is 32."),
        )
    if len(inputs.labels) < 2:
        raise UserError(_("A classifier needs at least two labels."), _("Import more classes."))
    for part, images in (("training", inputs.train), ("test", inputs.test)):
        there = {image.label for image in images}
        missing = [name for i, name in enumerate(inputs.labels) if i not in there]
        if missing and part == "training":
            raise UserError(
                _("There is no training image of: {missing}.").format(missing=", ".join(missing)),
                _("Add images of it, make another split, or remove the class."),
            )
        if len(there) < 2:
            raise UserError(
                _("All {part} images are of one class, so there is nothing to tell apart.").format(
                    part=part
                ),
                _("Make another split."),
            )
    if spec.patience is not None and not inputs.validation:
        raise UserError(
            _("Early stopping needs validation images, and the split has none."),
            _("Make a split with a validation part, or train all epochs."),
        )
    for arm in spec.arms:
        if arm.uses_synthetics and not any(inputs.synthetics.get(arm.name, {}).values()):
            raise UserError(
                _("Arm “{name}” mixes in synthetic images, but none are there.").format(
                    name=arm.name
                ),
                _("Generate some, or keep more of them."),
            )
