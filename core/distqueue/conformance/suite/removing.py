"""Cancel, purge and redrive."""

from __future__ import annotations

import pytest

from distqueue.commands import Cancel, Purge, Redrive, Reject, Retry
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, MANY, Subject, expect, value
from distqueue.errors import TaskNotFound
from distqueue.results import Purged, Redriven, Removed, Settled
from distqueue.task import TaskState


class Cancelling(Subject):
    """Cancel."""

    def cancelled(self, task_id: str, state: TaskState) -> None:
        """Cancel a task that is in the given state."""
        command = Cancel(queue=self.queue, task_id=task_id)
        assert self.ok(command, Removed) == Removed(task_id=task_id, state=state)
        assert self.find(task_id) is None
        self.refuse(command, TaskNotFound)

    @clause(
        "CANCEL-1",
        "cancel removes a ready, leased or dead task and says in which state it was",
        look="cancel must find the task in every state, and read the state in the step that deletes",
    )
    def test_cancel_removes_a_task(self) -> None:
        self.put_all("a b c d")
        self.cancelled("a", TaskState.READY)
        self.reject(self.take("b"))
        self.cancelled("b", TaskState.DEAD)
        self.take("c")
        self.cancelled("c", TaskState.LEASED)
        assert self.take_all() == "d"

    @clause(
        "CANCEL-2",
        "cancel removes a scheduled task",
        needs="delay",
        look="cancel does not look among the scheduled tasks, or leaves their due time behind",
    )
    def test_cancel_removes_a_scheduled_task(self) -> None:
        self.put(task_id="it", delay=LONG)
        self.cancelled("it", TaskState.SCHEDULED)

    @clause(
        "CANCEL-3",
        "cancel removes a done task that is kept",
        needs="keep_done",
        look="cancel looks among live tasks only: done ones may be in a table or list of their own",
    )
    def test_cancel_removes_a_kept_task(self) -> None:
        self.put(task_id="it", keep_done=LONG)
        self.ack(self.take("it"))
        self.cancelled("it", TaskState.DONE)

    @clause(
        "CANCEL-4",
        "cancelling what is not in the queue is refused",
        look="the count of deleted rows decides on TaskNotFound; the queue belongs in the condition",
    )
    def test_cancelling_nothing_is_refused(self) -> None:
        self.put(task_id="it", queue="other")
        self.refuse(Cancel(queue=self.queue, task_id="it"), TaskNotFound)
        self.refuse(Cancel(queue="nowhere", task_id="it"), TaskNotFound)
        assert self.record("it", "other").state is TaskState.READY

    @clause(
        "CANCEL-5",
        "a cancelled task leaves the others in order",
        needs="ordering",
        look="removing from the line by swapping or rebuilding: the other places must stay",
    )
    def test_a_cancelled_task_leaves_a_gap(self) -> None:
        self.put_all("a b c d e")
        for name in ("c", "a"):
            self.cancelled(name, TaskState.READY)
        assert self.take_all() == "b d e"


class Purging(Subject):
    """Purge."""

    def fill_for_purging(self) -> None:
        """One task that is dead, one leased, two ready, and one in another queue."""
        self.put_all("dead leased r1 r2")
        self.put(task_id="other", queue="other")
        self.reject(self.take("dead"))
        self.take("leased")

    @pytest.mark.parametrize("others", [0, MANY])
    @clause(
        "PURGE-1",
        "purge removes every task of the queue and says how many",
        look="purge deletes the tasks of one queue, in all states and in one go; it counts rows deleted",
    )
    def test_purge_removes_everything(self, others: int) -> None:
        self.fill_for_purging()
        self.put_many(others)
        assert self.ok(Purge(queue=self.queue), Purged).count == 4 + others
        assert [self.state(name) for name in ("dead", "leased", "r1", "r2")] == [None] * 4
        stats = self.stats()
        assert (stats.ready, stats.leased, stats.dead) == (0, 0, 0)
        assert self.claim() == []
        assert self.ok(Purge(queue=self.queue), Purged).count == 0
        assert self.record("other", "other").state is TaskState.READY

    @clause(
        "PURGE-2",
        "purge of some states leaves the others as they are",
        look="the condition on states in the delete, and what is derived: line, counters, leases",
    )
    def test_purge_of_some_states(self) -> None:
        self.fill_for_purging()
        assert self.ok(Purge(queue=self.queue, states=(TaskState.DEAD,)), Purged).count == 1
        assert [self.state(name) for name in ("dead", "leased", "r1")] == [
            None, TaskState.LEASED, TaskState.READY
        ]  # fmt: skip
        both = (TaskState.READY, TaskState.LEASED)
        assert self.ok(Purge(queue=self.queue, states=both), Purged).count == 3
        assert self.claim() == []

    @clause(
        "PURGE-3",
        "purge removes scheduled and kept tasks",
        needs="delay keep_done",
        look="purge does not reach the tables of scheduled or kept tasks",
    )
    def test_purge_of_scheduled_and_done_tasks(self) -> None:
        self.put(task_id="done", keep_done=LONG)
        self.ack(self.take("done"))
        self.put(task_id="scheduled", delay=LONG)
        assert self.ok(Purge(queue=self.queue, states=(TaskState.DONE,)), Purged).count == 1
        assert self.state("scheduled") is TaskState.SCHEDULED
        assert self.ok(Purge(queue=self.queue, states=(TaskState.SCHEDULED,)), Purged).count == 1
        assert self.find("scheduled") is None

    @clause(
        "PURGE-4",
        "a purged queue works on",
        needs="ordering",
        look="what purge leaves of line, groups or counters when it empties them",
    )
    def test_a_purged_queue_works_on(self) -> None:
        self.fill_for_purging()
        self.ok(Purge(queue=self.queue), Purged)
        self.put_all("a b")
        assert self.take_all() == "a b"

    @clause(
        "PURGE-5",
        "purging a queue that never was removes nothing",
        look="purge that makes the queue, or fails because it is not there",
    )
    def test_purging_nothing(self) -> None:
        assert self.ok(Purge(queue="nowhere"), Purged).count == 0


class Redriving(Subject):
    """Redrive."""

    def bury(self, names: str, error: str | None = None, *, max_attempts: int | None = 5) -> None:
        """Put tasks and make them dead, in order."""
        for name in names.split():
            self.put(name, task_id=name, max_attempts=max_attempts)
            self.reject(self.take(name), error)

    def bury_many(self, count: int) -> list[str]:
        """Put any number of tasks, make them dead, and return their ids in order."""
        names = self.put_many(count)
        rejects = [Reject(queue=self.queue, receipt=lease.receipt) for lease in self.claim(count)]
        for outcome in self.apply_all(rejects):
            expect(outcome, Settled)
        return names

    @pytest.mark.parametrize("count", [3, MANY])
    @clause(
        "REDRIVE-1",
        "redrive makes every dead task ready again, at the end of the line",
        look="redrive must give new places behind the last one, to all in one go, and count what it changed",
    )
    def test_redrive_of_all(self, count: int) -> None:
        dead = self.bury_many(count)
        self.put(task_id="ready")
        assert self.ok(Redrive(queue=self.queue), Redriven) == Redriven(count=count)
        assert (self.stats().dead, self.stats().ready) == (0, count + 1)
        if not self.lacks("ordering"):
            self.take("ready")
        assert {*self.take_all(count + 1).split()} - {"ready"} == {*dead}

    @clause(
        "REDRIVE-2",
        "redrive of one task leaves the others dead",
        look="the condition of redrive: a task_id that is given has to narrow it, for places and counts too",
    )
    def test_redrive_of_one(self) -> None:
        self.bury("a b c")
        assert self.ok(Redrive(queue=self.queue, task_id="b"), Redriven).count == 1
        assert value(self.take("b").data) == "b"
        assert (self.state("a"), self.state("c")) == (TaskState.DEAD, TaskState.DEAD)

    @clause(
        "REDRIVE-3",
        "redrive by error takes those whose error contains the text",
        look="LIKE with % and _ not escaped, or without regard to case: search for the plain text",
    )
    def test_redrive_by_error(self) -> None:
        self.bury("a", "ConnectionError: refused")
        self.bury("b", "ValueError: 100% wrong_")
        self.bury("c", "connectionerror")
        self.bury("d")
        assert self.ok(Redrive(queue=self.queue, error="ConnectionError"), Redriven).count == 1
        self.take("a")
        assert self.ok(Redrive(queue=self.queue, error="%_"), Redriven).count == 0
        assert self.ok(Redrive(queue=self.queue, error="% wrong_"), Redriven).count == 1
        self.take("b")

    @clause(
        "REDRIVE-4",
        "a redriven task has all its attempts again",
        look="redrive must set the failures to 0, and leave the deliveries",
    )
    def test_attempts_begin_anew(self) -> None:
        self.put(task_id="it", max_attempts=2)
        for _ in range(2):
            for attempt in (1, 2):
                lease = self.take("it")
                assert lease.attempt == attempt
                self.ok(Retry(queue=self.queue, receipt=lease.receipt, delay=0.0), Settled)
            assert self.state("it") is TaskState.DEAD
            assert self.ok(Redrive(queue=self.queue), Redriven).count == 1

    @clause(
        "REDRIVE-5",
        "redriving what is not dead, or not there, changes nothing",
        look="the state in the condition of redrive: dead, and nothing else",
    )
    def test_only_dead_tasks_are_redriven(self) -> None:
        self.put_all("out ready")
        self.take("out")
        for name in ("out", "ready", "nothing"):
            outcome = self.do(Redrive(queue=self.queue, task_id=name))
            assert isinstance(outcome, TaskNotFound) or outcome == Redriven(count=0)
        assert (self.state("out"), self.state("ready")) == (TaskState.LEASED, TaskState.READY)
        assert self.ok(Redrive(queue="nowhere"), Redriven).count == 0

    @clause(
        "REDRIVE-6",
        "the number of deliveries goes on after a redrive, so receipts never repeat",
        look="redrive sets the deliveries to 0: leave them, as receipts are made of them",
    )
    def test_old_receipts_stay_stale(self) -> None:
        self.put(task_id="it")
        first = self.take("it")
        self.reject(first)
        self.ok(Redrive(queue=self.queue), Redriven)
        second = self.take("it")
        assert second.receipt != first.receipt
        assert second.deliveries > first.deliveries

    @clause(
        "REDRIVE-7",
        "dead tasks are redriven in the order in which they were put",
        needs="ordering",
        look="redrive going through dead tasks as the engine returns them: sort first, then hand out places",
    )
    def test_redriven_tasks_keep_their_order(self) -> None:
        self.put_all("a b c")
        for lease in reversed(self.claim(3)):
            self.reject(lease)
        self.ok(Redrive(queue=self.queue), Redriven)
        assert self.take_all() == "a b c"
