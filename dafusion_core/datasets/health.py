"""What may be wrong with a set of images, told from measurements, classes, parts and groups.

Nothing here changes anything: a finding names images, says why, and which remedies there are.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from dafusion_core.datasets.facts import PictureFacts, fingerprint_bits, fingerprint_distance
from dafusion_core.domain.records import ImageRecord, Part
from dafusion_core.language import _

__all__ = ["Finding", "FindingKind", "Prediction", "Remedy", "check_health", "find_near_copies"]

NEAR_BITS = 8
DARK, BRIGHT, FLAT = 0.10, 0.92, 0.03
BLURRED = 0.004  # Laplacian variance over variance; photographs have 0.02 to 1
SMALL_SIDE, ODD_ASPECT, ODD_FACTOR = 64, 3.0, 4.0
IMBALANCE = 5.0
SURE = 0.8


class FindingKind(StrEnum):
    """What was found; from what must not stay to what is worth a look."""

    LEAK = "leak"
    TORN_GROUP = "torn-group"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    DUPLICATE = "duplicate"
    LABEL = "label"
    IMBALANCE = "imbalance"
    BLUR = "blur"
    DARK = "dark"
    BRIGHT = "bright"
    FLAT = "flat"
    SIZE = "size"
    ASPECT = "aspect"


class Remedy(StrEnum):
    """What one click can do about a finding."""

    REJECT = "reject"  # leave all images of the finding out, of copies all but the first
    GROUP = "group"  # make them one group
    SAME_PART = "same-part"  # make them one group and bring it to one part
    UNSURE = "unsure"  # mark them as not sure


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `key` stays the same as long as it concerns the same images; `images` are
    ids, worst first; `text` is a sentence; `files` are paths of what is no image (yet)."""

    key: str
    kind: FindingKind
    images: tuple[int, ...]
    text: str
    remedies: tuple[Remedy, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What classifiers said of one image they had not seen: mean probabilities by class name."""

    image_id: int
    probabilities: Mapping[str, float]


def _finding(
    kind: FindingKind,
    images: Sequence[int],
    text: str,
    remedies: Sequence[Remedy] = (),
    files: Sequence[str] = (),
) -> Finding:
    what = "/".join([kind.value, *map(str, sorted(images)), *sorted(files)])
    key = f"{kind.value}-{hashlib.sha256(what.encode()).hexdigest()[:16]}"
    return Finding(key, kind, tuple(images), text, tuple(remedies), tuple(files))


def check_health(
    images: Sequence[ImageRecord],
    facts: Mapping[int, PictureFacts],
    same_pixels: Callable[[int, int], bool] | None = None,
    predictions: Sequence[Prediction] = (),
) -> list[Finding]:
    """All findings about images that are not rejected, the gravest first.

    `facts`: what is known of their pixels, by id; `same_pixels` compares two images more closely
    than their fingerprints can.
    """
    wanted = [image for image in images if not image.is_rejected]
    by_id = {image.id: image for image in wanted}
    known = {i: found for i, found in facts.items() if i in by_id}
    findings = [
        *_copies(by_id, find_near_copies(known, same_pixels)),
        *_torn_groups(wanted),
        *_doubtful_labels(by_id, predictions),
        *_imbalance(wanted),
        *_pixels(known),
        *_sizes(wanted),
    ]
    order = list(FindingKind)
    return sorted(findings, key=lambda finding: order.index(finding.kind))


def find_near_copies(
    facts: Mapping[int, PictureFacts], same_pixels: Callable[[int, int], bool] | None = None
) -> list[list[int]]:
    """Sets of images that look the same, by their lowest id; ids ascending in each."""
    ids = sorted(facts)
    bits = fingerprint_bits([facts[i].fingerprint for i in ids])
    parent = list(range(len(ids)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for place in range(len(ids) - 1):
        near = fingerprint_distance(bits[place + 1 :], bits[place]) <= NEAR_BITS
        for other in (np.flatnonzero(near) + place + 1).tolist():
            one, two = root(place), root(other)
            if one == two:
                continue
            if same_pixels is None or same_pixels(ids[place], ids[other]):
                parent[max(one, two)] = min(one, two)
    clusters: dict[int, list[int]] = {}
    for place, image_id in enumerate(ids):
        clusters.setdefault(root(place), []).append(image_id)
    return [members for members in clusters.values() if len(members) > 1]


_PARTS = {
    Part.TRAIN: _("train"),
    Part.VALIDATION: _("validation"),
    Part.TEST: _("test"),
    Part.UNUSED: _("unused"),
}


def _copies(by_id: Mapping[int, ImageRecord], clusters: list[list[int]]) -> Iterator[Finding]:
    for ids in clusters:
        found = [by_id[i] for i in ids]
        sides = {image.part for image in found} - {None, Part.UNUSED}
        labels = {image.label for image in found if image.label}
        count = _("{number} images look the same").format(number=len(ids))
        if len(labels) > 1:
            count += _(" but are called {labels}").format(
                labels=_(" and ").join(sorted(f"“{label}”" for label in labels))
            )
        if len(sides) > 1:
            names = _(" and ").join(sorted(_PARTS[side] for side in sides if side))
            yield _finding(
                FindingKind.LEAK,
                ids,
                _("{count}, and are in {names}: what is tested was learned.").format(
                    count=count, names=names
                ),
                (Remedy.SAME_PART, Remedy.REJECT),
            )
        else:
            groups = {image.group_id for image in found}
            remedies = [Remedy.REJECT]
            if None in groups or len(groups) > 1:
                remedies.insert(0, Remedy.GROUP)
            elif len(labels) < 2:
                continue  # one group already: they can never be divided
            yield _finding(FindingKind.DUPLICATE, ids, f"{count}.", remedies)


def _torn_groups(images: Sequence[ImageRecord]) -> Iterator[Finding]:
    groups: dict[str, list[ImageRecord]] = {}
    for image in images:
        if image.group is not None and image.part not in (None, Part.UNUSED):
            groups.setdefault(image.group, []).append(image)
    for name, members in groups.items():
        sides = sorted({_PARTS[image.part] for image in members if image.part})
        if len(sides) > 1:
            yield _finding(
                FindingKind.TORN_GROUP,
                [image.id for image in members],
                _("Group “{name}” is in {sides}.").format(name=name, sides=_(" and ").join(sides)),
                (Remedy.SAME_PART,),
            )


def _doubtful_labels(
    by_id: Mapping[int, ImageRecord], predictions: Sequence[Prediction]
) -> Iterator[Finding]:
    found = []
    for prediction in predictions:
        image = by_id.get(prediction.image_id)
        if image is None or not image.label or image.label not in prediction.probabilities:
            continue
        best = max(prediction.probabilities, key=lambda name: prediction.probabilities[name])
        share = prediction.probabilities[best]
        if best != image.label and share >= SURE:
            found.append((share, image, best))
    for share, image, best in sorted(found, key=lambda item: (-item[0], item[1].id)):
        yield _finding(
            FindingKind.LABEL,
            [image.id],
            _(
                "It is called “{label}”; classifiers that never saw it say “{best}” ({share:.0%})."
            ).format(label=image.label, best=best, share=share),
            (Remedy.UNSURE, Remedy.REJECT),
        )


def _imbalance(images: Sequence[ImageRecord]) -> Iterator[Finding]:
    counts = Counter(image.label for image in images if image.label)
    if len(counts) < 2:
        return
    (most, many), (least, few) = counts.most_common(1)[0], counts.most_common()[-1]
    if many > IMBALANCE * few:
        yield _finding(
            FindingKind.IMBALANCE,
            [image.id for image in images if image.label == least],
            _("“{most}” has {many:,} images and “{least}” only {few:,}.").format(
                most=most, many=many, least=least, few=few
            ),
        )


def _pixels(facts: Mapping[int, PictureFacts]) -> Iterator[Finding]:
    tests: list[tuple[FindingKind, Callable[[PictureFacts], bool], str]] = [
        (FindingKind.DARK, lambda f: f.brightness < DARK, _("is very dark")),
        (FindingKind.BRIGHT, lambda f: f.brightness > BRIGHT, _("is very bright")),
        (FindingKind.FLAT, lambda f: f.contrast < FLAT, _("shows almost nothing")),
        (FindingKind.BLUR, _is_blurred(facts), _("is blurred")),
    ]
    for image_id in sorted(facts):
        for kind, is_bad, text in tests:
            if is_bad(facts[image_id]):
                yield _finding(kind, [image_id], f"It {text}.", (Remedy.REJECT, Remedy.UNSURE))
                break  # a black picture is flat and blurred; one word is enough


def _is_blurred(facts: Mapping[int, PictureFacts]) -> Callable[[PictureFacts], bool]:
    """Blurred: hardly any detail at all, or far less than the others of this set have."""
    logs = np.log10([max(found.sharpness, 1e-9) for found in facts.values()] or [0.0])
    middle = float(np.median(logs))
    spread = 1.4826 * float(np.median(np.abs(logs - middle)))
    limit = middle - max(4 * spread, 0.7) if len(facts) >= 20 else -math.inf
    return lambda f: f.sharpness < BLURRED or math.log10(max(f.sharpness, 1e-9)) < limit


def _sizes(images: Sequence[ImageRecord]) -> Iterator[Finding]:
    if not images:
        return
    usual = math.sqrt(float(np.median([image.width * image.height for image in images])))
    for image in images:
        short, long = sorted((image.width, image.height))
        side = math.sqrt(image.width * image.height)
        size = _("{width}×{height} pixels").format(width=image.width, height=image.height)
        if long > ODD_ASPECT * short:
            yield _finding(
                FindingKind.ASPECT, [image.id],
                _("It is {size}: stretched to a square, little of its shape is left.").format(
                    size=size
                ),
                (Remedy.REJECT,),
            )  # fmt: skip
        elif short < SMALL_SIDE and side < usual / 1.5:
            yield _finding(
                FindingKind.SIZE,
                [image.id],
                _("It is only {size}.").format(size=size),
                (Remedy.REJECT,),
            )
        elif side > usual * ODD_FACTOR or side < usual / ODD_FACTOR:
            yield _finding(
                FindingKind.SIZE, [image.id],
                _("It is {size}; most are about {usual:.0f}×{usual:.0f}.").format(
                    size=size, usual=usual
                ),
                (Remedy.REJECT,),
            )  # fmt: skip
