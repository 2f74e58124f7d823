"""Expiry: a task that nobody claimed in time is gone; one that was ever claimed is not."""

from __future__ import annotations

from distqueue.commands import Retry
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, Subject
from distqueue.results import Lease, Settled
from distqueue.task import TaskState


class Expiry(Subject):
    """Expiry."""

    def in_time(self) -> Lease:
        """Put a task that expires soon, and claim it before it does."""

        def attempt() -> Lease | None:
            """A machine that stalls may be too late at first."""
            self.put(expires_in=self.moment)
            return next(iter(self.claim()), None)

        return self.until(attempt, "a claim before the task expired")

    @clause(
        "EXPIRY-1",
        "a task that was not claimed in time is gone, and counted",
        needs="expiry",
        look="what drops expired tasks: run it before claim, find and stats, and count what it drops",
    )
    def test_an_unclaimed_task_expires(self) -> None:
        self.put(task_id="it", expires_in=self.moment)
        self.put(task_id="other")
        self.pass_time(self.moment)
        assert self.take_all() == "other"
        assert self.find("it") is None
        assert (self.stats().expired, self.stats().ready) == (1, 0)

    @clause(
        "EXPIRY-2",
        "a task is claimable until it expires",
        needs="expiry",
        look="the expiry is counted from put_at, in seconds, and is in the record that find returns",
    )
    def test_a_task_is_claimable_until_it_expires(self) -> None:
        self.put(task_id="it", expires_in=LONG)
        record = self.record("it")
        assert record.expires_at is not None
        assert LONG - 1 < record.expires_at - record.put_at < LONG + 1
        self.take("it")

    @clause(
        "EXPIRY-3",
        "a leased task does not expire",
        needs="expiry",
        look="the condition that drops expired tasks has no test for leased ones",
    )
    def test_a_leased_task_does_not_expire(self) -> None:
        lease = self.in_time()
        self.pass_time(self.moment)
        assert self.claim() == []
        assert self.state(lease.task_id) is TaskState.LEASED
        self.ack(lease)

    @clause(
        "EXPIRY-4",
        "a dead task does not expire",
        needs="expiry",
        look="the condition that drops expired tasks has no test for dead ones",
    )
    def test_a_dead_task_does_not_expire(self) -> None:
        lease = self.in_time()
        self.reject(lease)
        self.pass_time(self.moment)
        assert self.claim() == []
        assert self.state(lease.task_id) is TaskState.DEAD

    @clause(
        "EXPIRY-5",
        "a task that was claimed once does not expire any more",
        needs="expiry",
        look="the condition that drops expired tasks: only those with no deliveries yet",
    )
    def test_a_task_that_came_back_does_not_expire(self) -> None:
        released, retried, lapsed = self.in_time(), self.in_time(), self.in_time()
        self.release(released)
        self.ok(Retry(queue=self.queue, receipt=retried.receipt, delay=0.0), Settled)
        self.pass_time(self.moment)
        claimed = {lease.task_id for lease in self.claim(10)}
        assert claimed == {released.task_id, retried.task_id}
        assert self.state(lapsed.task_id) is TaskState.LEASED

    @clause(
        "EXPIRY-6",
        "a scheduled task expires too",
        needs="expiry delay",
        look="an expiry looked at only when a task is claimable: scheduled ones need it too",
    )
    def test_a_scheduled_task_expires(self) -> None:
        self.put(task_id="it", delay=LONG, expires_in=self.moment)
        self.pass_time(self.moment)
        assert self.claim() == []
        assert self.find("it") is None
        assert (self.stats().expired, self.stats().scheduled) == (1, 0)
