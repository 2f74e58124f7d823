"""``show``, ``stats``, ``peek`` and ``dead``: looking without changing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import typer

from distqueue.cli.options import AnyQueue, AsJson, QueueName, TaskId, Url
from distqueue.cli.output import (
    print_fields,
    print_json,
    print_line,
    print_table,
    shown_age,
    shown_data,
    shown_time,
)
from distqueue.cli.store import Store, open_store
from distqueue.commands import Browse, Find, Stats
from distqueue.errors import TaskNotFound
from distqueue.fences import FenceLevel
from distqueue.results import Browsed, Counted, Found, QueueStats
from distqueue.task import FailedAttempt, TaskRecord, TaskState

_PAGE = 1000

Count = Annotated[int, typer.Option("--count", "-n", min=1, metavar="N", help="List at most so many.")]


def show(task_id: TaskId, url: Url = None, queue: QueueName = "default", as_json: AsJson = False) -> None:
    """Show all that is known of a task."""
    with open_store(url, queue) as store:
        task = store.ask(Find(queue=queue, task_id=task_id), Found).task
    if task is None:
        raise TaskNotFound(f"there is no task {task_id} in queue {queue}; it may be done already")
    if as_json:
        print_json(task)
    else:
        print_fields({name: _shown(task, name, shown_time) for name in task.__struct_fields__})


def stats(url: Url = None, queue: AnyQueue = None, as_json: AsJson = False) -> None:
    """Count the tasks of each queue by state."""
    with open_store(url, queue or "default") as store:
        counted = store.ask(Stats(queue=queue or "*"), Counted)
    if as_json:
        print_json({"queues": counted.queues, "store": counted.store})
        return
    counts = ("queue", "ready", "scheduled", "leased", "done", "dead", "waiting", "paused")
    print_table(
        [*counts, "oldest ready", "fence"],
        [
            [*(getattr(each, name) for name in counts), shown_age(each.oldest_ready_at), _shown_fence(each)]
            for each in counted.queues
        ],
    )
    if counted.store:
        print_line("")
        print_fields(counted.store)


def peek(
    url: Url = None,
    queue: QueueName = "default",
    count: Count = 10,
    state: Annotated[
        TaskState | None,
        typer.Option(help="List tasks in this state, in the order of putting.  [default: the line]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the next tasks, in the order of getting them."""
    with open_store(url, queue) as store:
        if state is None:
            first = Browse(queue=queue, states=(TaskState.READY,), order="line", limit=count)
            tasks = iter(store.ask(first, Browsed).tasks)
        else:
            tasks = _browse(store, queue, state, count)
        when = "put_at" if state is None else "until"
        _print_tasks(tasks, as_json, ("task_id", "attempt", when, "data"))


def dead(url: Url = None, queue: QueueName = "default", count: Count = 100, as_json: AsJson = False) -> None:
    """List dead tasks, the oldest first.

    They are out of attempts, or were rejected.
    """
    with open_store(url, queue) as store:
        tasks = _browse(store, queue, TaskState.DEAD, count)
        _print_tasks(tasks, as_json, ("task_id", "attempt", "error", "data"))


def _browse(store: Store, queue: str, state: TaskState, count: int) -> Iterator[TaskRecord]:
    """Go through the first tasks in a state, in the order of putting."""
    after: int | None = None
    while count > 0:
        page = Browse(queue=queue, states=(state,), limit=min(count, _PAGE), after=after)
        browsed = store.ask(page, Browsed)
        yield from browsed.tasks
        count -= len(browsed.tasks)
        if (after := browsed.next) is None:
            return


def _print_tasks(tasks: Iterator[TaskRecord], as_json: bool, columns: Sequence[str]) -> None:
    if as_json:
        for task in tasks:
            print_json(task)
        return
    print_table(columns, ([_shown(task, column, shown_age) for column in columns] for task in tasks))


def _shown_fence(stats: QueueStats) -> str:
    match stats.fence:
        case FenceLevel.NONE:
            return ""
        case FenceLevel.FILLING:
            return f"filling from {stats.fence_note}"
        case level:
            return f"{level} to {stats.fence_note}"


def _shown(task: TaskRecord, name: str, show_time: Callable[[float | None], str]) -> object:
    value = getattr(task, name)
    match name:
        case "put_at" | "until" | "expires_at":
            return show_time(value)
        case "data":
            return shown_data(value)
        case "failures":
            return "; ".join(_shown_failure(each, show_time) for each in task.failures)
        case _:
            return value


def _shown_failure(failed: FailedAttempt, show_time: Callable[[float | None], str]) -> str:
    """Return an attempt for people; its traceback is in the JSON only."""
    said = f"attempt {failed.attempt}: {failed.verb} {show_time(failed.at)}"
    return said if failed.error is None else f"{said}, {failed.error}"
