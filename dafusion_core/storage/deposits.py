"""Objects on their way to the disk, written while their owner goes on with other things."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from dafusion_core.storage.objects import ObjectStore

#: Bytes that may wait for the disk at a time; a larger object waits alone.
WAITING_BYTES = 64 << 20
#: Threads that wait for the disk: the system writes down in one go what several wait for.
WRITERS = 8


class Deposits:
    """Puts objects into a store in a few threads; `settle` says what is safe.

    Used from one thread. Rows that name an object belong after the `settle` that it passed.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._pool: ThreadPoolExecutor | None = None
        self._sizes: deque[tuple[int, Future[None]]] = deque()
        self._bytes = 0
        self._waiting: dict[str, Future[None]] = {}
        self._is_new: set[str] = set()

    def put(self, data: bytes, digest: str, suffix: str) -> str:
        """Begin to write bytes whose SHA-256 is known; the path, relative, that they will have.

        Waits while too many bytes are under way. What goes wrong is told by `settle`.
        """
        while self._sizes and (self._sizes[0][1].done() or self._bytes + len(data) > WAITING_BYTES):
            size, oldest = self._sizes.popleft()
            oldest.exception()
            self._bytes -= size

        def write() -> None:
            self._objects.put(data, digest, suffix)
            self._objects.flush_name(path)

        path = self._objects.place(digest, suffix)
        future = self._begin(path, write)
        self._sizes.append((len(data), future))
        self._bytes += len(data)
        return path

    def copy_in(self, path: Path, digest: str) -> str:
        """As `ObjectStore.copy_in`, at once; its name is made safe by `settle`."""
        relative = self._objects.copy_in(path, digest)
        self._begin(relative, lambda: self._objects.flush_name(relative))
        return relative

    def _begin(self, path: str, work: Callable[[], None]) -> Future[None]:
        if not self._objects.path(path).exists():
            self._is_new.add(path)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(WRITERS, "deposit")
        future = self._waiting[path] = self._pool.submit(work)
        return future

    def settle(self, paths: Iterable[str]) -> dict[str, BaseException]:
        """Wait until these objects and their names are on the disk; what failed, path → why."""
        failed = dict[str, BaseException]()
        for path in paths:
            future = self._waiting.pop(path, None)
            if future is not None and (error := future.exception()) is not None:
                failed[path] = error
        if not self._waiting and self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        return failed

    def abandon(self, paths: Iterable[str]) -> None:
        """Remove these objects and all that are under way, for which there will be no rows after
        all. What was there before stays."""
        paths = [*paths, *self._waiting]
        self.settle(paths)
        for path in paths:
            if path in self._is_new:
                self._objects.path(path).unlink(missing_ok=True)
