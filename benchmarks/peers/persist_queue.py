"""persist-queue: its ``Queue`` in files, and its two queues in SQLite, which sync every commit by default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson
import persistqueue
from persistqueue.exceptions import Empty

from benchmarks.peers.peer import DEFAULT, DEFAULT_IS_FSYNC, Peer, Setting, one_by_one
from distqueue.capabilities import Durability


class Files(Peer):
    """A file for 100 tasks, synced when it is full. A task is gone once ``task_done`` was called."""

    def __init__(self, directory: str) -> None:
        # Its other files have to be on the same disk as the queue, says its documentation.
        self._queue: Any = persistqueue.Queue(f"{directory}files", tempdir=directory)
        self._claimed = 0

    def put(self, batch: Sequence[object]) -> None:
        one_by_one(batch, lambda data: self._queue.put(orjson.dumps(data)))

    def claim_now(self, count: int) -> list[Any]:
        taken = _taken(self._queue, count)
        self._claimed = len(taken)
        return taken

    def ack(self) -> None:
        for _ in range(self._claimed):
            self._queue.task_done()

    def left(self) -> int:
        return int(self._queue.qsize())

    def close(self) -> None:
        self._queue.headf.close()
        self._queue.tailf.close()


class Rows(Peer):
    """``SQLiteQueue``: to take a task is to remove it, there is no ack."""

    def __init__(self, directory: str) -> None:
        self._queue: Any = persistqueue.SQLiteQueue(f"{directory}rows")

    def put(self, batch: Sequence[object]) -> None:
        one_by_one(batch, lambda data: self._queue.put(orjson.dumps(data)))

    def claim_now(self, count: int) -> list[Any]:
        return _taken(self._queue, count)

    def left(self) -> int:
        return int(self._queue._count())  # what it has counted itself leaves other processes out

    def close(self) -> None:
        self._queue.close()


class Acked(Peer):
    """``SQLiteAckQueue``: what is not acked is handed out again once somebody opens the queue anew."""

    def __init__(self, directory: str) -> None:
        self._queue: Any = persistqueue.SQLiteAckQueue(f"{directory}acked")
        self._claimed: list[int] = []

    def put(self, batch: Sequence[object]) -> None:
        one_by_one(batch, lambda data: self._queue.put(orjson.dumps(data)))

    def claim_now(self, count: int) -> list[Any]:
        self._claimed = []
        payloads: list[Any] = []
        try:
            while len(payloads) < count:
                task = self._queue.get(block=False, raw=True)
                self._claimed.append(task["pqid"])
                payloads.append(orjson.loads(task["data"]))
        except Empty:
            pass
        return payloads

    def ack(self) -> None:
        for number in self._claimed:
            self._queue.ack(id=number)

    def left(self) -> int:
        return int(self._queue._count() + self._queue.unack_count())

    def close(self) -> None:
        self._queue.close()


def _taken(queue: Any, count: int) -> list[Any]:
    payloads: list[Any] = []
    try:
        while len(payloads) < count:
            payloads.append(orjson.loads(queue.get(block=False)))
    except Empty:
        pass
    return payloads


SETTINGS: Final = [
    Setting("persist-queue Queue", DEFAULT, Durability.FLUSH, Files, is_shared=False, most_at_once=1),
    Setting("persist-queue SQLiteQueue", DEFAULT_IS_FSYNC, Durability.FSYNC, Rows, most_at_once=1),
    Setting("persist-queue SQLiteAckQueue", DEFAULT_IS_FSYNC, Durability.FSYNC, Acked, most_at_once=1),
]
