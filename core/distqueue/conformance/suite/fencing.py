"""Fences: what a queue that moves to another store refuses, at either end, and what it says."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from distqueue.commands import (
    Ack,
    Cancel,
    Claim,
    Clear,
    Command,
    Extend,
    Fence,
    Load,
    Pause,
    Purge,
    Redrive,
    Reject,
    Release,
    Resume,
    Retry,
    Stats,
)
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, Subject
from distqueue.errors import InvalidTask, Moved, Refused
from distqueue.fences import EVERY, FenceLevel
from distqueue.ids import new_token
from distqueue.results import Claimed, Cleared, Counted, Fenced, Lease, Settled, Stored
from distqueue.task import RememberedTask, TaskRecord, TaskState

HERE, THERE, ELSEWHERE = "acme:///here", "acme:///there", "acme:///elsewhere"
DRAINING, FROZEN, GONE = FenceLevel.DRAINING, FenceLevel.FROZEN, FenceLevel.MOVED
FILLING, OPEN = FenceLevel.FILLING, FenceLevel.NONE


class Fencing(Subject):
    """What the tests of both ends of a move have in common."""

    def fence(self, level: FenceLevel, note: str = THERE, queue: str | None = None) -> FenceLevel:
        """Fence a queue, step by step, and return the level that stands then."""
        if level in (FROZEN, GONE):
            self.do(Fence(queue=queue or self.queue, level=DRAINING, note=note))
        return self.ok(Fence(queue=queue or self.queue, level=level, note=note), Fenced).level

    def everything_of(self, queue: str | None = None) -> list[TaskRecord | RememberedTask]:
        """Return all that there is of the queue."""
        return [*self.browse(queue=queue), *self.remembered(queue=queue)]

    def settlings(self, lease: Lease) -> Sequence[Command]:
        """Make every command that settles a delivery."""
        receipt = lease.receipt
        return [kind(queue=self.queue, receipt=receipt) for kind in (Ack, Release, Reject, Extend)] + [
            Retry(queue=self.queue, receipt=receipt, delay=0.0)
        ]

    def what_a_fence_refuses(self) -> Sequence[Command]:
        """Make a command of each kind that no fence lets through."""
        queue = self.queue
        return [
            self.make(task_id="new"),
            Claim(queue=queue, token=new_token()),
            Cancel(queue=queue, task_id="ready"),
            Redrive(queue=queue),
            Purge(queue=queue),
        ]

    def refuses_all(self, commands: Sequence[Command], note: str = THERE) -> None:
        """Check that commands are refused, in one call and alone, and change nothing."""
        before = self.everything_of()
        outcomes = [*self.broker.apply(commands), *map(self.do, commands)]
        for command, outcome in zip([*commands, *commands], outcomes):
            assert isinstance(outcome, Moved), (command, outcome)
            assert note in str(outcome)
        assert self.everything_of() == before


class Fences(Fencing):
    """Fences."""

    @clause(
        "FENCE-1",
        "a draining queue settles what is out, with follow-up tasks, and takes and gives nothing else",
        needs="fence browse pause",
        look="the check of each verb: settling passes a draining fence, and so do its follow-up tasks",
    )
    def test_a_draining_queue_settles_what_is_out(self) -> None:
        self.put_all("acked retried released rejected extended ready")
        acked, retried, released, rejected, extended = (
            self.take(name) for name in ["acked", "retried", "released", "rejected", "extended"]
        )
        known = self.record("ready")
        assert self.fence(DRAINING) is DRAINING
        pause = [Pause(queue=self.queue), Resume(queue=self.queue)]
        self.refuses_all([*self.what_a_fence_refuses(), *pause, Load.of(known), Clear(queue=self.queue)])
        then = (self.make(task_id="then"),)
        self.ok(Ack(queue=self.queue, receipt=acked.receipt, then=then), Settled)
        self.ok(Retry(queue=self.queue, receipt=retried.receipt, delay=0.0), Settled)
        self.release(released)
        self.reject(rejected)
        self.ok(Extend(queue=self.queue, receipt=extended.receipt, lease=LONG), Settled)
        assert self.stats().fence is DRAINING
        assert self.stats().fence_note == THERE
        assert {each.task_id: each.state.value for each in self.browse()} == {
            "then": "ready",
            "retried": "ready",
            "released": "ready",
            "rejected": "dead",
            "extended": "leased",
            "ready": "ready",
        }

    @pytest.mark.parametrize("level", [FROZEN, GONE])
    @clause(
        "FENCE-2",
        "in a frozen queue nothing changes: nothing is put, claimed or settled",
        needs="fence browse",
        look="which verbs look at the fence: ack, retry, release, reject and extend have to as well",
    )
    def test_a_frozen_queue_only_answers_questions(self, level: FenceLevel) -> None:
        self.put_all("out ready")
        lease = self.take("out")
        self.fence(level)
        self.refuses_all([*self.what_a_fence_refuses(), *self.settlings(lease)])
        assert self.record("out").state is TaskState.LEASED
        self.refuses_all([Ack(queue=self.queue, receipt=lease.receipt, then=(self.make(task_id="then"),))])

    @clause(
        "FENCE-3",
        "in a frozen queue nothing happens by time",
        needs="fence browse delay expiry",
        look="what lets leases lapse, tasks be due and expire must leave out frozen queues, in reads too",
    )
    def test_time_stands_still_in_a_frozen_queue(self) -> None:
        moment = self.moment * (8 if self.lacks("atomic_batch") else 1)  # or time passes within the call
        outcomes = self.broker.apply(  # in one call, so that no time passes before the fence stands
            [
                self.make(task_id="out"),
                Claim(queue=self.queue, token=new_token(), lease=moment),
                self.make(task_id="due", delay=moment),
                self.make(task_id="expires", expires_in=moment),
                Fence(queue=self.queue, level=DRAINING, note=THERE),
                Fence(queue=self.queue, level=FROZEN, note=THERE),
            ]
        )
        assert [type(each) for each in outcomes] == [Stored, Claimed, Stored, Stored, Fenced, Fenced]
        before = self.everything_of()
        assert [each.task_id for each in before] == ["out", "due", "expires"]
        self.pass_time(moment)
        assert self.everything_of() == before
        assert (self.stats().leased, self.stats().scheduled, self.stats().ready) == (1, 1, 1)
        self.fence(OPEN)
        assert sorted(self.take_all().split()) == ["due", "out"]

    @clause(
        "FENCE-4",
        "an ack with a follow-up task for a frozen queue is refused whole",
        needs="fence",
        look="the fences of all queues named in an ack's follow-up tasks, checked before the ack",
    )
    def test_no_follow_up_gets_into_a_frozen_queue(self) -> None:
        self.put(task_id="it")
        lease = self.take("it")
        self.fence(FROZEN, queue="other")
        then = (self.make(task_id="then", queue="other"),)
        self.refuse(Ack(queue=self.queue, receipt=lease.receipt, then=then), Moved)
        assert self.state("it") is TaskState.LEASED
        assert self.find("then", "other") is None
        self.ack(lease)

    @clause(
        "FENCE-5",
        "a queue that has moved can be cleared, and still says where it is",
        needs="fence browse",
        look="clear has to forget tasks and memory but not the fence, and to refuse where none stands",
    )
    def test_a_moved_queue_can_be_cleared(self) -> None:
        self.put_all("a b c")
        self.ack(self.take("a"))
        self.refuse(Clear(queue=self.queue), Refused)
        for level in (DRAINING, FROZEN):
            self.fence(level)
            self.refuse(Clear(queue=self.queue), Moved)
        assert self.fence(GONE) is GONE
        for _ in range(2):
            self.ok(Clear(queue=self.queue), Cleared)
            assert self.everything_of() == []
        assert self.stats().fence is GONE
        assert THERE in str(self.refuse(self.make(task_id="a"), Moved))

    @clause(
        "FENCE-6",
        "a fence never goes back, and another move cannot touch it",
        needs="fence",
        look="take the next level from next_fence, and store what it returns; compare the note too",
    )
    def test_a_fence_never_goes_back(self) -> None:
        assert self.fence(OPEN) is OPEN
        for level in (FROZEN, GONE):  # who goes on with a move that was taken back
            self.refuse(Fence(queue=self.queue, level=level, note=THERE), Moved)
        for level in (DRAINING, FROZEN, GONE):
            for _ in range(2):
                assert self.fence(level) is level
                assert self.fence(DRAINING) is level
            for other in FenceLevel:
                refused = self.refuse(Fence(queue=self.queue, level=other, note=ELSEWHERE), Moved)
                assert THERE in str(refused)
        self.refuse(Fence(queue=self.queue, level=OPEN, note=THERE), Moved)
        assert self.stats().fence is GONE

    @pytest.mark.parametrize("level", [DRAINING, FROZEN])
    @clause(
        "FENCE-7",
        "a fence that is taken down leaves the queue as it was",
        needs="fence browse",
        look="fencing that moves or rewrites tasks: it is one record beside the queue, and goes alone",
    )
    def test_a_fence_can_be_taken_down(self, level: FenceLevel) -> None:
        self.put_all("a b c")
        lease = self.take("a")
        before = self.everything_of()
        self.fence(level)
        self.refuse(Fence(queue=self.queue, level=FILLING, note=THERE), Moved)
        self.fence(OPEN)
        assert self.everything_of() == before
        self.ack(lease)
        self.put(task_id="d")
        assert self.same(self.take_all(), "b c d")

    @clause(
        "FENCE-11",
        "no queue is made in a store that moves, and those that are there go on",
        needs="fence pause",
        look="wherever a queue is made, the fence of '*' has to be looked at, in the same commit",
    )
    def test_no_queue_is_made_in_a_store_that_moves(self) -> None:
        self.put(task_id="it")
        self.fence(DRAINING)
        self.fence(OPEN)  # from now on it is there in every part of the store
        self.refuse(Fence(queue=EVERY, level=FILLING, note=THERE), InvalidTask)
        for level in (DRAINING, FROZEN, GONE):
            assert self.fence(level, queue=EVERY) is level
            new = [self.make(task_id=each, queue="new") for each in "ab"]
            outcomes = [*self.broker.apply(new), *map(self.do, new)]
            assert [type(outcome) for outcome in outcomes] == [Moved] * 4
            self.refuse(Pause(queue="new"), Moved)
            if level is GONE:
                self.ok(Clear(queue="new"), Cleared)
            self.refuse(Claim(queue="new", token=new_token()), Moved)
            self.refuse(Load.of(in_queue("new", self.record("it"))), Moved)
            self.put(task_id=f"go-{level}")
        lease = self.take("it")
        then = (self.make(task_id="then", queue="new"),)
        self.refuse(Ack(queue=self.queue, receipt=lease.receipt, then=then), Moved)
        self.ack(lease)
        assert self.stats().fence is OPEN
        assert [each.queue for each in self.ok(Stats(queue=EVERY), Counted).queues] == [self.queue]
        assert self.fence(DRAINING, queue="fenced") is DRAINING
        assert self.fence(OPEN, queue=EVERY) is OPEN
        self.put(task_id="a", queue="new")

    @clause(
        "FENCE-12",
        "a fence is still there when the store is opened again",
        needs="fence browse durability",
        look="the record of a fence, level and note: is it written durably, also for queues without tasks?",
    )
    def test_a_fence_survives_a_reopen(self) -> None:
        self.put_all("a b")
        self.fence(GONE)
        self.fence(FILLING, HERE, "other")
        self.fence(DRAINING, queue=EVERY)
        before = self.everything_of()
        self.reopen()
        assert self.everything_of() == before
        assert (self.stats().fence, self.stats().fence_note) == (GONE, THERE)
        assert (self.stats("other").fence, self.stats("other").fence_note) == (FILLING, HERE)
        self.refuse(self.make(queue="new"), Moved)
        self.ok(Clear(queue=self.queue), Cleared)
        self.reopen()
        assert self.everything_of() == []
        assert self.stats().fence is GONE

    @clause(
        "FENCE-13",
        "who waits for a task is told that the queue moves",
        needs="fence",
        look="fence has to notify the queue's waiters as put does: their next claim says Moved",
    )
    def test_who_waits_is_told(self) -> None:
        seen = self.claimed().seen
        waiting = self.in_thread(lambda: self.wait(seen))
        self.fence(DRAINING)
        waiting.result(timeout=self.patience)
        self.refuse(Claim(queue=self.queue, token=new_token()), Moved)

    @pytest.mark.parametrize("note", ["", "a\nb", "x" * 3000])
    @clause(
        "FENCE-14",
        "a note is one line of text, and not too long",
        needs="fence",
        look="an own apply that leaves out the checks of the base class, which look at the note",
    )
    def test_a_note_is_a_line(self, note: str) -> None:
        self.refuse(Fence(queue=self.queue, level=DRAINING, note=note), InvalidTask)
        assert self.stats().fence is OPEN


def in_queue[R: TaskRecord | RememberedTask](queue: str, record: R) -> R:
    """Return a record as if it were of another queue."""
    return msgspec.structs.replace(record, queue=queue)
