"""A project of six pictures with the first one open in the region editor."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from app.main_window import MainWindow
from app.pages.images.page import ImagesPage
from app.regions.editor import RegionEditor
from tests.qt.conftest import wait_imported
from tests.qt.regions.drawing import make_pots, open_large


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of three pictures; one lies on its side and says so."""
    return make_pots(tmp_path / "pots")


@pytest.fixture
def page(qtbot: QtBot, window: MainWindow, pictures: Path) -> ImagesPage:
    window.take(pictures)
    wait_imported(qtbot, window, 6)
    return open_large(qtbot, window, 0)


@pytest.fixture
def editor(page: ImagesPage) -> RegionEditor:
    assert page.editor is not None
    return page.editor
