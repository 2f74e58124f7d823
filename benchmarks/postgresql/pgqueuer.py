"""pgqueuer: tasks are put, claimed and acknowledged in batches. What is done stays in a table of its own."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import asyncpg
import orjson
from pgqueuer import Queries
from pgqueuer.models import Job
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.types import QueueEntrypoint, QueueManagerId

from benchmarks.peers.peer import Peer
from benchmarks.postgresql.databases import Entry
from benchmarks.postgresql.loop import Loop

NOTE: Final = QueueEntrypoint("note")


class Pgqueuer(Peer):
    """What its worker asks of the database, without a worker."""

    def __init__(self, url: str) -> None:
        self._loop = Loop()
        self._connection = self._loop.run(asyncpg.connect(url))
        self._queries = Queries.from_asyncpg_connection(self._connection)
        self._manager = QueueManagerId(uuid.uuid4())
        self._claimed: list[Job] = []

    def put(self, batch: Sequence[object]) -> None:
        count = len(batch)
        self._loop.run(
            self._queries.enqueue([NOTE] * count, [orjson.dumps(data) for data in batch], [0] * count)
        )

    def claim_now(self, count: int) -> list[Any]:
        entries = {NOTE: EntrypointExecutionParameter(concurrency_limit=0)}
        heartbeat = timedelta(seconds=30)
        self._claimed = self._loop.run(self._queries.dequeue(count, entries, self._manager, None, heartbeat))
        return [orjson.loads(job.payload or b"null") for job in self._claimed]

    def ack(self) -> None:
        self._loop.run(self._queries.log_jobs([(job, "successful", None) for job in self._claimed]))

    def left(self) -> int:
        return sum(each.count for each in self._loop.run(self._queries.queue_size()))

    def close(self) -> None:
        self._loop.run(self._connection.close())
        self._loop.close()


def install(url: str) -> None:
    """Make its tables, which are logged as those of everybody else."""

    async def apply() -> None:
        connection = await asyncpg.connect(url)
        await Queries.from_asyncpg_connection(connection).install()
        await connection.close()

    asyncio.run(apply())


PGQUEUER: Final = Entry("pgqueuer", install, Pgqueuer)
