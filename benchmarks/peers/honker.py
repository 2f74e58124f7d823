"""honker: SQLite, claims with leases, acks. ``synchronous=NORMAL`` is fixed; FULL is forced on its writer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import honker

from benchmarks.peers.peer import DEFAULT, FSYNC, LEASE, Peer, Setting
from distqueue.capabilities import Durability


class Honker(Peer):
    """A claim or an ack of many is one commit."""

    def __init__(self, directory: str, *, is_synced: bool = True) -> None:
        self._database: Any = honker.open(f"{directory}honker.db")
        self._queue: Any = self._database.queue("bench", visibility_timeout_s=int(LEASE))
        self._worker = f"worker-{os.getpid()}"
        self._claimed: list[int] = []
        if is_synced:
            with self._database.transaction() as writer:
                # The level cannot be changed within a transaction, and only there is its writer at hand.
                writer.execute("COMMIT")
                writer.execute("PRAGMA synchronous = FULL")
                writer.execute("BEGIN IMMEDIATE")

    def put(self, batch: Sequence[object]) -> None:
        if len(batch) == 1:
            self._queue.enqueue(batch[0])
            return
        with self._database.transaction() as transaction:
            for data in batch:
                self._queue.enqueue(data, tx=transaction)

    def claim_now(self, count: int) -> list[Any]:
        tasks = self._queue.claim_batch(self._worker, count)
        self._claimed = [task.id for task in tasks]
        return [task.payload for task in tasks]

    def ack(self) -> None:
        if self._claimed:
            self._queue.ack_batch(self._claimed, self._worker)

    def left(self) -> int:
        return int(self._database.query("SELECT count(*) AS n FROM _honker_live")[0]["n"])

    def close(self) -> None:
        self._database.close()


SETTINGS: Final = [
    Setting("honker", DEFAULT, Durability.FLUSH, partial(Honker, is_synced=False)),
    Setting("honker", FSYNC, Durability.FSYNC, Honker),
]
