"""Several calls of ``apply`` made into one, and what it answered taken apart again."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from distqueue.commands import Command
from distqueue.errors import OutcomeUnknown
from distqueue.limits import MAX_BATCH_BYTES
from distqueue.results import Outcome

type Answer = list[Outcome] | Exception
"""What one call gets: its results by position, or the error to raise."""


class Call(Protocol):
    """A call that waits to be carried out: its commands, and how many payload bytes they hold."""

    commands: Sequence[Command]
    size: int


def fitting[C: Call](calls: Iterable[C], max_batch: int, max_bytes: int = MAX_BATCH_BYTES) -> list[C]:
    """Return the first calls that fit into one batch together; the first one is always taken."""
    taken: list[C] = []
    count = size = 0
    for call in calls:
        count += len(call.commands)
        size += call.size
        if taken and (count > max_batch or size > max_bytes):
            break
        taken.append(call)
    return taken


def apply_together(
    apply: Callable[[Sequence[Command]], list[Outcome]], parts: Sequence[Sequence[Command]]
) -> list[Answer]:
    """Carry out the commands of several calls as one batch, and answer each call by itself.

    An ``Exception`` of ``apply`` becomes an instance of its own for each call.
    """
    try:
        outcomes = apply([command for part in parts for command in part])
    except Exception as error:  # noqa: BLE001 - it is not handled here but handed to whoever called
        return [own_instance(error) for _ in parts]
    answers: list[Answer] = []
    start = 0
    for part in parts:
        answers.append(outcomes[start : start + len(part)])
        start += len(part)
    return answers


def own_instance(error: Exception) -> Exception:
    """Return an error like ``error``, caused by it: two threads must not raise one instance."""
    try:
        twin = copy.copy(error)
    except Exception:  # noqa: BLE001 - an exception class may have any constructor
        twin = OutcomeUnknown(f"{type(error).__name__}: {error}; look the tasks up before doing it again")
    twin.__cause__ = error
    return twin
