"""A broker around a broker that tells observers what was done."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from distqueue.broker import Broker
from distqueue.capabilities import Capabilities
from distqueue.commands import READS, Ack, Claim, Command, Reject, Retry, Settle
from distqueue.errors import Refused
from distqueue.plugins.events import (
    BrokerStartedEvent,
    BrokerStoppedEvent,
    ClaimedEvent,
    CommittedEvent,
    Event,
    Failure,
    PutEvent,
    SettledEvent,
    Settlement,
    TaskDeadEvent,
    TaskFailedEvent,
)
from distqueue.plugins.manager import Plugins
from distqueue.results import Claimed, Lease, Outcome, Seen, Settled, Stored
from distqueue.task import TaskState
from distqueue.urls import StoreURL

type Pairs = list[tuple[Command, Outcome]]


class Observed(Broker):
    """Calls the observing hooks once the broker inside has answered, in the thread of the caller.

    The outermost layer, outside group commit: no lock is held, and no other caller waits for an
    observer. A call that raises is not observed.
    """

    def __init__(self, inner: Broker, plugins: Plugins, url: StoreURL) -> None:
        self._inner = inner
        self._plugins = plugins
        self._url = str(url)
        self._is_open = True
        plugins.notify("distqueue_broker_started", BrokerStartedEvent(url=self._url, pid=os.getpid()))

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        began = time.perf_counter()
        outcomes = self._inner.apply(commands)
        pairs: Pairs = list(zip(commands, outcomes))
        if committed := _committed(pairs, time.perf_counter() - began):
            self._plugins.notify("distqueue_committed", committed)
        self._tell(pairs)
        return outcomes

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        return self._inner.wait(queue, seen, timeout)

    def park(self, claim: Claim, seen: Seen, timeout: float | None) -> list[Lease] | None:
        if leases := self._inner.park(claim, seen, timeout):  # the commit was another caller's
            self._tell([(claim, Claimed(leases=leases))])
        return leases

    def unpark(self, token: str | None = None) -> None:
        self._inner.unpark(token)

    def close(self) -> None:
        self._inner.close()
        if self._is_open:
            self._is_open = False
            event = BrokerStoppedEvent(url=self._url, pid=os.getpid())
            self._plugins.notify("distqueue_broker_stopped", event)

    def _tell(self, pairs: Pairs) -> None:
        for hook, events in _EVENTS.items():
            if self._plugins.has_observers(hook):
                for event in events(pairs):
                    self._plugins.notify(hook, event)


def _committed(pairs: Pairs, seconds: float) -> CommittedEvent | None:
    writes = [outcome for command, outcome in pairs if not isinstance(command, READS)]
    refused = sum(isinstance(outcome, Refused) for outcome in writes)
    empty = sum(isinstance(outcome, Claimed) and not outcome.leases for outcome in writes)
    changes = len(writes) - refused - empty
    return CommittedEvent(changes=changes, refused=refused, seconds=seconds) if changes else None


def _put_events(pairs: Pairs) -> Iterator[Event]:
    for queue, stored in _by_queue(_stored(pairs)):
        yield PutEvent(queue=queue, stored=stored)


def _claimed_events(pairs: Pairs) -> Iterator[Event]:
    for queue, leases in _by_queue(_leases(pairs)):
        yield ClaimedEvent(queue=queue, leases=leases)


def _settled_events(pairs: Pairs) -> Iterator[Event]:
    for queue, settled in _by_queue(_settlements(pairs)):
        yield SettledEvent(queue=queue, settled=settled)


def _failed_events(pairs: Pairs) -> Iterator[Event]:
    for queue, failures in _by_queue(_failures(pairs, (Retry,), tuple(TaskState))):
        yield TaskFailedEvent(queue=queue, failures=failures)


def _dead_events(pairs: Pairs) -> Iterator[Event]:
    for queue, failures in _by_queue(_failures(pairs, (Retry, Reject), (TaskState.DEAD,))):
        yield TaskDeadEvent(queue=queue, failures=failures)


_EVENTS: Final[dict[str, Callable[[Pairs], Iterator[Event]]]] = {
    "distqueue_put": _put_events,
    "distqueue_claimed": _claimed_events,
    "distqueue_settled": _settled_events,
    "distqueue_task_failed": _failed_events,
    "distqueue_task_dead": _dead_events,
}


def _by_queue[T](found: Iterable[tuple[str, T]]) -> Iterator[tuple[str, tuple[T, ...]]]:
    queues: dict[str, list[T]] = {}
    for queue, one in found:
        queues.setdefault(queue, []).append(one)
    return ((queue, tuple(those)) for queue, those in queues.items())


def _stored(pairs: Pairs) -> Iterator[tuple[str, Stored]]:
    for command, outcome in pairs:
        if isinstance(outcome, Stored):
            yield command.queue, outcome
        elif isinstance(command, Ack) and isinstance(outcome, Settled):
            yield from ((put.queue, stored) for put, stored in zip(command.then, outcome.then))


def _leases(pairs: Pairs) -> Iterator[tuple[str, Lease]]:
    for command, outcome in pairs:
        if isinstance(outcome, Claimed):
            yield from ((command.queue, lease) for lease in outcome.leases)


def _settlements(pairs: Pairs) -> Iterator[tuple[str, Settlement]]:
    for command, outcome in pairs:
        if isinstance(command, Settle) and isinstance(outcome, Settled):
            yield (
                command.queue,
                Settlement(
                    task_id=outcome.task_id,
                    receipt=command.receipt,
                    verb=type(command).__name__.lower(),
                    state=outcome.state,
                ),
            )


def _failures(
    pairs: Pairs, verbs: tuple[type[Retry | Reject], ...], states: tuple[TaskState, ...]
) -> Iterator[tuple[str, Failure]]:
    for command, outcome in pairs:
        if isinstance(command, verbs) and isinstance(outcome, Settled) and outcome.state in states:
            retry_at = None if outcome.state is TaskState.DEAD else outcome.until
            failure = Failure(task_id=outcome.task_id, error=command.error, retry_at=retry_at)
            yield command.queue, failure
