"""Durability: after closing and opening a store everything is as it was."""

from __future__ import annotations

from threading import Event

import pytest

from distqueue.broker import Broker
from distqueue.commands import Ack, Cancel, Claim, Extend, Pause, Release, Retry
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, expect, ids
from distqueue.conformance.suite.tidying import Tidying
from distqueue.errors import AlreadySettled, Closed, LeaseLost, StoreMissing, TaskGone, UniqueTaken
from distqueue.results import Claimed, Lease, Removed, Seen, Settled, Stored
from distqueue.retry import Backoff
from distqueue.task import TaskState


class Reopening(Tidying):
    """Durability."""

    def fill_for_reopening(self) -> Lease:
        """Bring tasks into every state and return the lease of the one that is out."""
        self.put_all("acked dead cancelled out back again long r1 r2")
        self.ack(self.take("acked"))
        self.reject(self.take("dead"), "no ä good\n")
        self.cancel("cancelled")
        out = self.take("out")
        back, again, long = self.claim(3)
        self.release(back)
        self.ok(Extend(queue=self.queue, receipt=long.receipt, lease=2 * LONG), Settled)
        self.ok(Retry(queue=self.queue, receipt=again.receipt, delay=0.0, error="failed"), Settled)
        if not self.lacks("delay"):
            self.put(task_id="later", delay=LONG)
            retry = Retry(queue=self.queue, receipt=self.take().receipt, error="wait", backoff=Backoff(LONG))
            self.ok(retry, Settled)
        if not self.lacks("keep_done"):
            self.put(task_id="done", keep_done=LONG, queue="other")
            self.broker.apply([Ack(queue="other", receipt=self.claim(queue="other")[0].receipt)])
        if not self.lacks("groups"):
            self.put_all("g1 g2", group="g")
        if not self.lacks("expiry"):
            self.put(task_id="expired", expires_in=0.0)
        self.put([1, "ä"], task_id="rich", max_attempts=None, headers={"h": "v"}, publisher_id="p")
        return out

    @clause(
        "REOPEN-1",
        "every task, its place, counts and times are as before",
        needs="durability browse",
        look="compare the record field by field: which step is not written, or read with a default?",
    )
    def test_everything_is_as_before(self) -> None:
        self.fill_for_reopening()

        def everything() -> object:
            return [
                (self.browse(queue=name), self.browse(order="line", queue=name), self.stats(name))
                for name in (self.queue, "other")
            ]

        before = everything()
        for _ in range(2):
            self.reopen()
            assert everything() == before

    @clause(
        "REOPEN-16",
        "everything is as before once the store has tidied up its files, and opened again after that",
        needs="durability browse",
        look="what compaction copies: each field of a task, and what a queue has beside its tasks",
        slow=True,
    )
    def test_tidying_up_changes_nothing(self) -> None:
        self.fill_for_reopening()
        self.put(task_id="held", queue="paused")
        if not self.lacks("pause"):
            self.do(Pause(queue="paused"))

        def everything() -> object:
            names = (self.queue, "other", "paused")
            return [
                (self.browse(queue=name), self.remembered(queue=name), self.stats(name)) for name in names
            ]

        before = everything()
        self.let_it_tidy_up()
        assert everything() == before
        self.reopen()
        assert everything() == before

    @clause(
        "REOPEN-2",
        "the order of claims goes on where it was",
        needs="durability ordering",
        look="places and the counter that gives them: both stored, or the next place read from the last",
    )
    def test_the_order_goes_on(self) -> None:
        self.put_all("a b c d")
        self.release(self.claim(2)[1])
        self.reopen()
        self.put(task_id="e")
        assert self.take_all() == "b c d e"

    @clause(
        "REOPEN-3",
        "a running lease goes on: its receipt settles, and nobody else gets the task",
        needs="durability",
        look="leases kept in memory only, or dropped at close: receipt and end have to be stored",
    )
    def test_a_lease_goes_on(self) -> None:
        self.put(task_id="a")
        first = self.take("a")
        self.put(task_id="b")
        second = self.take("b")
        self.reopen()
        assert self.claim() == []
        self.ok(Extend(queue=self.queue, receipt=first.receipt, lease=LONG), Settled)
        self.ack(first)
        self.release(second)
        self.reopen()
        assert self.find("a") is None
        lease = self.take("b")
        assert lease.deliveries == 2
        assert lease.attempt == (2 if self.lacks("attempts_apart_from_deliveries") else 1)

    @clause(
        "REOPEN-4",
        "a lease that ended while the store was closed gives its task back",
        needs="durability",
        look="leases must end by a clock that goes on while the store is closed, and be looked at on open",
    )
    def test_a_lease_that_ended_meanwhile(self) -> None:
        self.put(task_id="a")
        lease = self.take("a", lease=self.moment)
        self.put(task_id="b")  # once the first one is out: nothing has to be done within the lease
        self.broker.close()
        self.pass_time(self.moment)
        self.broker = self.open()
        if not self.lacks("fenced_receipts"):
            self.refuse(Ack(queue=self.queue, receipt=lease.receipt), LeaseLost)
        again = self.claim(2)
        assert {each.task_id: each.attempt for each in again} == {"a": 2, "b": 1}

    @clause(
        "REOPEN-5",
        "ids of tasks that are there and of tasks that are gone are known",
        needs="durability dedup",
        look="the memory of ids is written by ack, cancel and purge, and read on open",
    )
    def test_ids_are_known(self) -> None:
        self.fill_for_reopening()
        self.reopen()
        for name in ("acked", "cancelled", "dead", "out", "r1"):
            assert self.ok(self.make(task_id=name), Stored).duplicate, name

    @clause(
        "REOPEN-6",
        "what was settled is known: the same verb is ok, another one is not",
        needs="durability",
        look="the last receipt and the verb that settled it: stored with the task, and with the memory",
    )
    def test_settling_is_remembered(self) -> None:
        self.put_all("a b c")
        acked, released, cancelled = self.claim(3)
        self.ack(acked)
        self.release(released)
        self.cancel(cancelled.task_id)
        self.reopen()
        self.release(released)
        if not self.lacks("dedup"):
            self.ack(acked)
            self.refuse(Release(queue=self.queue, receipt=acked.receipt), AlreadySettled)
            self.refuse(Ack(queue=self.queue, receipt=cancelled.receipt), TaskGone)
        self.refuse(Ack(queue=self.queue, receipt=released.receipt), AlreadySettled)

    @clause(
        "REOPEN-7",
        "a paused queue stays paused",
        needs="durability pause",
        look="the flag of a pause is written by pause, not at the close",
    )
    def test_a_pause_stays(self) -> None:
        self.put(task_id="it")
        self.do(Pause(queue=self.queue))
        self.reopen()
        assert self.stats().paused
        assert self.claim() == []

    @clause(
        "REOPEN-8",
        "a group stays blocked by its head, in order",
        needs="durability groups",
        look="how groups are built on open: heads out or ready, members in the order of their numbers",
    )
    def test_a_group_stays_blocked(self) -> None:
        self.put_all("g1 g2 g3", group="g")
        lease = self.take("g1")
        self.reopen()
        assert self.claim(10) == []
        self.ack(lease)
        assert ids(self.claim(10)) == "g2"

    @clause(
        "REOPEN-9",
        "a unique key stays taken",
        needs="durability unique",
        look="the index of unique keys is rebuilt on open from all live tasks",
    )
    def test_a_key_stays_taken(self) -> None:
        self.put(task_id="first", unique="key")
        self.reopen()
        assert self.refuse(self.make(unique="key"), UniqueTaken).task_id == "first"

    @clause(
        "REOPEN-10",
        "a task that became due while the store was closed is claimed",
        needs="durability delay",
        look="the list of due times is rebuilt on open, and looked at before the first claim",
    )
    def test_a_task_that_became_due_meanwhile(self) -> None:
        self.put(task_id="late", delay=self.moment)
        self.put(task_id="a")
        self.broker.close()
        self.pass_time(self.moment)
        self.broker = self.open()
        assert sorted(self.take_all().split()) == ["a", "late"]

    @clause(
        "REOPEN-11",
        "attempts and deliveries are counted on",
        needs="durability",
        look="attempts and deliveries are written with the claim, before the task is handed out",
    )
    def test_counts_go_on(self) -> None:
        self.put(task_id="it", max_attempts=3)
        for attempt in (1, 2, 3):
            assert self.take("it", lease=self.moment).attempt == attempt
            self.reopen()
            self.pass_time(self.moment)
        assert self.claim() == []
        assert self.state("it") is TaskState.DEAD

    @clause(
        "REOPEN-12",
        "a store that does not exist is not made unless asked for",
        needs="durability",
        look="open with create=False: a driver that makes a missing file or database by itself",
    )
    def test_a_missing_store_is_not_made(self) -> None:
        url = self.rig.absent_url()
        for _ in range(2):
            with pytest.raises(StoreMissing):
                self.open(url, create=False)
        self.broker.close()
        self.broker = self.open(create=False)
        self.put(task_id="it")

    @clause(
        "REOPEN-14",
        "a task that was put, claimed and removed in one call is read back as it was",
        needs="durability",
        look="the order in which steps of one commit are written and read: put, claim, cancel",
    )
    def test_steps_of_one_call(self) -> None:
        claim = Claim(queue=self.queue, token="t", lease=LONG)  # noqa: S106 - no password
        (_, claimed), (_, removed) = (
            self.broker.apply([self.make(task_id="out"), claim]),
            self.broker.apply([self.make(task_id="gone"), Cancel(queue=self.queue, task_id="gone")]),
        )
        expect(removed, Removed)
        (lease,) = expect(claimed, Claimed).leases
        before = self.record("out")
        self.reopen()
        assert self.record("out") == before
        assert self.find("gone") is None
        self.ack(lease)

    @clause(
        "REOPEN-13",
        "many opens in a row lose nothing",
        needs="durability",
        look="what open and close write each time: a log that is cut short, a generation counted wrongly",
    )
    def test_many_opens(self) -> None:
        for number in range(20):
            self.put(number, task_id=f"t{number}")
            self.broker.apply([Cancel(queue=self.queue, task_id=f"t{number - 3}")])
            self.reopen()
        assert sorted(self.take_all().split()) == ["t17", "t18", "t19"]

    @clause(
        "REOPEN-15",
        "closed and opened in the middle of everything: who waits is told, and all else is as before",
        needs="durability browse",
        look="what close gives back or writes that is not its own: leases that are out, another open",
    )
    def test_a_reopen_in_the_middle_of_everything(self) -> None:
        out = self.fill_for_reopening()
        if not self.lacks("pause"):
            self.put(task_id="held", queue="paused")
            self.do(Pause(queue="paused"))

        def everything() -> object:
            names = (self.queue, "other", "paused")
            return [(self.browse(queue=name), self.stats(name)) for name in names]

        before, beside, begun = everything(), self.open(), Event()
        for _ in range(3):
            closing = self.broker
            seen = expect(closing.apply([Claim(queue="empty", token="t")])[0], Claimed).seen  # noqa: S106
            begun.clear()
            waiting = self.in_thread(lambda at=seen, one=closing: wait_to_the_end(one, at, begun))  # type: ignore[misc]
            assert begun.wait(self.patience)
            self.reopen()
            with pytest.raises(Closed):
                waiting.result(self.patience)
            assert everything() == before
        expect(beside.apply([Ack(queue=self.queue, receipt=out.receipt)])[0], Settled)
        assert self.find(out.task_id) is None

    @clause(
        "REOPEN-17",
        "a claim that is repeated after the store was opened again returns what it did at first",
        needs="durability",
        look="what a repeated claim looks through: the leases in the store, not those that this open made",
    )
    def test_a_claim_is_repeated_after_a_reopen(self) -> None:
        self.put_all("a b c")
        command = Claim(queue=self.queue, token="mine", count=2, lease=LONG)  # noqa: S106 - no password
        first = self.ok(command, Claimed).leases
        self.reopen()
        self.claim_again("mine", first)
        assert len(self.claim(3)) == 1


def wait_to_the_end(broker: Broker, seen: Seen, begun: Event) -> None:
    """Wait for a task that never comes, until the broker is closed."""
    begun.set()
    while True:
        broker.wait("empty", seen, None)
