"""What a right click on a picture or on a t0 heading offers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QMenu

from app.models.curation_layout import FIRST_T0_COLUMN
from dafusion_core.domain.records import Curation, Job
from dafusion_core.language import _, count, ngettext

if TYPE_CHECKING:
    from app.pages.curate.page import CuratePage


def show_picture_menu(page: CuratePage, at: QPoint) -> None:
    """Keys as entries, and what acts on many pictures at once."""
    view = page.pictures
    menu = QMenu(view)
    for key in ("keep", "reject", "undecide"):
        menu.addAction(page.actions_table[key])
    stars = menu.addMenu(_("Stars"))
    for number in range(6):
        stars.addAction(page.actions_table[f"rate_{number}"])
    menu.addSeparator()
    for key in ("loupe", "compare", "info"):
        menu.addAction(page.actions_table[key])
    cell = page.model.cell_of(view.current_id())
    if cell is not None and not page.session.is_read_only:
        menu.addSeparator()
        name = page.model.names.get(cell.concept_id, "")
        of_t0 = page.model.ids_where(cell.concept_id, cell.t0)
        of_photo = page.project.synthetic_ids(
            job_id=page.model.job_id, source_image_id=cell.source_id
        )
        for text, ids in (
            (
                _("Reject all {number:,} of {name} at t0 {t0:g}").format(
                    number=len(of_t0), name=name, t0=cell.t0
                ),
                of_t0,
            ),
            (_("Reject all {number:,} of this photo").format(number=len(of_photo)), of_photo),
        ):
            action = menu.addAction(text)
            action.triggered.connect(partial(_decide, page, Curation.REJECTED, ids))
    menu.aboutToHide.connect(menu.deleteLater)
    menu.popup(view.viewport().mapToGlobal(at))


def show_column_menu(page: CuratePage, at: QPoint) -> None:
    """Decide on a whole t0, of the classes and photos that are shown."""
    place = page.grid.header.logicalIndexAt(at) - FIRST_T0_COLUMN
    if not 0 <= place < len(page.model.t0_set) or page.session.is_read_only:
        return
    ids = page.model.ids_of_column(place + FIRST_T0_COLUMN)
    menu = QMenu(page)
    for words, curation in (
        (
            ngettext(
                "Keep all {n:,} picture at t0 {t0:g}",
                "Keep all {n:,} pictures at t0 {t0:g}",
                len(ids),
            ),
            Curation.KEPT,
        ),
        (
            ngettext(
                "Reject all {n:,} picture at t0 {t0:g}",
                "Reject all {n:,} pictures at t0 {t0:g}",
                len(ids),
            ),
            Curation.REJECTED,
        ),
    ):
        shown = words.format(n=len(ids), t0=page.model.t0_set[place])
        menu.addAction(shown).triggered.connect(partial(_decide, page, curation, ids))
    menu.aboutToHide.connect(menu.deleteLater)
    menu.popup(page.grid.header.mapToGlobal(at))


def _decide(page: CuratePage, curation: Curation, ids: list[int], _checked: bool = False) -> None:
    page.decide(curation, ids)


def job_name(job: Job) -> str:
    """What a generation, or a preview that pictures were kept of, is called where one chooses."""
    if job.kind == "preview":
        return _("Job {id}: kept from a preview").format(id=job.id)
    pictures = count(job.total, "{n:,} picture", "{n:,} pictures")
    return _("Job {id}: {pictures}").format(id=job.id, pictures=pictures)
