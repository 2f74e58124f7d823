"""In which shard the task of a command is: by its group or id if it is new, else where it is known."""

from __future__ import annotations

from collections.abc import Callable

from distqueue.commands import Cancel, Command, Find, LoadRemembered, LoadTask, Put, Redrive, Settle
from distqueue.ids import parse_receipt
from distqueue_backends.sharded.routing import key_of_put, key_of_record, shard_of
from distqueue_backends.sharded.shard import Shard
from distqueue_backends.sharded.shards import Shards
from distqueue_backends.table.entry import Entry


def locate(shards: Shards, command: Command, refresh: Callable[[Shard], None]) -> Shard:
    """Return the shard for a command about one task; ``refresh`` reads what others did in one.

    A put goes to where its id is known, so that it is not stored twice if its group is another one now.

    Raises:
        ShardUnavailable: it is damaged, or the task is in none of the others and so may be in it.
        LeaseLost: its receipt is none.
    """
    match command:
        case Put():
            known = look(shards, _text(command.queue), _text(command.task_id), None)
            return known or shards[shard_of(key_of_put(command), shards.count)]
        case LoadTask() | LoadRemembered():
            return shards[shard_of(key_of_record(command.record), shards.count)]
        case Settle():
            task_id, _, token = parse_receipt(command.receipt)
            return _find(shards, command.queue, task_id, token, refresh)
        case Find() | Cancel() | Redrive():
            return _find(shards, command.queue, _text(command.task_id), None, refresh)
    raise TypeError(f"{command!r} is not about one task")


def look(shards: Shards, queue: str, task_id: str, token: str | None) -> Shard | None:
    """Return the shard that knows a task, the one with the delivery of this token if there are several."""
    home = shard_of(task_id, shards.count)
    found: Shard | None = None
    for step in range(shards.count):
        shard = shards.get((home + step) % shards.count)
        known = shard.known(queue, task_id) if shard is not None else None
        if known is None:
            continue
        if known.token == token if token is not None else isinstance(known, Entry):
            return shard
        found = found or shard
    return found


def _find(
    shards: Shards, queue: str, task_id: str, token: str | None, refresh: Callable[[Shard], None]
) -> Shard:
    """Return the shard in which a task is known, else the one in which it would be without a group."""
    found = look(shards, queue, task_id, token)
    if found is None:
        for shard in shards:
            if shard.has_news():
                refresh(shard)
        found = look(shards, queue, task_id, token)
    home = shard_of(task_id, shards.count)
    if found is None and shards.damage:
        raise shards.refusal(home if home in shards.damage else min(shards.damage))
    return found or shards[home]


def _text(task_id: object) -> str:
    """Return an id or a name to look for; what is no text is refused by the shard."""
    return task_id if isinstance(task_id, str) else ""
