"""One task in the table, as small as it gets: a million of them have to fit in memory."""

from __future__ import annotations

from typing import Final

import msgspec

from distqueue.task import TaskOptions, TaskState

SCHEDULED, READY, LEASED, DONE, DEAD, GONE = range(6)
"""States as small integers, which index counters faster than an enum does."""

STATES: Final = (TaskState.SCHEDULED, TaskState.READY, TaskState.LEASED, TaskState.DONE, TaskState.DEAD)


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
    options: TaskOptions
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
