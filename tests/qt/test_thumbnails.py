"""Thumbnails: right picture, newest wish first, bounded memory, calm about bad files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from pytestqt.qtbot import QtBot

import dafusion_core as df
from app import thumbnails
from app.thumbnails import FULL_SIZE, ThumbnailLoader
from dafusion_core.datasets.small_copy import encode_small
from dafusion_core.storage.thumbnails import KeptThumbnails


@pytest.fixture
def loader(qtbot: QtBot) -> Iterator[ThumbnailLoader]:
    loader = ThumbnailLoader(2**20)
    yield loader
    loader.stop()


def picture(folder: Path, number: int, size: tuple[int, int] = (300, 200)) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number}.png"
    Image.new("RGB", size, (number % 256, 40, 200)).save(path)
    return str(path)


def test_a_picture_comes_in_the_size_asked_for(
    qtbot: QtBot, loader: ThumbnailLoader, tmp_path: Path
) -> None:
    path = picture(tmp_path, 7)
    assert loader.get(path, 100) is None
    qtbot.waitUntil(lambda: loader.get(path, 100) is not None)
    pixmap = loader.get(path, 100)
    assert pixmap is not None
    assert (pixmap.width(), pixmap.height()) == (128, 85)
    assert pixmap.toImage().pixelColor(3, 3).getRgb()[:3] == (7, 40, 200)
    qtbot.waitUntil(lambda: loader.get(path, FULL_SIZE) is not None)
    whole = loader.get(path, FULL_SIZE)
    assert whole is not None
    assert whole.width() == 300


def test_memory_stays_below_its_limit(
    qtbot: QtBot, loader: ThumbnailLoader, tmp_path: Path
) -> None:
    paths = [picture(tmp_path, number, (128, 128)) for number in range(40)]
    for path in paths:
        loader.get(path, 128)
    qtbot.waitUntil(lambda: not loader._waiting and not loader._in_work)
    qtbot.wait(50)
    assert 0 < loader.used_bytes <= 2**20
    there = [path for path in paths if loader.get(path, 128) is not None]
    assert len(there) == 16


def test_a_bad_file_has_a_reason_and_is_not_tried_again(
    qtbot: QtBot, loader: ThumbnailLoader, tmp_path: Path
) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n but not really")
    assert loader.get(str(path), 64) is None
    qtbot.waitUntil(lambda: loader.problem(str(path)) != "")
    assert loader.get(str(path), 64) is None
    assert not loader._waiting


def test_what_scrolled_away_is_forgotten(
    loader: ThumbnailLoader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader.stop()  # nobody takes from the queue
    loader._is_stopping = False
    monkeypatch.setattr(thumbnails, "MAX_WAITING", 5)
    for number in range(20):
        loader.get(f"/{number}", 64)
    assert [key[0] for key in loader._waiting] == ["/15", "/16", "/17", "/18", "/19"]
    loader.forget_waiting()
    assert not loader._waiting
    loader._threads.clear()


def test_small_ones_come_from_what_was_kept_at_import(qtbot: QtBot, tmp_path: Path) -> None:
    picture(tmp_path / "data" / "ash", 7, (800, 600))
    with df.create(tmp_path / "p") as project:
        project.import_folder(tmp_path / "data")
        (image,) = project.images()
        kept = KeptThumbnails(project.files)
        path = str(project.file.objects.path(image.path))
        name = kept.name(path)
        assert name is not None
        assert kept.names() == {name}
        # Another colour, to see where it comes from.
        kept.write({name: encode_small(Image.new("RGB", (300, 225), (0, 255, 0)))})
        loader = ThumbnailLoader(2**22, kept=kept)
        try:
            for size in (64, 128, 256, 512, FULL_SIZE):
                qtbot.waitUntil(lambda size=size: loader.get(path, size) is not None)
                pixmap = loader.get(path, size)
                assert pixmap is not None
                is_kept = pixmap.toImage().pixelColor(9, 9).green() > 200
                assert (pixmap.width(), is_kept) == (size or 800, 0 < size <= 256)
        finally:
            loader.stop()
        # Damaged, it is made from the picture, shown and kept.
        kept.write({name: b"rubbish"})
        loader = ThumbnailLoader(2**22, kept=kept)
        try:
            qtbot.waitUntil(lambda: loader.get(path, 128) is not None)
            pixmap = loader.get(path, 128)
            assert pixmap is not None
            assert pixmap.toImage().pixelColor(9, 9).green() < 80
            data = kept.read(name)
            assert data is not None
            with Image.open(io.BytesIO(data)) as small:
                small.load()
        finally:
            loader.stop()
