"""Brush and eraser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from app.regions import brush
from app.regions.document import Item
from app.regions.shapes import Place, covers
from app.regions.tools import Tool, ToolKey
from dafusion_core.domain.regions import RegionKind
from dafusion_core.language import _

if TYPE_CHECKING:
    from app.regions.canvas import PictureCanvas


class BrushTool(Tool):
    """Paint pixels into the chosen mask, or into a new one. The right button does the opposite."""

    key = ToolKey.BRUSH
    value = True

    def __init__(self, canvas: PictureCanvas) -> None:
        super().__init__(canvas)
        self._item: Item | None = None
        self._before: np.ndarray | None = None
        self._last: Place = (0.0, 0.0)
        self._value = self.value

    @property
    def is_active(self) -> bool:
        """Whether a stroke is being painted."""
        return self._item is not None

    def press(self, at: Place, is_second: bool = False) -> None:
        """Begin a stroke."""
        self._value = self.value is not is_second
        item = self._target(at)
        if item is None or item.mask is None:
            return
        self.document.is_drawing = True
        self._item, self._before = item, item.mask.copy()
        self._last = at
        self._stroke(at)

    def _target(self, at: Place) -> Item | None:
        """The mask to paint on."""
        chosen = self.document.selected
        if chosen is not None and chosen.kind is RegionKind.MASK:
            return chosen
        if not self._value:
            here = [item for item in self.document.items if covers(item, at)]
            masks = [item for item in here if item.kind is RegionKind.MASK]
            if masks and chosen is None:
                self.document.select(masks[-1])
                return masks[-1]
            self.canvas.tell(
                _("The eraser works on masks: choose one, or turn this region into a mask (K).")
                if here or chosen is not None
                else _("There is no mask here to erase from.")
            )
            return None
        image = self.document.image
        if image is None:
            return None
        item = Item(RegionKind.MASK, {})
        item.mask = np.zeros((image.height, image.width), bool)
        self.document.items.append(item)
        self.document.select(item)
        return item

    def move(self, at: Place) -> None:
        """Paint on."""
        if self._item is not None:
            self._stroke(at)

    def _stroke(self, at: Place) -> None:
        assert self._item is not None
        assert self._item.mask is not None
        diameter = self.canvas.brush_size
        box = brush.paint_stroke(self._item.mask, self._last, at, diameter, self._value)
        self._last = at
        self.canvas.update_pixels(box)

    def release(self, at: Place) -> None:
        """The end of the stroke: one step of undo, if it changed anything."""
        item, self._item = self._item, None
        if item is None or item.mask is None or self._before is None:
            return
        before, self._before = self._before, None
        self.document.is_drawing = False
        if np.array_equal(before, item.mask):
            self._drop_if_empty(item)
        elif not before.any():
            self.document.add(item)
        else:
            self.document.store(
                item, _("Paint on a mask") if self._value else _("Erase from a mask")
            )
        self.document.settle()

    def _drop_if_empty(self, item: Item) -> None:
        if item.mask is not None and not item.mask.any():
            self.document.items = [other for other in self.document.items if other is not item]
            self.document.select(None)

    def enter(self, at: Place) -> None:
        """A dab at the cross."""
        self.press(at)
        self.release(at)

    def cancel(self) -> bool:
        """As if the stroke had never been."""
        item, self._item = self._item, None
        if item is None:
            return False
        item.mask, self._before = self._before, None
        self._drop_if_empty(item)
        self.document.settle()
        self.canvas.update()
        return True


class EraserTool(BrushTool):
    """Take pixels away from a mask."""

    key = ToolKey.ERASER
    value = False
