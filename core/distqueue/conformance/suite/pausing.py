"""Pause and resume: claims stop, everything else goes on."""

from __future__ import annotations

from distqueue.commands import Extend, Pause, Reject, Release, Resume, Retry
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import Subject, ids
from distqueue.results import PauseSet, Removed, Settled
from distqueue.task import TaskState


class Pausing(Subject):
    """Pause and resume."""

    def pause(self, queue: str | None = None) -> None:
        """Pause a queue."""
        assert self.ok(Pause(queue=queue or self.queue), PauseSet).paused

    def resume(self) -> None:
        """Resume the queue of the test."""
        assert not self.ok(Resume(queue=self.queue), PauseSet).paused

    @clause(
        "PAUSE-1",
        "a paused queue gives nothing until it is resumed",
        needs="pause",
        look="the pause belongs in the condition of claim, in the same step, and in stats",
    )
    def test_a_paused_queue_gives_nothing(self) -> None:
        self.put_all("a b")
        self.pause()
        assert self.claim(10) == []
        assert self.stats().paused
        self.resume()
        assert not self.stats().paused
        assert self.same(self.take_all(), "a b")

    @clause(
        "PAUSE-2",
        "a paused queue takes tasks, settles what is out and answers questions",
        needs="pause",
        look="the check for a pause stands in a place that all verbs pass: only claim may look at it",
    )
    def test_everything_else_goes_on(self) -> None:
        self.put_all("a b c d e")
        a, b, c, d, e = self.claim(5)
        left = sorted((b.task_id, c.task_id))
        self.pause()
        self.put(task_id="new")
        self.ok(Extend(queue=self.queue, receipt=e.receipt), Settled)
        self.ack(a)
        for command in (
            Retry(queue=self.queue, receipt=b.receipt, delay=0.0),
            Release(queue=self.queue, receipt=c.receipt),
            Reject(queue=self.queue, receipt=d.receipt),
        ):
            self.ok(command, Settled)
        assert self.state("new") is TaskState.READY
        stats = self.stats()
        assert (stats.ready, stats.leased, stats.dead) == (3, 1, 1)
        assert isinstance(self.cancel("new"), Removed)
        self.resume()
        assert sorted(self.take_all().split()) == left

    @clause(
        "PAUSE-3",
        "pausing or resuming twice is the same as once",
        needs="pause",
        look="a pause that is counted, or a resume that fails if there was none: it is a flag",
    )
    def test_pausing_twice_is_the_same_as_once(self) -> None:
        self.put(task_id="it")
        self.resume()
        self.pause()
        self.pause()
        self.resume()
        assert self.take_all() == "it"

    @clause(
        "PAUSE-4",
        "a pause is about one queue, even one that has no tasks yet",
        needs="pause",
        look="the flag is kept on tasks, or for the store: it needs a row for each queue, made by pause",
    )
    def test_a_pause_is_about_one_queue(self) -> None:
        self.pause("other")
        self.put(task_id="here")
        self.put(task_id="there", queue="other")
        assert self.take_all() == "here"
        assert self.claim(queue="other") == []
        self.ok(Resume(queue="other"), PauseSet)
        assert ids(self.claim(queue="other")) == "there"

    @clause(
        "PAUSE-5",
        "a resumed queue is in its old order",
        needs="pause ordering",
        look="pausing by moving tasks aside: leave them where they are, and keep their places",
    )
    def test_a_pause_does_not_change_the_order(self) -> None:
        self.put_all("a b")
        lease = self.take("a")
        self.pause()
        self.put(task_id="c")
        self.release(lease)
        self.resume()
        assert self.take_all() == "a b c"
