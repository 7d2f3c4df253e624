"""Rows of a long list, read in windows when they are looked at, the oldest records forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

WINDOW = 200
KEPT = 5000  # records; thousands are a few megabytes
MANY_REMOVED = 1000


class HasPath(Protocol):
    """A record of something with a file."""

    @property
    def path(self) -> str:
        """The file as the project knows it."""


class PathTexts:
    """Where the files of records are, as text. A repaint asks for every picture in view, and
    putting a path together takes a third of the time that painting it does."""

    def __init__(self, place: Callable[[Any], Path]) -> None:
        self._place = place
        self._known: dict[str, str] = {}

    def __call__(self, record: HasPath) -> str:
        """The file of a record."""
        found = self._known.get(record.path)
        if found is None:
            if len(self._known) >= KEPT:
                self._known.clear()
            found = self._known[record.path] = str(self._place(record))
        return found


class WindowedRows(Generic[T]):
    """Ids in order, and their records through `fetch(ids)`, which keeps the order given."""

    def __init__(self, fetch: Callable[[Sequence[int]], Sequence[T]]) -> None:
        self._fetch = fetch
        self._ids: list[int] = []
        self._places: dict[int, int] = {}
        self._removed = 0  # since the places were written down: they are too high by at most this
        self._records: OrderedDict[int, T | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> Sequence[int]:
        """All ids in order."""
        return self._ids

    def place(self, row_id: int) -> int:
        """Where an id is, -1 if it is not here."""
        place = self._places.get(row_id, -1)
        if place < 0 or not self._removed:
            return place
        return self._ids.index(row_id, max(0, place - self._removed), place + 1)

    def replace(self, ids: Iterable[int]) -> None:
        """Start again with these ids; records are kept, they belong to ids."""
        self._ids = list(ids)
        self._write_places()

    def _write_places(self) -> None:
        self._places = {row_id: place for place, row_id in enumerate(self._ids)}
        self._removed = 0

    def append(self, ids: Sequence[int]) -> None:
        """Add ids (not here yet) at the end."""
        for row_id in ids:
            self._places[row_id] = len(self._ids) + self._removed
            self._ids.append(row_id)

    def remove(self, place: int) -> None:
        """Take one id out; those after it move up."""
        del self._places[self._ids.pop(place)]
        self._removed += 1
        if self._removed > MANY_REMOVED:
            self._write_places()

    def record(self, place: int) -> T | None:
        """The record at a place; None if its row is gone from the project."""
        row_id = self._ids[place]
        if row_id in self._records:
            return self._records[row_id]
        start = place - place % WINDOW
        wanted = [i for i in self._ids[start : start + WINDOW] if i not in self._records]
        self._records.update(dict.fromkeys(wanted))
        self.put(self._fetch(wanted))
        while len(self._records) > KEPT:
            self._records.popitem(last=False)
        return self._records.get(row_id)

    def put(self, records: Iterable[T]) -> None:
        """Records as they are now; of ids that are not known here, nothing is kept."""
        for record in records:
            row_id: int = record.id  # type: ignore[attr-defined]
            if row_id in self._records or row_id in self._places:
                self._records[row_id] = record

    def forget(self, ids: Iterable[int]) -> list[int]:
        """The records of these ids have changed: read them again. Returns their places."""
        known = [row_id for row_id in ids if row_id in self._places]
        for row_id in known:
            self._records.pop(row_id, None)
        return [self.place(row_id) for row_id in known]
