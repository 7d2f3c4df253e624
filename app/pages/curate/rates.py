"""What was accepted, per class and t0, and what is left to train with."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QVBoxLayout, QWidget

from app.models.curation_counts import Counts
from app.models.curation_grid import CurationGridModel
from app.widgets.parts import button, label, row
from app.widgets.plain_table import PlainTable
from dafusion_core.domain.records import Curation
from dafusion_core.language import _, count

ALL = _("All classes")


class RatesView(QWidget):
    """A row per class, a column per t0; buttons act on the pictures behind the chosen cell.

    Signals:
        wanted(object, object): show these (concept id or None, t0 or None).
        decided(str, list): "keep", "reject" or "undecide" for these ids.
    """

    wanted = Signal(object, object)
    decided = Signal(str, object)

    def __init__(self, model: CurationGridModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self._concepts: list[int | None] = []
        self._t0s: list[float | None] = []
        self.table = PlainTable([_("Class")])
        self.table.fits_width = False
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectItems)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setAccessibleName(_("Accepted, by class and t0"))
        self.table.currentCellChanged.connect(lambda *_: self._say_chosen())
        self.table.cellDoubleClicked.connect(lambda *_: self._show())
        self.chosen = label("", wrap=True)
        self.show_button = button(_("Show them"), self._show, "small", _("In the grid."))
        self.buttons = {
            "keep": button(_("Keep all"), lambda: self._decide("keep"), "small"),
            "reject": button(
                _("Reject all"),
                lambda: self._decide("reject"),
                "small",
                _("One step: a single undo takes all of it back."),
            ),
            "undecide": button(_("Make undecided"), lambda: self._decide("undecide"), "small"),
        }
        self.hint = label(
            _(
                "A share is what was kept of what was decided. A photo all of whose pictures are "
                "rejected trains without synthetic images."
            ),
            "muted",
            wrap=True,
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.chosen)
        layout.addLayout(row(self.show_button, *self.buttons.values(), None))
        layout.addWidget(self.hint)

    def refresh(self, *, is_writable: bool) -> None:
        """Count again; the chosen cell stays chosen."""
        model = self._model
        current = (self.table.currentRow(), self.table.currentColumn())
        self._concepts = [*model.names, None]
        self._t0s = [*model.t0_set, None]
        columns = [
            _("Class"),
            *(f"t0 {t0:g}" for t0 in model.t0_set),
            _("All t0"),
            _("Photos to train"),
        ]
        rows: list[Sequence[str]] = []
        for concept in self._concepts:
            name = ALL if concept is None else model.names[concept]
            concepts = [] if concept is None else [concept]
            cells = [
                _cell_text(model.tally.total(concepts, [] if t0 is None else [t0]))
                for t0 in self._t0s
            ]
            rows.append([name, *cells, self._photos(concept)])
        self.table.blockSignals(True)
        self.table.set_columns(columns, range(1, len(columns)))
        # The name of a class is never cut; the table scrolls.
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.table.fill(rows)
        for number in range(self.table.rowCount()):
            item = self.table.item(number, len(columns) - 1)
            if item is not None:
                item.setToolTip(
                    _("Photos that have at least one synthetic image that is not rejected.")
                )
        if current[0] >= 0:
            self.table.setCurrentCell(*current)
        self.table.blockSignals(False)
        for made in self.buttons.values():
            made.setVisible(is_writable)
        self._say_chosen()

    def _photos(self, concept: int | None) -> str:
        if concept is None:
            pairs = [self._model.sources_without(known) for known in self._model.names]
            without, total = (
                (sum(values) for values in zip(*pairs, strict=True)) if pairs else (0, 0)
            )
        else:
            without, total = self._model.sources_without(concept)
        return _("{done:,} of {total:,}").format(done=total - without, total=total) + (
            " ▲" if without else ""
        )

    def _place(self) -> tuple[int | None, float | None] | None:
        number, column = self.table.currentRow(), self.table.currentColumn()
        if not 0 <= number < len(self._concepts):
            return None
        is_t0 = 1 <= column <= len(self._t0s)
        return self._concepts[number], self._t0s[column - 1] if is_t0 else None

    def chosen_ids(self) -> list[int]:
        """The pictures behind the chosen cell."""
        place = self._place()
        return [] if place is None else self._model.ids_where(*place)

    def _say_chosen(self) -> None:
        place = self._place()
        ids = self.chosen_ids()
        text = _("Choose a cell to act on its pictures.")
        if place is not None:
            concept, t0 = place
            name = _("all classes") if concept is None else self._model.names[concept]
            far = _("all t0") if t0 is None else f"t0 {t0:g}"
            pictures = count(len(ids), "{n:,} picture", "{n:,} pictures")
            text = f"{pictures}: {name}, {far}"
            without, _total = (0, 0) if concept is None else self._model.sources_without(concept)
            if without:
                text += ". " + count(
                    without,
                    "{n:,} photo of this class has none left to train with.",
                    "{n:,} photos of this class have none left to train with.",
                )
        self.chosen.setText(text)
        for made in (self.show_button, *self.buttons.values()):
            made.setEnabled(bool(ids))

    def _show(self) -> None:
        place = self._place()
        if place is not None:
            self.wanted.emit(*place)

    def _decide(self, what: str) -> None:
        ids = self.chosen_ids()
        if ids:
            self.decided.emit(what, ids)

    def keyPressEvent(self, event: object) -> None:
        """Enter shows the pictures of the chosen cell."""
        if getattr(event, "key", int)() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._show()
            return
        super().keyPressEvent(event)  # type: ignore[arg-type]


def _cell_text(counts: Counts) -> str:
    """“83 %, 2 left”."""
    if not counts.made:
        return (
            "–" if not counts.waiting else _("{waiting:,} to come").format(waiting=counts.waiting)
        )
    left = counts.by_curation[Curation.UNDECIDED]
    rate = counts.accept_rate
    if rate is None:
        return _("{left:,} left").format(left=left)
    text = f"{rate:.0%}".replace("%", " %")
    return text + (_(", {left:,} left").format(left=left) if left else "")
