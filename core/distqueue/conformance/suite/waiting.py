"""Waiting: no wake-up is lost, and no wait outlasts its reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from distqueue.commands import Ack, Cancel, Extend, Pause, Put, Redrive, Resume, Retry
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, Subject, expect
from distqueue.errors import Closed
from distqueue.payload import encode
from distqueue.results import Lease, Removed, Seen, Settled, Stored

IDLE = 0.5
"""How long a consumer waits in vain, in seconds."""
MOST_WAITS = 100
"""How often it may be woken meanwhile: a backend that looks every now and then does so less often."""


class Waiting(Subject):
    """Waiting."""

    def waiter(self) -> Callable[[], Lease]:
        """Begin to wait for a task in another thread; call the result to get it."""
        seen = threading.Event()

        def wait() -> Lease:
            first = self.claimed()
            assert not first.leases
            seen.set()
            self.wait(first.seen)
            return self.claim_soon()

        future = self.in_thread(wait)
        assert seen.wait(self.patience)
        return lambda: future.result(self.patience)

    @clause(
        "WAIT-1",
        "a task put between an empty claim and the wait ends the wait",
        look="wait has to compare with seen under the lock that changes hold, before it sleeps",
    )
    def test_no_wake_up_is_lost(self) -> None:
        seen = self.claimed().seen
        self.put(task_id="it")
        self.in_thread(lambda: self.wait(seen)).result(self.patience)
        self.take("it")

    @clause(
        "WAIT-2",
        "a put wakes a waiter in another thread",
        look="put has to notify the waiters of the queue, after the commit; and wait must not hold the lock",
    )
    def test_a_put_wakes_another_thread(self) -> None:
        result = self.waiter()
        self.put(task_id="it")
        assert result().task_id == "it"

    @clause(
        "WAIT-3",
        "two threads can hand tasks to each other for ever: no wake-up is lost under load",
        look="a notification between compare and sleep, or one that wakes a single waiter, of another queue",
    )
    def test_no_wake_up_is_lost_in_a_thousand(self) -> None:
        def echo() -> None:
            broker = self.open()
            for _ in range(250):
                lease = self.claim_soon(queue="ping")
                broker.apply([self.make(task_id=lease.task_id, queue="pong")])

        done = self.in_thread(echo)
        for _ in range(250):
            task_id = self.put(queue="ping")
            assert self.claim_soon(queue="pong").task_id == task_id
        done.result(self.patience)

    @clause(
        "WAIT-4",
        "a waiter is woken when a task is due",
        needs="delay",
        look="claim answers with the next due time in seen.wake_at; wait sleeps no longer than that",
    )
    def test_a_due_task_wakes(self) -> None:
        self.put(task_id="it", delay=self.moment)
        assert self.claim_soon().task_id == "it"

    @clause(
        "WAIT-5",
        "a waiter is woken when a lease ends",
        look="the end of the first lease is part of wake_at, as due times are",
    )
    def test_the_end_of_a_lease_wakes(self) -> None:
        self.put(task_id="it")
        self.take("it", lease=self.moment)
        assert self.claim_soon().task_id == "it"

    @clause(
        "WAIT-6",
        "a waiter is woken when a sooner due task is put while it waits",
        needs="delay",
        look="a put of a scheduled task has to wake waiters too, as they sleep until a later time",
    )
    def test_a_sooner_due_task_wakes(self) -> None:
        self.put(task_id="late", delay=self.patience * 10)
        result = self.waiter()
        self.put(task_id="soon", delay=self.moment)
        assert result().task_id == "soon"

    @clause(
        "WAIT-7",
        "a wait ends after its timeout, and says what it has seen",
        look="wait with a timeout: 0 returns at once, and always with a Seen that a next wait can use",
    )
    def test_a_wait_ends_after_its_timeout(self) -> None:
        seen = self.claimed().seen
        for timeout in (0.0, self.moment):
            seen = self.in_thread(lambda limit=timeout, at=seen: self.wait(at, limit)).result(self.patience)  # type: ignore[misc]
            assert isinstance(seen, Seen)
        self.put(task_id="it")
        assert self.claim_soon().task_id == "it"

    @clause(
        "WAIT-8",
        "a wait from the beginning of time ends at once if there is something",
        look="versions begin behind Seen(): a queue with tasks must differ from it",
    )
    def test_a_first_wait_sees_what_is_there(self) -> None:
        self.put(task_id="it")
        self.in_thread(lambda: self.wait(Seen())).result(self.patience)

    @clause(
        "WAIT-9",
        "closing wakes every waiter with Closed",
        look="shut has to notify every waiter, and wait has to look at the closing flag after each sleep",
    )
    def test_closing_wakes(self) -> None:
        seen = self.claimed().seen
        begun = threading.Barrier(3)

        def wait() -> None:
            begun.wait(self.patience)
            while True:
                self.wait(seen)

        waiters = [self.in_thread(wait) for _ in range(2)]
        begun.wait(self.patience)
        self.broker.close()
        for waiter in waiters:
            with pytest.raises(Closed):
                waiter.result(self.patience)

    @clause(
        "WAIT-10",
        "a release, a retry and a redrive wake a waiter",
        look="release, retry and redrive have to notify, as put does",
    )
    def test_what_comes_back_wakes(self) -> None:
        self.put(task_id="it")
        lease = self.take("it")
        result = self.waiter()
        self.release(lease)
        lease = result()
        result = self.waiter()
        self.do(Retry(queue=self.queue, receipt=lease.receipt, delay=0.0))
        self.reject(result())
        result = self.waiter()
        self.do(Redrive(queue=self.queue))
        assert result().task_id == "it"

    @clause(
        "WAIT-11",
        "resuming a paused queue wakes its waiters",
        needs="pause",
        look="resume has to notify; pausing alone changes nothing for a waiter",
    )
    def test_a_resume_wakes(self) -> None:
        self.put(task_id="it")
        self.do(Pause(queue=self.queue))
        result = self.waiter()
        self.do(Resume(queue=self.queue))
        assert result().task_id == "it"

    @clause(
        "WAIT-12",
        "the end of a group's head wakes a waiter",
        needs="groups",
        look="ack and cancel of a group's head have to notify, as the next member is claimable now",
    )
    def test_a_freed_group_wakes(self) -> None:
        self.put_all("g1 g2 g3", group="g")
        lease = self.take("g1")
        result = self.waiter()
        self.ack(lease)
        assert result().task_id == "g2"
        result = self.waiter()
        self.ok(Cancel(queue=self.queue, task_id="g2"), Removed)
        assert result().task_id == "g3"

    @clause(
        "WAIT-13",
        "a put through another open of the store wakes a waiter in the same process",
        look="what opens of one process share: a condition in the broker object wakes only its own",
    )
    def test_a_put_through_another_open_wakes(self) -> None:
        other = self.open()
        result = self.waiter()
        put = Put(queue=self.queue, task_id="it", data=encode(1))
        expect(other.apply([put])[0], Stored)
        assert result().task_id == "it"

    @clause(
        "WAIT-14",
        "a follow-up task of an ack wakes a waiter of its queue",
        look="ack has to notify the queues of its follow-up tasks, not its own only",
    )
    def test_a_follow_up_task_wakes(self) -> None:
        self.put(task_id="first", queue="other")
        (lease,) = self.claim(queue="other")
        result = self.waiter()
        self.do(Ack(queue="other", receipt=lease.receipt, then=(self.make(task_id="it"),)))
        assert result().task_id == "it"

    @clause(
        "WAIT-15",
        "a waiter is woken when a lease ends that was cut short while it waits",
        look="an extend to a sooner end has to wake waiters, as they sleep until the end that it had",
    )
    def test_the_end_of_a_lease_that_was_cut_short_wakes(self) -> None:
        self.put(task_id="it")
        lease = self.take("it", lease=self.patience * 10)
        result = self.waiter()
        self.ok(Extend(queue=self.queue, receipt=lease.receipt, lease=self.moment), Settled)
        assert result().task_id == "it"

    @clause(
        "WAIT-16",
        "a consumer of a queue with nothing to claim sleeps: a wait ends early now and then, not each time",
        look="a wait that does not block, that a claim of nothing ends, or whose wake_at is over already",
    )
    def test_a_consumer_does_not_spin(self) -> None:
        self.put(task_id="out")
        self.take("out")
        if not self.lacks("delay"):
            self.put(task_id="later", delay=LONG)
        end = time.monotonic() + IDLE
        for _ in range(MOST_WAITS):
            self.wait(self.claimed().seen, IDLE)
            if time.monotonic() >= end:
                return
        pytest.fail(f"{MOST_WAITS} waits of {IDLE} s each were over within that time")
