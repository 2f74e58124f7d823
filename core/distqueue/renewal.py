"""Renewing leases while their tasks are being carried out: one thread for all deliveries of a queue.

The thread sleeps until the first planned renewal. To enter and to leave a short ``with delivery``
wakes nobody, as the plan is made anew only when an earlier renewal comes into it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from itertools import batched
from logging import getLogger
from typing import Final, Protocol

from distqueue.commands import Command, Extend
from distqueue.errors import Refused
from distqueue.limits import MAX_BATCH
from distqueue.outcomes import PASSING
from distqueue.plugins import RenewedLateEvent, installed_plugins
from distqueue.results import Outcome

SHARE: Final = 3
"""A lease is renewed when a third of it is over."""
TOGETHER: Final = 10
"""With a renewal go those that would follow within a tenth of their lease."""
LATE: Final = 10
"""A renewal is late if it takes effect a tenth of the lease after it was planned."""

_logger = getLogger("distqueue")


class Renewable(Hashable, Protocol):
    """A delivery, as far as its renewal is concerned."""

    lost: bool

    @property
    def receipt(self) -> str: ...


class _Plan:
    """When a delivery is renewed next, and when its lease ends, on the monotonic clock."""

    __slots__ = ("delivery", "due", "ends", "lease")

    def __init__(self, delivery: Renewable, lease: float, since: float) -> None:
        self.delivery = delivery
        self.lease = lease
        self.renewed(since)

    def late(self, now: float) -> float:
        """Return how long ago it was to be renewed first, in seconds, if that is too long; else 0."""
        late = now - (self.ends - self.lease + self.lease / SHARE)
        return late if late > self.lease / LATE else 0.0

    def renewed(self, at: float) -> None:
        self.due = at + self.lease / SHARE
        self.ends = at + self.lease


class Renewal:
    """The plan of one queue's renewals, and the thread that carries it out."""

    def __init__(self, apply: Callable[[Sequence[Command]], list[Outcome]], queue: str) -> None:
        self._apply = apply
        self._queue = queue
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._plans: dict[Renewable, _Plan] = {}
        self._wakes_at = math.inf
        self._closing = False
        self._thread: threading.Thread | None = None

    def add(self, delivery: Renewable, lease: float, since: float) -> None:
        """Renew a lease of ``lease`` seconds, that began at ``since``, until the delivery is dropped."""
        plan = _Plan(delivery, lease, since)
        with self._lock:
            self._plans[delivery] = plan
            if plan.due < self._wakes_at:
                self._wakes_at = plan.due
                self._wake()

    def drop(self, delivery: Renewable) -> float | None:
        """Renew a delivery's lease no longer; return when it was renewed last (monotonic), if it was kept."""
        plan = self._plans.pop(delivery, None)
        return None if plan is None else plan.ends - plan.lease

    def close(self) -> None:
        """End the thread; no lease is renewed from now on."""
        with self._lock:
            self._closing = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _wake(self) -> None:
        if self._thread is None and not self._closing:
            self._thread = threading.Thread(target=self._run, name="distqueue-renewal", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        while not self._closing:
            for plans in batched(self._next_plans(), MAX_BATCH):
                self._renew(plans)

    def _next_plans(self) -> list[_Plan]:
        """Sleep until renewals are due, and return them."""
        with self._lock:
            plans = list(self._plans.values())
            self._wakes_at = min((plan.due for plan in plans), default=math.inf)
            now = time.monotonic()
            if now >= self._wakes_at:
                return [plan for plan in plans if plan.due <= now + plan.lease / TOGETHER]
            if not self._closing:
                self._changed.wait(None if self._wakes_at == math.inf else self._wakes_at - now)
            return []

    def _renew(self, plans: Sequence[_Plan]) -> None:
        sent = time.monotonic()
        commands = [
            Extend(queue=self._queue, receipt=plan.delivery.receipt, lease=plan.lease) for plan in plans
        ]
        try:
            outcomes = self._apply(commands)
        except Exception as error:  # noqa: BLE001 - whatever it is, the lease may still be saved
            self._put_off(plans, error)
            return
        now = time.monotonic()
        lates, passing = [], {}
        for plan, outcome in zip(plans, outcomes):
            if isinstance(outcome, PASSING):
                passing[plan] = outcome
            elif isinstance(outcome, Refused):
                self._give_up(plan, outcome)
            else:
                lates.append(plan.late(now))
                plan.renewed(sent)
        if passing:
            self._put_off(list(passing), next(iter(passing.values())))
        if any(lates):
            self._tell_late([late for late in lates if late])

    def _tell_late(self, lates: list[float]) -> None:
        event = RenewedLateEvent(queue=self._queue, leases=len(lates), seconds=max(lates))
        _logger.warning(
            "the leases of %d tasks of queue %s were renewed %.3g s late: this process or its store is slow",
            event.leases,
            event.queue,
            event.seconds,
            extra={"queue": event.queue, "seconds": event.seconds},
        )
        installed_plugins().notify("distqueue_renewed_late", event)

    def _put_off(self, plans: Sequence[_Plan], error: Exception) -> None:
        """Try again shortly, as long as the leases last."""
        now = time.monotonic()
        for plan in plans:
            if now >= plan.ends:
                self._give_up(plan, error)
            else:
                plan.due = now + plan.lease / TOGETHER
        _logger.warning("the leases of %d tasks could not be renewed yet: %s", len(plans), error)

    def _give_up(self, plan: _Plan, error: Exception) -> None:
        """The lease is lost, unless the delivery was settled while its renewal was under way."""
        delivery = plan.delivery
        with self._lock:
            if self._plans.get(delivery) is not plan:
                return
            del self._plans[delivery]
        delivery.lost = True
        _logger.warning(
            "the lease of %s could not be renewed; another consumer may get the task: %s",
            delivery.receipt,
            error,
        )
