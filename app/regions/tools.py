"""What mouse and keyboard do on a picture, one class per tool. Places are in image pixels.

A tool gets `press`, `move` and `release` whether they come from the mouse or from the keyboard's
cross. What it does is one step of undo, taken when the gesture ends; `cancel` leaves no trace.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath

from app.regions.document import MOVE_NAMES, Item
from app.regions.shapes import Place, copy_data, covers, handles, move_data
from app.widgets.region_overlay import stroke_path
from dafusion_core.domain.regions import RegionKind
from dafusion_core.language import _, count

if TYPE_CHECKING:
    from app.regions.canvas import PictureCanvas

REACH = 8.0  # screen points within which something is taken hold of


class ToolKey(StrEnum):
    """The tools."""

    SELECT = "select"
    BOX = "box"
    POLYGON = "polygon"
    BRUSH = "brush"
    ERASER = "eraser"


class Tool:
    """Does nothing by itself."""

    key = ToolKey.SELECT
    cursor = Qt.CursorShape.CrossCursor

    def __init__(self, canvas: PictureCanvas) -> None:
        self.canvas = canvas
        self.document = canvas.document

    @property
    def is_active(self) -> bool:
        """Whether a gesture is going on."""
        return False

    def press(self, at: Place, is_second: bool = False) -> None:
        """The left button (or Enter) went down; `is_second`: the right one."""

    def move(self, at: Place) -> None:
        """The mouse or the cross is here now."""

    def release(self, at: Place) -> None:
        """The button went up."""

    def double(self, at: Place) -> None:
        """A double click."""

    def enter(self, at: Place) -> None:
        """Enter: begin or end at the cross."""
        if self.is_active:
            self.release(at)
        else:
            self.press(at)

    def step_back(self) -> bool:
        """Take back a part of the gesture; whether there was one."""
        return False

    def cancel(self) -> bool:
        """Give the gesture up; whether there was one."""
        return False

    def paint(self, painter: QPainter) -> None:
        """Paint what is not a region yet."""


class SelectTool(Tool):
    """Choose, move, resize; move and insert the points of a polygon."""

    key = ToolKey.SELECT
    cursor = Qt.CursorShape.ArrowCursor

    def __init__(self, canvas: PictureCanvas) -> None:
        super().__init__(canvas)
        self._item: Item | None = None
        self._before: dict[str, Any] = {}
        self._part: tuple[str, int, int] = ("", -1, -1)
        self._start: Place = (0.0, 0.0)
        self._is_changed = False

    @property
    def is_active(self) -> bool:
        """Whether a shape is held."""
        return self._item is not None

    def press(self, at: Place, is_second: bool = False) -> None:
        """Take hold of a handle, else of the region here, else of nothing."""
        if self.grab_handle(at):
            return
        item = self.item_at(at)
        self.document.select(item)
        if item is None:
            self.canvas.start_panning()
        elif item.kind is not RegionKind.MASK and self.document.can_edit:
            self._hold(item, ("whole", -1, -1), at)

    def grab_handle(self, at: Place) -> bool:
        """Take hold of a handle of the chosen region, if there is one here."""
        item = self.document.selected
        if item is None or not self.document.can_edit:
            return False
        for kind, which, point, (x, y) in handles(item):
            if self.canvas.is_near(at, (x, y)):
                part = (kind, which, point)
                before = copy_data(item)
                if kind == "edge":  # a new point, which is then moved
                    item.data["polygons"][which][2 * point + 2 : 2 * point + 2] = [x, y]
                    part = ("point", which, point + 1)
                self._hold(item, part, at)
                self._before = before
                self._is_changed = kind == "edge"
                if part[0] == "point":
                    self.document.select(item, (which, part[2]))
                return True
        return False

    def _hold(self, item: Item, part: tuple[str, int, int], at: Place) -> None:
        self._item, self._part, self._start = item, part, at
        self._before = copy_data(item)
        self._is_changed = False
        self.document.is_drawing = True

    def move(self, at: Place) -> None:
        """Move what is held."""
        if self._item is None:
            return
        if not self._is_changed and self.canvas.is_near(at, self._start, 3.0):
            return  # a click trembles
        self._is_changed = True
        kind, which, point = self._part
        by = at[0] - self._start[0], at[1] - self._start[1]
        if kind == "whole":
            self._item.data = move_data(self._item.kind, self._before, by, self.canvas.image_size)
        elif kind == "point":
            x, y = self.canvas.inside(at)
            self._item.data["polygons"][which][2 * point : 2 * point + 2] = [x, y]
        else:
            self._item.data = {"box": self._resized(which, at)}
        self.document.touch()

    def _resized(self, handle: int, at: Place) -> list[float]:
        x, y, w, h = self._before["box"]
        left, top, right, bottom = x, y, x + w, y + h
        to_x, to_y = (float(round(value)) for value in self.canvas.inside(at))
        column, row = handle % 3, handle // 3
        if column == 0:
            left = to_x
        elif column == 2:
            right = to_x
        if row == 0:
            top = to_y
        elif row == 2:
            bottom = to_y
        left, right = sorted((left, right))
        top, bottom = sorted((top, bottom))
        return [left, top, max(1.0, right - left), max(1.0, bottom - top)]

    def release(self, at: Place) -> None:
        """Let go: one step of undo if something moved."""
        item, self._item = self._item, None
        if item is None:
            return
        self.document.is_drawing = False
        if self._is_changed:
            kind = self._part[0]
            what = _("Move a point of a polygon") if kind == "point" else (
                MOVE_NAMES[item.kind] if kind == "whole" else _("Resize a box")
            )  # fmt: skip
            self.document.store(item, what)
        self.document.settle()

    def cancel(self) -> bool:
        """Back to where it was."""
        item, self._item = self._item, None
        if item is None:
            return False
        item.data = self._before
        self.document.settle()
        self.document.touch()
        return True

    def item_at(self, at: Place) -> Item | None:
        """The newest region here."""
        for item in reversed(self.document.items):
            if covers(item, at) or any(
                self.canvas.is_near(at, place) for _k, _w, _p, place in handles(item)
            ):
                return item
        return None


class BoxTool(Tool):
    """Draw a box from corner to corner, on whole pixels."""

    key = ToolKey.BOX

    def __init__(self, canvas: PictureCanvas) -> None:
        super().__init__(canvas)
        self._start: Place | None = None
        self._end: Place = (0.0, 0.0)

    @property
    def is_active(self) -> bool:
        """Whether the first corner is set."""
        return self._start is not None

    def press(self, at: Place, is_second: bool = False) -> None:
        """The first corner; a handle of the chosen region comes first."""
        if self.canvas.borrow_handle(at):
            return
        self._start = self._end = self._corner(at)
        self.document.is_drawing = True
        self.document.select(None)

    def move(self, at: Place) -> None:
        """The other corner."""
        if self._start is not None:
            self._end = self._corner(at)
            self.canvas.update()

    def release(self, at: Place) -> None:
        """Done, if it has an area."""
        if self._start is None:
            return
        self._end = self._corner(at)
        box = self._box()
        self.cancel()
        if box.width() >= 1 and box.height() >= 1:
            data = {"box": [box.x(), box.y(), box.width(), box.height()]}
            self.document.add(Item(RegionKind.BOX, data))

    def cancel(self) -> bool:
        """No box."""
        was = self._start is not None
        self._start = None
        self.document.settle()
        self.canvas.update()
        return was

    def _corner(self, at: Place) -> Place:
        x, y = self.canvas.inside(at)
        return float(round(x)), float(round(y))

    def _box(self) -> QRectF:
        start = self._start or self._end
        return QRectF(QPointF(*start), QPointF(*self._end)).normalized()

    def paint(self, painter: QPainter) -> None:
        """The box so far, and how large it is."""
        if self._start is not None:
            box = self._box()
            path = QPainterPath()
            path.addRect(self.canvas.on_screen(box))
            stroke_path(painter, path, self.canvas.next_color())
            self.canvas.tell(
                _("{width:.0f} × {height:.0f} pixels").format(
                    width=box.width(), height=box.height()
                )
            )


class PolygonTool(Tool):
    """A click per point; the first point, a double click or Enter twice closes it."""

    key = ToolKey.POLYGON

    def __init__(self, canvas: PictureCanvas) -> None:
        super().__init__(canvas)
        self.points: list[Place] = []
        self._here: Place = (0.0, 0.0)

    @property
    def is_active(self) -> bool:
        """Whether there is a first point."""
        return bool(self.points)

    def press(self, at: Place, is_second: bool = False) -> None:
        """Another point, or the end."""
        if not self.points and self.canvas.borrow_handle(at):
            return
        if is_second:
            self.close()
            return
        if len(self.points) > 2 and self.canvas.is_near(at, self.points[0]):
            self.close()
            return
        place = self.canvas.inside(at)
        if not self.points:
            self.document.is_drawing = True
            self.document.select(None)
        if not self.points or place != self.points[-1]:
            self.points.append(place)
        self._here = place
        self._say()

    def move(self, at: Place) -> None:
        """Where the next point would be."""
        self._here = self.canvas.inside(at)
        if self.points:
            self.canvas.update()

    def double(self, at: Place) -> None:
        """The end."""
        self.close()

    def enter(self, at: Place) -> None:
        """A point at the cross; where the last one is already, the end."""
        if self.points and self.canvas.inside(at) == self.points[-1]:
            self.close()
        else:
            self.press(at)

    def close(self) -> None:
        """Make a region of it, if it has three points."""
        if len(self.points) < 3:
            self.canvas.tell(_("A polygon needs three points."))
            return
        data = {"polygons": [[value for point in self.points for value in point]]}
        self.points = []
        self.document.settle()
        self.document.add(Item(RegionKind.POLYGON, data))
        self.canvas.update()

    def step_back(self) -> bool:
        """Take the last point back."""
        if not self.points:
            return False
        self.points.pop()
        if not self.points:
            self.document.settle()
        self._say()
        return True

    def cancel(self) -> bool:
        """No polygon."""
        was, self.points = bool(self.points), []
        self.document.settle()
        self.canvas.update()
        return was

    def _say(self) -> None:
        number = len(self.points)
        words = count(number, "{n} point.", "{n} points.")
        if number > 2:
            words += " " + _("Click the first point to close it, Backspace takes one back.")
        self.canvas.tell(words)
        self.canvas.update()

    def paint(self, painter: QPainter) -> None:
        """The points so far, and the line to here."""
        if not self.points:
            return
        path = QPainterPath(self.canvas.point_on_screen(self.points[0]))
        for point in [*self.points[1:], self._here]:
            path.lineTo(self.canvas.point_on_screen(point))
        color = self.canvas.next_color()
        stroke_path(painter, path, color)
        can_close = len(self.points) > 2
        for number, point in enumerate(self.points):
            is_end = number == 0 and can_close
            paint_handle(painter, self.canvas.point_on_screen(point), color, is_end, 5 + is_end)


def paint_handle(
    painter: QPainter, at: QPointF, color: QColor, is_chosen: bool, size: float = 4.0
) -> None:
    """A small square to take hold of; a chosen one is filled."""
    path = QPainterPath()
    path.addRect(QRectF(at.x() - size / 2, at.y() - size / 2, size, size))
    stroke_path(painter, path, color, 1.4)
    if is_chosen:
        painter.fillPath(path, color)
    else:
        painter.fillPath(path, QColor("#ffffff"))
