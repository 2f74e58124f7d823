"""Which of the dead tasks are meant: ``--error``, ``--task`` and ``--since`` of ``dead`` and ``redrive``."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Annotated

import msgspec
import typer

from distqueue.cli.paging import PAGE, pages
from distqueue.cli.store import Store
from distqueue.cli.story import function_of
from distqueue.cli.times import typed_time
from distqueue.task import TaskRecord, TaskState

ErrorText = Annotated[
    str | None, typer.Option("--error", metavar="TEXT", help="Only tasks whose error contains this text.")
]
TaskName = Annotated[
    str | None, typer.Option("--task", metavar="NAME", help="Only calls of this task function.")
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="TIME",
        help="Only tasks that failed since: ISO 8601 with its time zone, or so many seconds ago.",
    ),
]


class DeadFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead tasks are meant; ``since`` is a time in seconds since the Unix epoch."""

    error: str | None = None
    task: str | None = None
    since: float | None = None

    @property
    def is_store_side(self) -> bool:
        """Whether the store can tell by itself which are meant."""
        return self.task is None and self.since is None

    @property
    def is_everything(self) -> bool:
        """Whether all are meant."""
        return self == DeadFilter()

    def matches(self, task: TaskRecord) -> bool:
        """Whether a dead task is meant."""
        if self.error is not None and self.error not in (task.error or ""):
            return False
        if self.since is not None and (failed_at(task) or 0.0) < self.since:
            return False
        return self.task is None or function_of(task) == self.task


def dead_filter(error: str | None, task: str | None, since: str | None) -> DeadFilter:
    """Return the filter that was typed.

    Raises:
        typer.BadParameter: the time is none.
    """
    return DeadFilter(error=error, task=task, since=None if since is None else _time(since))


def failed_at(task: TaskRecord) -> float | None:
    """Return when a task failed last, ``None`` if the store has not noted it."""
    return task.failures[-1].at if task.failures else None


def dead_pages(
    store: Store,
    queue: str,
    chosen: DeadFilter,
    page: int = PAGE,
    on_progress: Callable[[int], object] = bool,
) -> Iterator[list[TaskRecord]]:
    """Go through the dead tasks that are meant, in the order of putting, a page at a time.

    ``on_progress`` is told how many dead tasks have been looked at.
    """
    seen = 0
    for tasks in pages(store, queue, TaskState.DEAD, page):
        seen += len(tasks)
        on_progress(seen)
        yield [task for task in tasks if chosen.matches(task)]


def _time(typed: str) -> float:
    try:
        ago = float(typed)
    except ValueError:
        return typed_time("--since", typed)
    if not 0 <= ago < math.inf:  # not a number compares as false, and would be every task
        raise typer.BadParameter(
            f"{typed:.80}: use a time, or how many seconds ago, 0 or more", param_hint="--since"
        )
    return time.time() - ago
