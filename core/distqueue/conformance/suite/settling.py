"""Settling: each verb once, each verb twice, and every receipt that must not work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from distqueue.commands import Ack, Cancel, Extend, Purge, Reject, Release, Retry, Settle
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, Subject, ids
from distqueue.errors import AlreadySettled, LeaseLost, SettleRefused, TaskGone
from distqueue.results import Lease, Settled
from distqueue.retry import Backoff
from distqueue.task import TaskState

type Verb = Callable[[str, str], Settle]
"""Makes a settling command of a queue and a receipt."""

ENDING: Final[dict[str, Verb]] = {
    "ack": lambda queue, receipt: Ack(queue=queue, receipt=receipt),
    "retry": lambda queue, receipt: Retry(queue=queue, receipt=receipt, delay=0.0, error="failed"),
    "release": lambda queue, receipt: Release(queue=queue, receipt=receipt),
    "reject": lambda queue, receipt: Reject(queue=queue, receipt=receipt, error="failed"),
}
VERBS: Final[dict[str, Verb]] = {
    **ENDING,
    "extend": lambda queue, receipt: Extend(queue=queue, receipt=receipt, lease=LONG),
}
AFTER: Final = {"ack": None, "retry": TaskState.READY, "release": TaskState.READY, "reject": TaskState.DEAD}

ending = pytest.mark.parametrize("verb", ENDING)
any_verb = pytest.mark.parametrize("verb", VERBS)


class SettlingOnce(Subject):
    """Settling a delivery once."""

    @ending
    @clause(
        "SETTLE-1",
        "ack ends a task, reject makes it dead, retry and release make it ready again",
        look="the state that each verb writes, and the state in its answer: done, dead, ready",
    )
    def test_each_verb_leads_where_it_should(self, verb: str) -> None:
        self.put(task_id="it")
        settled = self.ok(ENDING[verb](self.queue, self.take("it").receipt), Settled)
        assert settled.task_id == "it"
        assert settled.state is (AFTER[verb] or TaskState.DONE)
        assert self.state("it") is AFTER[verb]
        assert self.take_all() == ("it" if AFTER[verb] is TaskState.READY else "")

    @clause(
        "SETTLE-2",
        "a retry without a delay puts the task at the end of the line, with one attempt less",
        look="retry without a delay: a new place at the end, one failure more, even for delay 0",
    )
    def test_a_retry_goes_to_the_end(self) -> None:
        self.put_all("a b c")
        self.ok(Retry(queue=self.queue, receipt=self.take("a").receipt, delay=0.0), Settled)
        assert self.record("a").attempt == 2
        if not self.lacks("ordering"):
            assert ids(self.claim(2)) == "b c"
            assert self.take("a").attempt == 2

    @clause(
        "SETTLE-3",
        "a retry with a delay makes the task due later",
        needs="delay",
        look="retry counts its delay from now, not from the lease's end, and answers with the due time",
    )
    def test_a_retry_with_a_delay_waits(self) -> None:
        self.put(task_id="it")
        lease = self.take("it", lease=100.0)
        settled = self.ok(Retry(queue=self.queue, receipt=lease.receipt, delay=300.0), Settled)
        assert settled.state is TaskState.SCHEDULED
        assert settled.until is not None
        assert 199 < settled.until - lease.until < 200 + self.patience
        assert self.record("it").until == settled.until
        assert self.claim() == []

    @clause(
        "SETTLE-4",
        "a retry that names no delay waits as its backoff says, longer each time",
        needs="delay",
        look="retry with delay None: ask backoff.delay with the attempt that failed, before counting it",
    )
    def test_a_retry_backs_off(self) -> None:
        for attempt, least in ((1, 1000.0), (2, 2000.0), (3, 4000.0), (4, 5000.0)):
            task_id = self.put(max_attempts=None)
            for _ in range(attempt - 1):
                self.ok(Retry(queue=self.queue, receipt=self.take(task_id).receipt, delay=0.0), Settled)
            lease = self.take(task_id, lease=100.0)
            backoff = Backoff(first=1000.0, factor=2.0, cap=5000.0, jitter=0.0)
            settled = self.ok(Retry(queue=self.queue, receipt=lease.receipt, backoff=backoff), Settled)
            assert settled.until is not None
            assert least - 101 < settled.until - lease.until < least - 100 + self.patience

    @clause(
        "SETTLE-5",
        "extend lets the lease end later",
        look="extend renews the lease somewhere, and not in the record's until or in its answer",
    )
    def test_an_extended_lease_lasts(self) -> None:
        self.put(task_id="it")
        lease = self.take("it", lease=self.patience)
        settled = self.ok(Extend(queue=self.queue, receipt=lease.receipt, lease=LONG), Settled)
        assert (settled.task_id, settled.state) == ("it", TaskState.LEASED)
        assert settled.until is not None
        assert settled.until > lease.until
        assert self.record("it").until == settled.until
        self.ack(lease)

    @clause(
        "SETTLE-6",
        "extend counts from now, so it can also let the lease end sooner",
        look="extend that adds to the old end, or keeps the later of both",
    )
    def test_a_shortened_lease_lapses(self) -> None:
        self.put(task_id="it")
        lease = self.take("it")
        self.ok(Extend(queue=self.queue, receipt=lease.receipt, lease=self.moment), Settled)
        self.pass_time(self.moment)
        assert self.take("it").attempt == 2

    @clause(
        "SETTLE-7",
        "an extended lease is not delivered again at its first end",
        look="a timer or list of lease ends made at the claim: extend has to replace the entry",
    )
    def test_an_extended_lease_outlives_its_first_end(self) -> None:
        self.put(task_id="it")

        def extended() -> Lease | None:
            """Extend in time, which a machine that stalls may fail to do at first."""
            lease = self.take("it", lease=self.moment)
            outcome = self.do(Extend(queue=self.queue, receipt=lease.receipt, lease=LONG))
            return lease if isinstance(outcome, Settled) else None

        lease = self.until(extended, "an extension before the lease ended")
        self.pass_time(self.moment)
        assert self.claim() == []
        self.ack(lease)

    @clause(
        "SETTLE-8",
        "the error of a retry or a reject is kept with the task",
        look="the error column: characters that it cannot hold (NUL, line ends), and reject leaving it out",
    )
    def test_the_error_is_kept(self) -> None:
        text = 'Traceback:\n  File "x.py"\n\tValueError: ä 😀 \x00'
        self.put(task_id="it")
        self.ok(Retry(queue=self.queue, receipt=self.take("it").receipt, delay=0.0, error="first"), Settled)
        assert self.record("it").error == "first"
        self.reject(self.take("it"), text)
        assert self.record("it").error == text

    @clause(
        "SETTLE-9",
        "settling deliveries of one claim in another order settles each of them",
        look="receipts found by position in the claim, or by the token alone: use the task's id",
    )
    def test_deliveries_are_settled_in_any_order(self) -> None:
        self.put_all("a b c d")
        leases = sorted(self.claim(4), key=lambda lease: lease.task_id)
        verbs = [ENDING[verb](self.queue, lease.receipt) for verb, lease in zip(ENDING, reversed(leases))]
        for outcome in self.broker.apply(verbs):
            assert isinstance(outcome, Settled)
        states = [self.state(name) for name in ("a", "b", "c", "d")]
        assert states == [TaskState.DEAD, TaskState.READY, TaskState.READY, None]


class SettlingTwice(Subject):
    """Settling a delivery again, or with a receipt that is not the newest."""

    def refused(self, verb: str, receipt: str, kind: type[SettleRefused], queue: str | None = None) -> None:
        """The receipt settles nothing and changes nothing."""
        self.refuse(VERBS[verb](queue or self.queue, receipt), kind)

    @ending
    @clause(
        "AGAIN-1",
        "the same verb with the same receipt is ok again, and changes nothing",
        look="keep the receipt and the verb of the last settling, with the task or in the memory",
    )
    def test_the_same_verb_again_is_ok(self, verb: str) -> None:
        self.put(task_id="it")
        command = ENDING[verb](self.queue, self.take("it").receipt)
        first = self.ok(command, Settled)
        before = self.find("it")
        for _ in range(2):
            if before is None:
                self.settle_the_gone(command, Settled)
            else:
                again = self.ok(command, Settled)
                assert (again.task_id, again.state) == (first.task_id, first.state)
            assert self.find("it") == before

    @ending
    @clause(
        "AGAIN-2",
        "another verb with a receipt that was settled says so, and changes nothing",
        look="compare the verb of the last settling before anything else; extend counts as another one",
    )
    def test_another_verb_is_already_settled(self, verb: str) -> None:
        self.put(task_id="it")
        receipt = self.take("it").receipt
        self.ok(ENDING[verb](self.queue, receipt), Settled)
        before = self.find("it")
        for other in VERBS:
            if other != verb:
                command = VERBS[other](self.queue, receipt)
                if before is None:
                    self.settle_the_gone(command, AlreadySettled)
                else:
                    self.refuse(command, AlreadySettled)
                assert self.find("it") == before

    @any_verb
    @clause(
        "AGAIN-3",
        "a receipt is stale when its lease has ended, before anyone noticed",
        needs="fenced_receipts",
        look="settling has to compare the lease's end with the clock, even if the task is still leased",
    )
    def test_a_receipt_is_stale_at_the_end_of_its_lease(self, verb: str) -> None:
        self.put(task_id="it")
        lease = self.take("it", lease=self.moment)
        self.pass_time(self.moment)
        self.refused(verb, lease.receipt, LeaseLost)
        assert self.take("it").attempt == 2

    @any_verb
    @clause(
        "AGAIN-4",
        "a receipt is stale when the task was delivered again",
        needs="fenced_receipts",
        look="settling has to compare token and number of the delivery with the newest one's",
    )
    def test_a_superseded_receipt_is_stale(self, verb: str) -> None:
        self.put(task_id="it")
        first = self.take("it", lease=self.moment)
        self.pass_time(self.moment)
        second = self.take("it")
        before = self.record("it")
        self.refused(verb, first.receipt, LeaseLost)
        assert self.record("it") == before
        self.ack(second)
        self.refused(verb, first.receipt, LeaseLost)
        assert self.find("it") is None

    @any_verb
    @clause(
        "AGAIN-5",
        "a receipt that was settled is stale when a later delivery was settled",
        needs="fenced_receipts",
        look="an old receipt found in a list of all that were settled: only the last one counts",
    )
    def test_only_the_last_settled_receipt_is_remembered(self, verb: str) -> None:
        self.put(task_id="it")
        first = self.take("it")
        self.release(first)
        second = self.take("it")
        self.release(second)
        before = self.record("it")
        self.refused(verb, first.receipt, LeaseLost)
        assert self.record("it") == before
        self.release(second)

    @any_verb
    @clause(
        "AGAIN-6",
        "a settled receipt changes nothing once the task is out again",
        needs="fenced_receipts",
        look="settling looks at the verb before the delivery: an old receipt must not end a new lease",
    )
    def test_an_old_receipt_does_not_touch_a_new_delivery(self, verb: str) -> None:
        self.put(task_id="it")
        first = self.take("it")
        self.release(first)
        second = self.take("it")
        before = self.record("it")
        outcome = self.do(VERBS[verb](self.queue, first.receipt))
        assert isinstance(outcome, SettleRefused) or verb == "release"
        assert self.record("it") == before
        self.ack(second)

    @any_verb
    @clause(
        "AGAIN-7",
        "what is no receipt, or a changed one, settles nothing",
        look="the comparison of receipts: whole and exact; what cannot be parsed is LeaseLost as well",
    )
    def test_a_wrong_receipt_settles_nothing(self, verb: str) -> None:
        self.put(task_id="it")
        lease = self.take("it")
        before = self.record("it")
        wrong = [
            "",
            " ",
            "x",
            "..",
            "1.2.3",
            "it",
            "\n",
            "\x00",
            "ä" * 1000,
            lease.receipt[:-1],
            lease.receipt + "x",
        ]
        for position in range(len(lease.receipt)):
            other = "1" if lease.receipt[position] == "0" else "0"
            wrong.append(lease.receipt[:position] + other + lease.receipt[position + 1 :])
        for receipt in wrong:
            if receipt != lease.receipt:
                self.refused(verb, receipt, LeaseLost)
        assert self.record("it") == before
        self.ack(lease)

    @any_verb
    @clause(
        "AGAIN-8",
        "a receipt settles nothing in another queue",
        look="the queue in the condition of each settling verb",
    )
    def test_a_receipt_belongs_to_its_queue(self, verb: str) -> None:
        self.put(task_id="it")
        self.put(task_id="it", queue="other")
        lease = self.take("it")
        self.claim(queue="other")
        before = self.record("it"), self.record("it", "other")
        self.refused(verb, lease.receipt, LeaseLost, "other")
        self.refused(verb, lease.receipt, LeaseLost, "third")
        assert (self.record("it"), self.record("it", "other")) == before

    @any_verb
    @clause(
        "AGAIN-9",
        "settling a task that was cancelled or purged meanwhile says that it is gone",
        look="cancel and purge have to write to the memory that they removed it; settling reads that",
    )
    def test_a_task_that_was_removed_is_gone(self, verb: str) -> None:
        self.put_all("a b")
        first, second = self.claim(2)
        self.broker.apply([Cancel(queue=self.queue, task_id="a"), Purge(queue=self.queue)])
        for lease in (first, second):
            for _ in range(2):
                self.settle_the_gone(VERBS[verb](self.queue, lease.receipt), TaskGone)
        assert [self.state("a"), self.state("b")] == [None, None]
        assert self.claim() == []
