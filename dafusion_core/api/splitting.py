"""Dividing images into train, validation and test, at random, by list or by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dafusion_core.datasets.naming import normal_name
from dafusion_core.datasets.sources.common import absolute, find_part, read_text
from dafusion_core.datasets.sources.table import preview_table, table_rows
from dafusion_core.datasets.splits import make_partition
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.inputs import GenerationInputs, InversionInputs, TrainingInputs
from dafusion_core.domain.records import UNLABELLED, ImageRecord, Job, JobState, Part, Split
from dafusion_core.language import _, count
from dafusion_core.storage import annotation, experiments, images, jobs, splits
from dafusion_core.storage.journal import recording

if TYPE_CHECKING:
    from dafusion_core.storage.project import ProjectFile

Parts = dict[int, Part]


@dataclass(frozen=True, slots=True)
class StaleResult:
    """A finished job whose images are no longer what the current split says.

    `reason` is a clause. `is_leak`: it learned from images that are now for testing, so what
    builds on it must not be tested on them.
    """

    job_id: int
    kind: str
    title: str
    reason: str
    is_leak: bool


class Splitting:
    """A part of `Project`."""

    file: ProjectFile

    if TYPE_CHECKING:

        def images(
            self, label: str | None = None, part: Part | str | None = None
        ) -> list[ImageRecord]:
            """See `Project`."""

    def splits(self) -> list[Split]:
        """All splits, oldest first."""
        return splits.all_splits(self.file.db)

    def current_split(self) -> Split | None:
        """The split that was chosen last, or the newest; those of experiments are left aside."""
        apart = experiments.split_ids(self.file.db)
        found = [split for split in self.splits() if split.id not in apart]
        chosen = splits.chosen_split(self.file.db)
        for split in found:
            if split.id == chosen:
                return split
        return found[-1] if found else None

    def use_split(self, split_id: int) -> ProjectChanges:
        """Go back to an earlier split, as an undoable step. Raises UserError if there is none."""
        self.file.require_writable()
        for split in self.splits():
            if split.id == split_id:
                return splits.choose_split(self.file.db, split_id, split.name)
        raise UserError(_("There is no split {split_id}.").format(split_id=split_id))

    # Making one ---------------------------------------------------------------------------

    def plan_parts(
        self,
        seed: int = 0,
        test: float = 0.5,
        validation: float = 0.0,
        shots: int | None = None,
        *,
        with_unsure: bool = True,
    ) -> Parts:
        """The part of every image in a new split, without making it: what would be if.

        Per class and with whole groups. Images without a class, rejected ones and (unless
        `with_unsure`) doubtful ones are unused. With a locked test part its images, and no
        others, test; what shares a group with them is unused. Raises UserError as
        `datasets.splits.make_partition`.
        """
        every = self.images()
        usable = [
            image
            for image in every
            if image.label_id != UNLABELLED
            and not image.is_rejected
            and (with_unsure or not image.is_unsure)
        ]
        locked = splits.locked_test(self.file.db)
        if locked:
            parts = _beside_locked(usable, locked, seed, validation, shots)
        else:
            items = [(image.id, image.label, image.group_id) for image in usable]
            parts = make_partition(items, seed, test, validation, shots)
        # A locked image stays in its place, also while it is rejected.
        rest = {i.id: Part.TEST if i.id in locked else Part.UNUSED for i in every}
        return rest | parts

    def count_parts(self, parts: Mapping[int, Part] | None = None) -> dict[str, dict[str, int]]:
        """Class → part → images, of the current split or of parts that are only planned."""
        counts = {label.name: Counter[str]() for label in images.all_labels(self.file.db)}
        for image in self.images():
            part = image.part if parts is None else parts.get(image.id)
            if image.label:
                counts[image.label][(part or Part.UNUSED).value] += 1
        return {label: dict(found) for label, found in counts.items()}

    def make_split(
        self,
        seed: int = 0,
        test: float = 0.5,
        validation: float = 0.0,
        shots: int | None = None,
        *,
        with_unsure: bool = True,
    ) -> Split:
        """Partition the images as `plan_parts` says. The new split becomes current; the earlier
        ones stay (`use_split`). One undoable step, until a job is queued with it."""
        self.file.require_writable()
        parts = self.plan_parts(seed, test, validation, shots, with_unsure=with_unsure)
        spec: dict[str, Any] = {"test": test, "validation": validation, "shots": shots}
        if not with_unsure:
            spec["with_unsure"] = False
        if splits.locked_test(self.file.db):
            spec["is_locked"] = True
        return self._add_split(
            _("Split {number}").format(number=len(self.splits()) + 1), seed, spec, parts
        )

    def split_by_list(self, path: Path | str) -> Split:
        """A split from a CSV or TSV list with a column of paths (or file names) and one of parts.

        Images that the list does not name are unused. Raises UserError when columns are missing,
        nothing matches, a part is unknown, a group would be divided, or the locked test part
        would change.
        """
        self.file.require_writable()
        parts = self._listed_parts(absolute(path))
        locked = splits.locked_test(self.file.db)
        if locked and {i for i, part in parts.items() if part is Part.TEST} != locked:
            raise _is_locked()
        self._check_groups(parts)
        spec = {"from": "list", "path": str(absolute(path))}
        return self._add_split(_("From {name}").format(name=absolute(path).name), 0, spec, parts)

    def _listed_parts(self, path: Path) -> Parts:
        preview = preview_table(path)
        if "split" not in preview.columns:
            raise UserError(
                _("No column of “{name}” holds the parts.").format(name=path.name),
                _("Its header should be “split”."),
            )
        by_path: dict[str, int] = {}
        by_name: dict[str, list[int]] = {}
        for image in self.images():
            whole = normal_name(image.original_path.replace("\\", "/"))
            by_path[whole] = image.id
            by_name.setdefault(whole.rpartition("/")[2], []).append(image.id)
        parts: Parts = dict.fromkeys(by_path.values(), Part.UNUSED)
        found = 0
        for row in table_rows(read_text(path), preview):
            name = normal_name(row.get("path", "").replace("\\", "/"))
            part = find_part(row.get("split", ""))
            if part is None:
                raise UserError(
                    _("“{split}” of {name} is no part of a split.").format(
                        split=row.get("split", ""), name=name
                    ),
                    _("Use train, validation, test or unused."),
                )
            matches = [by_path[name]] if name in by_path else []
            matches = matches or [
                i for p, i in by_path.items() if "/" in name and p.endswith(f"/{name}")
            ]
            matches = matches or by_name.get(name.rpartition("/")[2], [])
            if len(matches) == 1:
                parts[matches[0]] = part
                found += 1
            elif matches:
                raise UserError(
                    _("{number} images are called “{name}”.").format(
                        number=len(matches), name=name
                    ),
                    _("Write their whole paths."),
                )
        if not found:
            raise UserError(
                _("“{name}” names no image of this project.").format(name=path.name),
                _("Check the column of paths."),
            )
        return parts

    def _check_groups(self, parts: Mapping[int, Part]) -> None:
        sides: dict[str, set[Part]] = {}
        for image in self.images():
            part = parts.get(image.id, Part.UNUSED)
            if image.group is not None and part is not Part.UNUSED:
                sides.setdefault(image.group, set()).add(part)
        torn = [group for group, found in sides.items() if len(found) > 1]
        if torn:
            raise UserError(
                f"Group “{torn[0]}” would be divided"
                f"{f', and {len(torn) - 1} more' if len(torn) > 1 else ''}. Nothing was changed.",
                _("A group belongs to one part. Change the list or the groups."),
            )

    def _add_split(self, name: str, seed: int, spec: dict[str, Any], parts: Parts) -> Split:
        split_id = splits.draw_split(self.file.db, name, seed, spec, parts)
        return next(split for split in self.splits() if split.id == split_id)

    # By hand ------------------------------------------------------------------------------

    def set_part(self, image_ids: Sequence[int], part: Part | str) -> ProjectChanges:
        """Put images on another side of the current split. Whole groups move.

        One undoable step. Raises UserError when there is no split, or the images (or those of
        their groups) belong to the locked test part or would join it.
        """
        self.file.require_writable()
        part = Part(part)
        split = self.current_split()
        if split is None:
            raise UserError(_("There is no split yet."), _("Make one first."))
        wanted = set(image_ids)
        every = self.images()
        groups = {i.group_id for i in every if i.id in wanted and i.group_id is not None}
        moving = [i.id for i in every if i.id in wanted or i.group_id in groups]
        locked = splits.locked_test(self.file.db)
        if locked and any((i in locked) != (part is Part.TEST) for i in moving):
            raise _is_locked()
        more = len(moving) - len(wanted)
        text = _move_text(len(moving), part)
        text += _(" ({more:,} of them with their groups)").format(more=more) if more else ""
        return splits.set_parts(self.file.db, split.id, moving, part, text)

    def lock_test(self) -> ProjectChanges:
        """Lock the test part of the current split: from now on every split tests on these images
        and no others, and none leaves it by hand. One undoable step."""
        self.file.require_writable()
        db = self.file.db
        split = self.current_split()
        parts = splits.parts_of(db, split.id) if split else {}
        test = [image_id for image_id, part in parts.items() if part is Part.TEST]
        if not test:
            raise UserError(_("There is no test part to lock."), _("Make a split first."))
        return splits.lock_test(db, test)

    def unlock_test(self) -> ProjectChanges:
        """Take the lock of the test part away. One undoable step."""
        self.file.require_writable()
        return splits.lock_test(self.file.db, [])

    def locked_test(self) -> set[int]:
        """Images of the locked test part; none if it is not locked."""
        return splits.locked_test(self.file.db)

    def join_parts(self, image_ids: Sequence[int], group: str) -> ProjectChanges:
        """Make a group of images and bring it to one part: the remedy for copies on two sides.

        They go where the lock, or else most of them, say; ties go to training. One step.
        """
        self.file.require_writable()
        found = [i for i in self.images() if i.id in set(image_ids)]
        locked = splits.locked_test(self.file.db)
        counts = Counter(image.part or Part.UNUSED for image in found)
        del counts[Part.UNUSED]
        order = [Part.TRAIN, Part.VALIDATION, Part.TEST]
        best = max(order, key=lambda part: (counts[part], -order.index(part)))
        with recording(self.file.db) as record:
            annotation.set_groups(self.file.db, {group: image_ids})
            split = self.current_split()
            if split is not None and counts:
                held = [i.id for i in found if i.id in locked]
                rest = [i.id for i in found if i.id not in locked]
                # What is locked stays to test on; its copies can then only be left out.
                where = (
                    Part.UNUSED if held else Part.TRAIN if locked and best is Part.TEST else best
                )
                splits.set_parts(self.file.db, split.id, rest, where, "")
            record.text = _("Bring {number:,} images together as “{group}”").format(
                number=len(found), group=group
            )
        return record.changes

    # What follows -------------------------------------------------------------------------

    def stale_results(self, parts: Mapping[int, Part] | None = None) -> list[StaleResult]:
        """Finished jobs whose images are not what the current split says, or (`parts`) would not
        be after a change that is only planned. By job."""
        db = self.file.db
        apart = experiments.split_ids(db)
        now = {image.id: (image.part, image.label) for image in self.images()}
        if parts is not None:
            now = {i: (parts.get(i, Part.UNUSED), label) for i, (_, label) in now.items()}
        ordinals = {label.name: label.ordinal for label in images.all_labels(db)}
        found: list[StaleResult] = []
        for job in jobs.all_jobs(db, [JobState.SUCCEEDED]):
            if job.kind == "compare":
                needed = [stale for stale in found if stale.job_id in job.needs]
                found += [
                    StaleResult(
                        job.id,
                        job.kind,
                        job.title,
                        _("its training (job {id}) is out of date").format(id=s.job_id),
                        s.is_leak,
                    )
                    for s in needed[:1]
                ]  # fmt: skip
                continue
            if job.kind not in _READERS or job.spec.get("split_id") in apart:
                continue
            reason, is_leak = _compare(jobs.get_job(db, job.id), now, ordinals)
            if reason:
                found.append(StaleResult(job.id, job.kind, job.title, reason, is_leak))
        return found


def _is_locked() -> UserError:
    return UserError(
        _("The test part is locked, and this would change it. Nothing was changed."),
        _("Unlock it first, if results on it need not stay comparable."),
    )


def _beside_locked(
    usable: Sequence[ImageRecord],
    locked: set[int],
    seed: int,
    validation: float,
    shots: int | None,
) -> Parts:
    """Parts when the test part is given: the rest is for training and validation."""
    held_groups = {i.group_id for i in usable if i.id in locked and i.group_id is not None}
    parts: Parts = {image.id: Part.TEST for image in usable if image.id in locked}
    free = []
    for image in usable:
        if image.id in locked:
            continue
        if image.group_id in held_groups:
            parts[image.id] = Part.UNUSED
        else:
            free.append((image.id, image.label, image.group_id))
    if validation > 0:
        found = make_partition(free, seed, test=validation, shots=shots)
        as_validation = {Part.TEST: Part.VALIDATION}
        return parts | {i: as_validation.get(part, part) for i, part in found.items()}
    if shots is None:
        return parts | {image_id: Part.TRAIN for image_id, _, _ in free}
    rng = np.random.default_rng(seed)
    by_label: dict[str, list[int]] = {}
    for image_id, label, _rest in sorted(free, key=lambda item: item[0]):
        by_label.setdefault(label, []).append(image_id)
    for label in sorted(by_label):
        order = [by_label[label][i] for i in rng.permutation(len(by_label[label]))]
        parts |= dict.fromkeys(order[:shots], Part.TRAIN)
        parts |= dict.fromkeys(order[shots:], Part.UNUSED)
    return parts


_READERS: Mapping[str, type[InversionInputs | GenerationInputs | TrainingInputs]] = {
    "invert": InversionInputs,
    "generate": GenerationInputs,
    "train": TrainingInputs,
}


def _compare(
    job: Job, now: Mapping[int, tuple[Part | None, str]], ordinals: Mapping[str, int]
) -> tuple[str, bool]:
    """(why the job's images are out of date, "" if not; whether it learned from test images)."""
    if job.inputs is None:
        return "", False
    inputs = _READERS[job.kind].from_dict(job.inputs)
    train = {i for i, (part, _) in now.items() if part is Part.TRAIN}
    test = {i for i, (part, _) in now.items() if part is Part.TEST}
    if isinstance(inputs, TrainingInputs):
        used = {image.id: image.label for image in inputs.train}
        names = inputs.labels
        tested = {image.id for image in inputs.test}
    else:
        used = {i.id: i.label for c in inputs.concepts.values() for i in c.images}
        names, tested = (), test
    if not used:
        return "", False
    leaked = set(used) & test
    if leaked:
        return _("{count} it learned from are now for testing").format(count=_count(leaked)), True
    if isinstance(inputs, TrainingInputs) and tested != test:
        return _("it was tested on other images ({count} differ)").format(
            count=_count(tested ^ test)
        ), False
    gone = set(used) - train
    if gone:
        return _("{count} it learned from are no longer for training").format(
            count=_count(gone)
        ), False
    if new := train - set(used):
        return _("{count} for training came in since").format(count=_count(new)), False
    if names:
        moved = {i for i, label in used.items() if now[i][1] != names[label]}
    else:
        moved = {i for i, label in used.items() if ordinals.get(now[i][1]) != label}
    if moved:
        return _("{count} have another class now").format(count=_count(moved)), False
    return "", False


def _count(ids: set[int]) -> str:
    return count(len(ids), "{n:,} image", "{n:,} images")


def _move_text(number: int, part: Part) -> str:
    if part is Part.TRAIN:
        return count(number, "Move {n:,} image to train", "Move {n:,} images to train")
    if part is Part.VALIDATION:
        return count(number, "Move {n:,} image to validation", "Move {n:,} images to validation")
    if part is Part.TEST:
        return count(number, "Move {n:,} image to test", "Move {n:,} images to test")
    return count(number, "Move {n:,} image to unused", "Move {n:,} images to unused")
