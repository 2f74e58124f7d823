"""What observers are told: one small frozen struct a hook, so that fields can be added later."""

from __future__ import annotations

import msgspec

from distqueue.results import Lease, Stored
from distqueue.task import TaskState


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """The base of everything that observers are told."""


class PutEvent(Event, frozen=True, kw_only=True):
    """Tasks are in the store; ``stored`` also holds those that were there before (``duplicate``)."""

    queue: str
    stored: tuple[Stored, ...]


class ClaimedEvent(Event, frozen=True, kw_only=True):
    """Tasks were handed out."""

    queue: str
    leases: tuple[Lease, ...]


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery settled: ``verb`` is ack, retry, release, reject or extend, ``state`` the task's now."""

    task_id: str
    receipt: str
    verb: str
    state: TaskState


class SettledEvent(Event, frozen=True, kw_only=True):
    """Deliveries were settled."""

    queue: str
    settled: tuple[Settlement, ...]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One task that failed. ``retry_at`` is when it is due again, in seconds since the epoch, if known."""

    task_id: str
    error: str | None
    retry_at: float | None = None


class TaskFailedEvent(Event, frozen=True, kw_only=True):
    """Attempts at tasks failed: they were retried, or were out of attempts and are dead now."""

    queue: str
    failures: tuple[Failure, ...]


class TaskDeadEvent(Event, frozen=True, kw_only=True):
    """Tasks are dead: rejected, or failed with no attempt left."""

    queue: str
    failures: tuple[Failure, ...]


class CommittedEvent(Event, frozen=True, kw_only=True):
    """A batch with changes was acknowledged, so it is as durable as the store promises.

    ``changes`` and ``refused`` count its commands; reads are not counted. ``seconds`` is how long
    the caller waited. Batches of several callers may have shared one write.
    """

    changes: int
    refused: int
    seconds: float


class EnqueueEvent(Event, frozen=True, kw_only=True):
    """An app is about to store a task for the handler ``task``, with these ``headers`` so far."""

    queue: str
    task: str
    task_id: str
    headers: dict[str, str]


class AroundHandlerEvent(Event, frozen=True, kw_only=True):
    """A handler is about to run. ``put_at`` is in seconds since the epoch."""

    queue: str
    task: str
    task_id: str
    attempt: int
    deliveries: int
    max_attempts: int | None
    put_at: float
    headers: dict[str, str]


class HandlerStartedEvent(Event, frozen=True, kw_only=True):
    """A worker has given a task to a handler. ``waited`` is how long ago it was put, in seconds."""

    queue: str
    task: str
    task_id: str
    attempt: int
    waited: float


class HandlerEndedEvent(Event, frozen=True, kw_only=True):
    """A handler has ended, or was ended; its worker settles the task with ``verb`` next.

    ``verb`` is ack, retry, release or reject; ``seconds`` is how long the handler ran.
    """

    queue: str
    task: str
    task_id: str
    attempt: int
    verb: str
    seconds: float


class RenewedLateEvent(Event, frozen=True, kw_only=True):
    """Leases were renewed later than planned, the latest of them by ``seconds``."""

    queue: str
    leases: int
    seconds: float


class BrokerStartedEvent(Event, frozen=True, kw_only=True):
    """A store was opened in this process. ``url`` shows no password."""

    url: str
    pid: int


class BrokerStoppedEvent(Event, frozen=True, kw_only=True):
    """A store that was opened in this process is closed."""

    url: str
    pid: int
