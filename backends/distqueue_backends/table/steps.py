"""Steps and checks that concern many tasks, or a task and its neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from distqueue.commands import Put
from distqueue.errors import GroupPriorityMismatch, PayloadMismatch, Refused, UniqueTaken
from distqueue.task import DEFAULT_OPTIONS, FailedAttempt, TaskOptions, TaskState
from distqueue_backends.table.entry import DEAD, STATES, Entry
from distqueue_backends.table.queue_table import QueueTable


def all_plain(puts: Sequence[Put]) -> bool:
    """Whether tasks are of one queue, ready at once, and without options."""
    queue = puts[0].queue
    for put in puts:
        if (
            put.options is not DEFAULT_OPTIONS
            or put.due is not None
            or put.delay is not None
            or put.queue != queue
        ):
            return False
    return True


def check_free(table: QueueTable, options: TaskOptions, acked: Entry | None = None) -> None:
    """Refuse a task whose unique key is taken, or whose group has another priority.

    ``acked`` is a task that gives up its key in the same commit.
    """
    holder = table.unique.get(options.unique) if options.unique is not None else None
    if holder is not None and holder is not acked:
        raise unique_taken(options.unique, holder.task_id)
    group = table.groups.get(options.group) if options.group is not None else None
    if group is not None and group.priority != options.priority:
        raise GroupPriorityMismatch(
            f"group {options.group!r} has tasks of priority {group.priority}; a group has one priority"
        )


def check_together(puts: Sequence[Put]) -> None:
    """Refuse tasks that could each be stored, but not all of them."""
    seen: dict[tuple[str, str, str], object] = {}
    for put in puts:
        for kind, key, value in (
            ("id", put.task_id, put.data),
            ("group", put.options.group, put.options.priority),
        ):
            if key is not None and seen.setdefault((kind, put.queue, key), value) != value:
                raise PayloadMismatch(f"two follow-up tasks with {kind} {key!r} contradict each other")
        if (unique := put.options.unique) is not None:
            holder = seen.setdefault(("unique", put.queue, unique), put.task_id)
            if holder != put.task_id:
                raise unique_taken(unique, str(holder))


def unique_taken(key: str | None, task_id: str) -> UniqueTaken:
    """Return the refusal that names the holder of a unique key."""
    return UniqueTaken(
        f"unique key {key!r} is held by task {task_id} until that is done, dead or gone", task_id
    )


def redrive_dead(table: QueueTable, task_id: str | None, error: str | None) -> tuple[int, tuple[str, ...]]:
    """Redrive the dead tasks that a filter names, in the order in which they were put."""
    count, refused = 0, []
    for entry in table.in_states((DEAD,)):
        if task_id not in (None, entry.task_id):
            continue
        if error is not None and error not in (entry.error or ""):
            continue
        try:
            check_free(table, entry.options)
        except Refused:
            refused.append(entry.task_id)
            continue
        table.redrive(entry)
        count += 1
    return count, tuple(refused)


def purge_states(table: QueueTable, states: Sequence[TaskState], now: float) -> int:
    """Remove the tasks in the given states, all of them if none is given."""
    wanted = {STATES.index(state) for state in states} or set(range(len(STATES)))
    entries = table.in_states(wanted)
    for entry in entries:  # which ids are remembered depends on the order
        table.remove(entry, "purge", now)
    return len(entries)


def load_entry(table: QueueTable, entry: Entry, failures: tuple[FailedAttempt, ...]) -> None:
    """Insert a task with its number, place and failed attempts, and count on from there."""
    table.next_number = max(table.next_number, entry.number + 1, (entry.place or 0) + 1)
    table.last_number = max(table.last_number, entry.number)
    table.insert(entry)
    table.history.load(entry, failures)
