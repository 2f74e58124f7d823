"""The programs that are compared: ours on each store, taskiq on Valkey, huey on SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from itertools import batched
from typing import Final

from redis import Redis
from taskiq_redis import ListQueueBroker, RedisStreamBroker

from benchmarks.peers.ours import served
from benchmarks.workers import handlers_huey, handlers_taskiq
from benchmarks.workers.handlers_taskiq import TaskiqBroker
from benchmarks.workers.ours import Ours
from benchmarks.workers.system import Store, System
from benchmarks.workers.valkey import Fsync, serving

IN_FLIGHT: Final = 50
"""How many tasks taskiq's client stores at the same time where it may: its connections."""


class Taskiq(Store):
    """A list or a stream in Valkey; ``taskiq worker`` runs 100 handlers at a time."""

    def __init__(self, url: str, kind: type[TaskiqBroker]) -> None:
        factory = handlers_taskiq.lists if kind is ListQueueBroker else handlers_taskiq.streams
        broker = f"{handlers_taskiq.__name__}:{factory.__name__}"
        super().__init__(url, ["taskiq", "worker", broker, "--workers", "1"])
        self._broker, self._note = handlers_taskiq.make(kind, url)
        self._redis = Redis.from_url(url)
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._broker.startup())

    def enqueue(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._together([number])

    def fill(self, numbers: Sequence[int]) -> None:
        for some in batched(numbers, IN_FLIGHT):
            self._together(some)

    def left(self) -> int:
        if isinstance(self._broker, RedisStreamBroker):
            (group,) = self._redis.xinfo_groups("taskiq")
            return int(group["pending"]) + int(group["lag"])
        return int(self._redis.llen("taskiq"))

    def close(self) -> None:
        self._loop.run_until_complete(self._broker.shutdown())
        self._loop.close()
        self._redis.close()

    def _together(self, numbers: Sequence[int]) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(*[self._note.kiq(number) for number in numbers])

        self._loop.run_until_complete(all_of_them())


class Huey(Store):
    """SQLite, every commit synced; ``huey_consumer`` with threads."""

    def __init__(self, path: str, threads: int) -> None:
        consumed = f"{handlers_huey.__name__}.consumed"
        super().__init__(path, ["huey.bin.huey_consumer", consumed, "-w", str(threads), "-k", "thread"])
        self._huey, self._note = handlers_huey.make(path)

    def enqueue(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._note(number)

    def fill(self, numbers: Sequence[int]) -> None:
        self.enqueue(numbers)

    def left(self) -> int:
        return int(self._huey.pending_count())

    def close(self) -> None:
        self._huey.storage.close()


@contextmanager
def _ours(place: str, concurrency: int, is_served: bool, directory: str) -> Iterator[Store]:
    url = place.format(directory)
    with served(url) if is_served else nullcontext(), closing(Ours(url, concurrency)) as store:
        yield store


@contextmanager
def _taskiq(kind: type[TaskiqBroker], appendfsync: Fsync, directory: str) -> Iterator[Store]:
    with serving(directory, appendfsync) as url, closing(Taskiq(url, kind)) as store:
        yield store


@contextmanager
def _huey(threads: int, directory: str) -> Iterator[Store]:
    with closing(Huey(f"{directory}/huey.db", threads)) as store:
        yield store


def sqlite(concurrency: int = 8) -> System:
    """Ours, in SQLite."""
    return System(f"sqlite, -c {concurrency}", partial(_ours, "sqlite:///{}/jobs.db", concurrency, False))


def json(concurrency: int = 8) -> System:
    """Ours, in a ``Queue.json`` that worker and publisher share."""
    return System(f"json, -c {concurrency}", partial(_ours, "json:///{}/Queue.json", concurrency, False))


def broker_process(concurrency: int = 8) -> System:
    """Ours, in a ``Queue.json`` behind a broker process."""
    name = f"json through a broker process, -c {concurrency}"
    return System(name, partial(_ours, "json:///{}/Queue.json", concurrency, True))


def taskiq_lists(appendfsync: Fsync) -> System:
    """taskiq, which removes a task when it takes it."""
    return System(f"taskiq list, {appendfsync}", partial(_taskiq, ListQueueBroker, appendfsync))


def taskiq_streams(appendfsync: Fsync) -> System:
    """taskiq, which acknowledges a task."""
    return System(f"taskiq stream, {appendfsync}", partial(_taskiq, RedisStreamBroker, appendfsync))


def huey(threads: int = 8) -> System:
    """huey, which removes a task when it takes it."""
    return System(f"huey, {threads} threads", partial(_huey, threads))
