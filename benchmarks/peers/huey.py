"""huey's storage in SQLite. Its default is that of SQLite, which syncs every commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson
from huey.storage import SqliteStorage

from benchmarks.peers.peer import DEFAULT_IS_FSYNC, Peer, Setting, one_by_one
from distqueue.capabilities import Durability


class Huey(Peer):
    """To take a task is to remove it: there is no ack."""

    def __init__(self, directory: str) -> None:
        self._storage = SqliteStorage(filename=f"{directory}huey.db", fsync=True)

    def put(self, batch: Sequence[object]) -> None:
        one_by_one(batch, lambda data: self._storage.enqueue(orjson.dumps(data)))

    def claim_now(self, count: int) -> list[Any]:
        taken: list[Any] = []
        while len(taken) < count and (data := self._storage.dequeue()) is not None:
            taken.append(orjson.loads(data))
        return taken

    def left(self) -> int:
        return int(self._storage.queue_size())

    def close(self) -> None:
        self._storage.close()


SETTINGS: Final = [Setting("huey SqliteStorage", DEFAULT_IS_FSYNC, Durability.FSYNC, Huey, most_at_once=1)]
