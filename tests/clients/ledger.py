"""A small broker that remembers each call of ``apply`` and can be held, slowed down and broken."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue

import msgspec

from distqueue.broker import Broker
from distqueue.capabilities import Capabilities
from distqueue.commands import Command, Put
from distqueue.errors import Closed
from distqueue.results import Outcome, Seen, Stored
from distqueue_backends.memory import MEMORY_CAPABILITIES


class Ledger(Broker):
    """Answers puts only. ``faults`` are raised, one a call, before anything is written down."""

    def __init__(self, *, pause: float = 0.0, max_batch: int = 10_000) -> None:
        self.batches: list[list[Put]] = []
        self.faults: list[BaseException] = []
        self.pause = pause
        self.is_closed = False
        self.running: SimpleQueue[None] = SimpleQueue()  # as an interrupt leaves a semaphore locked
        self.gate = threading.Event()
        self.gate.set()
        self._is_busy = False  # a lock would stay taken where an interrupt strikes between acquire() and try
        self._capabilities = msgspec.structs.replace(MEMORY_CAPABILITIES, max_batch=max_batch)

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        assert not self._is_busy, "two threads at the same time"
        self._is_busy = True
        try:
            if self.is_closed:
                raise Closed("closed")
            self.running.put(None)
            self.gate.wait()
            if self.pause:
                time.sleep(self.pause)
            if self.faults:
                raise self.faults.pop(0)
            puts = [command for command in commands if isinstance(command, Put)]
            self.batches.append(puts)
            return [Stored(task_id=put.task_id) for put in puts]
        finally:
            self._is_busy = False

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        return Seen(seen.version + 1)

    def close(self) -> None:
        assert not self._is_busy
        self.is_closed = True

    def task_ids(self) -> list[str]:
        """Return the ids of all tasks, in the order in which they were carried out."""
        return [put.task_id for batch in self.batches for put in batch]


def put(task_id: str, size: int = 2) -> Put:
    return Put(queue="default", task_id=task_id, data=b"1" * size)
