"""Listings of any length, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from distqueue.cli.store import Store
from distqueue.commands import Browse
from distqueue.results import Browsed
from distqueue.task import TaskRecord, TaskState

PAGE: Final = 1000
"""How many tasks are asked for at once."""


def pages(store: Store, queue: str, state: TaskState, size: int = PAGE) -> Iterator[list[TaskRecord]]:
    """Go through the tasks in a state, in the order of putting, up to ``size`` of them at a time."""
    after: int | None = None
    while True:
        browsed = store.ask(Browse(queue=queue, states=(state,), limit=size, after=after), Browsed)
        yield browsed.tasks
        if (after := browsed.next) is None:
            return
