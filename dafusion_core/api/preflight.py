"""What can be known to go wrong before anything starts, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import Curation, JobState, Part
from dafusion_core.domain.specs import AnySpec, TrainingSpec
from dafusion_core.language import _
from dafusion_core.resources import backbone_path
from dafusion_core.storage.database import Database
from dafusion_core.storage.images import all_labels, find_images
from dafusion_core.storage.jobs import get_job
from dafusion_core.storage.project import ProjectFile
from dafusion_core.storage.synthetic import curation_counts

__all__ = [
    "check_before",
    "check_classes",
    "check_parts",
    "check_split",
    "check_weights",
    "find_doubts",
]

_MOST_UNEVEN = 20  # largest class over smallest
_NAMED = 5


def check_before(file: ProjectFile, spec: AnySpec) -> None:
    """Raise UserError when a job cannot end well, with what to change."""
    if not isinstance(spec, TrainingSpec):
        return
    check_classes(file)
    check_weights(spec.weights, spec.backbone)
    check_split(file, spec.split_id)
    parts = _counts(file.db, spec.split_id)
    if spec.patience is not None and not any(c[Part.VALIDATION] for c in parts.values()):
        raise UserError(
            _("Early stopping needs validation images, and the split has none."),
            _("Make a split with a validation part, or train all epochs."),
        )
    _check_kept(file.db, spec)


def check_classes(file: ProjectFile) -> None:
    """Raise UserError when there are not two classes, a class has too few images to be divided,
    or a file is gone."""
    images = find_images(file.db)
    counts = Counter(image.label for image in images)
    if len(counts) < 2:
        only = f" (“{next(iter(counts))}”)" if counts else ""
        raise UserError(
            _("There is only one class{only}, so there is nothing to tell apart.").format(only=only)
            if counts
            else _("There are no images yet."),
            _("Import a folder with two folders of pictures or more, one per class."),
        )
    lonely = [label for label, count in counts.items() if count < 2]
    if lonely:
        raise UserError(
            _(
                "These classes have a single image: {some}. One is needed to train on and "
                "another to test."
            ).format(some=_some(lonely)),
            _("Add images of them or leave the classes out."),
        )
    gone = [image.path for image in images if not file.objects.path(image.path).is_file()]
    if gone:
        raise UserError(
            _(
                "{number} of {number2} pictures are no longer where they were, for example "
                "“{path}”."
            ).format(number=len(gone), number2=len(images), path=file.objects.path(gone[0])),
            _("Put the files back, or import them again."),
        )


def check_split(file: ProjectFile, split_id: int) -> None:
    """Raise UserError when a class cannot be learned, or not be tested on, with this split."""
    check_parts(_counts(file.db, split_id))


def check_parts(parts: Mapping[str, Mapping[Part, int]], *, may_miss_in_test: bool = False) -> None:
    """Raise UserError when a class has no training image, or no test image.

    `parts`: class → part → images. `may_miss_in_test`: for folds and groups that are left out in
    turn, where other folds test what one does not have; two classes are still needed.
    """
    for part, title in ((Part.TRAIN, "training"), (Part.TEST, "test")):
        missing = [label for label, counts in parts.items() if not counts.get(part, 0)]
        is_allowed = part is Part.TEST and may_miss_in_test and len(parts) - len(missing) > 1
        if missing and not is_allowed:
            raise UserError(
                _("There is no {title} image of: {some}.").format(title=title, some=_some(missing)),
                _("Add images, make another split, or remove the class."),
            )


def check_weights(weights: str, backbone: str) -> None:
    """Raise UserError when the file that a classifier begins with is not there.

    The ImageNet weights are looked for by the training, which knows their place.
    """
    if weights == "bundled":
        backbone_path(backbone)
    elif weights not in ("", "imagenet") and not Path(weights).expanduser().is_file():
        raise UserError(
            _("The weights file {weights} is not there.").format(weights=weights),
            _("Choose its new place, “imagenet”, “bundled”, or train from scratch."),
        )


def find_doubts(file: ProjectFile) -> list[str]:
    """What may make a result hard to read, although it can be computed."""
    counts = Counter(image.label for image in find_images(file.db))
    doubts = []
    if counts:
        (most, many), (least, few) = counts.most_common(1)[0], counts.most_common()[-1]
        if many >= _MOST_UNEVEN * few:
            doubts.append(
                _(
                    "The classes are very uneven: “{most}” has {many:,} images, “{least}” {few:,}. "
                    "Every class counts the same in the result, so the few images of the small one "
                    "decide as much as the many of the large one."
                ).format(most=most, many=many, least=least, few=few)
            )
    return doubts


def _counts(db: Database, split_id: int) -> dict[str, Counter[Part]]:
    found = {label.name: Counter[Part]() for label in all_labels(db)}
    for image in find_images(db, split_id=split_id):
        if image.part is not None and image.label in found:
            found[image.label][image.part] += 1
    return found


def _check_kept(db: Database, spec: TrainingSpec) -> None:
    for arm in spec.arms:
        if not arm.uses_synthetics or arm.generation_job is None:
            continue
        if get_job(db, arm.generation_job).state is not JobState.SUCCEEDED:
            continue  # its images are still to be made
        total: Counter[Curation] = Counter()
        for found in curation_counts(db, arm.generation_job).values():
            total.update(found)
        usable = total[Curation.KEPT]
        if spec.use_undecided and not arm.only_kept:
            usable += total[Curation.UNDECIDED]
        if not usable:
            raise UserError(
                _(
                    "Arm “{name}” has no synthetic image to train on: none of {values:,} is kept."
                ).format(name=arm.name, values=sum(total.values())),
                _("Keep some in curation, or allow undecided ones."),
            )


def _some(names: list[str]) -> str:
    shown = ", ".join(f"“{name}”" for name in names[:_NAMED])
    return shown + (
        _(" and {number} more").format(number=len(names) - _NAMED) if len(names) > _NAMED else ""
    )
