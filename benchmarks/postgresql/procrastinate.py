"""procrastinate: many tasks are put in one statement, and are claimed and finished one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Job, Status

from benchmarks.peers.peer import Peer
from benchmarks.postgresql.databases import Entry
from benchmarks.postgresql.loop import Loop


class Procrastinate(Peer):
    """What its worker does between two handlers, without a worker; a task that is done is deleted."""

    def __init__(self, url: str) -> None:
        self._loop = Loop()
        self._app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=1))
        self._put = self._app.configure_task("note")
        self._loop.run(self._app.open_async())
        self._worker = self._loop.run(self._app.job_manager.register_worker())
        self._claimed: list[Job] = []

    def put(self, batch: Sequence[Any]) -> None:
        self._loop.run(self._put.batch_defer_async(*[{"data": data} for data in batch]))

    def claim_now(self, count: int) -> list[Any]:
        self._claimed = self._loop.run(self._fetch(count))
        return [job.task_kwargs["data"] for job in self._claimed]

    def ack(self) -> None:
        self._loop.run(self._finish())

    def left(self) -> int:
        jobs = self._loop.run(self._app.job_manager.list_jobs_async())
        return len(list(jobs))

    def close(self) -> None:
        self._loop.run(self._app.close_async())
        self._loop.close()

    async def _fetch(self, count: int) -> list[Job]:
        jobs: list[Job] = []
        while len(jobs) < count:
            job = await self._app.job_manager.fetch_job(None, self._worker)
            if job is None:
                break
            jobs.append(job)
        return jobs

    async def _finish(self) -> None:
        for job in self._claimed:
            await self._app.job_manager.finish_job(job, Status.SUCCEEDED, delete_job=True)


def install(url: str) -> None:
    """Make its tables."""

    async def apply() -> None:
        async with App(connector=PsycopgConnector(conninfo=url)).open_async() as app:
            await app.schema_manager.apply_schema_async()

    asyncio.run(apply())


PROCRASTINATE: Final = Entry("procrastinate", install, Procrastinate)
