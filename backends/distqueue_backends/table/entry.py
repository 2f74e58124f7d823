"""One task in the table, as small as it gets: a million of them have to fit in memory."""

from __future__ import annotations

from typing import Final

import msgspec

from distqueue.commands import Put
from distqueue.limits import is_plain
from distqueue.task import TaskState

SCHEDULED, READY, LEASED, DONE, DEAD, GONE = range(6)
"""States as small integers, which index counters faster than an enum does."""

STATES: Final = (TaskState.SCHEDULED, TaskState.READY, TaskState.LEASED, TaskState.DONE, TaskState.DEAD)


class Options(msgspec.Struct, frozen=True, gc=False):
    """What the publisher asked for and never changes; tasks with the same options share one."""

    priority: int = 0
    max_attempts: int | None = 5
    expires_in: float | None = None
    keep_done: float = 0.0
    group: str | None = None
    unique: str | None = None
    publisher_id: str | None = None
    headers: dict[str, str] | None = None


DEFAULT_OPTIONS: Final = Options()


def options_of(put: Put) -> Options:
    """Return the options of a put, the shared default ones if they are equal."""
    if is_plain(put):
        return DEFAULT_OPTIONS
    options = Options(
        put.priority,
        put.max_attempts,
        put.expires_in,
        put.keep_done,
        put.group,
        put.unique,
        put.publisher_id,
        put.headers,
    )
    return DEFAULT_OPTIONS if options == DEFAULT_OPTIONS else options


class Entry(msgspec.Struct, gc=False):
    """A task. ``where`` is its payload, or where the store keeps it.

    ``until`` is the due time if scheduled, the lease's end if leased, the end of keeping if done.
    ``token`` and ``settled`` are those of the newest delivery: they decide whose receipt counts.
    """

    task_id: str
    number: int
    where: bytes | int
    checksum: int
    put_at: float
    options: Options
    state: int = READY
    place: int | None = None
    until: float | None = None
    failures: int = 0
    deliveries: int = 0
    token: str | None = None
    settled: str | None = None
    error: str | None = None

    @property
    def attempt(self) -> int:
        """The number of the try that is going on or comes next; of a dead task, that of the last."""
        return self.failures + (self.state != DEAD)

    @property
    def expires_at(self) -> float | None:
        """When the task expires unless it has been claimed before."""
        return None if self.options.expires_in is None else self.put_at + self.options.expires_in

    @property
    def is_live(self) -> bool:
        """Whether the task is scheduled, ready or leased: it then holds its unique key and its group."""
        return self.state <= LEASED
