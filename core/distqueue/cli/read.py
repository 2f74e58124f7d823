"""``show``, ``stats``, ``peek`` and ``dead``: looking without changing anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Annotated

import typer

from distqueue.cli.elsewhere import hint_at_dead, queue_of
from distqueue.cli.filters import DeadFilter, ErrorText, Since, TaskName, dead_filter, dead_pages
from distqueue.cli.grouping import ErrorGroup, grouped
from distqueue.cli.options import AnyQueue, AsJson, QueueName, TaskId, Url
from distqueue.cli.output import (
    print_fields,
    print_json,
    print_line,
    print_table,
    shown_age,
    shown_data,
)
from distqueue.cli.paging import PAGE, pages
from distqueue.cli.progress import progress
from distqueue.cli.store import Store, open_store
from distqueue.cli.story import story
from distqueue.commands import Browse, Find, Stats
from distqueue.errors import TaskNotFound
from distqueue.fences import FenceLevel
from distqueue.results import Browsed, Counted, Found, QueueStats
from distqueue.task import TaskRecord, TaskState

Count = Annotated[int, typer.Option("--count", "-n", min=1, metavar="N", help="List at most so many.")]


def show(task_id: TaskId, url: Url = None, queue: AnyQueue = None, as_json: AsJson = False) -> None:
    """Tell the story of a task: how it stands, what it is, and how its attempts have failed."""
    with open_store(url, queue or "default") as store:
        found = queue or queue_of(store, task_id)
        task = None if found is None else store.ask(Find(queue=found, task_id=task_id), Found).task
        if task is None or found is None:
            where = f"queue {queue}" if queue else "any queue"
            raise TaskNotFound(f"there is no task {task_id} in {where}; it may be done already")
        is_paused = not as_json and task.state is TaskState.READY and _is_paused(store, found)
    if as_json:
        print_json(task)
        return
    for line in story(task, is_paused=is_paused):
        print_line(line)


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
            found = pages(store, queue, state, min(count, PAGE))
            tasks = islice(chain.from_iterable(found), count)
        when = "put_at" if state is None else "until"
        _print_tasks(tasks, as_json, ("task_id", "attempt", when, "data"))


def dead(
    url: Url = None,
    queue: QueueName = "default",
    count: Count = 100,
    group: Annotated[bool, typer.Option("--group", help="Count them by what went wrong.")] = False,
    error: ErrorText = None,
    task: TaskName = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """List dead tasks, the oldest first.

    They are out of attempts, or were rejected.
    """
    chosen = dead_filter(error, task, since)
    with open_store(url, queue) as store:
        if group:
            _print_groups(_groups(store, queue, chosen)[:count], as_json)
            return
        found = dead_pages(store, queue, chosen, min(count, PAGE) if chosen.is_everything else PAGE)
        tasks = list(islice(chain.from_iterable(found), count))
        _print_tasks(tasks, as_json, ("task_id", "attempt", "error", "data"))
        if not tasks:
            hint_at_dead(store, queue)


def _groups(store: Store, queue: str, chosen: DeadFilter) -> list[ErrorGroup]:
    total = sum(each.dead for each in store.ask(Stats(queue=queue), Counted).queues)
    with progress("dead", total) as on_progress:
        return grouped(dead_pages(store, queue, chosen, on_progress=on_progress))


def _print_groups(groups: Sequence[ErrorGroup], as_json: bool) -> None:
    if as_json:
        for group in groups:
            print_json(group)
        return
    print_table(
        ("error", "count", "tasks", "first", "last", "example"),
        [
            (one.error, one.count, _names(one), shown_age(one.first_at), shown_age(one.last_at), one.example)
            for one in groups
        ],
    )


def _names(group: ErrorGroup) -> str:
    return ", ".join(name for name, _ in group.tasks.most_common() if name)


def _is_paused(store: Store, queue: str) -> bool:
    return any(each.paused for each in store.ask(Stats(queue=queue), Counted).queues)


def _print_tasks(tasks: Iterable[TaskRecord], as_json: bool, columns: Sequence[str]) -> None:
    if as_json:
        for task in tasks:
            print_json(task)
        return
    print_table(columns, ([_shown(task, column) for column in columns] for task in tasks))


def _shown_fence(stats: QueueStats) -> str:
    match stats.fence:
        case FenceLevel.NONE:
            return ""
        case FenceLevel.FILLING:
            return f"filling from {stats.fence_note}"
        case level:
            return f"{level} to {stats.fence_note}"


def _shown(task: TaskRecord, name: str) -> object:
    value = getattr(task, name)
    match name:
        case "put_at" | "until":
            return shown_age(value)
        case "data":
            return shown_data(value)
        case _:
            return value
