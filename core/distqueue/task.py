"""A task as the store knows it: its state, and the full record that reading verbs return."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec


class TaskState(StrEnum):
    """Where a task is in its life; see :mod:`distqueue.lifecycle` for the ways between."""

    SCHEDULED = "scheduled"
    READY = "ready"
    LEASED = "leased"
    DONE = "done"
    DEAD = "dead"


class TaskOptions(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the publisher asks for and never changes; tasks put together share one.

    ``expires_in`` and ``keep_done`` are seconds; ``max_attempts=None`` is no limit.
    """

    priority: int = 0
    max_attempts: int | None = 5
    expires_in: float | None = None
    keep_done: float = 0.0
    group: str | None = None
    unique: str | None = None
    publisher_id: str | None = None
    headers: dict[str, str] | None = None


DEFAULT_OPTIONS: Final = TaskOptions()
"""Most tasks have nothing else: those that share this very object need no further look."""


class FailedAttempt(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """How one attempt of a task failed.

    ``at`` is when, in seconds since the Unix epoch: of a lease that ran out, its end. ``verb`` is ``retry``,
    ``reject`` or ``lapse`` (the lease ran out). Long texts are cut: see :mod:`distqueue.failures`.
    """

    attempt: int
    at: float
    verb: str
    error: str | None = None
    traceback: str | None = None


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything a store knows about one task: what ``find``, ``peek``, ``dead`` and ``export`` give.

    Times are seconds since the Unix epoch, durations seconds. ``number`` is the order of
    publishing, ``place`` the place in line (``None`` while the task is scheduled and has none).
    ``until`` is the due time of a scheduled task, the lease's end of a leased one and the time
    until which a done one is kept. ``settled`` is the verb that last settled a delivery. ``error`` is that of
    the last failure, ``failures`` are the newest failed attempts, the oldest of them first; both stay when
    the task is redriven.
    """

    task_id: str
    queue: str
    state: TaskState
    data: msgspec.Raw
    number: int
    place: int | None = None
    priority: int = 0
    attempt: int = 1
    deliveries: int = 0
    put_at: float = 0.0
    until: float | None = None
    max_attempts: int | None = 5
    expires_at: float | None = None
    keep_done: float = 0.0
    group: str | None = None
    unique: str | None = None
    publisher_id: str | None = None
    headers: dict[str, str] | None = None
    receipt: str | None = None
    settled: str | None = None
    error: str | None = None
    failures: tuple[FailedAttempt, ...] = ()

    def payload(self) -> Any:
        """Return the payload as a Python value; ``data`` is its JSON as it is stored."""
        return msgspec.json.decode(self.data)


class RememberedTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task that is gone, but whose id is still remembered so that it is not stored twice.

    ``checksum`` is that of :func:`distqueue.payload.checksum`; ``settled`` is the verb that
    ended the task (``ack``, ``cancel``, ``purge``, ``expire``), ``receipt`` that of the last delivery.
    """

    task_id: str
    queue: str
    at: float
    checksum: int
    settled: str
    receipt: str | None = None
