"""A window of 1,024 × 700: nothing is cut off at the side."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QAbstractScrollArea, QScrollArea, QTableView, QWidget
from pytestqt.qtbot import QtBot

from app.main_window import MainWindow
from app.pages.generate.page import GeneratePage
from app.pages.report.page import ReportPage
from app.pages.train.page import TrainPage
from app.steps import Step
from tests.qt.conftest import page_of, take_photos, wait_until_done, workspace_of

RATES = "Accepted, by class and t0"


def scrolled_sideways(page: QWidget) -> list[str]:
    """Visible areas of a page that must be scrolled sideways to be seen whole.

    But for the accept rates: they grow with their t0, and no name of a class is cut there.
    """
    found = []
    for area in page.findChildren(QAbstractScrollArea):
        is_asked = isinstance(area, QScrollArea | QTableView) and area.accessibleName() != RATES
        if is_asked and area.isVisible() and area.horizontalScrollBar().maximum() > 0:
            inner = area.widget() if isinstance(area, QScrollArea) else None
            wide = ""
            if inner is not None:
                wide = f" needs {inner.minimumSizeHint().width()} has {area.viewport().width()}"
            found.append(f"{type(area).__name__} {area.accessibleName()}{wide}")
    return found


def test_no_page_scrolls_sideways_in_a_small_window(
    qtbot: QtBot, window: MainWindow, photos: Path
) -> None:
    window.resize(1024, 700)
    (photos / "ragwort").rename(photos / "common ragwort of wet meadows")
    take_photos(qtbot, window, photos)
    workspace = workspace_of(window)
    bad: dict[str, list[str]] = {}

    def look(name: str, step: Step) -> None:
        qtbot.wait(30)
        found = scrolled_sideways(workspace.pages[step])
        if found:
            bad[name] = found

    for step in Step:
        workspace.show_step(step)
        look(f"{step} at first", step)
    window.actions_table["everything"].trigger()
    wait_until_done(qtbot, window)
    for step in Step:
        workspace.show_step(step)
        look(str(step), step)
    train = page_of(window, Step.TRAIN, TrainPage)
    workspace.show_step(Step.TRAIN)
    for part in ("balance", "runs", "classes", "mistakes", "experiments", "try"):
        train.show_part(part)
        look(f"train, {part}", Step.TRAIN)
    workspace.show_step(Step.GENERATE)
    page_of(window, Step.GENERATE, GeneratePage).fold.open(True)
    look("generate, advanced", Step.GENERATE)
    workspace.show_step(Step.CONCEPTS)
    workspace.pages[Step.CONCEPTS].form.fold.open(True)  # type: ignore[attr-defined]
    look("concepts, advanced", Step.CONCEPTS)
    workspace.show_step(Step.REPORT)
    page_of(window, Step.REPORT, ReportPage).show_part("page")
    look("report, page", Step.REPORT)
    workspace.show_step(Step.CURATE)
    for view in ("view_rates", "view_list", "info", "loupe"):
        window.actions_table[view].trigger()
        look(f"curate, {view}", Step.CURATE)
    assert window.width() == 1024
    assert not bad, "\n".join(f"{name}: {found}" for name, found in bad.items())
