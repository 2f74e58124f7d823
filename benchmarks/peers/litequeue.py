"""litequeue: SQLite, claims and acks. It sets ``synchronous=NORMAL`` itself; FULL is set after it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import orjson
from litequeue import LiteQueue

from benchmarks.peers.peer import DEFAULT, FSYNC, Peer, Setting
from distqueue.capabilities import Durability


class Litequeue(Peer):
    """A claim is of one task, and stays until somebody calls ``retry_expired``."""

    def __init__(self, directory: str, *, is_synced: bool = True) -> None:
        self._queue = LiteQueue(f"{directory}lite.db", timeout=30.0)
        if is_synced:
            self._queue.conn.execute("PRAGMA synchronous = FULL")
        self._claimed: list[Any] = []

    def put(self, batch: Sequence[object]) -> None:
        if len(batch) == 1:
            self._queue.put(orjson.dumps(batch[0]).decode())
            return
        with self._queue.transaction(mode="IMMEDIATE"):
            for data in batch:
                self._queue.put(orjson.dumps(data).decode())

    def claim_now(self, count: int) -> list[Any]:
        self._claimed = []
        while len(self._claimed) < count and (task := self._queue.pop()) is not None:
            self._claimed.append(task)
        return [orjson.loads(task.data) for task in self._claimed]

    def ack(self) -> None:
        for task in self._claimed:
            self._queue.done(task.message_id, claim_id=task.claim_id)

    def left(self) -> int:
        return int(self._queue.ready_count() + self._queue.locked_count())

    def close(self) -> None:
        self._queue.close()


SETTINGS: Final = [
    Setting("litequeue", DEFAULT, Durability.FLUSH, partial(Litequeue, is_synced=False)),
    Setting("litequeue", FSYNC, Durability.FSYNC, Litequeue),
]
