"""What each class looks like to the model while it is learned: one picture per look, over steps."""

from __future__ import annotations

import re
from dataclasses import dataclass

from PySide6.QtCore import QRect
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QVBoxLayout, QWidget

from app.widgets.parts import button, heading, label, row
from app.widgets.picture_strip import PictureTile, Strip, cut_rows
from dafusion_core.api.project import Project
from dafusion_core.domain.records import TokenEmbedding
from dafusion_core.language import _
from dafusion_core.storage.concepts import inversion_files

_NAMED = re.compile(r"(.+?) \(([0-9a-f]{8})\)(?:, |: step (\d+) of \d+$)")
SIDE = 76
COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Look:
    """Pictures made with what was learned up to a step; `digest`: start of the vectors' hash."""

    step: int
    digest: str
    pictures: QImage


def read_looks(text: str, sheet: QImage) -> dict[str, Look]:
    """{class: its look} from a preview of the worker, "" where it is none of these.

    The text reads “dandelion (1a2b3c4d), ivy (5e6f7a8b): step 25 of 100”, the sheet has a row of
    pictures for each.
    """
    found = list(_NAMED.finditer(text))
    if not found or found[-1].group(3) is None or sheet.isNull():
        return {}
    step = int(found[-1].group(3))
    rows = cut_rows(sheet, len(found))
    return {
        match.group(1): Look(step, match.group(2), row_)
        for match, row_ in zip(found, rows, strict=True)
    }


def stored_looks(project: Project, learned: TokenEmbedding) -> list[Look]:
    """The looks that were kept with what was learned."""
    named = learned.record.get("previews") or []
    files = inversion_files(project.file.db, learned.job_id, "previews")
    if not named or learned.concept_id not in files:
        return []
    sheet = QImage(str(project.file.objects.path(files[learned.concept_id][0])))
    if sheet.isNull():
        return []
    rows = cut_rows(sheet, len(named))
    return [Look(int(n["step"]), str(n["hash"]), r) for n, r in zip(named, rows, strict=True)]


class LooksView(QWidget):
    """A row per class, the latest look at the right; the same noise in each column of a row."""

    def __init__(self) -> None:
        super().__init__()
        self._looks: dict[str, dict[int, Look]] = {}
        self._noise = 0
        self._shown: object = None
        self.tiles: dict[tuple[str, int], PictureTile] = {}
        self.other = button(
            _("Other noise"),
            self._next,
            "small",
            _("Each look made four pictures from fixed noise: show the next of them."),
        )
        self._rows = QVBoxLayout()
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(10)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(
            row(heading(_("What each class looks like by now"), 1.1), None, self.other)
        )
        layout.addWidget(
            label(
                _(
                    "Made from noise and the learned token alone. Below each: the step, and the "
                    "start of the token's hash; where the hash stays the same, nothing was "
                    "learned between."
                ),
                "muted",
                wrap=True,
            )
        )
        layout.addLayout(self._rows)
        self.hide()

    def forget(self) -> None:
        """Another learning begins."""
        self._looks.clear()

    def add(self, name: str, look: Look) -> None:
        """A look at a class."""
        self._looks.setdefault(name, {})[look.step] = look

    def show_classes(self, names: list[str]) -> None:
        """Show what there is of these classes, in this order."""
        rows = [(name, self._looks[name]) for name in names if self._looks.get(name)]
        key = [(name, [(s, k.digest) for s, k in sorted(looks.items())]) for name, looks in rows]
        self.setVisible(bool(rows))
        if self._shown == (key, self._noise):
            return
        self._shown = (key, self._noise)
        while (item := self._rows.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self.tiles = {}
        for name, looks in rows:
            self._rows.addWidget(self._make_row(name, looks))

    def _make_row(self, name: str, looks: dict[int, Look]) -> QWidget:
        strip = Strip(8)
        for place, (step, look) in enumerate(sorted(looks.items())):
            tile = PictureTile(
                _("{name} after {step} steps").format(name=name, step=step), side=SIDE
            )
            side = look.pictures.height()
            x = self._noise % COLUMNS * (look.pictures.width() - side) // (COLUMNS - 1)
            tile.show_image(look.pictures.copy(QRect(x, 0, side, side)))
            tile.setToolTip(
                _("{name}, step {step:,}, token {digest}").format(
                    name=name, step=step, digest=look.digest
                )
            )
            self.tiles[name, step] = tile
            strip.put(
                place,
                tile,
                label(_("step {step:,}").format(step=step), "muted"),
                label(look.digest, "muted"),
            )
        holder = QWidget()
        layout = QVBoxLayout(holder)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(label(name))
        layout.addWidget(strip)
        return holder

    def _next(self) -> None:
        self._noise = (self._noise + 1) % COLUMNS
        self.show_classes(list(self._looks))
