"""Where a task is that is not in the queue that was named: people forget ``-q``."""

from __future__ import annotations

from collections.abc import Sequence

from distqueue.cli.errors import note
from distqueue.cli.store import Store
from distqueue.commands import Find, Stats
from distqueue.results import Counted, Found


def queue_names(store: Store) -> list[str]:
    """Return the queues of a store."""
    return [each.queue for each in store.ask(Stats(queue="*"), Counted).queues]


def queue_of(store: Store, task_id: str) -> str | None:
    """Return the queue that a task is in, ``None`` if it is in none."""
    names = queue_names(store)
    outcomes = store.broker.apply([Find(queue=name, task_id=task_id) for name in names])
    return next((name for name, one in zip(names, outcomes) if isinstance(one, Found) and one.task), None)


def hint_at_queue(store: Store, task_id: str) -> None:
    """Say where a task is that was looked for in the wrong queue."""
    if (name := queue_of(store, task_id)) is not None:
        note(f"{task_id} is in queue {name}: add -q {name}")


def hint_at_new(queue: str, names: Sequence[str]) -> None:
    """Say that a queue is none of those that there were, if there were any: its name may be mistyped."""
    if names and queue not in names:
        note(f"nothing has been in queue {queue} yet; there are: {', '.join(names)}")


def hint_at_dead(store: Store, queue: str) -> None:
    """Say which other queues have dead tasks."""
    counted = store.ask(Stats(queue="*"), Counted).queues
    others = [f"{each.dead} in {each.queue}" for each in counted if each.dead and each.queue != queue]
    if others:
        note(f"other queues have dead tasks: {', '.join(others)} (-q NAME)")
