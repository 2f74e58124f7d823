"""Publishing twice: one id is one task, as long as it is remembered."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from distqueue.commands import Ack, Cancel, Purge
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, Subject, expect, value
from distqueue.errors import PayloadMismatch
from distqueue.results import Purged, Removed, Settled, Stored
from distqueue.task import TaskState

type Bring = Callable[[Subject], None]
"""Brings the task ``it`` into a state."""


def ready(test: Subject) -> None:
    test.put("data", task_id="it")


def leased(test: Subject) -> None:
    ready(test)
    test.take("it")


def dead(test: Subject) -> None:
    ready(test)
    test.reject(test.take("it"))


def acked(test: Subject) -> None:
    ready(test)
    test.ack(test.take("it"))


def cancelled(test: Subject) -> None:
    ready(test)
    test.ok(Cancel(queue=test.queue, task_id="it"), Removed)


def purged(test: Subject) -> None:
    ready(test)
    assert test.ok(Purge(queue=test.queue), Purged).count == 1


PRESENT: list[Bring] = [ready, leased, dead]
GONE: list[Bring] = [acked, cancelled, purged]


def name_of(bring: Bring) -> str:
    return bring.__name__


class Dedup(Subject):
    """Publishing twice."""

    @pytest.mark.parametrize("bring", PRESENT, ids=name_of)
    @clause(
        "DEDUP-1",
        "a second put of a task that exists stores nothing and says that it is a duplicate",
        look="put: an insert that replaces on conflict; it must leave the row, whatever its state",
    )
    def test_a_task_that_exists_is_not_stored_again(self, bring: Bring) -> None:
        bring(self)
        before = self.record("it")
        assert self.ok(self.make("data", task_id="it"), Stored) == Stored(task_id="it", duplicate=True)
        assert self.record("it") == before
        assert self.take_all() == ("it" if bring is ready else "")

    @pytest.mark.parametrize("bring", PRESENT, ids=name_of)
    @clause(
        "DEDUP-2",
        "another payload under the id of a task that exists is refused",
        look="the conflict of ids has to compare the payload's checksum before it says duplicate",
    )
    def test_another_payload_for_a_task_that_exists_is_refused(self, bring: Bring) -> None:
        bring(self)
        before = self.record("it")
        self.refuse(self.make("other data", task_id="it"), PayloadMismatch)
        assert self.record("it") == before

    @pytest.mark.parametrize("bring", GONE, ids=name_of)
    @clause(
        "DEDUP-3",
        "the id of a task that is gone is remembered: acked, cancelled or purged",
        needs="dedup",
        look="ack, cancel and purge each have to write the id to the memory in the commit that deletes",
    )
    def test_a_task_that_is_gone_is_not_stored_again(self, bring: Bring) -> None:
        bring(self)
        assert self.ok(self.make("data", task_id="it"), Stored) == Stored(task_id="it", duplicate=True)
        assert self.find("it") is None
        assert self.claim() == []

    @pytest.mark.parametrize("bring", GONE, ids=name_of)
    @clause(
        "DEDUP-4",
        "another payload under the id of a task that is gone is refused",
        needs="dedup",
        look="the memory has to keep the payload's checksum, and put compare it there too",
    )
    def test_another_payload_for_a_task_that_is_gone_is_refused(self, bring: Bring) -> None:
        bring(self)
        self.refuse(self.make("other data", task_id="it"), PayloadMismatch)
        assert self.find("it") is None

    @clause(
        "DEDUP-5",
        "the same id in another queue is another task",
        look="the key of tasks and of the memory: queue and id together, not the id alone",
    )
    def test_queues_remember_apart(self) -> None:
        acked(self)
        self.put("other data", task_id="it", queue="elsewhere")
        assert value(bytes(self.record("it", "elsewhere").data)) == "other data"

    @clause(
        "DEDUP-6",
        "of two puts with one id in one call the first stores and the second is a duplicate",
        look="ids are looked up once for the whole call: look again after each put, or count the call's own",
    )
    def test_one_call_with_one_id_twice_stores_one_task(self) -> None:
        put = self.make("data", task_id="it")
        first, second, third = self.broker.apply([put, put, self.make("other", task_id="it")])
        assert not expect(first, Stored).duplicate
        assert expect(second, Stored).duplicate
        expect(third, PayloadMismatch)
        assert self.take_all() == "it"

    @pytest.mark.parametrize("bring", [*PRESENT, *GONE], ids=name_of)
    @clause(
        "DEDUP-13",
        "an id is known also among new ones in one call",
        needs="dedup",
        look="a fast path for batches of new tasks: does it fall back when one id is known?",
    )
    def test_a_known_id_among_new_ones_in_one_call_is_a_duplicate(self, bring: Bring) -> None:
        bring(self)
        puts = [self.make("data", task_id=name) for name in ("new", "it", "other")]
        outcomes = [expect(outcome, Stored) for outcome in self.broker.apply(puts)]
        assert [outcome.duplicate for outcome in outcomes] == [False, True, False]
        assert sorted(self.take_all().split()) == sorted(
            ["new", "other", *(["it"] if bring is ready else [])]
        )

    @clause(
        "DEDUP-7",
        "a duplicate changes nothing, even with other options",
        look="an upsert that updates options, time or place of the task that is there",
    )
    def test_the_options_of_the_first_put_stand(self) -> None:
        self.put("data", task_id="it", max_attempts=3)
        before = self.record("it")
        assert self.ok(self.make("data", task_id="it", max_attempts=9), Stored).duplicate
        assert self.record("it") == before

    @clause(
        "DEDUP-8",
        "the id of a scheduled task is taken",
        needs="delay",
        look="the lookup of ids: does it search scheduled tasks, if they are kept apart?",
    )
    def test_a_scheduled_task_is_not_stored_again(self) -> None:
        self.put("data", task_id="it", delay=LONG)
        assert self.ok(self.make("data", task_id="it"), Stored).duplicate
        assert self.state("it") is TaskState.SCHEDULED

    @clause(
        "DEDUP-9",
        "the id of an expired task is remembered",
        needs="expiry dedup",
        look="what drops expired tasks deletes without writing the id to the memory",
    )
    def test_an_expired_task_is_not_stored_again(self) -> None:
        self.put("data", task_id="it", expires_in=self.moment)
        self.pass_time(self.moment)
        assert self.claim() == []
        assert self.ok(self.make("data", task_id="it"), Stored).duplicate
        assert self.claim() == []

    @clause(
        "DEDUP-10",
        "an id is free again when the declared window is over",
        needs="dedup",
        look="the age in the memory's lookup: compare with dedup_window at the put, not only when tidying",
    )
    def test_an_id_is_forgotten_after_the_window(self) -> None:
        self.broker.close()
        self.broker = self.open(dedup_window=self.moment)
        assert self.capabilities.dedup_window == self.moment
        acked(self)
        self.pass_time(self.moment)
        self.put("other data", task_id="it")
        assert value(self.take("it").data) == "other data"

    @clause(
        "DEDUP-11",
        "at least the declared number of ids is remembered, the newest ones",
        needs="dedup",
        look="trimming the memory: by the time of the end, oldest first, and not below dedup_max",
    )
    def test_the_newest_ids_are_remembered(self) -> None:
        self.broker.close()
        self.broker = self.open(dedup_max=3)
        assert self.capabilities.dedup_max == 3
        self.put_all("a b c d e")
        for lease in sorted(self.claim(5), key=lambda lease: lease.task_id):
            self.ack(lease)
        for name in ("c", "d", "e"):
            assert self.ok(self.make(task_id=name), Stored).duplicate

    @clause(
        "DEDUP-12",
        "what is remembered can be listed: id, payload checksum and how the task ended",
        needs="dedup browse",
        look="the memory's record: checksum, receipt and verb; purge of dead tasks has to say purge",
    )
    def test_the_memory_can_be_listed(self) -> None:
        self.put_all("a b c live")
        receipt = self.take("a").receipt
        self.ok(Ack(queue=self.queue, receipt=receipt), Settled)
        self.cancel("b")
        self.reject(self.take("c"))
        assert self.ok(Purge(queue=self.queue, states=(TaskState.DEAD,)), Purged).count == 1
        found = {task.task_id: task for task in self.remembered(limit=2)}
        assert {name: task.settled for name, task in found.items()} == {
            "a": "ack",
            "b": "cancel",
            "c": "purge",
        }
        assert found["a"].receipt == receipt
        assert found["a"].checksum == found["b"].checksum
        assert self.stats().remembered == 3

    @clause(
        "DEDUP-14",
        "what lost its acknowledgement is put again, after a reopen too: what is known is no new task",
        needs="durability dedup",
        look="ids that are remembered in memory, or that a batch looks up before it has read what is stored",
    )
    def test_a_batch_of_which_half_is_known(self) -> None:
        puts = [self.make(number, task_id=f"t{number}") for number in range(10)]
        self.broker.apply(puts[::2])
        done = self.claim(2)
        self.ack(done[0])
        for expected in (([True, False] * 5), [True] * 10):
            self.reopen()
            outcomes = [expect(outcome, Stored) for outcome in self.broker.apply(puts)]
            assert [outcome.duplicate for outcome in outcomes] == expected
        self.ack(done[1])
        gone = {lease.task_id for lease in done}
        taken = self.take_all().split()
        assert sorted(taken) == sorted(put.task_id for put in puts if put.task_id not in gone)
