"""Going through all that a queue holds, a page at a time, so that memory stays small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from distqueue.broker import Broker
from distqueue.commands import Browse, Remembered
from distqueue.outcomes import expect
from distqueue.results import Browsed
from distqueue.task import RememberedTask, TaskRecord

PAGE: Final = 1000
"""The most tasks that are read at once."""
PAGE_BYTES: Final = 1024 * 1024
"""Pages become smaller where they have more bytes than this."""
FIRST_PAGE: Final = 50
"""How many tasks are read first, before anything is known of their size."""


def next_limit(limit: int, page: Sequence[TaskRecord]) -> int:
    """Return how many tasks to read after a page for which ``limit`` were asked."""
    return min(limit * 2, PAGE) if bytes_of(page) < PAGE_BYTES else max(limit // 4, 1)


def bytes_of(page: Sequence[TaskRecord]) -> int:
    """Return about how many bytes tasks have: their payloads, and the texts of what went wrong."""
    return sum(len(memoryview(task.data)) + _length_of_errors(task) for task in page)


def _length_of_errors(task: TaskRecord) -> int:
    texts = [text for each in task.failures for text in (each.error, each.traceback)]
    return sum(len(text) for text in (task.error, *texts) if text is not None)


def pages_of_tasks(broker: Broker, queue: str) -> Iterator[list[TaskRecord]]:
    """Go through the tasks of a queue in which nothing changes, in the order of publishing."""
    after: int | None = None
    limit = FIRST_PAGE
    while True:
        browsed = expect(broker.apply([Browse(queue=queue, limit=limit, after=after)])[0], Browsed)
        yield browsed.tasks
        if (after := browsed.next) is None:
            return
        limit = next_limit(limit, browsed.tasks)


def pages_of_memory(broker: Broker, queue: str, since: float) -> Iterator[list[RememberedTask]]:
    """Go through the ids that are remembered of tasks which went after a time, the oldest first."""
    after: int | None = None
    while True:
        browsed = expect(broker.apply([Remembered(queue=queue, limit=PAGE, after=after)])[0], Browsed)
        yield [each for each in browsed.remembered if each.at > since]
        if (after := browsed.next) is None:
            return


def parts_of[R: TaskRecord | RememberedTask](records: Sequence[R], most: int) -> Iterator[Sequence[R]]:
    """Split records into what fits into one commit."""
    start = size = 0
    for at, record in enumerate(records):
        if at - start >= most or size >= PAGE_BYTES:
            yield records[start:at]
            start, size = at, 0
        size += bytes_of([record]) if isinstance(record, TaskRecord) else 0
    if start < len(records):
        yield records[start:]
