"""Unique keys: no second task with a key while the first one is scheduled, ready or leased."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from distqueue.commands import Cancel, Purge, Redrive, Retry
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, Subject, expect
from distqueue.errors import UniqueTaken
from distqueue.results import Purged, Redriven, Removed, Settled, Stored
from distqueue.task import TaskState

type Step = Callable[[Subject], object]

FREEING: list[Step] = [
    lambda test: test.ack(test.take("first")),
    lambda test: test.reject(test.take("first")),
    lambda test: test.ok(Cancel(queue=test.queue, task_id="first"), Removed),
    lambda test: test.ok(Purge(queue=test.queue), Purged),
]


class Unique(Subject):
    """Unique keys."""

    def taken(self) -> None:
        """The key is taken by the first task, and a second one is refused whole."""
        before = self.stats()
        refusal = self.refuse(self.make(task_id="second", unique="key"), UniqueTaken)
        assert refusal.task_id == "first"
        assert self.find("second") is None
        assert self.stats() == before

    @clause(
        "UNIQUE-1",
        "a second task with the key is refused with the first one's id, ready or leased",
        needs="unique",
        look="the key is held in every live state: release and retry must not give it up",
    )
    def test_a_key_is_taken_while_its_task_is_live(self) -> None:
        self.put(task_id="first", unique="key")
        self.taken()
        lease = self.take("first")
        self.taken()
        self.release(lease)
        self.taken()
        self.ok(Retry(queue=self.queue, receipt=self.take("first").receipt, delay=0.0), Settled)
        self.taken()

    @clause(
        "UNIQUE-2",
        "a scheduled task and one that waits for its retry hold their key",
        needs="unique delay",
        look="the index of keys covers scheduled tasks, also those that retry sent there",
    )
    def test_a_scheduled_task_holds_its_key(self) -> None:
        self.put(task_id="first", unique="key", delay=4 * self.moment)
        self.taken()
        self.pass_time(4 * self.moment)
        self.ok(Retry(queue=self.queue, receipt=self.take("first").receipt, delay=LONG), Settled)
        assert self.state("first") is TaskState.SCHEDULED
        self.taken()

    @pytest.mark.parametrize("step", FREEING, ids=["ack", "reject", "cancel", "purge"])
    @clause(
        "UNIQUE-3",
        "the key is free again when its task is done, dead or gone",
        needs="unique",
        look="ack, reject, cancel and purge each have to give the key up",
    )
    def test_the_key_is_free_again(self, step: Step) -> None:
        self.put(task_id="first", unique="key")
        step(self)
        self.put(task_id="second", unique="key")
        assert self.refuse(self.make(unique="key"), UniqueTaken).task_id == "second"

    @clause(
        "UNIQUE-4",
        "a kept done task does not hold its key",
        needs="unique keep_done",
        look="the index of keys covers done tasks: only scheduled, ready and leased ones hold theirs",
    )
    def test_a_kept_task_does_not_hold_its_key(self) -> None:
        self.put(task_id="first", unique="key", keep_done=LONG)
        self.ack(self.take("first"))
        assert self.state("first") is TaskState.DONE
        self.put(task_id="second", unique="key")

    @clause(
        "UNIQUE-5",
        "the key of an expired task is free",
        needs="unique expiry",
        look="what drops expired tasks has to give their keys up",
    )
    def test_an_expired_task_does_not_hold_its_key(self) -> None:
        self.put(task_id="first", unique="key", expires_in=self.moment)
        self.pass_time(self.moment)
        assert self.claim() == []
        self.put(task_id="second", unique="key")

    @clause(
        "UNIQUE-6",
        "the same task again is a duplicate, not a second task with the key",
        needs="unique",
        look="put has to look for the id first, and for the key only if the task is new",
    )
    def test_the_same_task_again_is_a_duplicate(self) -> None:
        put = self.make(task_id="first", unique="key")
        assert not self.ok(put, Stored).duplicate
        assert self.ok(put, Stored).duplicate

    @clause(
        "UNIQUE-7",
        "of two tasks with one key in one call the first is stored",
        needs="unique",
        look="keys are looked up once for the whole call: later puts of it have to see earlier ones",
    )
    def test_one_key_twice_in_a_call(self) -> None:
        puts = [self.make(task_id=name, unique="key") for name in ("first", "second")]
        one, two = self.broker.apply(puts)
        expect(one, Stored)
        assert expect(two, UniqueTaken).task_id == "first"
        assert self.take_all() == "first"

    @clause(
        "UNIQUE-8",
        "a redrive into a taken key is refused, and names the task",
        needs="unique",
        look="redrive has to check and take keys as put does, and list in refused what it left dead",
    )
    def test_a_redrive_into_a_taken_key_is_refused(self) -> None:
        self.put(task_id="first", unique="key")
        self.reject(self.take("first"))
        self.put(task_id="second", unique="key")
        for command in (Redrive(queue=self.queue), Redrive(queue=self.queue, task_id="first")):
            outcome = self.do(command)
            if isinstance(outcome, UniqueTaken):
                assert outcome.task_id == "second"
            else:
                assert expect(outcome, Redriven) == Redriven(count=0, refused=("first",))
            assert self.state("first") is TaskState.DEAD
        self.ack(self.take("second"))
        assert self.ok(Redrive(queue=self.queue), Redriven) == Redriven(count=1)
        self.take("first")

    @clause(
        "UNIQUE-9",
        "of several dead tasks with one key one is redriven",
        needs="unique",
        look="redrive of all as one update: go task by task, so that the second one sees the first",
    )
    def test_one_of_several_is_redriven(self) -> None:
        for name in ("a", "b"):
            self.put(task_id=name, unique="key")
            self.reject(self.take(name))
        assert self.ok(Redrive(queue=self.queue), Redriven) == Redriven(count=1, refused=("b",))
        assert (self.state("a"), self.state("b")) == (TaskState.READY, TaskState.DEAD)

    @clause(
        "UNIQUE-10",
        "keys of different queues are apart",
        needs="unique",
        look="the key of the unique index: queue and key together",
    )
    def test_a_key_belongs_to_its_queue(self) -> None:
        self.put(task_id="first", unique="key")
        self.put(task_id="other", unique="key", queue="elsewhere")
