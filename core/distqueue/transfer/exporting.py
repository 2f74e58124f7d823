"""Writing an export: page by page, so that memory stays small however much is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from distqueue.broker import Broker
from distqueue.commands import Browse, Command, Remembered, Stats
from distqueue.errors import StoreDamaged
from distqueue.limits import check_queue_name
from distqueue.outcomes import expect
from distqueue.results import Browsed, Counted, QueueStats, Result
from distqueue.task import RememberedTask, TaskRecord
from distqueue.transfer.asking import Asker, asking
from distqueue.transfer.files import writing
from distqueue.transfer.lines import HEADER_LINE, Counts, Line, encode_line
from distqueue.transfer.pages import FIRST_PAGE, PAGE, next_limit


async def export_store(
    broker: Broker,
    queues: Sequence[str] | None,
    path: str,
    on_progress: Callable[[int], None] = lambda tasks: None,
) -> Counts:
    """Write queues (``None``: all there are) to a file, or to the standard output (``"-"``).

    The store may be in use meanwhile: each task that is in it all the time is in the export exactly
    once, as it was at some moment of that time. The file is made beside its place with mode 0600,
    synced and renamed, so that there is a whole export or none. ``on_progress`` is called with the
    number of tasks written so far. Of each task of a queue a hash of its id is held in memory.

    Raises:
        ConfigError: there is something at ``path`` that is not an export.
        StoreError: the store cannot be read, or the file cannot be written.
        Unsupported: the backend cannot list its tasks.

    >>> asyncio.run(export_store(broker, None, "backup.jsonl")).tasks          # doctest: +SKIP
    3
    """
    with asking(broker) as asker:
        return await _write(_Export(asker, on_progress), queues, path)


async def _write(export: _Export, queues: Sequence[str] | None, path: str) -> Counts:
    async with writing(path) as file:
        async for chunk in export.chunks(queues):
            await file.write(chunk)
    return export.counts()


class _Export:
    """One export under way, and what it has counted so far."""

    def __init__(self, asker: Asker, on_progress: Callable[[int], None]) -> None:
        self._asker = asker
        self._on_progress = on_progress
        self._tasks = self._remembered = self._paused = 0

    def counts(self) -> Counts:
        """Return how many lines of each kind there are so far."""
        return Counts(tasks=self._tasks, remembered=self._remembered, paused=self._paused)

    async def chunks(self, queues: Sequence[str] | None) -> AsyncIterator[bytes]:
        """Go through the export, some lines at a time."""
        yield HEADER_LINE
        for queue in await self._queues(queues):
            if queue.paused:  # before the tasks, so that nobody claims them while they are imported
                self._paused += 1
                yield encode_line(Line(paused=queue.queue))
            async for page in self._pages_of_tasks(queue.queue):
                self._tasks += len(page)
                yield b"".join([encode_line(Line(task=task)) for task in page])
                self._on_progress(self._tasks)
            # After the tasks: who goes meanwhile is in the export at least as a remembered id.
            async for gone in self._pages_of_memory(queue.queue):
                self._remembered += len(gone)
                yield b"".join([encode_line(Line(remembered=each)) for each in gone])
        yield encode_line(Line(end=self.counts()))

    async def _queues(self, names: Sequence[str] | None) -> list[QueueStats]:
        counted = await self._ask(Stats(queue="*"), Counted)
        if damaged := counted.store.get("damaged"):
            raise StoreDamaged(
                f"{damaged} cannot be read, so that the export would not be whole; "
                "run `distqueue fsck --repair` first"
            )
        if names is None:
            return counted.queues
        return [
            (await self._ask(Stats(queue=check_queue_name(name)), Counted)).queues[0]
            for name in dict.fromkeys(names)
        ]

    async def _pages_of_tasks(self, queue: str) -> AsyncIterator[list[TaskRecord]]:
        after: int | None = None
        limit = FIRST_PAGE
        seen: set[int] = set()
        while True:
            browsed = await self._ask(Browse(queue=queue, limit=limit, after=after), Browsed)
            if page := _unseen(browsed.tasks, seen):
                yield page
            if (after := browsed.next) is None:
                return
            limit = next_limit(limit, browsed.tasks)

    async def _pages_of_memory(self, queue: str) -> AsyncIterator[list[RememberedTask]]:
        after: int | None = None
        while True:
            browsed = await self._ask(Remembered(queue=queue, limit=PAGE, after=after), Browsed)
            yield browsed.remembered
            if (after := browsed.next) is None:
                return

    async def _ask[R: Result](self, command: Command, kind: type[R]) -> R:
        return expect((await self._asker.ask([command]))[0], kind)


def _unseen(tasks: Sequence[TaskRecord], seen: set[int]) -> list[TaskRecord]:
    """Return the tasks that were not exported before: a redrive gives a task a new number, further on."""
    page = []
    for task in tasks:
        if (key := hash(task.task_id)) not in seen:
            seen.add(key)
            page.append(task)
    return page
