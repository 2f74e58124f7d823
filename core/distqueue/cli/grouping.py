"""Dead tasks by what went wrong: one line for all whose errors differ in numbers and ids only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

from distqueue.cli.filters import failed_at
from distqueue.cli.story import function_of
from distqueue.task import TaskRecord

MOST_GROUPS: Final = 10_000
"""How many groups are told apart at most."""
_OTHERS: Final = "(other errors)"
_LONGEST: Final = 300
_VARYING: Final = re.compile(r"\b[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\b|\b0x[0-9a-f]+\b|\d+", re.I)
"""Parts of an error that differ from task to task: UUIDs, addresses, numbers."""


class ErrorGroup(msgspec.Struct, kw_only=True):
    """Dead tasks with the same error. ``tasks`` counts them by task function, other payloads as ``""``.

    Times are in seconds since the Unix epoch, ``None`` if the store has not noted them. ``example`` is the id
    of the one that failed last.
    """

    error: str
    count: int = 0
    tasks: Counter[str] = msgspec.field(default_factory=Counter)
    first_at: float | None = None
    last_at: float | None = None
    example: str = ""

    def add(self, task: TaskRecord) -> None:
        """Count a task in."""
        at = failed_at(task)
        self.count += 1
        self.tasks[function_of(task) or ""] += 1
        if not self.example or (at or 0.0) >= (self.last_at or 0.0):
            self.example = task.task_id
        if at is not None:
            self.first_at = at if self.first_at is None else min(self.first_at, at)
            self.last_at = at if self.last_at is None else max(self.last_at, at)


def grouped(pages: Iterable[list[TaskRecord]]) -> list[ErrorGroup]:
    """Return the groups of dead tasks, the largest first."""
    groups: dict[str, ErrorGroup] = {}
    for page in pages:
        for task in page:
            error = pattern(task.error or "")
            if error not in groups and len(groups) >= MOST_GROUPS:
                error = _OTHERS
            if error not in groups:
                groups[error] = ErrorGroup(error=error)
            groups[error].add(task)
    return sorted(groups.values(), key=lambda group: group.count, reverse=True)


def pattern(error: str) -> str:
    """Return the first line of an error, with ``…`` for what differs from task to task.

    >>> pattern("KeyError: 'order 17'")
    "KeyError: 'order …'"
    """
    return _VARYING.sub("…", error.strip().partition("\n")[0][:_LONGEST])
