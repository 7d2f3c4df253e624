"""The region editor: tools above, the picture in the middle, its regions at the right."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QModelIndex, QSignalBlocker, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QListView,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.regions import brush
from app.regions.document import RegionDocument
from app.regions.keys import RegionCanvas
from app.regions.list_model import RegionListModel
from app.regions.shapes import delete_chosen
from app.regions.tools import ToolKey
from app.session import Session
from app.text import PART_NAMES
from app.widgets.parts import Segments, button, guard_wheel, label, row
from dafusion_core.domain.records import ImageRecord
from dafusion_core.domain.regions import RegionKind
from dafusion_core.language import _

TOOLS = (
    (ToolKey.SELECT, _("Select"), _("Choose, move and resize regions; drag a "
"point of a polygon, or the "
     "middle of an edge for a new one.  (V)")),
    (ToolKey.BOX, _("Box"), _("Drag from corner to corner.  (B)")),
    (ToolKey.POLYGON, _("Polygon"), _("A click per point; click the first one to close it.  (P)")),
    (ToolKey.BRUSH, _("Brush"), _("Paint pixels into the chosen mask, or into a new one. The right "
     "button erases.  (M; Shift+M for a new mask)")),
    (ToolKey.ERASER, _("Eraser"), _("Take pixels away from a mask.  (E)")),
)  # fmt: skip
NARROW = 760
HINTS = {
    ToolKey.SELECT: _(
        "Drag moves · Del removes · wheel zooms · Space drags the picture · ? all keys"
    ),
    ToolKey.BOX: _("Drag from corner to corner · arrows move a cross, Enter sets a corner"),
    ToolKey.POLYGON: _("Click the points · Backspace takes one back · the first point closes it"),
    ToolKey.BRUSH: _("Paint · [ and ] size · right button erases · Shift+M new mask"),
    ToolKey.ERASER: _("Erase · [ and ] size · right button paints"),
}


class RegionEditor(QWidget):
    """Shows one image large and lets its regions be drawn.

    Signals:
        closed(): back to the pictures.
        moved(int): the next (1) or previous (−1) image is wanted.
        pressed_key(str): a letter or digit for the page: class, doubt, note and the like.
    """

    closed = Signal()
    moved = Signal(int)
    pressed_key = Signal(str)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.project = session.project
        self.document = RegionDocument(session, self)
        self.canvas = RegionCanvas(self.document, session.thumbnails)
        self.canvas.setAccessibleName(_("Picture with its regions"))
        self.model = RegionListModel(self.document, self)
        self._brushed: tuple[int, int] = (0, 0)
        self._classes: list[str] = []
        self._make_tools()
        side = self._make_side()
        self.notice = label("", wrap=True)
        self.notice.hide()
        self.hint = label("", "muted")
        self.hint.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        middle = QHBoxLayout()
        middle.setSpacing(12)
        middle.addWidget(self.canvas, 1)
        middle.addWidget(side)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(self.bar)
        layout.addWidget(self.notice)
        layout.addLayout(middle, 1)
        foot = row(self.hint, self.zoom, self.fit, self.real, spacing=5)
        foot.setStretch(0, 1)
        layout.addLayout(foot)
        self.canvas.closed.connect(self.closed)
        self.canvas.moved.connect(self.moved)
        self.canvas.pressed_key.connect(self._press)
        self.canvas.tool_changed.connect(self._show_tool)
        self.canvas.view_changed.connect(self._show_view)
        self.canvas.told.connect(self.hint.setText)
        self.document.changed.connect(self._show_regions)
        self._show_tool()

    # Building -----------------------------------------------------------------------------

    def _make_tools(self) -> None:
        self.back = button(_("Back"), self.closed.emit, "small", _("Back to all pictures.  (Esc)"))
        self.tools = Segments([(key.value, text, tip) for key, text, tip in TOOLS], _("Tool"))
        self.tools.chosen.connect(lambda key: self._choose_tool(ToolKey(key)))
        self.brush_box = QSpinBox()
        self.brush_box.setRange(brush.SMALLEST, brush.LARGEST)
        self.brush_box.setSuffix(" px")
        self.brush_box.setAccessibleName(_("Size of the brush"))
        self.brush_box.setToolTip(
            _("Diameter of brush and eraser, in pixels of the picture.  ([ and ])")
        )
        self.brush_box.setKeyboardTracking(False)
        self.brush_box.setFixedWidth(88)
        self.brush_box.lineEdit().setTextMargins(5, 0, 0, 0)  # as in `parts.form`
        self.brush_box.valueChanged.connect(self.canvas.set_brush)
        guard_wheel(self.brush_box)
        self.zoom = label("", "muted")
        self.zoom.setMinimumWidth(46)
        self.zoom.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        canvas = self.canvas
        self.fit = button(_("Fit"), canvas.fit, "small", _("The whole picture.  (F or Ctrl+0)"))
        self.real = button(
            "100 %", partial(canvas.zoom_to, 1.0), "small", _("A pixel for a pixel.  (Ctrl+1)")
        )
        self.shows = button(
            _("Regions"), self._toggle, "small", _("Show or hide the regions.  (O)")
        )
        self.shows.setCheckable(True)
        self.previous = button("‹", partial(self.moved.emit, -1), "small")
        self.next = button("›", partial(self.moved.emit, 1), "small")
        for made, name, keys in (
            (self.previous, _("Previous picture"), _("A or Page up")),
            (self.next, _("Next picture"), _("D or Page down")),
        ):
            made.setAccessibleName(name)
            made.setToolTip(f"{name}.  ({keys})")
        # What is clicked does not take the keys away from the picture.
        quiet = [self.back, self.fit, self.real, self.shows, self.previous, self.next]
        for made in [*quiet, *self.tools.buttons.values()]:
            made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.bar = row(
            self.back, self.tools, self.brush_box, None, self.shows, self.previous, self.next,
            spacing=6,
        )  # fmt: skip

    def _make_side(self) -> QWidget:
        self.list = QListView()
        self.list.setModel(self.model)
        self.list.setAccessibleName(_("Regions of this picture"))
        self.list.setUniformItemSizes(True)
        self.list.selectionModel().currentChanged.connect(self._on_chosen)
        self.nothing = label("", "muted", wrap=True)
        self.nothing.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.class_box = QComboBox()
        self.class_box.setAccessibleName(_("Class of the chosen region"))
        self.class_box.setToolTip(_("Its own class, where it is not that of the picture.  (1–9)"))
        self.class_box.activated.connect(self._give_class)
        guard_wheel(self.class_box)
        self.to_mask = button(
            _("Turn into a mask"), self.canvas.make_mask, "small", _("To paint on its pixels.  (K)")
        )
        self.remove = button(
            _("Remove"), partial(delete_chosen, self.document), "small",
            _("Remove the chosen point or region; undo brings it back.  (Del)"),
        )  # fmt: skip
        self.what = label("", "muted", wrap=True)
        self.side = QWidget()
        self.side.setFixedWidth(150)
        layout = QVBoxLayout(self.side)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(7)
        layout.addWidget(label(_("Regions")))
        layout.addWidget(self.nothing, 1)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.class_box)
        layout.addWidget(self.to_mask)
        layout.addWidget(self.remove)
        layout.addWidget(self.what)
        return self.side

    # Showing ------------------------------------------------------------------------------

    def show_image(self, image: ImageRecord | None) -> None:
        """Show an image and its regions."""
        before = self.document.image
        is_other = image is None or before is None or image.id != before.id
        if is_other:
            self.canvas.cancel()
        self.document.show_image(image)
        if image is not None and is_other:
            self.canvas.show_picture(str(self.project.image_path(image)))
            self._fit_brush(image)
        self._fill_classes()
        self._show_view()
        self._show_regions()

    def _fit_brush(self, image: ImageRecord) -> None:
        """A new brush only where the pictures have another size than before."""
        if (image.width, image.height) != self._brushed:
            self._brushed = (image.width, image.height)
            self.canvas.set_brush(brush.first_diameter(image.width, image.height))

    def _fill_classes(self) -> None:
        self._classes = [item.name for item in self.project.labels() if item.name]
        with QSignalBlocker(self.class_box):
            self.class_box.clear()
            self.class_box.addItem(_("As the picture"), None)
            for name in self._classes:
                self.class_box.addItem(name, name)

    def _show_tool(self) -> None:
        key = self.canvas.tool.key
        self.tools.select(key.value)
        with QSignalBlocker(self.brush_box):
            self.brush_box.setValue(self.canvas.brush_size)
        self.brush_box.setVisible(key in (ToolKey.BRUSH, ToolKey.ERASER))
        self.shows.setChecked(self.canvas.shows_regions)
        self.hint.setText(HINTS[key])

    def _show_view(self) -> None:
        self.zoom.setText(f"{self.canvas.view.scale * 100:.0f} %")
        problem = self.canvas.problem()
        if problem:
            text = _("{problem} Its regions cannot be edited; “Check pictures…” says more.").format(
                problem=problem
            )
        elif self.session.is_read_only:
            owner = self.project.lock_owner
            text = _(
                "Open for reading only: {owner}. Regions can be looked at, not changed."
            ).format(owner=owner)
        else:
            text = ""
        self.notice.setText(text)
        self.notice.setVisible(bool(text))
        can_draw = self.document.can_edit and not problem
        for key, made in self.tools.buttons.items():
            made.setEnabled(can_draw or key == ToolKey.SELECT.value)
        if not can_draw and self.canvas.tool.key is not ToolKey.SELECT:
            self.canvas.choose_tool(ToolKey.SELECT)
        self._show_chosen()

    def _show_regions(self) -> None:
        has_any = bool(self.document.items)
        self.list.setVisible(has_any)
        self.nothing.setVisible(not has_any)
        if self.document.can_edit:
            self.nothing.setText(
                _(
                    "Nothing is marked on this picture yet.\n\nDraw a box (B) or a polygon (P), or "
                    "paint a mask with the brush (M). Generation can "
                    "then change only what is marked, "
                    "or only what is around it."
                )
            )
        else:
            self.nothing.setText(_("Nothing is marked on this picture."))
        wanted = self.model.index(self.model.row_of(self.document.selected))
        with QSignalBlocker(self.list.selectionModel()):
            if wanted.isValid():
                self.list.setCurrentIndex(wanted)
            else:
                self.list.clearSelection()
                self.list.setCurrentIndex(QModelIndex())
        self.list.viewport().update()
        self._show_chosen()

    def _show_chosen(self) -> None:
        item = self.document.selected
        can_edit = item is not None and self.canvas.can_edit
        shape = item is not None and item.kind is not RegionKind.MASK
        self.class_box.setVisible(item is not None)
        self.class_box.setEnabled(can_edit)
        self.to_mask.setVisible(shape)
        self.to_mask.setEnabled(can_edit)
        self.remove.setVisible(item is not None)
        self.remove.setEnabled(item is not None and self.document.can_edit)
        is_point = self.document.point[0] >= 0
        self.remove.setText(_("Remove point") if is_point else _("Remove"))
        if item is not None:
            place = self.class_box.findData(item.label) if item.label else 0
            with QSignalBlocker(self.class_box):
                self.class_box.setCurrentIndex(place)
        index = self.model.index(self.model.row_of(item))
        self.what.setText(str(index.data(Qt.ItemDataRole.ToolTipRole)) if index.isValid() else "")

    def caption(self, place: int, total: int) -> tuple[str, str]:
        """A title and a line below it for the shown image, the `place`-th of `total`."""
        image = self.document.image
        if image is None:
            return _("Images"), ""
        name = image.original_path.replace("\\", "/").rpartition("/")[2]
        words = [
            _("{place:,} of {total:,}").format(place=place + 1, total=total),
            image.label or _("no class yet"),
            _("not sure") if image.is_unsure else "",
            _("left out") if image.is_rejected else PART_NAMES[image.part] if image.part else "",
            f"{image.width:,} × {image.height:,}",
            _("Group: {group}").format(group=image.group) if image.group else "",
            image.note,
        ]
        return name, " · ".join(word for word in words if word)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a small window the picture needs the room more than words do."""
        super().resizeEvent(event)
        is_wide = event.size().width() >= NARROW
        self.side.setFixedWidth(210 if is_wide else 150)

    # Doing --------------------------------------------------------------------------------

    def _choose_tool(self, key: ToolKey) -> None:
        self.canvas.choose_tool(key)
        self.canvas.setFocus()

    def _toggle(self) -> None:
        self.canvas.show_regions(not self.canvas.shows_regions)

    def _on_chosen(self, now: QModelIndex, _before: QModelIndex) -> None:
        self.document.select(self.model.item(now.row()))

    def _give_class(self, _place: int) -> None:
        item = self.document.selected
        if item is not None and self.canvas.can_edit:
            self.document.set_label(item, self.class_box.currentData())

    def _press(self, key: str) -> None:
        """Digits give the chosen region a class; everything else is about the picture."""
        item = self.document.selected
        if item is not None and key.isdigit() and self.canvas.can_edit:
            number = int(key)
            if number <= len(self._classes):
                self.document.set_label(item, self._classes[number - 1] if number else None)
        else:
            self.pressed_key.emit(key)

    def tool_button(self, key: ToolKey) -> QPushButton:
        """The button of a tool."""
        return self.tools.buttons[key.value]
