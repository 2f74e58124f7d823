"""Claiming: order, priority, leases and counts."""

from __future__ import annotations

import random

import pytest

from distqueue.commands import Claim, Extend, Retry
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, Subject, ids
from distqueue.errors import Unsupported
from distqueue.results import Claimed, Lease, Settled
from distqueue.task import TaskState

TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105 - no password


def by_id(lease: Lease) -> str:
    """The key by which leases are sorted where their order does not count."""
    return lease.task_id


class Claiming(Subject):
    """Claiming."""

    @clause(
        "CLAIM-1",
        "a claim of an empty queue, or of one that never was, returns nothing",
        look="the first row of a result read unasked; an error for a queue or table that no put has made yet",
    )
    def test_an_empty_queue_gives_nothing(self) -> None:
        assert self.claim() == []
        self.ack_all()
        assert self.claim(10) == []

    def ack_all(self) -> None:
        """Put tasks and ack them, so that the queue is empty again."""
        self.put_all("a b")
        for lease in self.claim(2):
            self.ack(lease)

    @clause(
        "CLAIM-2",
        "a claim returns at most as many tasks as asked for, and all if there are fewer",
        look="the limit of the query that claims, and a loop that stops at the first page of candidates",
    )
    def test_a_claim_takes_as_many_as_asked(self) -> None:
        self.put_all("a b c d e")
        assert [len(self.claim(count)) for count in (1, 3, 3, 1)] == [1, 3, 1, 0]

    @clause(
        "CLAIM-3",
        "a leased task is not claimed again while its lease runs",
        look="two steps, select and update: take and mark in one step, and tell the state in find",
    )
    def test_a_leased_task_is_out_of_reach(self) -> None:
        self.put(task_id="it")
        lease = self.take("it")
        assert self.claim(10) == []
        record = self.record("it")
        assert (record.state, record.deliveries, record.receipt) == (TaskState.LEASED, 1, lease.receipt)
        assert record.until == lease.until

    @clause(
        "CLAIM-4",
        "a claim names one queue and takes from no other",
        look="the queue in the condition of the claim, and in the key or index that it reads",
    )
    def test_a_claim_takes_from_one_queue(self) -> None:
        self.put(task_id="here")
        self.put(task_id="there", queue="there")
        assert self.take_all() == "here"
        assert self.state("here") is TaskState.LEASED
        assert self.record("there", "there").state is TaskState.READY

    @clause(
        "CLAIM-5",
        "a task whose lease ended is delivered again: another attempt, another receipt",
        look="claim has to give back what lapsed before it picks, and make a new receipt for each delivery",
    )
    def test_a_lapsed_lease_gives_the_task_back(self) -> None:
        self.put(task_id="it")
        first = self.take("it", lease=self.moment)
        self.pass_time(self.moment)
        second = self.take("it")
        assert (second.attempt, second.deliveries) == (2, 2)
        assert first.receipt != second.receipt
        assert second.data == first.data

    @clause(
        "CLAIM-6",
        "a lease lasts as long as asked for, by the store's clock",
        look="the lease's end: seconds against milliseconds, or a client's time against that of the engine",
    )
    def test_the_lease_ends_when_it_should(self) -> None:
        self.put_all("a b")
        short, long = self.take("a", lease=100.0), self.take("b", lease=300.0)
        assert 199 < long.until - short.until < 200 + self.patience

    @clause(
        "CLAIM-7",
        "a claim with the token of an earlier one returns what is still leased of it, and no more",
        look="reclaim: find by token what is still leased, with the old receipts and ends, and lease nothing",
    )
    def test_a_claim_can_be_repeated(self) -> None:
        self.put_all("a b c")
        self.put(task_id="d", priority=0 if self.lacks("priorities") else 1)
        command = Claim(queue=self.queue, token=TOKEN, count=3, lease=LONG)
        first = self.ok(command, Claimed).leases
        again = Claim(queue=self.queue, token=TOKEN, count=3, lease=LONG, again=True)
        outcome = self.do(again)
        (left,) = {"a", "b", "c", "d"} - {lease.task_id for lease in first}
        if isinstance(outcome, Unsupported):
            assert self.take_all() == left
            return
        repeated = self.ok(again, Claimed).leases
        assert self.same(ids(repeated), ids(first))
        assert sorted(repeated, key=by_id) == sorted(first, key=by_id)
        self.ack(first[1])
        assert self.same(ids(self.ok(again, Claimed).leases), f"{first[0].task_id} {first[2].task_id}")
        assert self.ok(Claim(queue=self.queue, token="other", again=True), Claimed).leases == []  # noqa: S106
        assert self.take_all() == left

    @clause(
        "CLAIM-8",
        "receipts of different deliveries differ, whatever the tokens are",
        look="the receipt has to hold number of delivery and task besides the token: use make_receipt",
    )
    def test_receipts_differ(self) -> None:
        self.put_all("a b c")
        command = Claim(queue=self.queue, token=TOKEN, count=2, lease=LONG)
        receipts = [lease.receipt for lease in self.ok(command, Claimed).leases]
        receipts += [lease.receipt for lease in self.ok(command, Claimed).leases]
        assert len(set(receipts)) == 3

    @clause(
        "COUNT-1",
        "a release uses up no attempt, but counts as a delivery",
        needs="attempts_apart_from_deliveries",
        look="release: take back the failure that claim counted, or count failures only when they happen",
    )
    def test_a_release_uses_up_no_attempt(self) -> None:
        self.put(task_id="it", max_attempts=2)
        for deliveries in range(1, 5):
            lease = self.take("it")
            assert (lease.attempt, lease.deliveries) == (1, deliveries)
            self.release(lease)
        retry = Retry(queue=self.queue, receipt=self.take("it").receipt, delay=0.0)
        assert self.ok(retry, Settled).state is TaskState.READY

    @clause(
        "COUNT-2",
        "a delivery is counted before the task is handed out",
        look="deliveries increased at settling instead of in the step that leases the task",
    )
    def test_the_record_and_the_lease_agree(self) -> None:
        self.put(task_id="it")
        for _ in range(3):
            lease = self.take("it")
            record = self.record("it")
            assert (record.attempt, record.deliveries) == (lease.attempt, lease.deliveries)
            self.release(lease)


class Order(Subject):
    """The order of claims."""

    @pytest.mark.parametrize("size", [1, 7, 100])
    @clause(
        "ORDER-1",
        "tasks of one priority are claimed in the order in which they were put",
        needs="ordering",
        look="the sort key of claim: a place given at the put, not a time of day, a hash or a random id",
    )
    def test_first_in_first_out(self, size: int) -> None:
        names = [f"t{number}" for number in range(100)]
        self.put_all(" ".join(names[:50]))
        for name in names[50:]:
            self.put(task_id=name)
        claimed = " ".join(ids(self.claim(size)) for _ in range(0, 100, size))
        assert claimed.split() == names

    @clause(
        "ORDER-2",
        "the highest priority comes first, however long others wait",
        needs="ordering priorities",
        look="the sort key is priority descending, then place; an aging rule of the engine must be off",
    )
    def test_strict_priority(self) -> None:
        chance = random.Random(1)  # noqa: S311 - an order, not a secret
        priorities = list(range(32)) * 3
        chance.shuffle(priorities)
        for number, priority in enumerate(priorities):
            self.put(task_id=f"t{number}", priority=priority)
        claimed = [int(each.task_id[1:]) for _ in range(12) for each in self.claim(8)]
        assert claimed == sorted(range(96), key=lambda number: (-priorities[number], number))

    @clause(
        "ORDER-3",
        "a lapsed lease puts the task back where it was",
        needs="ordering",
        look="giving lapsed tasks back must keep their place, not append them to a list",
    )
    def test_a_lapsed_task_is_back_at_its_old_place(self) -> None:
        self.put_all("a b c d")
        out = self.claim(3)  # then two leases are cut short: nothing has to be done before they end
        self.broker.apply(
            [Extend(queue=self.queue, receipt=each.receipt, lease=self.moment) for each in out[:2]]
        )
        self.pass_time(self.moment)
        self.put(task_id="e")
        assert self.take_all() == "a b d e"

    @clause(
        "ORDER-4",
        "a release puts the task back where it was",
        needs="ordering",
        look="release that pushes to the end: the place must be left as it was",
    )
    def test_a_released_task_is_back_at_its_old_place(self) -> None:
        self.put_all("a b c d")
        for lease in self.claim(3)[:2]:
            self.release(lease)
        assert self.take_all() == "a b d"

    @clause(
        "ORDER-5",
        "a priority counts for a task that comes back as well",
        needs="ordering priorities",
        look="the list to which release returns a task: that of its priority, not the default one",
    )
    def test_a_released_task_keeps_its_priority(self) -> None:
        self.put(task_id="low", priority=1)
        self.put(task_id="high", priority=9)
        lease = self.take("high")
        self.put(task_id="middle", priority=5)
        self.release(lease)
        assert self.take_all() == "high middle low"

    @clause(
        "ORDER-6",
        "what is put between two claims comes behind what was there",
        needs="ordering",
        look="how places are given: a counter that is read before the commit, or starts anew when empty",
    )
    def test_claims_and_puts_in_turn(self) -> None:
        self.put_all("a b c")
        order = []
        for number in range(20):
            order += self.take_all(1).split()
            self.put_all(f"n{number} m{number}")
        assert order == ["a", "b", "c", *[f"{x}{n}" for n in range(9) for x in "nm"][:17]]
