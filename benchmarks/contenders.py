"""What is compared: distqueue, other queues that sync, and the limit that the disk sets.

Each does the same load, and everything it acknowledges is on the disk by then.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Final

import orjson
from huey.storage import SqliteStorage
from litequeue import LiteQueue

from distqueue import Queue

PAYLOAD: Final = {"to": "someone@example.org", "subject": "Your order", "body": "x" * 135}
"""About 200 bytes of JSON."""


class Contender(ABC):
    """A queue that one process puts tasks into and takes them out of."""

    @abstractmethod
    def put(self, batch: list[Any]) -> None:
        """Store tasks in one commit."""

    @abstractmethod
    def take(self, count: int) -> list[Any]:
        """Claim that many tasks and acknowledge them; return what was there."""

    @abstractmethod
    def close(self) -> None:
        """Free everything."""


class Distqueue(Contender):
    """The queue that is measured, at any URL."""

    def __init__(self, url: str) -> None:
        self.queue = Queue(url)

    def put(self, batch: list[Any]) -> None:
        if len(batch) == 1:
            self.queue.put(batch[0])
        else:
            self.queue.put_many(batch)

    def take(self, count: int) -> list[Any]:
        deliveries = self.queue.get_many(count, timeout=0)
        self.queue.ack_many(deliveries)
        return [delivery.data for delivery in deliveries]

    def close(self) -> None:
        self.queue.close()


class Litequeue(Contender):
    """litequeue; it sets ``synchronous=NORMAL``, which is put right here."""

    def __init__(self, path: Path) -> None:
        self._queue = LiteQueue(str(path), timeout=30.0)
        self._queue.conn.execute("PRAGMA synchronous = FULL")

    def put(self, batch: list[Any]) -> None:
        if len(batch) == 1:
            self._queue.put(orjson.dumps(batch[0]).decode())
            return
        with self._queue.transaction(mode="IMMEDIATE"):
            for data in batch:
                self._queue.put(orjson.dumps(data).decode())

    def take(self, count: int) -> list[Any]:
        """Claim one after another, as there is no claim of many."""
        taken: list[Any] = []
        while len(taken) < count and (message := self._queue.pop()) is not None:
            self._queue.done(message.message_id, claim_id=message.claim_id)
            taken.append(orjson.loads(message.data))
        return taken

    def close(self) -> None:
        self._queue.close()


class Huey(Contender):
    """huey's storage in SQLite with ``fsync=True``; it removes a task when it is taken."""

    def __init__(self, path: Path) -> None:
        self._storage = SqliteStorage(filename=str(path), fsync=True)

    def put(self, batch: list[Any]) -> None:
        for data in batch:
            self._storage.enqueue(orjson.dumps(data))

    def take(self, count: int) -> list[Any]:
        taken: list[Any] = []
        while len(taken) < count and (data := self._storage.dequeue()) is not None:
            taken.append(orjson.loads(data))
        return taken

    def close(self) -> None:
        self._storage.close()


class RawLog:
    """The limit: bytes that are there already, one write into a file laid ahead, one ``fdatasync``."""

    def __init__(self, path: Path, room: int) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._at = 0
        while room > 0:
            room -= os.write(self._fd, b" " * min(room, 1 << 22))
        os.fsync(self._fd)

    def commit(self, block: bytes) -> None:
        """Append a block."""
        os.pwrite(self._fd, block, self._at)
        os.fdatasync(self._fd)
        self._at += len(block)

    def close(self) -> None:
        os.close(self._fd)


def last_commits(store: Path, count: int) -> list[bytes]:
    """Return the newest commits of a ``Queue.json`` as they were written, brackets included."""
    lines = store.read_bytes().rstrip().removesuffix(b"\n]}").split(b"\n")
    return [b",\n" + line.rstrip(b",") + b"\n]}" for line in lines[-count:]]
