"""Small pictures for views: decoded in threads, newest wish first, within a limit of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal, Slot
from PySide6.QtGui import QImage, QPixmap

from dafusion_core.datasets.pictures import load_rgb
from dafusion_core.datasets.thumbnails import load_thumbnail
from dafusion_core.domain.errors import DaFusionError
from dafusion_core.storage.thumbnails import KeptThumbnails

SIZES = (64, 128, 256, 512)
THREADS = 2
MAX_WAITING = 400
FULL_SIZE = 0

Key = tuple[str, int]


class ThumbnailLoader(QObject):
    """Pixmaps by path and size. Asking for one that is not there yet starts loading it.

    Threads decode to QImage; only the window's thread makes QPixmap. The newest request is
    served first, because it is what is in view; requests beyond `MAX_WAITING` are the ones that
    scrolled away and are forgotten (a view asks again when it paints them again).

    `kept`: small copies of the project's pictures on the disk, read instead of these where they
    will do, and made where they are missing.

    Signals:
        ready(): more pixmaps are there than before; repaint.
    """

    ready = Signal()
    _decoded = Signal(object)

    def __init__(
        self,
        limit_bytes: int,
        parent: QObject | None = None,
        kept: KeptThumbnails | None = None,
    ) -> None:
        super().__init__(parent)
        self._kept = kept
        self._limit = limit_bytes
        self._used = 0
        self._pixmaps: OrderedDict[Key, QPixmap] = OrderedDict()
        self._reasons: dict[str, str] = {}
        self._waiting: OrderedDict[Key, None] = OrderedDict()
        self._in_work: set[Key] = set()
        self._condition = threading.Condition()
        self._is_stopping = False
        self._decoded.connect(self._on_decoded)
        # Several pictures that arrive together cause one repaint.
        self._announce = QTimer(self)
        self._announce.setSingleShot(True)
        self._announce.setInterval(20)
        self._announce.timeout.connect(self.ready)
        self._threads = [
            threading.Thread(target=self._run, name=f"thumbnails-{number}")
            for number in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def get(self, path: str, size: int) -> QPixmap | None:
        """The picture fitted into `size` pixels (`FULL_SIZE`: as it is), None while it loads."""
        if size != FULL_SIZE:
            size = next((known for known in SIZES if known >= size), SIZES[-1])
        key = (path, size)
        pixmap = self._pixmaps.get(key)
        if pixmap is not None:
            self._pixmaps.move_to_end(key)
            return pixmap
        if path not in self._reasons:
            self._request(key)
        return None

    def problem(self, path: str) -> str:
        """Why the picture cannot be shown, "" if it can or is not known yet."""
        return self._reasons.get(path, "")

    def forget_waiting(self) -> None:
        """The view moved on: what was asked for before is no longer wanted."""
        with self._condition:
            self._waiting.clear()

    def stop(self) -> None:
        """End the threads."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()
        self._announce.stop()

    @property
    def used_bytes(self) -> int:
        """Memory taken by the pixmaps."""
        return self._used

    def _request(self, key: Key) -> None:
        with self._condition:
            if key in self._in_work or self._is_stopping:
                return
            self._waiting[key] = None
            self._waiting.move_to_end(key)
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popitem(last=False)
            self._condition.notify()

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self._is_stopping:
                    self._condition.wait()
                if self._is_stopping:
                    return
                key, _ = self._waiting.popitem(last=True)
                self._in_work.add(key)
            try:
                answer: QImage | str = _decode(*key, self._kept)
            except DaFusionError as error:
                answer = error.text
            except Exception as error:  # one bad file must not end the thread
                answer = f"{type(error).__name__}: {error}"
            self._decoded.emit((key, answer))

    @Slot(object)
    def _on_decoded(self, result: tuple[Key, QImage | str]) -> None:
        key, answer = result
        with self._condition:
            self._in_work.discard(key)
        if isinstance(answer, str):
            self._reasons[key[0]] = answer
        else:
            pixmap = QPixmap.fromImage(answer)
            self._pixmaps[key] = pixmap
            self._used += _bytes(pixmap)
            while self._used > self._limit and len(self._pixmaps) > 1:
                _, old = self._pixmaps.popitem(last=False)
                self._used -= _bytes(old)
        if not self._announce.isActive():
            self._announce.start()


def _bytes(pixmap: QPixmap) -> int:
    return pixmap.width() * pixmap.height() * 4


def _decode(path: str, size: int, kept: KeptThumbnails | None) -> QImage:
    place = Path(path)
    picture = load_rgb(place) if size == FULL_SIZE else load_thumbnail(place, size, kept)
    width, height = picture.size
    image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return image.copy()  # the bytes above end with this function
