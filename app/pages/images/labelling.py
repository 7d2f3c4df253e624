"""Giving images classes, doubts, groups and notes with keys; every step can be undone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from PySide6.QtCore import (
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QRectF,
    Qt,
    Signal,
)
from PySide6.QtGui import QKeyEvent, QKeySequence, QPainter
from PySide6.QtWidgets import (
    QCompleter,
    QDialog,
    QInputDialog,
    QLineEdit,
    QMenu,
    QVBoxLayout,
    QWidget,
)

from app.delegates.thumbnail import MARGIN, ThumbnailDelegate, fitted
from app.models.image_list import ImageListModel
from app.models.roles import PATH_ROLE, RECORD_ROLE
from app.pages.images.grouping import GroupingDialog
from app.session import Session
from app.text import PART_NAMES
from app.widgets.parts import button, label, row
from app.widgets.picture_grid import FoldedGrid
from app.widgets.region_overlay import overlay_of
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.domain.records import ImageRecord, Part
from dafusion_core.language import _, count

HINT = _(
    "Keys: 1–9 class · 0 no class · L class by name · S not sure · X leave out · U take back in · "
    "Ctrl+G group · T note · Enter large, to mark regions · O regions on or off"
)


OPEN_KEYS = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_E)


class RegionThumbnails(ThumbnailDelegate):
    """Thumbnails with the regions of their images, while the overlay is on."""

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(session.thumbnails, parent)
        self._overlay = overlay_of(session)

    def paint_over(
        self, painter: QPainter, cell: QRect, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        """The regions of the picture, where it is shown."""
        is_wanted = self._overlay.is_on and self._overlay.has_any
        record = index.data(RECORD_ROLE) if is_wanted else None
        if not isinstance(record, ImageRecord) or not self._overlay.regions(record.id):
            return
        device = painter.device()
        ratio = device.devicePixelRatio() if device else 1.0
        pixmap = self._loader.get(index.data(PATH_ROLE), round(self.size * ratio))
        if pixmap is not None:
            frame = QRectF(cell).adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
            area = fitted(pixmap, frame)
            self._overlay.paint(painter, area, record.id, (record.width, record.height))


class LabelGrid(FoldedGrid):
    """Signals:
    pressed_key(str): a letter or digit, or "Ctrl+G", "Del".
        opened(): Enter, E or a double click: the focused picture large.
    """

    pressed_key = Signal(str)
    opened = Signal()

    def __init__(self, model: ImageListModel, session: Session) -> None:
        super().__init__(model, session.thumbnails)
        size = self.thumbnails.size
        self.thumbnails = RegionThumbnails(session, self)
        self.setItemDelegate(self.thumbnails)
        self.set_picture_size(size)
        overlay_of(session).changed.connect(self.viewport().update)
        self.doubleClicked.connect(self._on_double_click)

    def _on_double_click(self, index: QModelIndex) -> None:
        if self.folded.place(index) >= 0:
            self.opened.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Letters and digits label; the rest moves."""
        modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if event.key() == Qt.Key.Key_Delete and not modifiers:
            self.pressed_key.emit("Del")
        elif event.key() == Qt.Key.Key_G and modifiers == Qt.KeyboardModifier.ControlModifier:
            self.pressed_key.emit("Ctrl+G")
        elif event.key() in OPEN_KEYS and not modifiers:
            self.opened.emit()
        elif event.text().isalnum() and not modifiers:
            self.pressed_key.emit(event.text().upper())
        else:
            super().keyPressEvent(event)

    def keyboardSearch(self, search: str) -> None:
        """There is no text to search in."""


class ClassDialog(QDialog):
    """Type the beginning of a class; a new name makes a new class."""

    def __init__(self, names: list[str], number: int, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(_("Class"))
        self._names = names
        self.field = QLineEdit()
        self.field.setAccessibleName(_("Class"))
        self.field.setPlaceholderText(_("Beginning of a class, or a new name"))
        completer = QCompleter(names, self)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        self.field.setCompleter(completer)
        self.what = label("", "muted")
        self.ok = button(_("Give this class"), self.accept, "primary")
        self.ok.setDefault(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 16, 18, 14)
        layout.addWidget(label(count(number, "Class of {n:,} image", "Class of {n:,} images")))
        layout.addWidget(self.field)
        layout.addWidget(self.what)
        layout.addLayout(row(None, button(_("Cancel"), self.reject), self.ok))
        self.field.textChanged.connect(self._say)
        self.resize(380, 150)
        self._say("")

    @property
    def name(self) -> str:
        """The class meant: a known one if only one begins so, else what was typed."""
        text = self.field.text().strip()
        exact = [name for name in self._names if name.casefold() == text.casefold()]
        starts = [name for name in self._names if name.casefold().startswith(text.casefold())]
        if exact:
            return exact[0]
        return starts[0] if text and len(starts) == 1 else text

    def _say(self, _text: str) -> None:
        name = self.name
        self.ok.setEnabled(bool(name))
        is_new = bool(name) and name not in self._names
        self.what.setText(_("A new class: {name}").format(name=name) if is_new else name)


class Labelling(QObject):
    """What keys and the menu of the images page do. The class with the number n has the key n."""

    def __init__(self, session: Session, grid: LabelGrid, model: ImageListModel) -> None:
        super().__init__(grid)
        self.session = session
        self.project = session.project
        self.grid = grid
        self.model = model
        grid.pressed_key.connect(self.press)
        grid.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        grid.customContextMenuRequested.connect(self._show_menu)

    def chosen(self) -> list[int]:
        """The images a key acts on."""
        ids = self.model.ids
        return [ids[place] for place in self.grid.chosen_places()]

    def class_names(self) -> list[str]:
        """Classes in the order of their keys."""
        return [item.name for item in self.project.labels() if item.name]

    def press(self, key: str) -> None:
        """Act on a key."""
        if key.isdigit():
            names = self.class_names()
            if key == "0":
                self.relabel(None)
            elif int(key) <= len(names):
                self.relabel(names[int(key) - 1])
            return
        act = {
            "L": self.ask_class,
            "S": self.toggle_unsure,
            "X": self.leave_out,
            "Del": self.leave_out,
            "U": self.take_back,
            "Ctrl+G": self.ask_group,
            "T": self.ask_note,
            "O": overlay_of(self.session).toggle,
        }.get(key)
        if act is not None:
            act()

    def _do(self, command: Callable[[list[int]], ProjectChanges]) -> None:
        ids = self.chosen()
        if ids and not self.session.is_read_only:
            self.session.do(lambda: command(ids))

    def relabel(self, name: str | None) -> None:
        """Give the chosen images a class, or none."""
        self._do(lambda ids: self.project.relabel(ids, name))

    def toggle_unsure(self) -> None:
        """Doubt the class of the chosen images; if all are doubted, doubt none."""
        ids = self.chosen()
        is_all = all(image.is_unsure for image in self.project.images_by_id(ids))
        self._do(lambda chosen: self.project.mark_unsure(chosen, not is_all))

    def leave_out(self) -> None:
        """Keep the chosen images out of everything; their files stay."""
        self._do(self.project.reject_images)

    def take_back(self) -> None:
        """Take the chosen images back in."""
        self._do(self.project.restore_images)

    def ask_class(self) -> None:
        """Class by name."""
        ids = self.chosen()
        if not ids or self.session.is_read_only:
            return
        dialog = ClassDialog(self.class_names(), len(ids), self.grid)
        dialog.accepted.connect(lambda: self.relabel(dialog.name))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def ask_group(self) -> None:
        """Images of one plant, animal or day never straddle a split."""
        groups = sorted(self.project.groups())
        text = _("Images of one plant, animal, place or day. They stay together in every split.")
        self._ask(
            _("Group"),
            text,
            groups[-1] if groups else "",
            lambda name, ids: self.project.set_group(ids, name or None),
        )

    def find_groups(self) -> None:
        """Groups by pattern, folder or day."""
        dialog = GroupingDialog(self.session, self.chosen(), self.grid)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def set_part(self, part: Part) -> None:
        """Put the chosen images (and their groups) on this side of the split, by hand."""
        self._do(lambda ids: self.project.set_part(ids, part))

    def ask_note(self) -> None:
        """A few words for later."""
        images = self.project.images_by_id(self.chosen()[:1])
        old = images[0].note if images else ""
        self._ask(
            _("Note"),
            _("A few words for later."),
            old,
            lambda text, ids: self.project.set_note(ids, text),
        )

    def _ask(
        self, title: str, text: str, old: str, command: Callable[[str, list[int]], Any]
    ) -> None:
        ids = self.chosen()
        if not ids or self.session.is_read_only:
            return
        answer, is_given = QInputDialog.getText(self.grid, title, text, text=old)
        if is_given:
            self.session.do(lambda: command(answer.strip(), ids))

    def _show_menu(self, at: QPoint) -> None:
        ids = self.chosen()
        if not ids:
            return
        menu = QMenu(self.grid)
        if len(ids) == 1:
            menu.addAction(_("Large, mark regions…\tEnter")).triggered.connect(
                lambda: self.grid.opened.emit()
            )
            menu.addSeparator()
        if self.session.is_read_only:
            menu.aboutToHide.connect(menu.deleteLater)
            menu.popup(self.grid.viewport().mapToGlobal(at))
            return
        classes = menu.addMenu(count(len(ids), "Class of {n:,} image", "Class of {n:,} images"))
        for number, name in enumerate(self.class_names(), 1):
            text = f"{name}\t{number}" if number < 10 else name
            classes.addAction(text).triggered.connect(lambda _=False, name=name: self.relabel(name))
        classes.addSeparator()
        for text, act in (
            (_("Another…\tL"), self.ask_class),
            (_("None\t0"), partial(self.relabel, None)),
        ):
            classes.addAction(text).triggered.connect(lambda _=False, act=act: act())
        for text, act in (
            (_("Not sure, or sure again\tS"), self.toggle_unsure),
            (_("Leave out\tX"), self.leave_out),
            (_("Take back in\tU"), self.take_back),
            (
                _("Group…\t{keys}").format(keys=QKeySequence("Ctrl+G").toString()),
                self.ask_group,
            ),
            (_("Find groups…"), self.find_groups),
            (_("Note…\tT"), self.ask_note),
        ):
            menu.addAction(text).triggered.connect(lambda _=False, act=act: act())
        parts = menu.addMenu(_("Put into"))
        parts.setEnabled(self.project.current_split() is not None)
        for part in Part:
            parts.addAction(PART_NAMES[part]).triggered.connect(
                lambda _=False, part=part: self.set_part(part)
            )
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(self.grid.viewport().mapToGlobal(at))
