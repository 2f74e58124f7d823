"""Attempts: when they are used up the task is dead, with everything that is known of it."""

from __future__ import annotations

import pytest

from distqueue.commands import Claim, Retry
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, Subject, expect, value
from distqueue.ids import new_token
from distqueue.results import Claimed, Lease, Settled
from distqueue.task import TaskState

MORE_THAN_A_BYTE = 260
"""So many attempts that they cannot be counted in a byte."""


class Attempts(Subject):
    """Attempts."""

    def retry(self, lease: Lease, error: str = "failed") -> Settled:
        """Fail an attempt, to be tried again at once."""
        return self.ok(Retry(queue=self.queue, receipt=lease.receipt, delay=0.0, error=error), Settled)

    @pytest.mark.parametrize("most", [1, 2, 5])
    @clause(
        "DEAD-1",
        "a task whose attempts are used up by retries is dead, and says so in the answer",
        look="retry: count the attempt before comparing it, and answer with the state that comes of it",
    )
    def test_retries_use_up_the_attempts(self, most: int) -> None:
        self.put({"n": 1}, task_id="it", max_attempts=most)
        for attempt in range(1, most + 1):
            lease = self.take("it")
            assert (lease.attempt, lease.max_attempts) == (attempt, most)
            settled = self.retry(lease, f"failure {attempt}")
            assert settled.state is (TaskState.READY if attempt < most else TaskState.DEAD)
        record = self.record("it")
        assert (record.state, record.error) == (TaskState.DEAD, f"failure {most}")
        assert (record.attempt, record.deliveries) == (most, most)
        assert value(bytes(record.data)) == {"n": 1}
        assert self.claim() == []

    @clause(
        "DEAD-2",
        "a task whose attempts are used up by lapsed leases is dead",
        look="what gives lapsed tasks back: does it compare attempts with max_attempts, as retry does?",
    )
    def test_lapsed_leases_use_up_the_attempts(self) -> None:
        self.put(task_id="it", max_attempts=2)
        for attempt in (1, 2):
            assert self.take("it", lease=self.moment).attempt == attempt
            self.pass_time(self.moment)
        assert self.claim() == []
        record = self.record("it")
        assert (record.state, record.deliveries) == (TaskState.DEAD, 2)

    @clause(
        "DEAD-3",
        "without a limit a task is never dead by failing",
        look="None read as 0, a default or a large number; failures that are counted in a byte",
    )
    def test_unlimited_attempts(self) -> None:
        self.put(task_id="it", max_attempts=None)
        lease = self.take("it")
        for attempt in range(1, MORE_THAN_A_BYTE):
            assert (lease.attempt, lease.max_attempts) == (attempt, None)
            retry = Retry(queue=self.queue, receipt=lease.receipt, delay=0.0, error="failed")
            claim = Claim(queue=self.queue, token=new_token(), lease=LONG)
            settled, claimed = self.broker.apply([retry, claim])
            assert expect(settled, Settled).state is TaskState.READY
            (lease,) = expect(claimed, Claimed).leases

    @clause(
        "DEAD-4",
        "a rejected task is dead at once, whatever attempts it had left",
        look="reject going through the step of retry, where attempts are compared",
    )
    def test_a_reject_needs_no_attempts(self) -> None:
        self.put(task_id="it", max_attempts=None)
        self.reject(self.take("it"), "hopeless")
        record = self.record("it")
        assert (record.state, record.attempt, record.error) == (TaskState.DEAD, 1, "hopeless")

    @clause(
        "DEAD-5",
        "releases never make a task dead",
        needs="attempts_apart_from_deliveries",
        look="one counter for attempts and deliveries; compare failures with max_attempts, not deliveries",
    )
    def test_releases_do_not_kill(self) -> None:
        self.put(task_id="it", max_attempts=1)
        for _ in range(10):
            self.release(self.take("it"))
        assert self.take("it").attempt == 1

    @clause(
        "DEAD-6",
        "a retry that ends a task as dead can be repeated",
        look="the step that makes a task dead clears its receipt: keep token and verb of the last settling",
    )
    def test_the_last_retry_can_be_repeated(self) -> None:
        self.put(task_id="it", max_attempts=1)
        lease = self.take("it")
        assert self.retry(lease).state is TaskState.DEAD
        assert self.retry(lease).state is TaskState.DEAD
