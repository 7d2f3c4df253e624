"""The keys of the region editor: every gesture of the mouse can be made with them too."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QFocusEvent, QKeyEvent, QKeySequence

from app.regions import brush
from app.regions.canvas import ZOOM_STEP, PictureCanvas
from app.regions.shapes import delete_chosen, insert_point, nudge, step_point
from app.regions.tools import ToolKey
from dafusion_core.domain.regions import RegionKind

ARROWS = {
    Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1),
}  # fmt: skip
TOOL_KEYS = {
    Qt.Key.Key_V: ToolKey.SELECT, Qt.Key.Key_B: ToolKey.BOX, Qt.Key.Key_P: ToolKey.POLYGON,
    Qt.Key.Key_M: ToolKey.BRUSH, Qt.Key.Key_E: ToolKey.ERASER,
}  # fmt: skip


class RegionCanvas(PictureCanvas):
    """A `PictureCanvas` with its keys. With a drawing tool the arrows move a cross and Enter does
    what a click does; with the select tool they move what is chosen, else the image."""

    def event(self, event: QEvent) -> bool:
        """Undo takes back a point while a polygon is being drawn; the window's undo comes after."""
        if (
            event.type() == QEvent.Type.ShortcutOverride
            and isinstance(event, QKeyEvent)
            and event.matches(QKeySequence.StandardKey.Undo)
            and self.tool.is_active
        ):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The canvas's own keys; letters and digits that are not go on to the page."""
        key = Qt.Key(event.key())
        modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        is_control = bool(modifiers & Qt.KeyboardModifier.ControlModifier)
        is_shift = bool(modifiers & Qt.KeyboardModifier.ShiftModifier)
        if event.matches(QKeySequence.StandardKey.Undo) and self.tool.is_active:
            if not self.tool.step_back():
                self.cancel()
        elif event.text() in ("[", "]"):  # on some keyboards they need AltGr
            change = brush.larger if event.text() == "]" else brush.smaller
            self.set_brush(change(self.brush_size))
        elif is_control and key in (Qt.Key.Key_0, Qt.Key.Key_1):
            self.fit() if key == Qt.Key.Key_0 else self.zoom_to(1.0)
        elif is_control and key == Qt.Key.Key_G:
            self.pressed_key.emit("Ctrl+G")
        elif is_control or modifiers & Qt.KeyboardModifier.AltModifier:
            super().keyPressEvent(event)
        elif key in ARROWS:
            self._move_by_key(ARROWS[key], 10 if is_shift else 1)
        elif not self._press_plain(key, is_shift):
            if event.text().isalnum():
                self.pressed_key.emit(event.text().upper())
            else:
                super().keyPressEvent(event)

    def _press_plain(self, key: Qt.Key, is_shift: bool) -> bool:
        """Keys without Ctrl or Alt; whether it was one of ours."""
        steps = {Qt.Key.Key_PageDown: 1, Qt.Key.Key_D: 1, Qt.Key.Key_PageUp: -1, Qt.Key.Key_A: -1}
        if key == Qt.Key.Key_M and is_shift:
            self.start_new_mask()
        elif key in TOOL_KEYS:
            self.choose_tool(TOOL_KEYS[key])
        elif key in steps:
            self.moved.emit(steps[key])
        elif key == Qt.Key.Key_Escape:
            self._escape()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._enter()
        elif key in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            if not self.tool.step_back():
                delete_chosen(self.document)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus):
            self.zoom_by(1 / ZOOM_STEP if key == Qt.Key.Key_Minus else ZOOM_STEP)
        elif key == Qt.Key.Key_F:
            self.fit()
        elif key == Qt.Key.Key_Space:
            self.is_space = True
            self.setCursor(Qt.CursorShape.OpenHandCursor)
        elif key == Qt.Key.Key_N:
            self.document.step(-1 if is_shift else 1)
        elif key in (Qt.Key.Key_Comma, Qt.Key.Key_Period):
            place = step_point(self.document, 1 if key == Qt.Key.Key_Period else -1)
            if place is not None:
                self.view.reveal(QPointF(*place))
        elif key in (Qt.Key.Key_I, Qt.Key.Key_Insert):
            insert_point(self.document)
        elif key == Qt.Key.Key_K:
            self.make_mask()
        elif key == Qt.Key.Key_O:
            self.show_regions(not self.shows_regions)
        else:
            return False
        return True

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """Space goes up: the tool is back."""
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self.is_space = False
            if self._pan_from is None:
                self.setCursor(self.tool.cursor)
        else:
            super().keyReleaseEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Space may go up elsewhere."""
        self.is_space = False
        super().focusOutEvent(event)

    def _escape(self) -> None:
        if self.cancel():
            return
        if self.document.selected is not None:
            self.document.select(None)
        elif self.tool.key is not ToolKey.SELECT:
            self.choose_tool(ToolKey.SELECT)
        else:
            self.closed.emit()

    def _enter(self) -> None:
        if self.tool.key is ToolKey.SELECT:
            if self.document.selected is None:
                self.closed.emit()
        elif self.can_edit:
            if self.here is None:
                self._move_cross(QPointF(self.view.size.width() / 2, self.view.size.height() / 2))
            assert self.here is not None
            self.is_cross_shown = True
            self.tool.enter((self.here.x(), self.here.y()))

    def _move_by_key(self, way: tuple[int, int], by: int) -> None:
        """A tool's cross moves; else the chosen point or region; else the image."""
        if self.tool.key is not ToolKey.SELECT:
            middle = QPointF(self.view.size.width() / 2, self.view.size.height() / 2)
            start = self.here if self.here is not None else middle
            self._move_cross(start + QPointF(way[0] * by, way[1] * by))
            return
        item = self.document.selected
        if item is None or item.kind is RegionKind.MASK or not self.document.can_edit:
            self.view.pan(QPointF(*way) * -40 * (2 if by > 1 else 1))
            self.update()
            return
        nudge(self.document, (way[0] * by, way[1] * by), self.image_size)

    def _move_cross(self, to: QPointF) -> None:
        self.here = QPointF(*self.inside((to.x(), to.y())))
        self.is_cross_shown = True
        if self.view.reveal(self.here):
            self.view_changed.emit()
        self.tool.move((self.here.x(), self.here.y()))
        self.tell(f"x {self.here.x():.0f}, y {self.here.y():.0f}")
        self.update()
