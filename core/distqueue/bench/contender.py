"""What a load runs on: distqueue at any URL, or another queue behind the same few verbs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NamedTuple

from distqueue.delivery import Delivery
from distqueue.opening import open_broker
from distqueue.queue import Queue


class Contender(ABC):
    """A queue in an open store. Each process that takes part has one of its own."""

    @abstractmethod
    def put(self, batch: Sequence[object]) -> None:
        """Store tasks, in one commit if there is a way; return once they are acknowledged."""

    @abstractmethod
    def claim(self, count: int, timeout: float = 0.0) -> list[Any]:
        """Claim up to so many tasks and return their payloads; wait for the first, in seconds."""

    @abstractmethod
    def ack(self) -> None:
        """Acknowledge what the last claim returned."""

    @abstractmethod
    def left(self) -> int:
        """Return how many tasks the store has that nobody has acknowledged."""

    @abstractmethod
    def close(self) -> None:
        """Free everything."""

    def take(self, count: int, timeout: float = 0.0) -> list[Any]:
        """Claim up to so many tasks, acknowledge them, and return their payloads."""
        payloads = self.claim(count, timeout)
        self.ack()
        return payloads


type Opening = Callable[[], Contender]
"""Opens a store; other processes are given it too, so it can be pickled."""


class Subject(NamedTuple):
    """What is measured: the name that it has in the results, and how a new store of it is made."""

    name: str
    durability: str
    """What an acknowledged task survives, in the words of :class:`~distqueue.capabilities.Durability`."""
    fresh: Callable[[], AbstractContextManager[Opening]]
    """Makes a store of its own for a load, which is gone when the block ends."""
    is_shared: bool = True
    """Whether several processes may use a store."""
    most_at_once: int | None = None
    """The largest batch; ``None`` if any will do, 1 if there is no call for many."""


class Distqueue(Contender):
    """A queue at any URL, without the configuration and the observers of where it runs."""

    def __init__(self, url: str, name: str = "bench", lease: float = 30.0) -> None:
        self.queue = Queue.opened_by(partial(open_broker, url, observers=()), name)
        self.queue.capabilities()  # opens the store, so that no call has to
        self._lease = lease
        self._deliveries: list[Delivery] = []

    def put(self, batch: Sequence[object]) -> None:
        if len(batch) == 1:
            self.queue.put(batch[0])
        else:
            self.queue.put_many(batch)

    def claim(self, count: int, timeout: float = 0.0) -> list[Any]:
        self._deliveries = self.queue.get_many(count, timeout, self._lease)
        return [delivery.data for delivery in self._deliveries]

    def ack(self) -> None:
        if len(self._deliveries) == 1:
            self._deliveries[0].ack()
        else:
            self.queue.ack_many(self._deliveries)

    def left(self) -> int:
        stats = self.queue.stats()
        return stats.ready + stats.scheduled + stats.leased

    def close(self) -> None:
        self.queue.close()
