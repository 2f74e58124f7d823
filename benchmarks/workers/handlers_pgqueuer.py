"""A worker of pgqueuer, through its API: its own ``pgq run`` does not start with the typer of today.

python -m benchmarks.workers.handlers_pgqueuer BATCH
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import asyncpg
from pgqueuer import Queries, QueueManager
from pgqueuer.models import Job

from benchmarks.workers.records import URL, write_down


async def note(job: Job) -> None:
    """Do nothing but write it down."""
    assert job.payload is not None
    write_down(int(job.payload))


async def work(batch: int) -> None:
    """Run handlers until SIGINT."""
    connection = await asyncpg.connect(os.environ[URL])
    manager = QueueManager(Queries.from_asyncpg_connection(connection))
    manager.entrypoint("note")(note)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, manager.shutdown.set)
    await manager.run(batch_size=batch)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1])))
