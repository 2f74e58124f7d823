"""Putting tasks: what is stored, what comes back, and what happens to a bad one among good ones."""

from __future__ import annotations

from distqueue.commands import Claim, Command, Put
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, Subject, expect, ids, value
from distqueue.errors import InvalidTask, Refused
from distqueue.results import Claimed, Lease, Stored
from distqueue.task import TaskState


class Publishing(Subject):
    """Putting tasks."""

    @clause(
        "PUT-1",
        "a put is answered with the task's id and makes it ready",
        look="the first values of a task's row: ready, attempt 1, no deliveries; the id in the answer",
    )
    def test_a_put_stores_a_ready_task(self) -> None:
        assert self.ok(self.make({"n": 1}, task_id="first"), Stored) == Stored(
            task_id="first", duplicate=False
        )
        record = self.record("first")
        assert (record.state, record.attempt, record.deliveries) == (TaskState.READY, 1, 0)
        assert value(bytes(record.data)) == {"n": 1}

    @clause(
        "PUT-2",
        "a task keeps everything that it was put with",
        look="columns left out in the insert, or read back with a default: options, headers, put_at",
    )
    def test_a_task_keeps_its_options(self) -> None:
        headers = {"trace": "00-ab-cd", "lang": "ελληνικά", "": "empty name"}
        self.put("data", task_id="all", max_attempts=7, publisher_id="shop 3", headers=headers)
        record = self.record("all")
        assert (record.queue, record.max_attempts, record.publisher_id) == (self.queue, 7, "shop 3")
        assert record.headers == headers
        assert record.put_at > 0

    @clause(
        "PUT-3",
        "a delivery carries the task's data and everything that its consumer may need",
        look="the lease made by claim: every field that find shows has to be in it, None staying None",
    )
    def test_a_delivery_carries_the_task(self) -> None:
        self.put([1, 2], task_id="all", max_attempts=None, publisher_id="p", headers={"a": "b"})
        lease = self.take()
        assert value(lease.data) == [1, 2]
        assert (lease.task_id, lease.attempt, lease.deliveries, lease.priority) == ("all", 1, 1, 0)
        assert (lease.max_attempts, lease.publisher_id, lease.headers) == (None, "p", {"a": "b"})
        assert lease.put_at == self.record("all").put_at

    @clause(
        "PUT-4",
        "one call may hold puts for several queues; each queue gets its own",
        look="put storing all tasks of a call in the first one's queue: each has its own",
    )
    def test_queues_are_apart(self) -> None:
        puts = [
            self.make(task_id=name, queue=queue) for name, queue in (("a", "one"), ("b", "two"), ("c", "one"))
        ]
        outcomes = self.broker.apply(puts)
        assert [expect(outcome, Stored).task_id for outcome in outcomes] == ["a", "b", "c"]
        assert self.same(ids(self.claim(9, queue="one")), "a c")
        assert ids(self.claim(9, queue="two")) == "b"

    @clause(
        "PUT-5",
        "a call without commands is answered with nothing",
        look="a statement built from a list that may be empty, or a transaction begun for nothing",
    )
    def test_an_empty_call_is_answered_with_nothing(self) -> None:
        assert self.broker.apply([]) == []

    @clause(
        "PUT-6",
        "a bad task in the middle of a batch is refused alone, and its neighbours are stored",
        look="an error of one row rolls the batch back: answer it with a refusal, in its position",
    )
    def test_a_bad_task_does_not_hurt_its_neighbours(self) -> None:
        bad: list[Put] = [
            self.make(task_id="two words"),
            self.make(task_id="attempts", max_attempts=0),
            Put(queue=self.queue, task_id="half", data=b'{"half": '),
            Put(queue="No Queue", task_id="queue", data=b"1"),
            Put(queue=self.queue, task_id="huge", data=b'"' + b"x" * self.capabilities.max_payload + b'"'),
        ]
        batch: list[Put] = []
        for number, put in enumerate(bad):
            batch += [self.make(task_id=f"good{number}"), put]
        outcomes = self.broker.apply([*batch, self.make(task_id="last")])
        assert [isinstance(outcome, Refused) for outcome in outcomes] == [False, True] * len(bad) + [False]
        assert sorted(self.take_all().split()) == ["good0", "good1", "good2", "good3", "good4", "last"]
        assert self.stats().ready == 0

    @clause(
        "PUT-7",
        "a refused command of another kind does not hurt its neighbours either",
        look="an own apply that raises for a bad command instead of returning its refusal",
    )
    def test_a_bad_claim_does_not_hurt_its_neighbours(self) -> None:
        bad = Claim(queue=self.queue, token="t", count=0)  # noqa: S106 - no password
        outcomes = self.broker.apply([self.make(task_id="a"), bad, self.make(task_id="b")])
        expect(outcomes[1], InvalidTask)
        assert self.same(self.take_all(), "a b")

    @clause(
        "PUT-8",
        "the commands of one call on one queue are carried out in list order",
        look="commands sorted by verb before they are carried out: only neighbours may go together",
    )
    def test_a_call_is_carried_out_in_order(self) -> None:
        claim = Claim(queue=self.queue, token="t", count=5, lease=LONG)  # noqa: S106 - no password
        calls: list[Command] = [claim, self.make(task_id="a"), claim, self.make(task_id="b"), claim]
        first, _, second, _, third = self.broker.apply(calls)
        leases: list[list[Lease]] = [expect(each, Claimed).leases for each in (first, second, third)]
        assert [ids(each) for each in leases] == ["", "a", "b"]

    @clause(
        "PUT-9",
        "times of publishing go back only with the clock: from call to call, and in one if there is an order",
        look="put_at taken from different machines, or after the place was given: one clock, in one step",
    )
    def test_tasks_know_when_they_were_put(self) -> None:
        # Where a queue has no order, its tasks may be put in parts: then each call has its own time only.
        for names in ("a", "b", "c") if self.lacks("ordering") else ("a b c",):
            self.put_all(names)
        times = [self.record(each).put_at for each in ("a", "b", "c")]
        assert times == sorted(times)
