from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from distqueue import Queue, StoreBusy, errors
from distqueue.broker import Broker
from distqueue.capabilities import Capabilities
from distqueue.commands import Claim, Command, Extend, Put
from distqueue.groupcommit import GroupCommit
from distqueue.ids import new_token
from distqueue.plugins import RenewedLateEvent, hookimpl, installed_plugins
from distqueue.renewal import Renewal
from distqueue.results import Claimed, Outcome, Seen
from distqueue_backends.memory import MemoryBackend

from .conftest import Until


class Watched(Broker):
    """Counts the renewals of each call, can hold them, and refuses some of them as busy or as held."""

    def __init__(self) -> None:
        self.inner = MemoryBackend()
        self.renewals: list[int] = []
        self.busy = self.held = 0
        self.gate = threading.Event()
        self.gate.set()

    @property
    def capabilities(self) -> Capabilities:
        return self.inner.capabilities

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        if renewals := sum(isinstance(command, Extend) for command in commands):
            self.renewals.append(renewals)
            self.gate.wait(20)
            if self.busy:
                self.busy -= 1
                raise StoreBusy("locked by 17")
            if self.held:
                self.held -= 1
                return [errors.Held("held by another transaction") for _ in commands]
        return self.inner.apply(commands)

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        return self.inner.wait(queue, seen, timeout)

    def close(self) -> None:
        self.inner.close()


class Late:
    """An observer that keeps what is late."""

    def __init__(self) -> None:
        self.events: list[RenewedLateEvent] = []

    @hookimpl
    def distqueue_renewed_late(self, event: RenewedLateEvent) -> None:
        self.events.append(event)


@pytest.fixture
def late() -> Iterator[Late]:
    """An observer in force."""
    made = Late()
    installed_plugins().register(made)
    yield made
    installed_plugins().unregister(made)


class Held:
    """A delivery, as far as its renewal is concerned."""

    def __init__(self, receipt: str) -> None:
        self.receipt = receipt
        self.lost = False


@pytest.mark.parametrize(("age", "seconds"), [(21.0, 0.0), (29.0, 9.0)])
def test_a_renewal_that_is_late_is_told(
    age: float, seconds: float, late: Late, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched()
    put_and_claim = [
        Put(queue="mail", task_id="t", data=b"1"),
        Claim(queue="mail", token=new_token(), lease=60.0),
    ]
    claimed = watched.apply(put_and_claim)[1]
    assert isinstance(claimed, Claimed)
    renewal = Renewal(watched.apply, "mail")
    renewal.add(Held(claimed.leases[0].receipt), 60.0, time.monotonic() - age)
    until(lambda: len(watched.renewals) == 1)
    renewal.close()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    if not seconds:
        assert (late.events, warnings) == ([], [])
        return
    (event,) = late.events
    assert (event.queue, event.leases) == ("mail", 1)
    assert event.seconds >= seconds
    assert warnings == [
        f"the leases of 1 tasks of queue mail were renewed {event.seconds:.3g} s late: "
        "this process or its store is slow"
    ]


def test_the_lease_is_renewed_as_long_as_the_work_takes(queue: Queue) -> None:
    queue.put(1)
    delivery = queue.get(lease=1.5)
    assert delivery is not None
    with delivery:
        assert queue.get(timeout=2) is None
        assert not delivery.lost
    assert queue.stats().ready == 0


def test_a_lease_that_is_not_renewed_ends(queue: Queue) -> None:
    queue.put(1)
    assert queue.get(lease=0.1) is not None
    assert queue.get(timeout=10) is not None


def test_leases_that_began_shortly_after_each_other_are_renewed_together(until: Until) -> None:
    broker = Watched()
    with Queue.over(GroupCommit(broker)) as queue:
        queue.put_many(range(20))
        deliveries = [delivery for _ in range(20) if (delivery := queue.get(lease=3)) is not None]
        with ExitStack() as stack:
            for delivery in deliveries:
                stack.enter_context(delivery)
            until(lambda: len(broker.renewals) >= 1)
    assert broker.renewals == [20]


def test_short_work_is_not_renewed() -> None:
    broker = Watched()
    with Queue.over(GroupCommit(broker)) as queue:
        queue.put_many(range(100))
        for delivery in queue.get_many(100):
            with delivery:
                pass
        assert queue.stats().leased == 0
    assert broker.renewals == []


def test_work_begun_late_is_renewed_at_once(until: Until) -> None:
    broker = Watched()
    with Queue.over(GroupCommit(broker)) as queue:
        queue.put(1)
        delivery = queue.get(lease=3)
        assert delivery is not None
        delivery._began = time.monotonic() - 2
        with delivery:
            until(lambda: broker.renewals == [1])


def test_a_lease_that_cannot_be_renewed_is_lost_and_said_so(
    queue: Queue, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    queue.put(1)
    delivery = queue.get(lease=0.15)
    assert delivery is not None
    with delivery:
        queue.cancel(delivery.task_id)
        until(lambda: delivery.lost)
    assert "could not be renewed" in caplog.text


def test_a_renewal_that_finds_the_store_busy_is_tried_again(
    until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Watched()
    broker.busy = 2
    with Queue.over(GroupCommit(broker)) as queue:
        queue.put(1)
        delivery = queue.get(lease=2)
        assert delivery is not None
        with delivery:
            until(lambda: len(broker.renewals) >= 3)
            assert not delivery.lost
    assert "locked by 17" in caplog.text


def test_an_extension_that_somebody_holds_up_loses_nothing() -> None:
    broker = Watched()
    with Queue.over(GroupCommit(broker)) as queue:
        queue.put(1)
        delivery = queue.get()
        assert delivery is not None
        broker.held = 1
        with pytest.raises(errors.Held):
            delivery.extend()
        assert not delivery.lost
        delivery.extend()
        delivery.ack()


def test_a_lease_is_lost_once_the_store_was_busy_for_too_long(
    until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Watched()
    broker.busy = 1_000_000
    with Queue.over(GroupCommit(broker)) as queue:
        queue.put(1)
        delivery = queue.get(lease=0.1)
        assert delivery is not None
        with delivery:
            until(lambda: delivery.lost)
    assert "another consumer may get the task" in caplog.text


def test_a_delivery_settled_during_its_renewal_is_not_called_lost(
    until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Watched()
    broker.gate.clear()
    with Queue.over(broker) as queue:
        queue.put(1)
        delivery = queue.get(lease=3)
        assert delivery is not None
        delivery._began = time.monotonic() - 2
        with delivery:
            until(lambda: broker.renewals == [1])
            delivery.ack()
            broker.gate.set()
            queue.close()  # the answer to the renewal has been read
    assert not delivery.lost
    assert "could not be renewed" not in caplog.text


def test_an_extension_holds_for_the_renewals_that_follow(until: Until) -> None:
    broker = Watched()
    with Queue.over(GroupCommit(broker)) as queue:
        queue.put(1)
        delivery = queue.get(lease=3)
        assert delivery is not None
        with delivery:
            delivery.extend(0.9)
            until(lambda: len(broker.renewals) >= 4)
            task = queue.find(delivery.task_id)
            assert task is not None
            assert task.until is not None
            assert task.until - time.time() < 1
            assert not delivery.lost
