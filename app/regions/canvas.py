"""One image with its regions: zoom, pan, and the mouse's way to the tools."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, QRectF, QSizeF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPixmap,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.regions import brush, painting
from app.regions.brush_tool import BrushTool, EraserTool
from app.regions.document import RegionDocument
from app.regions.shapes import Place
from app.regions.tools import REACH, BoxTool, PolygonTool, SelectTool, Tool, ToolKey
from app.regions.view import ImageView
from app.theme import theme
from app.thumbnails import FULL_SIZE, ThumbnailLoader
from app.widgets.region_overlay import region_color
from dafusion_core.domain.regions import RegionKind
from dafusion_core.language import _

ZOOM_STEP = 1.25


class PictureCanvas(QWidget):
    """Shows the image of a document and lets tools change its regions.

    Signals:
        closed(): Esc with nothing left to give up: back to the pictures.
        moved(int): the next (1) or previous (−1) image is wanted.
        pressed_key(str): a letter or digit that is not the canvas's own.
        tool_changed(): another tool, or another brush size.
        view_changed(): zoomed, or the picture has arrived.
        told(str): what goes on, for the line below.
    """

    closed = Signal()
    moved = Signal(int)
    pressed_key = Signal(str)
    tool_changed = Signal()
    view_changed = Signal()
    told = Signal(str)

    def __init__(self, document: RegionDocument, loader: ThumbnailLoader) -> None:
        super().__init__()
        self.document = document
        self._loader = loader
        self.view = ImageView()
        self.path = ""
        self.shows_regions = True
        self.brush_size = 16
        kinds = (SelectTool, BoxTool, PolygonTool, BrushTool, EraserTool)
        self.tools: dict[ToolKey, Tool] = {kind.key: kind(self) for kind in kinds}
        self.tool = self.tools[ToolKey.SELECT]
        self._borrowed = False  # another tool uses a handle as the select tool does
        self._pan_from: QPointF | None = None
        self.is_space = False
        self.is_cross_shown = False  # the keyboard's cross
        self.here: QPointF | None = None  # where mouse or cross are, in image pixels
        self.shrunk: dict[int, QPixmap] = {}  # by how many halvings
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(160, 120)
        loader.ready.connect(self._on_ready)
        theme.changed.connect(self.update)
        document.changed.connect(self.update)
        document.told.connect(self.told)

    # What is shown ------------------------------------------------------------------------

    def show_picture(self, path: str) -> None:
        """Show the picture of the document's image."""
        self.cancel()
        image = self.document.image
        self.path = path
        self.here = None
        self.is_cross_shown = False
        self.shrunk.clear()
        if image is not None:
            self.view.show_image(QSizeF(image.width, image.height))
        self.update()
        self.view_changed.emit()

    @property
    def pixmap(self) -> QPixmap | None:
        """The picture, None while it is loading or cannot be shown."""
        return self._loader.get(self.path, FULL_SIZE) if self.path else None

    def _on_ready(self) -> None:
        self.update()
        self.view_changed.emit()

    def problem(self) -> str:
        """Why the picture cannot be shown or marked, "" if it can."""
        image = self.document.image
        if image is None or not self.path:
            return ""
        reason = self._loader.problem(self.path)
        if reason:
            return _("This picture cannot be shown: {reason}").format(reason=reason)
        pixmap = self.pixmap
        if pixmap is not None and (pixmap.width(), pixmap.height()) != (image.width, image.height):
            return _(
                "The file is {width} × {height} pixels now, and was {old_width} × {old_height} "
                "when it was imported: somebody changed it."
            ).format(
                width=pixmap.width(),
                height=pixmap.height(),
                old_width=image.width,
                old_height=image.height,
            )
        return ""

    @property
    def can_edit(self) -> bool:
        """Whether regions can be drawn on what is shown."""
        is_there = self.pixmap is not None
        return self.document.can_edit and is_there and not self.problem()

    def choose_tool(self, key: ToolKey) -> None:
        """Use this tool from now on."""
        if key is not ToolKey.SELECT and not self.can_edit:
            return
        self.cancel()
        self.tool = self.tools[key]
        if key in (ToolKey.BRUSH, ToolKey.ERASER) and self.document.selected is None:
            masks = [item for item in self.document.items if item.kind is RegionKind.MASK]
            self.document.select(masks[-1] if masks else None)
        self.setCursor(self.tool.cursor)
        self.tool_changed.emit()
        self.update()

    def start_new_mask(self) -> None:
        """The brush, and a mask of its own for the next stroke."""
        self.choose_tool(ToolKey.BRUSH)
        self.document.select(None)

    def set_brush(self, diameter: int) -> None:
        """The diameter of brush and eraser, in image pixels."""
        self.brush_size = max(brush.SMALLEST, min(brush.LARGEST, diameter))
        self.tool_changed.emit()
        self.update()

    def cancel(self) -> bool:
        """Give up what is being drawn; whether something was."""
        was = self._active().cancel()
        self._borrowed = False
        self._pan_from = None
        return was

    # For tools ----------------------------------------------------------------------------

    def tell(self, text: str) -> None:
        """Say something in the line below."""
        self.told.emit(text)

    def next_color(self) -> QColor:
        """The colour that the next region will have."""
        return region_color(len(self.document.items))

    def is_near(self, one: Place, other: Place, reach: float = REACH) -> bool:
        """Whether two places are within `reach` points on the screen."""
        far = max(abs(one[0] - other[0]), abs(one[1] - other[1]))
        return far * self.view.scale <= reach

    def inside(self, at: Place) -> Place:
        """The place, or the nearest one inside the image; to hundredths of a pixel."""
        x = min(max(at[0], 0.0), self.view.size.width())
        y = min(max(at[1], 0.0), self.view.size.height())
        return round(x, 2), round(y, 2)

    @property
    def image_size(self) -> Place:
        """Width and height of the image in pixels."""
        return self.view.size.width(), self.view.size.height()

    def on_screen(self, box: QRectF) -> QRectF:
        """A box of the image on the screen."""
        return QRectF(self.view.to_screen(box.topLeft()), self.view.to_screen(box.bottomRight()))

    def point_on_screen(self, place: Place) -> QPointF:
        """A place of the image on the screen."""
        return self.view.to_screen(QPointF(*place))

    def update_pixels(self, box: tuple[int, int, int, int]) -> None:
        """Paint these pixels of the image anew."""
        left, top, right, bottom = box
        area = self.on_screen(QRectF(left, top, right - left, bottom - top))
        edge = 3 + self.view.scale
        self.update(area.adjusted(-edge, -edge, edge, edge).toAlignedRect())

    def start_panning(self) -> None:
        """Nothing was taken hold of: the image moves with the mouse."""
        if self.here is not None:
            self._pan_from = self.view.to_screen(self.here)

    def borrow_handle(self, at: Place) -> bool:
        """Let the select tool take a handle of the chosen region; whether there was one here."""
        select = self.tools[ToolKey.SELECT]
        assert isinstance(select, SelectTool)
        self._borrowed = select.grab_handle(at)
        return self._borrowed

    def _active(self) -> Tool:
        return self.tools[ToolKey.SELECT] if self._borrowed else self.tool

    # Mouse --------------------------------------------------------------------------------

    def _place(self, at: QPointF) -> Place:
        found = self.view.to_image(at)
        return found.x(), found.y()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Pan with the middle button or Space, else what the tool does."""
        self._note(event.position())
        if event.button() == Qt.MouseButton.MiddleButton or self.is_space:
            self._pan_from = event.position()
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
        elif self.tool.key is ToolKey.SELECT or self.can_edit:
            is_second = event.button() == Qt.MouseButton.RightButton
            if event.button() == Qt.MouseButton.LeftButton or is_second:
                self.tool.press(self._place(event.position()), is_second)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Pan, or move what the tool holds."""
        self._note(event.position())
        if self._pan_from is not None:
            self.view.pan(event.position() - self._pan_from)
            self._pan_from = event.position()
            self.update()
            self.view_changed.emit()
        else:
            self._active().move(self._place(event.position()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        if self._pan_from is not None:
            self._pan_from = None
            space = Qt.CursorShape.OpenHandCursor
            self.setCursor(space if self.is_space else self.tool.cursor)
        elif not isinstance(self.tool, PolygonTool) or self._borrowed:
            self._active().release(self._place(event.position()))
        self._borrowed = False

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Close a polygon; else as another press."""
        if isinstance(self.tool, PolygonTool):
            self.tool.double(self._place(event.position()))
        else:
            self.mousePressEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom towards the mouse; with Shift or a sideways wheel, pan."""
        step = event.angleDelta()
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier or step.y() == 0:
            self.view.pan(QPointF(step.x() or step.y(), 0) / 2)
        else:
            self.view.zoom_to(self.view.scale * ZOOM_STEP ** (step.y() / 120), event.position())
        self._note(event.position())
        self.update()
        self.view_changed.emit()
        event.accept()

    def leaveEvent(self, event: QEvent) -> None:
        """The brush's ring goes with the mouse."""
        if not self.is_cross_shown:
            self.here = None
            self.update()

    def _note(self, at: QPointF) -> None:
        old, self.here = self.here, self.view.to_image(at)
        self.is_cross_shown = False
        if isinstance(self.tool, BrushTool):
            for place in (old, self.here):
                if place is not None:
                    x, y, reach = place.x(), place.y(), self.brush_size / 2 + 1
                    box = QRectF(x - reach, y - reach, 2 * reach, 2 * reach)
                    self.update(self.on_screen(box).adjusted(-4, -4, 4, 4).toAlignedRect())

    # What buttons do too ------------------------------------------------------------------

    def zoom_to(self, scale: float) -> None:
        """Zoom to this many screen points per pixel."""
        at = self.view.to_screen(self.here) if self.here is not None else None
        self.view.zoom_to(scale, at)
        self.update()
        self.view_changed.emit()

    def zoom_by(self, factor: float) -> None:
        """Zoom in or out."""
        self.zoom_to(self.view.scale * factor)

    def fit(self) -> None:
        """Show the whole image."""
        self.view.fit()
        self.update()
        self.view_changed.emit()

    def show_regions(self, is_on: bool) -> None:
        """Show the regions, or the picture alone."""
        self.shows_regions = is_on
        self.tool_changed.emit()
        self.update()

    def make_mask(self) -> None:
        """Turn the chosen box or polygon into a mask, to paint on."""
        item = self.document.selected
        if item is not None and self.can_edit:
            self.document.make_mask(item)

    # Painting -----------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The image stays whole, or what is in the middle stays there."""
        self.view.resize(QSizeF(event.size()))
        self.view_changed.emit()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Picture, regions, what is being drawn."""
        painter = QPainter(self)
        painting.paint_canvas(self, painter, QRectF(event.rect()))
        painter.end()
