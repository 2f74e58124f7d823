"""Done tasks that are kept for a while."""

from __future__ import annotations

from distqueue.commands import Ack, Release
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, Subject, value
from distqueue.errors import AlreadySettled
from distqueue.results import Settled, Stored
from distqueue.task import TaskState


class Keeping(Subject):
    """Done tasks that are kept for a while."""

    @clause(
        "KEEP-1",
        "a task with keep_done stays findable as done",
        needs="keep_done",
        look="ack with keep_done must update state, until and settled, and leave data and counts",
    )
    def test_a_done_task_is_kept(self) -> None:
        self.put({"n": 1}, task_id="it", keep_done=LONG)
        settled = self.ack(self.take("it"))
        assert settled.state is TaskState.DONE
        record = self.record("it")
        assert (record.state, record.settled, record.keep_done) == (TaskState.DONE, "ack", LONG)
        assert record.until is not None
        assert value(bytes(record.data)) == {"n": 1}
        assert (self.stats().done, self.stats().leased) == (1, 0)
        assert self.claim() == []

    @clause(
        "KEEP-2",
        "a kept task is gone when its time is over",
        needs="keep_done",
        look="what forgets kept tasks: its condition on until, and whether it runs before find and stats",
    )
    def test_a_kept_task_goes(self) -> None:
        self.put(task_id="it", keep_done=self.moment)
        self.ack(self.take("it"))
        self.pass_time(self.moment)
        assert self.claim() == []
        assert self.find("it") is None
        assert self.stats().done == 0

    @clause(
        "KEEP-3",
        "without keep_done a task is gone when it is acked",
        look="ack keeping every task: an absent keep_done is 0, which means delete",
    )
    def test_a_task_is_gone_when_it_is_acked(self) -> None:
        self.put(task_id="it")
        self.ack(self.take("it"))
        assert self.find("it") is None
        assert self.stats().done == 0

    @clause(
        "KEEP-4",
        "a kept task's id is taken, and its receipt remembered",
        needs="keep_done",
        look="ack of a kept task clears token or verb: the row has to answer for id and receipt",
    )
    def test_a_kept_task_is_remembered(self) -> None:
        self.put(task_id="it", keep_done=LONG)
        lease = self.take("it")
        self.ack(lease)
        assert self.ok(self.make(task_id="it", keep_done=LONG), Stored).duplicate
        self.ok(Ack(queue=self.queue, receipt=lease.receipt), Settled)
        self.refuse(Release(queue=self.queue, receipt=lease.receipt), AlreadySettled)

    @clause(
        "KEEP-5",
        "a kept task is remembered after its time is over: id and receipt",
        needs="keep_done dedup",
        look="what forgets kept tasks must move id, checksum and receipt to the memory, not only delete",
    )
    def test_the_id_of_a_kept_task_stays_remembered(self) -> None:
        self.put(task_id="it", keep_done=self.moment)
        lease = self.take("it")
        self.ack(lease)
        self.pass_time(self.moment)
        assert self.claim() == []
        self.ack(lease)
        self.refuse(Release(queue=self.queue, receipt=lease.receipt), AlreadySettled)
        assert self.ok(self.make(task_id="it", keep_done=self.moment), Stored).duplicate
        assert self.claim() == []

    @clause(
        "KEEP-6",
        "a kept task is gone when its time is over, also if a lease and a due time ended before",
        needs="keep_done",
        look="one timer for all that happens by itself: after each it is set for the next, of whatever kind",
    )
    def test_a_kept_task_goes_after_other_times(self) -> None:
        self.put(task_id="it", keep_done=self.moment * 6)
        self.ack(self.take("it"))
        others = ["out"]
        self.put(task_id="out")
        self.take("out", lease=self.moment)
        if not self.lacks("delay"):
            others.append("later")
            self.put(task_id="later", delay=self.moment)
        self.pass_time(self.moment)
        assert sorted(self.take_all().split()) == sorted(others)
        self.pass_time(self.moment * 6)
        assert self.claim() == []
        assert self.find("it") is None
        assert self.stats().done == 0
