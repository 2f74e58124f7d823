"""The memory for tasks that are gone, so that publishing one again does not store it again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, KeysView
from itertools import islice

import msgspec


class Gone(
    msgspec.Struct,
    frozen=True,
    gc=False,
    omit_defaults=True,
    rename={"task_id": "id", "checksum": "payload_crc"},
):
    """What is left of a task: when and by which verb it went, and its last delivery."""

    task_id: str
    at: float
    checksum: int
    settled: str
    deliveries: int = 0
    token: str | None = None


class Remembered:
    """The newest ``most`` tasks that went in the last ``window`` seconds."""

    def __init__(self, window: float, most: int) -> None:
        self._window = window
        self._most = most
        self._by_id: dict[str, Gone] = {}
        self._order: deque[Gone] = deque()
        self._dropped = 0
        self.size = 0

    @property
    def ids(self) -> KeysView[str]:
        """The ids, also those whose time is over but that nobody has forgotten yet."""
        return self._by_id.keys()

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Gone]:
        """Go through what is remembered, the oldest first."""
        return (gone for gone in self._order if self._by_id.get(gone.task_id) is gone)

    def page(self, limit: int, after: int | None) -> tuple[list[Gone], int | None]:
        """Return up to ``limit`` of them, and where the next page begins, whatever is dropped meanwhile."""
        start = max(after or 0, self._dropped)
        stop = start + limit
        page = islice(self._order, start - self._dropped, stop - self._dropped)
        known = [gone for gone in page if self._by_id.get(gone.task_id) is gone]
        return known, stop if stop < self._dropped + len(self._order) else None

    def get(self, task_id: str, now: float) -> Gone | None:
        """Return what is remembered of a task at ``now``, if anything."""
        gone = self._by_id.get(task_id)
        return gone if gone is not None and now - gone.at < self._window else None

    def add(self, gone: Gone) -> None:
        """Remember a task, and forget those whose time is over."""
        by_id, order, now = self._by_id, self._order, gone.at
        if (earlier := by_id.get(gone.task_id)) is not None:
            self.size -= _size_of(earlier)
        by_id[gone.task_id] = gone
        order.append(gone)
        self.size += _size_of(gone)
        # One that went again since is to go, too, as no snapshot has it.
        while order and (
            len(by_id) > self._most
            or now - (first := order[0]).at >= self._window
            or by_id.get(first.task_id) is not first
        ):
            self._forget(order.popleft())
            self._dropped += 1

    def _forget(self, gone: Gone) -> None:
        if self._by_id.get(gone.task_id) is gone:
            del self._by_id[gone.task_id]
            self.size -= _size_of(gone)


def _size_of(gone: Gone) -> int:
    """Return about how many bytes it takes in a file."""
    return 78 + len(gone.task_id) + (26 + len(gone.token) if gone.token else 0)
