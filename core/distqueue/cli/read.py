"""``show``, ``stats``, ``peek`` and ``dead``: looking without changing anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from distqueue.cli.options import AnyQueue, AsJson, QueueName, TaskId, Url
from distqueue.cli.output import print_fields, print_json, print_table, shown_data, shown_time
from distqueue.cli.store import Store, open_store
from distqueue.commands import Browse, Find, Stats
from distqueue.errors import TaskNotFound
from distqueue.results import Browsed, Counted, Found, QueueStats
from distqueue.task import TaskRecord, TaskState

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
        print_fields({name: _shown(task, name) for name in task.__struct_fields__})


def stats(url: Url = None, queue: AnyQueue = None, as_json: AsJson = False) -> None:
    """Count the tasks of each queue by state."""
    with open_store(url, queue or "default") as store:
        counted = store.ask(Stats(queue=queue or "*"), Counted)
    if as_json:
        print_json({"queues": counted.queues, "store": counted.store})
        return
    columns = QueueStats.__struct_fields__
    print_table(columns, ([_shown(each, column) for column in columns] for each in counted.queues))
    if counted.store:
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
    """List the next tasks in line, in the order in which they would be got."""
    with open_store(url, queue) as store:
        if state is not None:
            tasks = _browse(store, queue, state, count)
        else:
            first = Browse(queue=queue, states=(TaskState.READY,), order="line", limit=count)
            tasks = iter(store.ask(first, Browsed).tasks)
        _print_tasks(tasks, as_json, "until")


def dead(url: Url = None, queue: QueueName = "default", count: Count = 100, as_json: AsJson = False) -> None:
    """List tasks that are out of attempts or were rejected, the oldest first."""
    with open_store(url, queue) as store:
        _print_tasks(_browse(store, queue, TaskState.DEAD, count), as_json, "error")


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


def _print_tasks(tasks: Iterator[TaskRecord], as_json: bool, last_column: str) -> None:
    if as_json:
        for task in tasks:
            print_json(task)
        return
    columns = ("task_id", "state", "priority", "attempt", "put_at", last_column, "data")
    print_table(columns, ([_shown(task, column) for column in columns] for task in tasks))


def _shown(what: TaskRecord | QueueStats, column: str) -> object:
    value = getattr(what, column)
    if column == "until" or column.endswith("_at"):
        return shown_time(value)
    return shown_data(value) if column == "data" else value
