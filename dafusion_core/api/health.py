"""Findings about a project's images, and their remedies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dafusion_core.api.importing import SAME_PIXELS, grey_pixels
from dafusion_core.datasets.facts import PictureFacts
from dafusion_core.datasets.health import Finding, FindingKind, Prediction, Remedy, check_health
from dafusion_core.datasets.pictures import examine_picture
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import DaFusionError, UserError
from dafusion_core.language import _, count, ngettext
from dafusion_core.storage import facts as stored
from dafusion_core.storage import images, results
from dafusion_core.storage.journal import recording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dafusion_core.domain.records import ImageRecord, Part
    from dafusion_core.storage.project import ProjectFile


class Checking:
    """A part of `Project`."""

    file: ProjectFile

    if TYPE_CHECKING:

        def images(
            self, label: str | None = None, part: Part | str | None = None
        ) -> list[ImageRecord]:
            """See `Project`."""

        def reject_images(self, image_ids: Sequence[int]) -> ProjectChanges:
            """See `Annotating`."""

        def set_group(self, image_ids: Sequence[int], name: str | None) -> ProjectChanges:
            """See `Annotating`."""

        def mark_unsure(self, image_ids: Sequence[int], is_unsure: bool = True) -> ProjectChanges:
            """See `Annotating`."""

        def join_parts(self, image_ids: Sequence[int], group: str) -> ProjectChanges:
            """See `Splitting`."""

    def health(
        self,
        on_progress: Callable[[int, int, str], None] | None = None,
        *,
        with_dismissed: bool = False,
    ) -> list[Finding]:
        """What may be wrong with the images, the gravest first.

        Images of projects from before there were measurements are measured now, which takes as
        long as opening each (`on_progress(done, total, path)`). Likely wrong classes are told
        once classifiers were trained. Findings that were dismissed are left out.
        """
        self._measure_rest(on_progress)
        every = self.images()
        known = {
            image_id: PictureFacts(*values)
            for image_id, values in stored.all_facts(self.file.db).items()
        }
        paths = {image.id: self.file.objects.path(image.path) for image in every}
        findings = [
            *self._missing(every, paths),
            *self._unreadable(),
            *check_health(every, known, _Comparison(paths), self._predictions()),
        ]
        order = list(FindingKind)
        findings.sort(key=lambda finding: order.index(finding.kind))
        dismissed = set() if with_dismissed else stored.dismissed_findings(self.file.db)
        return [finding for finding in findings if finding.key not in dismissed]

    def _measure_rest(self, on_progress: Callable[[int, int, str], None] | None) -> None:
        todo = stored.images_without_facts(self.file.db)
        if self.file.is_read_only:
            return
        for done, (image_id, relative) in enumerate(todo, start=1):
            path = self.file.objects.path(relative)
            try:
                found = examine_picture(path).facts
            except DaFusionError:
                continue  # missing or damaged, which is a finding of its own
            stored.store_facts(self.file.db, {image_id: found})
            if on_progress is not None:
                on_progress(done, len(todo), str(path))

    def _missing(self, every: list[ImageRecord], paths: Mapping[int, Path]) -> Iterator[Finding]:
        gone = [image.id for image in every if not paths[image.id].is_file()]
        if gone:
            yield Finding(
                "missing",
                FindingKind.MISSING,
                tuple(gone),
                count(
                    len(gone),
                    "The file of {n:,} image is not where the project knows them. Find them again "
                    "with “locate”.",
                    "The files of {n:,} images are not where the project knows them. Find them "
                    "again with “locate”.",
                ),
            )

    def _unreadable(self) -> Iterator[Finding]:
        refused = [p for p in images.import_problems(self.file.db) if p.is_refused]
        # Reasons are kept in the language in which they were found.
        starts = (
            "exact duplicate",
            "the same picture",
            _("exact duplicate"),
            _("the same picture"),
        )
        copies = [p for p in refused if p.reason.startswith(starts)]
        others = [p for p in refused if p not in copies]
        for kind, found, words in (
            (
                FindingKind.UNREADABLE,
                others,
                ngettext(
                    "{n:,} file could not be imported.",
                    "{n:,} files could not be imported.",
                    len(others),
                ),
            ),
            (
                FindingKind.DUPLICATE,
                copies,
                ngettext(
                    "{n:,} file were left out as exact copies.",
                    "{n:,} files were left out as exact copies.",
                    len(copies),
                ),
            ),
        ):
            if found:
                yield Finding(
                    f"{kind.value}-files",
                    kind,
                    (),
                    words.format(n=len(found)),
                    files=tuple(f"{p.path}: {p.reason}" for p in found),
                )

    def _predictions(self) -> list[Prediction]:
        """Mean predictions of all runs for the test images they never saw."""
        sums: dict[int, dict[str, float]] = {}
        counts: dict[int, int] = {}
        for run in results.training_runs(self.file.db):
            test, labels = run.record.get("test") or {}, run.record.get("labels") or []
            for image_id, row in zip(
                test.get("image_ids", ()), test.get("probabilities", ()), strict=False
            ):
                if len(row) != len(labels):
                    continue
                total = sums.setdefault(image_id, {})
                counts[image_id] = counts.get(image_id, 0) + 1
                for label, share in zip(labels, row, strict=True):
                    total[label] = total.get(label, 0.0) + float(share)
        return [
            Prediction(i, {label: total / counts[i] for label, total in found.items()})
            for i, found in sums.items()
        ]

    def remedy(self, finding: Finding, remedy: Remedy | str) -> ProjectChanges:
        """Do what one click does about a finding; an undoable step. Raises UserError when the
        finding has no such remedy."""
        remedy = Remedy(remedy)
        if remedy not in finding.remedies:
            raise UserError(
                _("“{remedy}” does not help against “{kind}”.").format(
                    remedy=remedy, kind=finding.kind
                ),
                _("Remedies: {remedies}.").format(remedies=", ".join(finding.remedies) or "none"),
            )
        is_copy = finding.kind in (FindingKind.LEAK, FindingKind.DUPLICATE)
        match remedy:
            case Remedy.REJECT:
                return self.reject_images(finding.images[1:] if is_copy else finding.images)
            case Remedy.UNSURE:
                return self.mark_unsure(finding.images)
            case Remedy.GROUP:
                return self.set_group(finding.images, self._group_name(finding))
            case Remedy.SAME_PART:
                return self.join_parts(finding.images, self._group_name(finding))

    def _group_name(self, finding: Finding) -> str:
        """The group that some of the images have already, or a new name."""
        wanted = set(finding.images)
        names = [i.group for i in self.images() if i.id in wanted and i.group is not None]
        return names[0] if names else _("same as image {id}").format(id=min(finding.images))

    def dismiss(self, finding: Finding) -> ProjectChanges:
        """Let a finding be: it is not shown again as long as it concerns the same images."""
        self.file.require_writable()
        with recording(self.file.db, _("Dismiss: {text}").format(text=finding.text)) as record:
            self.file.db.execute(
                "INSERT OR IGNORE INTO dismissed_finding(key) VALUES (?)", [finding.key]
            )
        return record.changes


class _Comparison:
    """Compares two images by their grey pixels; each is opened once."""

    def __init__(self, paths: Mapping[int, Path]) -> None:
        self._paths = paths
        self._pixels: dict[int, NDArray[np.float64] | None] = {}

    def __call__(self, one: int, other: int) -> bool:
        a, b = self._get(one), self._get(other)
        return a is not None and b is not None and float(np.abs(a - b).mean()) < SAME_PIXELS

    def _get(self, image_id: int) -> NDArray[np.float64] | None:
        if image_id not in self._pixels:
            try:
                self._pixels[image_id] = grey_pixels(self._paths[image_id])
            except (OSError, DaFusionError):
                self._pixels[image_id] = None
        return self._pixels[image_id]
