"""How much room a commit may need, before it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from distqueue import commands as c
from distqueue.commands import Command
from distqueue.limits import MAX_ID
from distqueue.task import DEFAULT_OPTIONS, TaskOptions
from distqueue_backends.table.queue_table import QueueTable

_BASE: Final = 256
_ESCAPED: Final = 2
"""A character seldom takes more than two bytes in JSON; where it does, the append refuses if need be."""


def carries_payload(command: Command) -> bool:
    """Whether a command stores a new task, for which the reserve is not meant."""
    return isinstance(command, c.Put | c.Load) or (isinstance(command, c.Ack) and bool(command.then))


def most_bytes(commands: Sequence[Command], tables: Mapping[str, QueueTable]) -> int:
    """Return about how many bytes the commit of some commands takes at most.

    What a claim notices by the way (leases that ran out, tasks that are due) comes on top; if that
    does not fit, the append refuses.
    """
    return sum(_put_bytes(x) if type(x) is c.Put else _other_bytes(x, tables) for x in commands)


def _put_bytes(put: c.Put) -> int:
    return _BASE + len(put.data) + (0 if put.options is DEFAULT_OPTIONS else _options_bytes(put.options))


def _options_bytes(options: TaskOptions) -> int:
    headers = options.headers or {}
    keys = (options.group, options.unique, options.publisher_id)
    return _ESCAPED * sum(len(name) + len(value) + 8 for name, value in headers.items()) + sum(
        4 * len(key) for key in keys if key is not None
    )


def _other_bytes(command: Command, tables: Mapping[str, QueueTable]) -> int:
    match command:  # one with arguments of other types is refused later, and takes nothing
        case c.Claim(count=int() as count):
            table = tables.get(command.queue)
            return _BASE + (MAX_ID + 4) * min(count, len(table.tasks) if table else 0)
        case c.Ack():
            return _BASE + sum(_put_bytes(put) for put in command.then)
        case c.Retry() | c.Reject():
            return _BASE + _text_bytes(command.error, command.traceback)
        case c.Fence(note=str() as note):
            return 2 * _BASE + _ESCAPED * len(note)
        case c.LoadTask(record=record):
            size = 2 * _BASE + len(bytes(record.data)) + _text_bytes(record.error) + _ESCAPED * 20_000
            return size + sum(_BASE + _text_bytes(each.error, each.traceback) for each in record.failures)
        case _:
            return 2 * _BASE


def _text_bytes(*texts: str | None) -> int:
    return _ESCAPED * sum(len(text) for text in texts if isinstance(text, str))
