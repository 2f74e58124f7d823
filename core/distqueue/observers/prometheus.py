"""The observer ``prometheus``: counts what happens in this process, in the registry of ``prometheus_client``.

``distqueue work --metrics`` serves that registry; a web application that puts tasks serves its own.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from distqueue.plugins import (
    ClaimedEvent,
    CommittedEvent,
    HandlerEndedEvent,
    HandlerStartedEvent,
    PutEvent,
    RenewedLateEvent,
    SettledEvent,
    TaskDeadEvent,
    TaskFailedEvent,
    hookimpl,
)

_COMMIT_SECONDS: Final = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
_COMMIT_SIZES: Final = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
_HANDLER_SECONDS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)
_WAITED_SECONDS: Final = (0.001, 0.01, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600, 36000, 86400)

_put = Counter("distqueue_tasks_put", "Tasks stored by this process, without duplicates.", ["queue"])
_claimed = Counter("distqueue_tasks_claimed", "Tasks handed out to this process.", ["queue"])
_settled = Counter(
    "distqueue_deliveries_settled",
    "Deliveries settled by this process: ack, retry, release, reject, extend.",
    ["queue", "verb"],
)
_failed = Counter("distqueue_attempts_failed", "Attempts that this process reported as failed.", ["queue"])
_dead = Counter(
    "distqueue_tasks_dead", "Tasks rejected by this process, or out of attempts there.", ["queue"]
)
_commit_seconds = Histogram(
    "distqueue_commit_seconds", "How long a call with changes waited for the store.", buckets=_COMMIT_SECONDS
)
_commit_changes = Histogram("distqueue_commit_changes", "How many changes a call had.", buckets=_COMMIT_SIZES)
_late = Counter("distqueue_renewals_late", "Leases renewed too late by a tenth or more.", ["queue"])
_late_seconds = Histogram(
    "distqueue_renewal_late_seconds", "How late the latest of such leases was renewed.", ["queue"]
)
_running = Gauge("distqueue_handlers_running", "Handlers that run now.", ["queue", "task"])
_handler_seconds = Histogram(
    "distqueue_handler_seconds",
    "How long handlers ran, by the verb that settled their task.",
    ["queue", "task", "verb"],
    buckets=_HANDLER_SECONDS,
)
_waited_seconds = Histogram(
    "distqueue_waited_seconds",
    "How long tasks waited from being put to their first handler, a delay included.",
    ["queue", "task"],
    buckets=_WAITED_SECONDS,
)


@hookimpl
def distqueue_put(event: PutEvent) -> None:
    """Count the tasks that were not there before."""
    _put.labels(event.queue).inc(sum(not one.duplicate for one in event.stored))


@hookimpl
def distqueue_claimed(event: ClaimedEvent) -> None:
    """Count the leases."""
    _claimed.labels(event.queue).inc(len(event.leases))


@hookimpl
def distqueue_settled(event: SettledEvent) -> None:
    """Count the deliveries by verb."""
    for one in event.settled:
        _settled.labels(event.queue, one.verb).inc()


@hookimpl
def distqueue_committed(event: CommittedEvent) -> None:
    """Note how long it took, and how much it was."""
    _commit_seconds.observe(event.seconds)
    _commit_changes.observe(event.changes)


@hookimpl
def distqueue_task_failed(event: TaskFailedEvent) -> None:
    """Count the failures."""
    _failed.labels(event.queue).inc(len(event.failures))


@hookimpl
def distqueue_task_dead(event: TaskDeadEvent) -> None:
    """Count the dead."""
    _dead.labels(event.queue).inc(len(event.failures))


@hookimpl
def distqueue_renewed_late(event: RenewedLateEvent) -> None:
    """Count the leases, and note how late it was."""
    _late.labels(event.queue).inc(event.leases)
    _late_seconds.labels(event.queue).observe(event.seconds)


@hookimpl
def distqueue_handler_started(event: HandlerStartedEvent) -> None:
    """Count what runs, and note how long it had waited."""
    _running.labels(event.queue, event.task).inc()
    if event.attempt == 1:
        _waited_seconds.labels(event.queue, event.task).observe(event.waited)


@hookimpl
def distqueue_handler_ended(event: HandlerEndedEvent) -> None:
    """Note how long it ran."""
    _running.labels(event.queue, event.task).dec()
    _handler_seconds.labels(event.queue, event.task, event.verb).observe(event.seconds)
