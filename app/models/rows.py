"""Rows of a long list, read in windows when they are looked at, the oldest windows forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

WINDOW = 200
KEPT_WINDOWS = 25


class WindowedRows(Generic[T]):
    """Ids in order, and their records through `fetch(ids)`, which keeps the order given."""

    def __init__(self, fetch: Callable[[Sequence[int]], Sequence[T]]) -> None:
        self._fetch = fetch
        self._ids: list[int] = []
        self._places: dict[int, int] = {}
        self._windows: OrderedDict[int, dict[int, T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def ids(self) -> Sequence[int]:
        """All ids in order."""
        return self._ids

    def place(self, row_id: int) -> int:
        """Where an id is, -1 if it is not here."""
        return self._places.get(row_id, -1)

    def replace(self, ids: Iterable[int]) -> None:
        """Start again with these ids."""
        self._ids = list(ids)
        self._places = {row_id: place for place, row_id in enumerate(self._ids)}
        self._windows.clear()

    def append(self, ids: Sequence[int]) -> None:
        """Add ids (not here yet) at the end; the last window may have been incomplete."""
        self._windows.pop(len(self._ids) // WINDOW, None)
        for row_id in ids:
            self._places[row_id] = len(self._ids)
            self._ids.append(row_id)

    def remove(self, place: int) -> None:
        """Take one id out; those after it move up."""
        del self._places[self._ids.pop(place)]
        for number in range(place, len(self._ids)):
            self._places[self._ids[number]] = number
        first = place // WINDOW
        for number in [key for key in self._windows if key >= first]:
            del self._windows[number]

    def record(self, place: int) -> T | None:
        """The record at a place; None if its row is gone from the project."""
        number = place // WINDOW
        window = self._windows.get(number)
        if window is None:
            wanted = self._ids[number * WINDOW : (number + 1) * WINDOW]
            window = {record.id: record for record in self._fetch(wanted)}  # type: ignore[attr-defined]
            self._windows[number] = window
            if len(self._windows) > KEPT_WINDOWS:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(number)
        return window.get(self._ids[place])

    def forget(self, ids: Iterable[int]) -> list[int]:
        """The records of these ids have changed: read them again. Returns their places."""
        places = [self._places[row_id] for row_id in ids if row_id in self._places]
        for number in {place // WINDOW for place in places}:
            self._windows.pop(number, None)
        return places
