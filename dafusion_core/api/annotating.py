"""What people say about images: classes, groups, notes, doubts, regions; undo for all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dafusion_core.datasets import grouping, masks
from dafusion_core.datasets.naming import normal_name
from dafusion_core.datasets.pictures import load_rgb
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import UserError
from dafusion_core.domain.records import UNLABELLED, ImageRecord
from dafusion_core.domain.regions import Region, RegionKind, check_region
from dafusion_core.language import _
from dafusion_core.storage import annotation, images, journal

if TYPE_CHECKING:
    from dafusion_core.storage.database import Database
    from dafusion_core.storage.project import ProjectFile


def _name(text: str, what: str) -> str:
    name = normal_name(text)
    if not name:
        words = _("A class needs a name.") if what == "class" else _("A group needs a name.")
        raise UserError(words, _("Nothing was changed."))
    return name


class Annotating:
    """A part of `Project`. Every command here is one undoable step."""

    file: ProjectFile

    def _writable(self) -> Database:
        self.file.require_writable()
        return self.file.db

    # Classes ------------------------------------------------------------------------------

    def unlabelled_images(self) -> list[ImageRecord]:
        """Images that have no class yet."""
        return images.find_images(self.file.db, label_id=UNLABELLED)

    def create_class(self, name: str) -> ProjectChanges:
        """Make an empty class. Raises UserError if there is one of that name."""
        return annotation.create_label(self._writable(), _name(name, "class"))

    def relabel(self, image_ids: Sequence[int], label: str | None) -> ProjectChanges:
        """Give images a class (made if it is new), or none with None."""
        name = "" if label is None else _name(label, "class")
        return annotation.relabel(self._writable(), image_ids, name)

    def split_class(self, image_ids: Sequence[int], new_label: str) -> ProjectChanges:
        """Move images out of their class into a new one. Raises UserError if it is not new."""
        db, name = self._writable(), _name(new_label, "class")
        with journal.recording(db) as record:
            annotation.create_label(db, name)
            moved = annotation.relabel(db, image_ids, name)
            record.text = _("Split {number:,} images off as class “{name}”").format(
                number=len(moved.image_ids), name=name
            )
        return record.changes

    def rename_class(self, old: str, new: str) -> ProjectChanges:
        """Rename a class. Raises UserError if there is one of the new name (see `merge`)."""
        return annotation.rename_label(self._writable(), old, _name(new, "class"))

    def merge_classes(self, labels: Sequence[str], into: str) -> ProjectChanges:
        """Make one class of several: all images of `labels` become `into`."""
        return annotation.merge_labels(self._writable(), labels, into)

    def remove_class(self, name: str) -> ProjectChanges:
        """Take a class away. Its images stay, without a class."""
        return annotation.remove_label(self._writable(), name)

    def order_classes(self, labels: Sequence[str]) -> ProjectChanges:
        """Put the classes in this order, which is that of a classifier's outputs."""
        return annotation.order_labels(self._writable(), labels)

    # Single images ------------------------------------------------------------------------

    def mark_unsure(self, image_ids: Sequence[int], is_unsure: bool = True) -> ProjectChanges:
        """Note that the class of these images is doubtful (or no longer is)."""
        words = _("Mark as not sure: {images}") if is_unsure else _("Mark as sure: {images}")
        return annotation.set_flag(self._writable(), image_ids, "is_unsure", is_unsure, words)

    def reject_images(self, image_ids: Sequence[int]) -> ProjectChanges:
        """Leave real images out of everything: they neither train nor test. Files stay."""
        return annotation.set_flag(
            self._writable(), image_ids, "is_rejected", True, _("Reject {images}")
        )

    def restore_images(self, image_ids: Sequence[int]) -> ProjectChanges:
        """Take a rejection of real images back."""
        return annotation.set_flag(
            self._writable(), image_ids, "is_rejected", False, _("Restore {images}")
        )

    def set_note(self, image_ids: Sequence[int], text: str) -> ProjectChanges:
        """Write a note on images; "" takes it away."""
        return annotation.set_note(self._writable(), image_ids, text.strip())

    # Groups -------------------------------------------------------------------------------

    def groups(self) -> dict[str, list[int]]:
        """Group name → ids of its images."""
        return annotation.all_groups(self.file.db)

    def set_group(self, image_ids: Sequence[int], name: str | None) -> ProjectChanges:
        """Images of one plant, patient or day belong together and never straddle a split."""
        name = None if name is None else _name(name, "group")
        return annotation.set_groups(self._writable(), {name: image_ids})

    def rename_group(self, old: str, new: str) -> ProjectChanges:
        """Rename a group; one of the new name takes its images in."""
        return annotation.rename_group(self._writable(), old, _name(new, "group"))

    def find_groups(
        self,
        how: Literal["pattern", "folder", "date"],
        pattern: str = "",
        where: Literal["path", "name"] = "path",
        level: int = 1,
        image_ids: Sequence[int] | None = None,
    ) -> dict[str, list[int]]:
        """Which groups `group_by` would make: name → image ids. Changes nothing.

        "pattern": a regular expression on the path or file name (its first group names the
        group); "folder": the folder, `level` steps up; "date": the day in the EXIF data.
        """
        found = images.find_images(self.file.db, ids=image_ids)
        if how == "pattern":
            groups = grouping.group_by_pattern(found, pattern, where)
        elif how == "folder":
            groups = grouping.group_by_folder(found, level)
        elif how == "date":
            groups = grouping.group_by_date(
                (image, self.file.objects.path(image.path)) for image in found
            )
        else:
            raise UserError(_("Images cannot be grouped by “{how}”.").format(how=how))
        return {normal_name(name): ids for name, ids in groups.items()}

    def group_by(
        self,
        how: Literal["pattern", "folder", "date"],
        pattern: str = "",
        where: Literal["path", "name"] = "path",
        level: int = 1,
        image_ids: Sequence[int] | None = None,
    ) -> ProjectChanges:
        """Group images as `find_groups` says. Raises UserError when no group comes of it."""
        db = self._writable()
        groups: dict[str | None, list[int]] = dict(
            self.find_groups(how, pattern, where, level, image_ids).items()
        )
        if not groups:
            found = images.find_images(db, ids=image_ids)
            example = found[0].original_path if found else "a/b.jpg"
            what = (
                _("“{pattern}” matches the path of no picture").format(pattern=pattern)
                if pattern
                else _("None was found")
            )
            raise UserError(
                _("{what}, so no group was made.").format(what=what),
                _("The paths are like this one: {example}.").format(example=example),
            )
        return annotation.set_groups(db, groups)

    # Regions ------------------------------------------------------------------------------

    def regions(self, image_ids: Sequence[int] | None = None) -> list[Region]:
        """Boxes, polygons and masks of these images (of all with None)."""
        return annotation.find_regions(self.file.db, image_ids)

    def count_regions(self) -> dict[str, int]:
        """How many regions the project has: kind ("box", "polygon", "mask") → number."""
        return annotation.count_regions(self.file.db)

    def add_region(
        self,
        image_id: int,
        kind: RegionKind | str,
        data: Mapping[str, Any],
        label: str | None = None,
    ) -> int:
        """Draw a region; its id. `data` as in `Region`. Raises UserError if it cannot be one."""
        return self.draw_region(image_id, kind, data, label)[0]

    def draw_region(
        self,
        image_id: int,
        kind: RegionKind | str,
        data: Mapping[str, Any],
        label: str | None = None,
    ) -> tuple[int, ProjectChanges]:
        """As `add_region`; its id and what changed, for who shows the image."""
        db = self._writable()
        kind = RegionKind(kind)
        self._check_region(image_id, kind, data)
        return annotation.draw_region(db, Region(0, image_id, kind, data, label))

    def change_region(
        self,
        region_id: int,
        kind: RegionKind | str,
        data: Mapping[str, Any],
        label: str | None = None,
        text: str = "",
    ) -> ProjectChanges:
        """Replace shape and class of a region, after points were moved or pixels painted.

        `text` is what undo calls the step. Raises UserError if the region is gone or cannot be.
        """
        db = self._writable()
        image_id = db.value("SELECT image_id FROM region WHERE id = ?", [region_id])
        if image_id is not None:
            self._check_region(image_id, RegionKind(kind), data)
        return annotation.change_region(db, region_id, RegionKind(kind), data, label, text)

    def remove_regions(self, region_ids: Sequence[int]) -> ProjectChanges:
        """Take regions away."""
        return annotation.remove_regions(self._writable(), region_ids)

    def add_mask(self, image_id: int, mask: NDArray[np.bool_], label: str | None = None) -> int:
        """Store a painted mask, bool [height, width] of the upright image; the region's id."""
        data = masks.encode_mask(np.asarray(mask, bool))
        return self.add_region(image_id, RegionKind.MASK, data, label)

    def add_mask_file(self, image_id: int, path: Path | str, label: str | None = None) -> int:
        """Store a mask from a picture file as large as the upright image; the region's id.

        Every pixel that is not black is marked. Raises UserError when the size is another one or
        nothing is marked, BadImage when the file cannot be read.
        """
        mask: NDArray[np.bool_] = np.asarray(load_rgb(path)).max(axis=2) > 0
        if not mask.any():
            raise UserError(
                _("Nothing is marked in “{name}”: every pixel is black.").format(
                    name=Path(path).name
                )
            )
        return self.add_mask(image_id, mask, label)

    def region_mask(self, region: Region) -> NDArray[np.bool_]:
        """The pixels of one region, bool [height, width] of its image."""
        (image,) = images.find_images(self.file.db, ids=[region.image_id])
        return masks.region_mask(region, image.height, image.width)

    def image_mask(self, image_id: int) -> NDArray[np.bool_] | None:
        """The pixels of all regions of an image together; None if it has none."""
        found = self.regions([image_id])
        if not found:
            return None
        (image,) = images.find_images(self.file.db, ids=[image_id])
        return masks.union_mask(found, image.height, image.width)

    def _check_region(self, image_id: int, kind: RegionKind, data: Mapping[str, Any]) -> None:
        found = images.find_images(self.file.db, ids=[image_id])
        if not found:
            raise UserError(_("There is no image {image_id}.").format(image_id=image_id))
        check_region(kind, data, found[0].width, found[0].height)
        if kind is RegionKind.MASK:
            masks.decode_mask(data)

    # Undo ---------------------------------------------------------------------------------

    def undo(self) -> ProjectChanges | None:
        """Take back the newest step (annotation, curation, splits); None if none is left.

        Imports, jobs and splits that jobs were queued with are not undone. Raises UserError when
        one of them stands in the way.
        """
        return journal.undo(self._writable())

    def redo(self) -> ProjectChanges | None:
        """Do the last undone step again; None if there is none."""
        return journal.redo(self._writable())

    def undo_text(self) -> str | None:
        """What undo would take back, for a menu."""
        row = journal.next_undo(self.file.db)
        return row["text"] if row else None

    def redo_text(self) -> str | None:
        """What redo would do again, for a menu."""
        row = journal.next_redo(self.file.db)
        return row["text"] if row else None
