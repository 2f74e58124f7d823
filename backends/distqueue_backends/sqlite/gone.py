"""The memory for tasks that are gone, in the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from distqueue_backends.table.remembered import Gone, Remembered

if TYPE_CHECKING:
    from distqueue_backends.sqlite.table import SqlTable

_COLUMNS: Final = "id, at, payload_crc, settled, deliveries, token"
_SELECT: Final = f"SELECT {_COLUMNS} FROM gone WHERE queue = ? "
_INSERT: Final = f"INSERT INTO gone (queue, seq, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_TRIM: Final = (
    "DELETE FROM gone WHERE queue = ? AND seq IN"
    " (SELECT seq FROM gone WHERE queue = ? ORDER BY seq LIMIT ?) AND at <= ?"
)


class SqlRemembered(Remembered):
    """The newest ``most`` tasks that went in the last ``window`` seconds; ``count`` of them are there."""

    def __init__(self, table: SqlTable, next_seq: int, count: int, window: float, most: int) -> None:
        super().__init__(window, most)
        self._table = table
        self.next_seq = next_seq
        self._count = count
        self._added = 0
        self._newest = 0.0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Gone]:
        return (Gone(*row) for row in self._table.execute(_SELECT + "ORDER BY seq"))

    def page(self, limit: int, after: int | None) -> tuple[list[Gone], int | None]:
        found = self._table.execute(
            f"SELECT seq, {_COLUMNS} FROM gone WHERE queue = ? AND seq > ? ORDER BY seq LIMIT ?",
            after or 0,
            limit,
        ).fetchall()
        return [Gone(*row[1:]) for row in found], found[-1][0] if len(found) == limit else None

    def get(self, task_id: str, now: float) -> Gone | None:
        row = self._table.execute(_SELECT + "AND id = ?", task_id).fetchone()
        return Gone(*row) if row is not None and now - row[1] < self._window else None

    def add(self, gone: Gone) -> None:
        forgotten = self._table.execute("DELETE FROM gone WHERE queue = ? AND id = ?", gone.task_id)
        self._table.execute(
            _INSERT,
            self.next_seq,
            gone.task_id,
            gone.at,
            gone.checksum,
            gone.settled,
            gone.deliveries,
            gone.token,
        )
        self.next_seq += 1
        self._count += 1 - forgotten.rowcount
        self._added += 1
        self._newest = gone.at

    def trim(self) -> None:
        """Forget those that are too many, and of those whose time is over twice as many as are new."""
        if not self._added:
            return
        queue = self._table.queue
        if (over := self._count - self._most) > 0:
            self._count -= self._table.execute(_TRIM, queue, over, self._newest + 1e12).rowcount
        outdated = self._newest - self._window
        self._count -= self._table.execute(_TRIM, queue, 2 * self._added + 8, outdated).rowcount
