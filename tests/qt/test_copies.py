"""Near copies in the curation page: found, filtered, sorted, thinned out, undone."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from app.models.curation_filter import CurationFilter, Mark, Sort
from app.pages.curate.page import CuratePage
from dafusion_core.api.project import Project
from dafusion_core.domain.records import Curation
from tests.qt.test_curate import page, project, settle, states

__all__ = ["page", "project"]


def test_near_copies_are_shown_together_and_the_best_is_kept(
    qtbot: QtBot, page: CuratePage, project: Project
) -> None:
    # The stand-in worker makes every picture a copy of its photo: four t0, four copies.
    first = page.model.ids_where()[:4]
    project.rate([first[2]], 5)
    with qtbot.waitSignal(page.copies.found, timeout=10_000):
        page.filters.copies_wanted.emit()
    groups = page.model.groups
    group = next(group for group in groups if first[0] in group)
    assert set(first) <= set(group)
    assert page.view_name == "list"
    assert page.filters.filter == CurationFilter(marks=frozenset({Mark.NEAR_COPY}), sort=Sort.GROUP)
    shown = [page.model.cell_of(i).group for i in page.flat.list.ids]
    assert shown == sorted(shown)
    assert len(shown) == sum(len(group) for group in groups)

    before = states(project)
    page.filters.best_wanted.emit()
    settle(qtbot, page)
    after = {image_id: state for image_id, (state, _stars) in states(project).items()}
    assert after[first[2]] is Curation.KEPT
    for members in groups:
        assert sorted(after[i] for i in members).count(Curation.KEPT) == 1
        assert {after[i] for i in members} <= {Curation.KEPT, Curation.REJECTED}
    project.undo()
    assert states(project) == before


def test_marks_stay_when_checks_arrive_and_rows_are_laid_out_again(
    qtbot: QtBot, page: CuratePage
) -> None:
    ids = page.model.ids_where()[:2]
    page.model.take_groups([ids])
    page.model.take_checks()
    page.model.show_job(page.model.job_id)
    marked = [i for i in page.model.ids_where() if Mark.NEAR_COPY in page.model.cell_of(i).marks]
    assert marked == ids
    page.model.take_groups([])
    assert not any(page.model.cell_of(i).marks for i in ids)
