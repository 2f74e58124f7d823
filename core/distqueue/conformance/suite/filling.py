"""Queues that are filled by a move, and whole stores that move."""

from __future__ import annotations

from distqueue.commands import (
    Ack,
    Clear,
    Fence,
    Load,
    Pause,
    Resume,
)
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.fencing import (
    DRAINING,
    ELSEWHERE,
    FILLING,
    FROZEN,
    GONE,
    HERE,
    OPEN,
    THERE,
    Fencing,
    in_queue,
)
from distqueue.conformance.suite.subject import ids
from distqueue.errors import Moved, Refused
from distqueue.results import Cleared, Loaded, PauseSet, Settled, Stored
from distqueue.transfer.ends import End
from distqueue.transfer.moving import move_store


class Filling(Fencing):
    """Queues that are filled."""

    @clause(
        "FENCE-8",
        "a queue is filled by what is loaded, and by nothing else",
        needs="fence browse pause",
        look="load has to compare its source with the fence's note; time stands still while filling",
    )
    def test_a_queue_is_filled_by_loads(self) -> None:
        for name in ("a", "b", "out"):
            self.put(task_id=name, queue="source")
        gone = self.claim(queue="source")[0]
        self.ok(Ack(queue="source", receipt=gone.receipt), Settled)
        out = self.claim(queue="source", lease=self.moment)[0]
        records = [in_queue(self.queue, each) for each in self.everything_of("source")]
        self.refuse(Load.of(records[0], HERE), Moved)
        assert self.browse() == []
        assert self.fence(FILLING, HERE) is FILLING
        self.refuse(Load.of(records[0], THERE), Moved)
        for source in (HERE, ""):
            for outcome in self.broker.apply([Load.of(each, source) for each in records]):
                assert isinstance(outcome, Loaded)
        self.pass_time(self.moment)
        assert self.everything_of() == records
        self.refuses_all(self.what_a_fence_refuses(), HERE)
        self.refuses_all([Ack(queue=self.queue, receipt=out.receipt)], HERE)
        for level in (DRAINING, FROZEN):
            self.refuse(Fence(queue=self.queue, level=level, note=HERE), Moved)
        assert self.fence(FILLING, HERE) is FILLING
        assert self.everything_of() == records
        self.ok(Pause(queue=self.queue), PauseSet)
        assert self.fence(OPEN, HERE) is OPEN
        assert self.claim() == []
        self.ok(Resume(queue=self.queue), PauseSet)
        assert {*self.take_all().split(), gone.task_id} == {"a", "b", "out"}
        assert self.ok(self.make(task_id=gone.task_id), Stored).duplicate is not self.lacks("dedup")

    @clause(
        "FENCE-9",
        "a queue that has tasks is not filled, and one without forgets its ids",
        needs="fence browse",
        look="the fence filling: tell next_fence whether there are tasks, and clear the memory then",
    )
    def test_only_an_empty_queue_is_filled(self) -> None:
        self.put(task_id="mine")
        self.refuse(Fence(queue=self.queue, level=FILLING, note=HERE), Refused)
        assert self.stats().fence is OPEN
        self.ack(self.take("mine"))
        self.fence(FILLING, HERE)
        assert self.everything_of() == []

    @clause(
        "FENCE-10",
        "a queue that has moved is filled from there, and forgets what it had",
        needs="fence browse",
        look="from moved to filling: next_fence allows it for the same note only; clear the queue with it",
    )
    def test_a_moved_queue_comes_back(self) -> None:
        self.put_all("a b")
        self.fence(GONE, THERE)
        self.refuse(Fence(queue=self.queue, level=FILLING, note=ELSEWHERE), Moved)
        assert self.fence(FILLING, THERE) is FILLING
        assert self.everything_of() == []
        assert self.fence(GONE, THERE) is GONE
        assert self.fence(FILLING, THERE) is FILLING
        self.ok(Clear(queue=self.queue), Cleared)
        assert self.fence(OPEN, THERE) is OPEN
        self.put(task_id="a")

    @clause(
        "FENCE-15",
        "a whole store moves to another one, and back",
        needs="fence browse pause",
        look="what the single steps leave: fence, export, load, clear, pause; run FENCE-1 to 10 first",
    )
    def test_a_store_moves_and_comes_back(self) -> None:
        self.put_all("acked dead a b c")
        self.ack(self.take("acked"))
        self.reject(self.take("dead"), "no good")
        self.put(task_id="x", queue="paused")
        self.ok(Pause(queue="paused"), PauseSet)
        line = self.browse(order="line")
        before = [self.everything_of(), self.everything_of("paused")]
        ends = [End(self.broker, HERE), End(self.open(self.fresh_url()), THERE)]
        for here, there in (ends, ends[::-1], ends):
            moved = move_store(here, there)
            assert [(each.queue, each.tasks, each.is_old) for each in moved] == [
                ("paused", 1, False),
                (self.queue, 4, False),
            ]
            assert all(each.is_old for each in move_store(here, there))
            self.broker = there.broker
            assert [self.everything_of(), self.everything_of("paused")] == before
            assert self.browse(order="line") == line
        assert self.claim(queue="paused") == []
        self.put(task_id="behind")
        assert self.same(ids(self.claim(100)), "a b c behind")
