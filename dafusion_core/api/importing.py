"""Joins `datasets.importing` to the project: the image store it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dafusion_core.datasets.facts import (
    PictureFacts,
    fingerprint_bits,
    fingerprint_distance,
    measure,
)
from dafusion_core.datasets.importing import ExistingImage, NewImage
from dafusion_core.datasets.pictures import make_thumbnail
from dafusion_core.domain.errors import DaFusionError
from dafusion_core.domain.regions import Region
from dafusion_core.language import _
from dafusion_core.storage import annotation, concepts, facts, images
from dafusion_core.storage.deposits import Deposits
from dafusion_core.storage.project import ProjectFile


@dataclass
class ProjectImages:
    """`datasets.importing.ImageStore` over a project file."""

    file: ProjectFile
    _guard: SyntheticGuard | None = None
    _by_hash: dict[str, ExistingImage] | None = None
    _labels: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._deposits = Deposits(self.file.objects)

    def known_sources(self) -> Mapping[str, tuple[int, int]]:
        """Original path → (bytes, mtime_ns) of every image in the project."""
        return images.known_sources(self.file.db)

    def find_by_hash(self, sha256: str) -> ExistingImage | None:
        """The image whose original had these contents."""
        if self._by_hash is None:  # asked for every picture: read once
            self._by_hash = {
                image.sha256: ExistingImage(image.id, image.label, image.original_path)
                for image in images.find_images(self.file.db)
            }
        return self._by_hash.get(sha256)

    def add_label(self, name: str) -> int:
        """The id of the label with this name, made if it is new."""
        if name not in self._labels:
            self._labels[name] = images.add_label(self.file.db, name)
        return self._labels[name]

    def adopt_file(self, path: Path, sha256: str) -> str:
        """Copy a file into the files folder; its path there, relative."""
        return self._deposits.copy_in(path, sha256)

    def adopt_data(self, data: bytes, sha256: str, suffix: str) -> str:
        """Write bytes into the files folder, in the background; their path there, relative."""
        return self._deposits.put(data, sha256, suffix)

    def find_synthetic(self, sha256: str, facts: PictureFacts, path: str) -> str:
        """Why a picture that this project made must stay out; "" for others."""
        if self._guard is None:
            self._guard = SyntheticGuard(self.file)
        return self._guard.find(sha256, facts, path)

    def add_images(self, rows: Sequence[NewImage]) -> None:
        """Add all rows in one transaction, after their files are safe on the disk.

        Raises the OSError of the first file that could not be written; the rows before it are
        added, and the files after it are removed.
        """
        failed = self._deposits.settle(row.path for row in rows)
        good = next((i for i, row in enumerate(rows) if row.path in failed), len(rows))
        if good:
            self._record(rows[:good])
            self._keep_small(rows[:good])
        if good < len(rows):
            self._deposits.abandon(row.path for row in rows[good:])
            raise failed[rows[good].path]

    def _record(self, rows: Sequence[NewImage]) -> None:
        db = self.file.db
        with db.atomic():
            ids = images.add_images(db, [_row(row) for row in rows])
            pairs = list(zip(ids, rows, strict=True))
            if self._by_hash is not None:
                names = {label_id: name for name, label_id in self._labels.items()}
                for image_id, row in pairs:
                    label = names.get(row.label_id, "")
                    found = ExistingImage(image_id, label, row.original_path)
                    self._by_hash[row.sha256] = found
            facts.store_facts(db, {image_id: row.facts for image_id, row in pairs})
            groups: dict[str, list[int]] = {}
            for image_id, row in pairs:
                if row.group:
                    groups.setdefault(row.group, []).append(image_id)
            images.join_groups(db, groups)
            annotation.add_regions(
                db,
                [
                    Region(0, image_id, region.kind, region.data, region.label or None)
                    for image_id, row in pairs
                    for region in row.regions
                ],
            )
            concepts.ensure_concepts(db)

    def _keep_small(self, rows: Sequence[NewImage]) -> None:
        """Keep small copies of images that are recorded. Without them nothing is lost."""
        kept = self.file.objects.thumbnails
        copies = dict[str, bytes]()
        for row in rows:
            if row.small is not None and row.is_reference:
                copies[kept.name_of_reference(row.path, row.bytes, row.mtime_ns)] = row.small
            elif row.small is not None:
                copies[kept.name_of_object(row.path)] = row.small
        kept.write(copies)

    def add_problem(self, path: str, reason: str, is_refused: bool) -> None:
        """Remember a problem; replaces what was said about the same path before."""
        images.add_problem(self.file.db, path, reason, is_refused)


def _row(row: NewImage) -> dict[str, Any]:
    return {
        "path": row.path,
        "is_reference": int(row.is_reference),
        "sha256": row.sha256,
        "width": row.width,
        "height": row.height,
        "mode": row.mode,
        "label_id": row.label_id,
        "original_path": row.original_path,
        "original_size": row.bytes,
        "original_mtime_ns": row.mtime_ns,
        "note": row.note,
        "is_unsure": int(row.is_unsure),
    }


class SyntheticGuard:
    """Tells pictures that this project made from real ones, also after they were saved anew.

    Bytes are compared first. A picture with a fingerprint near that of a synthetic image is then
    compared pixel by pixel, and is the synthetic image if it is nearer to it than to its source.
    """

    def __init__(self, file: ProjectFile) -> None:
        self.file = file
        self._by_hash = facts.synthetic_hashes(file.db)
        for synthetic_id, path in facts.synthetics_without_facts(file.db):
            try:
                with Image.open(file.objects.path(path)) as image:
                    found = measure(image.convert("RGB"))
            except OSError:
                continue  # its file is missing: then nobody can compare it
            facts.store_synthetic_fact(file.db, synthetic_id, found.fingerprint)
        rows = facts.synthetic_facts(file.db)
        self._ids = [row[0] for row in rows]
        self._bits = fingerprint_bits([row[1] for row in rows])

    def find(self, sha256: str, found: PictureFacts, path: str) -> str:
        """The reason to refuse the picture at `path`, "" if it is not one of ours."""
        if sha256 in self._by_hash:
            return _SYNTHETIC.format(self._by_hash[sha256])
        if not len(self._bits) or not Path(path).is_file():
            return ""
        near = fingerprint_distance(self._bits, fingerprint_bits([found.fingerprint])[0])
        for place in (near <= NEAR_BITS).nonzero()[0].tolist():
            synthetic_id = self._ids[place]
            if self._is_copy(synthetic_id, Path(path)):
                return _SYNTHETIC.format(synthetic_id)
        return ""

    def _is_copy(self, synthetic_id: int, path: Path) -> bool:
        made, source = facts.synthetic_and_source(self.file.db, synthetic_id)
        try:
            own = grey_pixels(path)
            to_made = float(np.abs(own - grey_pixels(self.file.objects.path(made))).mean())
            to_source = float(np.abs(own - grey_pixels(self.file.objects.path(source))).mean())
        except (OSError, DaFusionError):
            return False
        return to_made < SAME_PIXELS and to_made < to_source


NEAR_BITS = 8  # of 64; saving as JPEG and halving the size moves one to four
SAME_PIXELS = 6.0  # mean difference of grey values 0–255 on 64×64 pixels
_SYNTHETIC = _(
    "it is synthetic image {} of this project; a synthetic image belongs to the part of its "
    "source and is never taken for a real one"
)


def grey_pixels(path: Path) -> NDArray[np.float64]:
    """Grey values [64, 64], 0–255, of a picture stretched to a square."""
    # Grey: saving as JPEG halves the resolution of colours.
    small = make_thumbnail(path, 128).convert("L").resize((64, 64), Image.Resampling.BOX)
    return np.asarray(small, np.float64)
