"""The line of ready tasks of one priority, in the order of their places."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush, merge

from distqueue_backends.table.entry import READY, Entry


class Line:
    """New tasks stand in a row, those that came back to an earlier place in a heap beside it.

    Loaded tasks may share a place: their numbers, which are unique, decide.

    A task that is cancelled stays in the line until it is met at the head, or until such tasks are
    the greater part.
    """

    def __init__(self) -> None:
        self._row: deque[Entry] = deque()
        self._returned: list[tuple[int, int, Entry]] = []
        self._left = 0

    def add(self, entry: Entry) -> None:
        """Let a task stand at its place."""
        row, place = self._row, entry.place or 0
        if not row or place > (row[-1].place or 0):
            row.append(entry)
        else:
            heappush(self._returned, (place, entry.number, entry))

    def extend(self, entries: Sequence[Entry]) -> None:
        """Let new tasks stand at the end."""
        if self._row and (self._row[-1].place or 0) >= (entries[0].place or 0):
            for entry in entries:
                self.add(entry)
        else:
            self._row.extend(entries)

    def leave(self) -> None:
        """Note that a task in the line is ready no more."""
        self._left += 1
        if self._left > 1000 and self._left * 2 > len(self._row) + len(self._returned):
            self._row = deque(entry for entry in self._row if entry.state == READY)
            self._returned = sorted(item for item in self._returned if item[2].state == READY)
            self._left = 0

    def first(self) -> Entry | None:
        """Return the first task, which stays, ``None`` if nobody is there."""
        row, returned = self._row, self._returned
        while row or returned:
            is_back = bool(returned) and (not row or returned[0][:2] < _standing(row[0]))
            entry = returned[0][2] if is_back else row[0]
            if entry.state == READY:
                return entry
            heappop(returned) if is_back else row.popleft()
            self._left -= 1
        return None

    def pop(self) -> Entry | None:
        """Take out the first task, ``None`` if nobody is there."""
        entry = self.first()
        if entry is not None:
            if self._row and self._row[0] is entry:
                self._row.popleft()
            else:
                heappop(self._returned)
        return entry

    def __iter__(self) -> Iterator[Entry]:
        returned = (entry for *_, entry in sorted(self._returned))
        for entry in merge(self._row, returned, key=_standing):
            if entry.state == READY:
                yield entry


def _standing(entry: Entry) -> tuple[int, int]:
    return entry.place or 0, entry.number
