"""For which tasks something happens by itself, and when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from itertools import count

from distqueue_backends.table.entry import Entry


class Agenda:
    """Tasks for which something happens at a time: the earliest first.

    ``holds`` tells whether a note still stands: a task may have gone another way since.
    """

    def __init__(self, holds: Callable[[Entry, float], bool]) -> None:
        self._holds = holds
        self._heap: list[tuple[float, int, Sequence[Entry]]] = []
        self._serial = count()
        self._size = 0
        self._bound = 64

    def add(self, at: float, entries: Sequence[Entry]) -> None:
        """Note that something happens to tasks."""
        heappush(self._heap, (at, next(self._serial), entries))
        self._size += len(entries)
        if self._size > self._bound:
            self._tidy()

    def next_at(self) -> float | None:
        """Return when the next thing happens."""
        heap = self._heap
        while heap:
            at, _, entries = heap[0]
            if any(self._holds(entry, at) for entry in entries):
                return at
            heappop(heap)
            self._size -= len(entries)
        return None

    def take_until(self, now: float) -> list[Entry]:
        """Take out the tasks whose time has come: by that time, at one time in the order of publishing."""
        heap = self._heap
        if not heap or heap[0][0] > now:
            return []
        come: dict[int, tuple[float, Entry]] = {}
        while heap and heap[0][0] <= now:
            at, _, entries = heappop(heap)
            self._size -= len(entries)
            come.update((id(entry), (at, entry)) for entry in entries if self._holds(entry, at))
        return [entry for _, entry in sorted(come.values(), key=lambda each: (each[0], each[1].number))]

    def _tidy(self) -> None:
        """Drop what holds no longer; amortised, each note is looked at twice."""
        kept = [
            (at, serial, [entry for entry in entries if self._holds(entry, at)])
            for at, serial, entries in self._heap
        ]
        self._heap = [note for note in kept if note[2]]
        heapify(self._heap)
        self._size = sum(len(note[2]) for note in self._heap)
        self._bound = 64 + 2 * self._size
