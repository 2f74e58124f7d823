"""Redriving those of the dead tasks that the store cannot pick by itself."""

from __future__ import annotations

import time

from distqueue.cli.filters import DeadFilter, dead_pages, failed_at
from distqueue.cli.paging import PAGE
from distqueue.cli.progress import progress
from distqueue.cli.store import Store
from distqueue.commands import Redrive, Stats
from distqueue.errors import TaskNotFound
from distqueue.outcomes import expect
from distqueue.results import Counted, Redriven
from distqueue.task import TaskRecord


def redrive_chosen(store: Store, queue: str, chosen: DeadFilter) -> Redriven:
    """Redrive the dead tasks that are meant, a page in one call after the other.

    Those that have failed since it began stay dead: one that fails again at once is not redriven for ever.
    """
    began = time.time()
    total = sum(each.dead for each in store.ask(Stats(queue=queue), Counted).queues)
    count, refused = 0, list[str]()
    page = min(PAGE, store.broker.capabilities.max_batch)
    with progress("redrive", total) as on_progress:
        for tasks in dead_pages(store, queue, chosen, page, on_progress):
            redriven = _redrive(store, queue, [one for one in tasks if (failed_at(one) or 0.0) < began])
            count += redriven.count
            refused += redriven.refused
    return Redriven(count=count, refused=tuple(refused))


def _redrive(store: Store, queue: str, tasks: list[TaskRecord]) -> Redriven:
    outcomes = store.broker.apply([Redrive(queue=queue, task_id=task.task_id) for task in tasks])
    # One that somebody else has redriven or removed meanwhile is not there any more.
    there = [expect(one, Redriven) for one in outcomes if not isinstance(one, TaskNotFound)]
    refused = [task_id for one in there for task_id in one.refused]
    return Redriven(count=sum(one.count for one in there), refused=tuple(refused))
