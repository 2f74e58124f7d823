"""Follow-up tasks: an ack that puts what comes next in the same commit."""

from __future__ import annotations

from distqueue.commands import Ack
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import Subject, ids, value
from distqueue.errors import TaskGone
from distqueue.results import Settled
from distqueue.task import TaskState


class AckThen(Subject):
    """An ack that puts follow-up tasks in the same commit."""

    @clause(
        "THEN-1",
        "the follow-up tasks of an ack are stored with it",
        look="ack with follow-up tasks: puts into their own queues, in the commit of the ack",
    )
    def test_follow_up_tasks_are_stored(self) -> None:
        self.put(task_id="it")
        then = (self.make(1, task_id="next"), self.make(2, task_id="after", queue="other"))
        settled = self.ok(Ack(queue=self.queue, receipt=self.take("it").receipt, then=then), Settled)
        assert [(each.task_id, each.duplicate) for each in settled.then] == [
            ("next", False),
            ("after", False),
        ]
        assert self.find("it") is None
        assert value(self.take("next").data) == 1
        assert ids(self.claim(queue="other")) == "after"

    @clause(
        "THEN-2",
        "if a follow-up task is refused, the task is not acked and nothing is stored",
        look="check every follow-up task before the first write, or undo the ack to a savepoint",
    )
    def test_a_refused_follow_up_refuses_the_ack(self) -> None:
        self.put(task_id="it")
        self.put("first", task_id="known")
        lease = self.take("it")
        before = self.record("it")
        bad = [
            self.make(task_id="two words"),
            self.make("second", task_id="known"),
            self.make(task_id="x", max_attempts=0),
            self.make(task_id="x", queue="Bad Name"),
        ]
        for put in bad:
            then = (self.make(task_id="good"), put, self.make(task_id="better"))
            outcome = self.do(Ack(queue=self.queue, receipt=lease.receipt, then=then))
            assert not isinstance(outcome, Settled)
            assert self.record("it") == before
            assert [self.state("good"), self.state("better")] == [None, None]
        self.ack(lease)

    @clause(
        "THEN-3",
        "a follow-up task whose unique key is taken refuses the ack",
        needs="unique",
        look="the check of unique keys for follow-up tasks, before the ack is written",
    )
    def test_a_taken_key_refuses_the_ack(self) -> None:
        self.put(task_id="it")
        lease = self.take("it")
        self.put(task_id="holder", unique="key")
        then = (self.make(task_id="good"), self.make(task_id="second", unique="key"))
        assert not isinstance(self.do(Ack(queue=self.queue, receipt=lease.receipt, then=then)), Settled)
        assert (self.state("it"), self.state("good")) == (TaskState.LEASED, None)

    @clause(
        "THEN-4",
        "an ack whose reply was lost can be sent again: its follow-up tasks are there once",
        look="a repeated ack must answer from memory, with its follow-up tasks as duplicates",
    )
    def test_a_repeated_ack_stores_nothing_twice(self) -> None:
        self.put(task_id="it")
        command = Ack(queue=self.queue, receipt=self.take("it").receipt, then=(self.make(task_id="next"),))
        self.ok(command, Settled)
        self.settle_the_gone(command, Settled)
        assert self.take_all() == "next"

    @clause(
        "THEN-5",
        "a refused ack stores none of its follow-up tasks",
        look="follow-up tasks stored before the receipt is checked",
    )
    def test_a_stale_ack_stores_nothing(self) -> None:
        self.put(task_id="it")
        lease = self.take("it")
        self.cancel("it")
        command = Ack(queue=self.queue, receipt=lease.receipt, then=(self.make(task_id="next"),))
        self.settle_the_gone(command, TaskGone)
        assert self.find("next") is None

    @clause(
        "THEN-6",
        "the unique key of the acked task is free for its follow-up",
        needs="unique",
        look="the key of the acked task is given up before those of its follow-up tasks are checked",
    )
    def test_a_follow_up_may_take_the_key_over(self) -> None:
        self.put(task_id="it", unique="key")
        then = (self.make(task_id="next", unique="key"),)
        self.ok(Ack(queue=self.queue, receipt=self.take("it").receipt, then=then), Settled)
        assert self.record("next").unique == "key"
