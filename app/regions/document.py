"""The regions of one image while they are edited: shown at once, stored behind, undone by the one
journal of the project."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from app.session import Session
from dafusion_core.datasets.masks import decode_mask, encode_mask, region_mask
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.errors import DaFusionError, UserError
from dafusion_core.domain.records import ImageRecord
from dafusion_core.domain.regions import Region, RegionKind
from dafusion_core.language import _

KIND_NAMES = {
    RegionKind.BOX: _("Box"),
    RegionKind.POLYGON: _("Polygon"),
    RegionKind.MASK: _("Mask"),
}
MOVE_NAMES = {
    RegionKind.BOX: _("Move a box"),
    RegionKind.POLYGON: _("Move a polygon"),
    RegionKind.MASK: _("Move a mask"),
}


@dataclass(eq=False, slots=True)
class Item:
    """One region as it is drawn. `data` as in `Region`; a mask's pixels are in `mask`, and its
    `data` are those stored last. `id` is None until it is stored for the first time."""

    kind: RegionKind
    data: dict[str, Any] = field(default_factory=dict)
    label: str | None = None
    id: int | None = None
    mask: NDArray[np.bool_] | None = None
    problem: str = ""
    _anchor: tuple[float, float] | None = None

    def anchor(self) -> tuple[float, float]:
        """Its first place from the top, where its number stands."""
        if self.kind is RegionKind.BOX:
            return self.box()[:2]
        if self.kind is RegionKind.POLYGON:
            points = self.polygons()[0]
            return min(zip(points[::2], points[1::2], strict=True), key=lambda place: place[1])
        if self._anchor is None and self.mask is not None:
            row = int(self.mask.any(axis=1).argmax())
            self._anchor = float(self.mask[row].argmax()), float(row)
        return self._anchor or (0.0, 0.0)

    def forget_anchor(self) -> None:
        """Its pixels are others now."""
        self._anchor = None

    def box(self) -> tuple[float, float, float, float]:
        """x, y, width, height of a box."""
        x, y, w, h = self.data["box"]
        return x, y, w, h

    def polygons(self) -> list[list[float]]:
        """The polygons, [x1, y1, x2, y2, …] each."""
        found: list[list[float]] = self.data["polygons"]
        return found


class RegionDocument(QObject):
    """What the editor shows and changes.

    A change is painted at once and stored in the background, in order. When nothing of ours is on
    its way any more, the project is read again; so undo, another view or another program show
    here too, and a stroke is never taken back by the echo of the one before.

    Signals:
        changed(): regions, their shapes or the selection are different.
        told(str): something the user should know.
    """

    changed = Signal()
    told = Signal(str)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.project = session.project
        self.image: ImageRecord | None = None
        self.items: list[Item] = []
        self.selected: Item | None = None
        self.point = (-1, -1)  # the chosen point of a polygon: which polygon, which point
        #: A gesture is going on: reading again has to wait.
        self.is_drawing = False
        self._pending = 0
        self._is_stale = False
        session.changes.changed.connect(self._on_changed)

    # What is shown ------------------------------------------------------------------------

    def show_image(self, image: ImageRecord | None) -> None:
        """Show another image; None shows nothing."""
        is_same = image is not None and self.image is not None and image.id == self.image.id
        self.image = image
        if not is_same:
            self.items = []
            self.selected = None
            self.point = (-1, -1)
            self.is_drawing = False
        self.read()

    def read(self) -> None:
        """Read the regions again, unless something is still on its way."""
        if self._pending or self.is_drawing:
            self._is_stale = True
            return
        self._is_stale = False
        found = self.project.regions([self.image.id]) if self.image is not None else []
        known = {item.id: item for item in self.items}
        self.items = [self._item_of(region, known.get(region.id)) for region in found]
        if self.selected not in self.items:
            self.selected = None
            self.point = (-1, -1)
        elif self.selected is not None and self.selected.kind is not RegionKind.POLYGON:
            self.point = (-1, -1)
        elif self.selected is not None and self.point[0] >= 0:
            polygons = self.selected.polygons()
            which, point = self.point
            if which >= len(polygons) or 2 * point >= len(polygons[which]):
                self.point = (-1, -1)
        self.changed.emit()

    def _item_of(self, region: Region, old: Item | None) -> Item:
        item = old or Item(region.kind)
        if old is None or item.kind is not region.kind or item.data != region.data:
            item.mask = None
            item.problem = ""
        item.id, item.kind, item.label = region.id, region.kind, region.label
        item.data = dict(region.data)
        if item.kind is RegionKind.MASK and item.mask is None and not item.problem:
            self._decode(item)
        return item

    def _decode(self, item: Item) -> None:
        assert self.image is not None
        try:
            mask = decode_mask(item.data)
            if mask.shape != (self.image.height, self.image.width):
                raise UserError(_("A mask was made for an image of another size."))
        except DaFusionError as error:
            item.problem = error.text
            return
        item.mask = np.ascontiguousarray(mask)
        item.forget_anchor()

    @property
    def can_edit(self) -> bool:
        """Whether regions can be changed now."""
        return self.image is not None and not self.session.is_read_only

    @property
    def is_saved(self) -> bool:
        """Whether everything that was drawn is stored."""
        return self._pending == 0

    def class_of(self, item: Item) -> str:
        """The class of a region: its own, or that of the image."""
        return item.label or (self.image.label if self.image is not None else "")

    def select(self, item: Item | None, point: tuple[int, int] = (-1, -1)) -> None:
        """Choose a region (and a point of it), or none."""
        if item is not self.selected or point != self.point:
            self.selected, self.point = item, point
            self.changed.emit()

    def step(self, by: int) -> None:
        """Choose the next or previous region."""
        if self.items:
            here = self.items.index(self.selected) if self.selected in self.items else -1
            place = here + by if here >= 0 else (0 if by > 0 else len(self.items) - 1)
            self.select(self.items[place % len(self.items)])

    def touch(self) -> None:
        """A shape changed while it is being drawn."""
        self.changed.emit()

    # Changes ------------------------------------------------------------------------------

    def add(self, item: Item) -> None:
        """A new region: shown, chosen and stored."""
        if item not in self.items:
            self.items.append(item)
        self.selected, self.point = item, (-1, -1)
        self.store(item)

    def store(self, item: Item, text: str = "") -> None:
        """Store the present shape and class of a region as one step of undo called `text`.

        A mask without a single pixel is no region: it is removed.
        """
        if item.kind is RegionKind.MASK and item.mask is not None and not item.mask.any():
            if item.id is not None or self._pending:
                self.remove(item)
            else:  # it never was anything
                self.items = [other for other in self.items if other is not item]
                self.select(None)
            return
        item.forget_anchor()
        image_id = self.image.id if self.image is not None else 0
        kind, label = item.kind, item.label
        pixels = item.mask.copy() if item.mask is not None else None
        shape = dict(item.data)
        if kind is RegionKind.POLYGON:
            shape = {"polygons": [list(points) for points in item.polygons()]}

        def command() -> ProjectChanges:
            data = shape if pixels is None else encode_mask(pixels)
            if item.id is None:
                item.id, changes = self.project.draw_region(image_id, kind, data, label)
            else:
                changes = self.project.change_region(item.id, kind, data, label, text)
            if pixels is not None:
                item.data = data
            return changes

        self._submit(command)

    def remove(self, item: Item) -> None:
        """Take a region away."""
        if item in self.items:
            self.items.remove(item)
        if self.selected is item:
            self.selected, self.point = None, (-1, -1)

        def command() -> ProjectChanges:
            # Its drawing may have failed; then there is nothing to take away.
            return self.project.remove_regions([item.id] if item.id is not None else [])

        self._submit(command)

    def set_label(self, item: Item, label: str | None) -> None:
        """Give a region a class of its own, or that of its image with None."""
        if label != item.label:
            item.label = label
            self.store(
                item,
                _("Give a region “{name}”").format(name=label)
                if label
                else _("Give a region the class of its image"),
            )

    def make_mask(self, item: Item) -> None:
        """Turn a box or polygon into the mask of its pixels, to paint on."""
        if self.image is None or item.kind is RegionKind.MASK:
            return
        region = Region(0, self.image.id, item.kind, item.data, item.label)
        mask = region_mask(region, self.image.height, self.image.width)
        if not mask.any():
            self.told.emit(_("It covers no pixel, so there is nothing to paint on."))
            return
        name = KIND_NAMES[item.kind].lower()
        item.kind, item.mask = RegionKind.MASK, np.ascontiguousarray(mask)
        self.point = (-1, -1)
        self.store(item, _("Turn a {name} into a mask").format(name=name))

    def _submit(self, command: Callable[[], ProjectChanges]) -> None:
        self._pending += 1
        self.session.commands.submit(command, lambda _changes: self._arrived(), self._failed)
        self.changed.emit()

    def _arrived(self) -> None:
        self._pending -= 1
        if not self._pending and self._is_stale:
            self.read()

    def _failed(self, error: Exception) -> None:
        # What is shown may be more than what is stored: show what is.
        self.session.failed.emit(error)
        self._is_stale = True
        self._arrived()

    def settle(self) -> None:
        """A gesture has ended: read what came in meanwhile."""
        self.is_drawing = False
        if self._is_stale and not self._pending:
            self.read()

    def _on_changed(self, changes: ProjectChanges) -> None:
        if self.image is None or not (changes.regions or changes.images or changes.concepts):
            return
        if changes.image_ids and self.image.id not in changes.image_ids and not changes.images:
            return
        self.read()
