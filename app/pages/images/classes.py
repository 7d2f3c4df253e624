"""Making, renaming, merging, ordering and removing classes; every step can be undone."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QPoint, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QInputDialog, QMenu, QWidget

from app.pages.images.labelling import Labelling
from app.session import Session
from app.widgets.plain_table import PlainTable
from dafusion_core.domain.changes import ProjectChanges
from dafusion_core.language import _, count


class ClassCare(QObject):
    """The menu and the keys of the table of classes. `chosen()` names the class that is meant, None
    where a row is none (all of them, or pictures without one)."""

    def __init__(
        self,
        session: Session,
        table: PlainTable,
        labelling: Labelling,
        chosen: Callable[[], str | None],
    ) -> None:
        super().__init__(table)
        self.session = session
        self.project = session.project
        self.table = table
        self.labelling = labelling
        self.chosen = chosen
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        table.customContextMenuRequested.connect(
            lambda at: self.show_menu(table.viewport().mapToGlobal(at))
        )
        table.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """F2 renames, Del removes, Alt with arrows moves."""
        if not isinstance(event, QKeyEvent) or event.type() != QEvent.Type.KeyPress:
            return False
        is_alt = event.modifiers() == Qt.KeyboardModifier.AltModifier
        key = event.key()
        if key == Qt.Key.Key_F2:
            self.rename()
        elif key == Qt.Key.Key_Delete:
            self.remove()
        elif key == Qt.Key.Key_Insert:
            self.create()
        elif is_alt and key in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self.move(-1 if key == Qt.Key.Key_Up else 1)
        else:
            return False
        return True

    def menu(self, parent: QWidget) -> QMenu:
        """What can be done with the chosen class now."""
        made = QMenu(parent)
        name = self.chosen()
        names = self.labelling.class_names()
        place = names.index(name) if name in names else -1
        number = len(self.labelling.chosen())

        def add(text: str, act: Callable[[], None], is_on: bool = True) -> None:
            action = made.addAction(text)
            action.triggered.connect(lambda _=False: act())
            action.setEnabled(is_on)

        add(_("New class…\tIns"), self.create)
        what = count(
            number,
            "Split {n:,} chosen picture off as a new class…",
            "Split {n:,} chosen pictures off as a new class…",
        )
        add(what, self.split_off, number > 0)
        made.addSeparator()
        shown = f"“{name}”" if name else _("the class")
        add(_("Rename {shown}…\tF2").format(shown=shown), self.rename, place >= 0)
        merge = made.addMenu(_("Merge {shown} into").format(shown=shown))
        merge.setEnabled(place >= 0 and len(names) > 1)
        for other in names:
            if other != name:
                merge.addAction(other).triggered.connect(
                    lambda _=False, other=other: self.merge(other)
                )
        add(_("Move up\tAlt+Up"), lambda: self.move(-1), place > 0)
        add(_("Move down\tAlt+Down"), lambda: self.move(1), 0 <= place < len(names) - 1)
        add(
            _("Remove {shown}, keep its pictures\tDel").format(shown=shown), self.remove, place >= 0
        )
        made.aboutToHide.connect(made.deleteLater)
        return made

    def show_menu(self, at: QPoint) -> None:
        """The menu, at a place of the screen."""
        if not self.session.is_read_only:
            self.menu(self.table).popup(at)

    def _do(self, command: Callable[[], ProjectChanges]) -> None:
        if not self.session.is_read_only:
            self.session.do(command)

    def _ask(self, title: str, text: str, old: str = "") -> str:
        if self.session.is_read_only:
            return ""
        answer, is_given = QInputDialog.getText(self.table, title, text, text=old)
        return answer.strip() if is_given else ""

    def create(self) -> None:
        """An empty class."""
        name = self._ask(_("New class"), _("Its name"))
        if name:
            self._do(lambda: self.project.create_class(name))

    def split_off(self) -> None:
        """The chosen pictures become a class of their own."""
        ids = self.labelling.chosen()
        name = self._ask(
            _("New class"),
            count(
                len(ids),
                "Name of the class of {n:,} picture",
                "Name of the class of {n:,} pictures",
            ),
        )
        if ids and name:
            self._do(lambda: self.project.split_class(ids, name))

    def rename(self) -> None:
        """Another name for the class."""
        old = self.chosen()
        new = self._ask(_("Rename the class"), _("New name"), old) if old else ""
        if old and new and new != old:
            self._do(lambda: self.project.rename_class(old, new))

    def merge(self, into: str) -> None:
        """All its pictures belong to the other class then."""
        name = self.chosen()
        if name:
            self._do(lambda: self.project.merge_classes([name, into], into))

    def move(self, by: int) -> None:
        """Another place in the order, which is that of the keys and of a classifier's outputs."""
        name = self.chosen()
        names = self.labelling.class_names()
        if name not in names:
            return
        place = names.index(name)
        if 0 <= place + by < len(names):
            names.insert(place + by, names.pop(place))
            self._do(lambda: self.project.order_classes(names))
            self.table.selectRow(self.table.currentRow() + by)

    def remove(self) -> None:
        """The class goes, its pictures stay without one."""
        name = self.chosen()
        if name:
            self._do(lambda: self.project.remove_class(name))
