"""The memory for tasks that are gone, in the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from distqueue_backends.sqlite.schema import MOST_NUMBER
from distqueue_backends.table.remembered import Gone, Remembered

if TYPE_CHECKING:
    from distqueue_backends.sqlite.table import SqlTable

TRIM_EVERY: Final = 64
"""After how many new ones those that are over are deleted: each time pages of the database change."""

_COLUMNS: Final = "id, at, payload_crc, settled, deliveries, token"
_BY_ID: Final = f"SELECT key, {_COLUMNS} FROM distqueue_gone WHERE queue = ? AND id = ?"
_RANGE: Final = "FROM distqueue_gone WHERE key BETWEEN ? AND ?"
_PAGE: Final = f"SELECT key, {_COLUMNS} {_RANGE} ORDER BY key LIMIT ?"
_INSERT: Final = (
    f"INSERT OR REPLACE INTO distqueue_gone (key, queue, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_TRIM: Final = (
    f"DELETE FROM distqueue_gone WHERE key IN (SELECT key {_RANGE} ORDER BY key LIMIT ?)"
    " AND (key <= ? OR at <= ?)"
)


class SqlRemembered(Remembered):
    """The newest ``most`` tasks that went in the last ``window`` seconds."""

    def __init__(self, table: SqlTable, window: float, most: int) -> None:
        super().__init__(window, most)
        self._table = table
        self.begin()

    def begin(self) -> None:
        """Let a transaction begin."""
        self._newest: int | None = None
        self._added = 0
        self._at = 0.0

    def __len__(self) -> int:
        first, last = self._table.keys
        oldest = max(first, self.newest - self._most + 1)
        return int(self._table.value(f"SELECT count(*) {_RANGE}", oldest, last))

    def __iter__(self) -> Iterator[Gone]:
        return (Gone(*row[1:]) for row in self._table.rows(_PAGE, *self._table.keys, -1))

    def page(self, limit: int, after: int | None) -> tuple[list[Gone], int | None]:
        first, last = self._table.keys
        found = self._table.rows(_PAGE, first + (after or 0) + 1, last, limit).fetchall()
        following = found[-1][0] & MOST_NUMBER if len(found) == limit else None
        return [Gone(*row[1:]) for row in found], following

    def get(self, task_id: str, now: float) -> Gone | None:
        row = self._table.rows(_BY_ID, self._table.queue, task_id).fetchone()
        is_known = row is not None and now - row[2] < self._window and row[0] > self.newest - self._most
        return Gone(*row[1:]) if is_known else None

    @property
    def newest(self) -> int:
        """The key of the newest one."""
        if self._newest is None:
            first, last = self._table.keys
            self._newest = self._table.value(f"SELECT max(key) {_RANGE}", first, last) or first
        return self._newest

    def add(self, gone: Gone) -> None:
        key = self.newest + 1
        self._table.rows(
            _INSERT,
            key,
            self._table.queue,
            gone.task_id,
            gone.at,
            gone.checksum,
            gone.settled,
            gone.deliveries,
            gone.token,
        )
        self._newest = key
        self._added += 1
        self._at = gone.at

    def trim(self) -> None:
        """Now and then, forget those that are too many or whose time is over: twice as many as are new."""
        if not self._added or (self.newest % TRIM_EVERY >= self._added and self._most):
            return
        most = 2 * max(self._added, TRIM_EVERY)
        self._table.rows(_TRIM, *self._table.keys, most, self.newest - self._most, self._at - self._window)
