"""What everybody writes first: a table, and a loop that takes a row with ``SKIP LOCKED``, one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.peers.peer import Peer
from benchmarks.postgresql.databases import Entry

_TABLE: Final = """
CREATE TABLE tasks (id bigserial PRIMARY KEY, data jsonb NOT NULL, due timestamptz NOT NULL DEFAULT now());
CREATE INDEX tasks_due ON tasks (due, id);
"""
_CLAIM: Final = """
UPDATE tasks SET due = now() + interval '30 seconds' WHERE id = (
    SELECT id FROM tasks WHERE due <= now() ORDER BY due, id LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id, data
"""


class SkipLocked(Peer):
    """A row and a commit a task, with a lease; to acknowledge it is to delete it."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._claimed: list[int] = []

    def put(self, batch: Sequence[object]) -> None:
        for data in batch:
            self._connection.execute("INSERT INTO tasks (data) VALUES (%s)", (Jsonb(data),))

    def claim_now(self, count: int) -> list[Any]:
        rows: list[tuple[int, Any]] = []
        while len(rows) < count and (row := self._connection.execute(_CLAIM).fetchone()) is not None:
            rows.append(row)
        self._claimed = [row[0] for row in rows]
        return [row[1] for row in rows]

    def ack(self) -> None:
        for number in self._claimed:
            self._connection.execute("DELETE FROM tasks WHERE id = %s", (number,))

    def left(self) -> int:
        (count,) = self._connection.execute("SELECT count(*) FROM tasks").fetchone() or (0,)
        return int(count)

    def close(self) -> None:
        self._connection.close()


def install(url: str) -> None:
    """Make the table."""
    with psycopg.connect(url) as connection:
        connection.execute(_TABLE)


SKIP_LOCKED: Final = Entry("SKIP LOCKED loop", install, SkipLocked)
