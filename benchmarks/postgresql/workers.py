"""The programs that run handlers with a PostgreSQL, each in a database of its own on the same server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import batched
from typing import Final

import asyncpg
from pgqueuer import Queries
from procrastinate import App, PsycopgConnector
from procrastinate.types import JSONDict

from benchmarks.postgresql.databases import Databases, Entry
from benchmarks.postgresql.loop import Loop
from benchmarks.postgresql.ours import OURS
from benchmarks.postgresql.pgqueuer import NOTE, PGQUEUER
from benchmarks.postgresql.procrastinate import PROCRASTINATE
from benchmarks.workers import (
    handlers_distqueue,
    handlers_distqueue_async,
    handlers_pgqueuer,
    handlers_procrastinate,
)
from benchmarks.workers.ours import Ours
from benchmarks.workers.system import Store, System

_MANY: Final = 1000


class Procrastinate(Store):
    """``procrastinate worker``, which claims and finishes tasks one by one."""

    def __init__(self, url: str, concurrency: int) -> None:
        app = f"--app={handlers_procrastinate.__name__}.app"
        options = ["--log-level=warning", "worker", f"--concurrency={concurrency}"]
        super().__init__(url, ["procrastinate", app, *options])
        self._loop = Loop()
        self._app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=1))
        self._put = self._app.configure_task("note")
        self._loop.run(self._app.open_async())

    def enqueue(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._loop.run(self._put.defer_async(number=number))

    def fill(self, numbers: Sequence[int]) -> None:
        for some in batched(numbers, _MANY):
            tasks: list[JSONDict] = [{"number": number} for number in some]
            self._loop.run(self._put.batch_defer_async(*tasks))

    def left(self) -> int:
        jobs = self._loop.run(self._app.job_manager.list_jobs_async())
        return sum(job.status in ("todo", "doing") for job in jobs)

    def close(self) -> None:
        self._loop.run(self._app.close_async())
        self._loop.close()


class Pgqueuer(Store):
    """A worker of pgqueuer, which claims and acknowledges batches."""

    def __init__(self, url: str, batch: int) -> None:
        super().__init__(url, [handlers_pgqueuer.__name__, str(batch)])
        self._loop = Loop()
        self._connection = self._loop.run(asyncpg.connect(url))
        self._queries = Queries.from_asyncpg_connection(self._connection)

    def enqueue(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._loop.run(self._queries.enqueue(NOTE, b"%d" % number))

    def fill(self, numbers: Sequence[int]) -> None:
        for some in batched(numbers, _MANY):
            payloads: list[bytes | None] = [b"%d" % number for number in some]
            self._loop.run(self._queries.enqueue([NOTE] * len(some), payloads, [0] * len(some)))

    def left(self) -> int:
        return sum(each.count for each in self._loop.run(self._queries.queue_size()))

    def close(self) -> None:
        self._loop.run(self._connection.close())
        self._loop.close()


def ours(databases: Databases, concurrency: int, handlers: str = "functions") -> System:
    """``distqueue work``, with handlers that are plain functions, or coroutines as those of the others.

    Like the others it does not log each task.
    """
    name = f"distqueue, -c {concurrency}, {handlers}"
    module = {"functions": handlers_distqueue, "coroutines": handlers_distqueue_async}[handlers].__name__
    store = partial(Ours, handlers=module, options=["--log-level=warning"])
    return System(name, partial(_fresh, databases, OURS, store, concurrency))


def procrastinate(databases: Databases, concurrency: int) -> System:
    """procrastinate, with as many handlers at a time."""
    name = f"procrastinate, -c {concurrency}"
    return System(name, partial(_fresh, databases, PROCRASTINATE, Procrastinate, concurrency))


def pgqueuer(databases: Databases, batch: int) -> System:
    """pgqueuer, with batches of that size and handlers without a limit."""
    return System(f"pgqueuer, batch {batch}", partial(_fresh, databases, PGQUEUER, Pgqueuer, batch))


@contextmanager
def _fresh(
    databases: Databases, entry: Entry, store: Callable[[str, int], Store], size: int, directory: str
) -> Iterator[Store]:
    """Open a store in a new database: that it is given a directory, it does not need."""
    with closing(store(databases.fresh(entry.install), size)) as opened:
        yield opened
