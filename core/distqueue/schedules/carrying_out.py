"""Carrying out links: from a claim of those that are due to the acks that put ticks and next links.

An ack holds both, so a worker may die at any point: either the link is there again, or the next one is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from logging import getLogger
from typing import Final

from distqueue.broker import Broker
from distqueue.commands import Ack, Claim, Command, Reject, Retry, Settle, Stats
from distqueue.errors import (
    ConfigError,
    GroupPriorityMismatch,
    InvalidTask,
    PayloadMismatch,
    Refused,
    SettleRefused,
    TooLarge,
    UniqueTaken,
    Unsupported,
)
from distqueue.ids import new_token
from distqueue.limits import MAX_PAYLOAD
from distqueue.outcomes import expect
from distqueue.results import Claimed, Counted, Lease
from distqueue.schedules.deciding import decide
from distqueue.schedules.schedule import LAST_TICK, QUEUE, Link, pause_queue

_log: Final = getLogger("distqueue.schedules")

LEASE: Final = 10.0
"""How long it may take to carry out a link, in seconds; when a worker dies, another one waits so long."""
MOST_TICKS: Final = 100
"""The most ticks of one schedule that are put in one commit."""
_MOST_LINKS: Final = 25
"""The most links that are carried out together: one call takes them, however large their payloads are."""
_AGAIN: Final = 10.0
"""When what could not be carried out is tried again, in seconds."""
_UNFIT: Final = (InvalidTask, TooLarge, Unsupported, PayloadMismatch, UniqueTaken, GroupPriorityMismatch)
"""What a store says that will not take a tick's task, today or later."""


def carry_out(broker: Broker, now: Callable[[], float]) -> Claimed:
    """Claim the links that are due, put what they are for, and return what was claimed.

    Raises: as :meth:`Broker.apply <distqueue.broker.Broker.apply>`; the rest of the links is due again then.
    """
    count = min(_MOST_LINKS, max(1, broker.capabilities.max_batch // 4))
    claim = Claim(queue=QUEUE, token=new_token(), count=count, lease=LEASE)
    claimed = expect(broker.apply([claim])[0], Claimed)
    links = _Links(broker, claimed.leases, now())
    links.settle(claimed.leases, links.with_ticks)
    return claimed


class _Links:
    """Links that were claimed together."""

    def __init__(self, broker: Broker, leases: Sequence[Lease], now: float) -> None:
        self._broker = broker
        self._now = now
        self._most = max(1, broker.capabilities.max_batch // max(1, len(leases)) - 2)
        self._links: dict[str, Link] = {}
        for lease in leases:
            try:
                self._links[lease.receipt] = Link.read(lease.data)
            except InvalidTask as error:
                _log.error("task %s in queue %s: %s", lease.task_id, QUEUE, error)
                broker.apply([Reject(queue=QUEUE, receipt=lease.receipt, error=str(error))])
        self._paused = paused_among(broker, {link.schedule.name for link in self._links.values()})

    def settle(self, leases: Sequence[Lease], command: Callable[[Lease, Link], Settle]) -> None:
        """Settle links in one call; with less, those that were refused."""
        known = [(lease, self._links[lease.receipt]) for lease in leases if lease.receipt in self._links]
        commands: list[Command] = [command(lease, link) for lease, link in known]
        if not commands:
            return
        for (lease, link), outcome in zip(known, self._broker.apply(commands)):
            if isinstance(outcome, Refused):
                self._refused(lease, link, command, outcome)

    def with_ticks(self, lease: Lease, link: Link) -> Settle:
        """Put all ticks for which there is room."""
        size = max(1, len(link.schedule.data))
        return self._ack(lease, link, max(1, min(MOST_TICKS, self._most, MAX_PAYLOAD // size)))

    def with_one_tick(self, lease: Lease, link: Link) -> Settle:
        """Put the first tick only: the next one may be another matter."""
        return self._ack(lease, link, 1)

    def without_tick(self, lease: Lease, link: Link) -> Settle:
        """Go on with the next link, as the store does not take the tick."""
        return self._ack(lease, link, 1, puts_ticks=False)

    def later(self, lease: Lease, link: Link) -> Settle:
        """Try again: the tick is late then."""
        return Retry(queue=QUEUE, receipt=lease.receipt, delay=_AGAIN, error="put off; see the worker's log")

    def _ack(self, lease: Lease, link: Link, room: int, *, puts_ticks: bool = True) -> Settle:
        schedule = link.schedule
        try:
            is_paused = schedule.name in self._paused
            ticks, next_at = decide(schedule, link.at, self._now, is_paused=is_paused, room=room)
        except ConfigError as error:
            _log.error("schedule %s is put off: %s", schedule.name, error)
            return self.later(lease, link)
        puts = [schedule.tick(at) for at in ticks if puts_ticks]
        last_tick = f"{ticks[-1]:.6f}" if puts else (lease.headers or {}).get(LAST_TICK)
        if next_at is not None:
            puts.append(Link(link.definition, next_at).put(last_tick))
        return Ack(queue=QUEUE, receipt=lease.receipt, then=tuple(puts))

    def _refused(
        self, lease: Lease, link: Link, command: Callable[[Lease, Link], Settle], refusal: Refused
    ) -> None:
        name = link.schedule.name
        if isinstance(refusal, SettleRefused):
            _log.info("schedule %s was carried out by another worker, or removed: %s", name, refusal)
        elif command == self.with_ticks and isinstance(refusal, _UNFIT):
            self.settle([lease], self.with_one_tick)
        elif command == self.with_one_tick and isinstance(refusal, _UNFIT):
            _log.warning("schedule %s ticks, but its task is refused: %s", name, refusal)
            self.settle([lease], self.without_tick)
        elif command != self.later:
            _log.warning("schedule %s is put off for %g s: %s", name, _AGAIN, refusal)
            self.settle([lease], self.later)


def paused_among(broker: Broker, names: set[str]) -> set[str]:
    """Return which of these schedules are paused."""
    if not names or not broker.capabilities.pause:
        return set()
    ordered = sorted(names)
    outcomes = broker.apply([Stats(queue=pause_queue(name)) for name in ordered])
    counted = [expect(outcome, Counted) for outcome in outcomes]
    return {name for name, found in zip(ordered, counted) if any(one.paused for one in found.queues)}
