"""Synthetic images that look nearly the same, and keeping one of each such group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from dafusion_core.datasets.facts import PictureFacts, measure
from dafusion_core.datasets.health import find_near_copies
from dafusion_core.datasets.pictures import load_rgb
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import DaFusionError
from dafusion_core.domain.records import Curation, SyntheticImage
from dafusion_core.language import count
from dafusion_core.storage import checks, synthetic
from dafusion_core.storage.checks import SyntheticCheck
from dafusion_core.storage.database import Database
from dafusion_core.storage.journal import recording

_ORDER = {Curation.KEPT: 0, Curation.UNDECIDED: 1, Curation.REJECTED: 2}


def find_groups(
    images: Iterable[SyntheticImage],
    path_of: Callable[[SyntheticImage], Path],
    should_stop: Callable[[], bool] = lambda: False,
) -> list[list[int]]:
    """Groups of two or more of `images` of one class whose perceptual hashes are near.

    Near is what it is for photos: at most 8 of the 64 bits differ, directly or through others of
    the group. Pictures that cannot be read are in no group. Stopped early, it returns none.
    """
    by_class: dict[int, dict[int, PictureFacts]] = {}
    for image in images:
        if should_stop():
            return []
        try:
            facts = measure(load_rgb(path_of(image)))
        except (DaFusionError, OSError):
            continue
        by_class.setdefault(image.concept_id, {})[image.id] = facts
    return [group for facts in by_class.values() for group in find_near_copies(facts)]


def best_of(images: Sequence[SyntheticImage], measured: dict[int, SyntheticCheck]) -> int:
    """The id of the one to keep: most stars, then what was kept before what is undecided before
    what was rejected, then most like its class, then the sharpest, then the oldest."""

    def rank(image: SyntheticImage) -> tuple[float, ...]:
        check = measured.get(image.id)
        agreement = -1.0 if check is None or check.agreement is None else check.agreement
        sharpness = -1.0 if check is None else check.sharpness
        return (-image.rating, _ORDER[image.curation], -agreement, -sharpness, image.id)

    return min(images, key=rank).id


def keep_best(db: Database, groups: Sequence[Sequence[int]]) -> ProjectChanges:
    """Keep the best of each group and reject the others, as one undoable operation."""
    ids = [image_id for group in groups for image_id in group]
    known = {image.id: image for image in synthetic.get_synthetic(db, ids)}
    measured = checks.checks_of(db, ids)
    best = [
        best_of(members, measured)
        for group in groups
        if (members := [known[image_id] for image_id in group if image_id in known])
    ]
    others = [image_id for image_id in known if image_id not in set(best)]
    with recording(db) as record:
        synthetic.decide(db, best, Curation.KEPT)
        synthetic.decide(db, others, Curation.REJECTED)
        record.text = count(len(best), "Keep the best of {n} group", "Keep the best of {n} groups")
    return record.changes
