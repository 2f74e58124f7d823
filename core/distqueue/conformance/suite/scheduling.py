"""Scheduling: tasks that are due later."""

from __future__ import annotations

from distqueue.commands import Release, Retry
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, MANY, Subject, ids
from distqueue.errors import AlreadySettled
from distqueue.results import Settled
from distqueue.task import TaskState


class Scheduling(Subject):
    """Scheduling."""

    @clause(
        "DELAY-1",
        "a delayed task is scheduled, and not claimed before it is due",
        needs="delay",
        look="a claim that takes tasks by place only: compare the due time with the clock too",
    )
    def test_a_delayed_task_waits(self) -> None:
        self.put(task_id="it", delay=LONG)
        assert self.claim() == []
        record = self.record("it")
        assert record.state is TaskState.SCHEDULED
        assert record.until is not None
        assert LONG - 1 < record.until - record.put_at < LONG + 1

    @clause(
        "DELAY-2",
        "a delayed task is claimed once it is due, and not earlier",
        needs="delay",
        look="the comparison of due time and clock: direction, unit, rounding to whole seconds",
    )
    def test_a_delayed_task_comes_when_it_is_due(self) -> None:
        self.put(task_id="it", delay=4 * self.moment)
        record = self.record("it")
        lease = self.until(lambda: next(iter(self.claim(lease=LONG)), None), "the task to be due")
        assert lease.task_id == "it"
        assert record.until is not None
        assert abs(record.until - (record.put_at + 4 * self.moment)) < 0.001
        assert lease.until - LONG >= record.until - 0.001
        assert (lease.attempt, lease.deliveries) == (1, 1)

    @clause(
        "DELAY-3",
        "a task may be due at a moment",
        needs="delay",
        look="a due given as a moment and one given as a delay: seconds since 1970, stored unrounded",
    )
    def test_a_task_may_be_due_at_a_moment(self) -> None:
        self.put(task_id="now")
        due = self.record("now").put_at + LONG
        self.put(task_id="it", due=due)
        record = self.record("it")
        assert (record.state, record.until) == (TaskState.SCHEDULED, due)
        assert self.take_all() == "now"

    @clause(
        "DELAY-4",
        "a task that was due in the past, or has no delay, is claimable at once",
        needs="delay",
        look="put: what is due by now is ready, with a place; zero and negative moments are allowed",
    )
    def test_a_past_due_time_is_now(self) -> None:
        for name, due in (("a", 0.0), ("b", -1e9), ("c", self.record(self.put()).put_at - 1)):
            self.put(task_id=name, due=due)
        self.put(task_id="d", delay=0.0)
        assert sorted(self.take_all().split())[-4:] == ["a", "b", "c", "d"]

    @clause(
        "DELAY-5",
        "due tasks come behind what is ready",
        needs="delay ordering",
        look="a due task gets its place when it becomes due, not when it is put",
    )
    def test_due_tasks_come_behind_what_is_ready(self) -> None:
        self.put(task_id="late", delay=self.moment)
        self.put_all("a b")
        self.pass_time(self.moment)
        assert self.take_all() == "a b late"

    @clause(
        "DELAY-6",
        "due tasks are in the order of their due times, then of their puts",
        needs="delay ordering",
        look="the step that makes tasks due: sort by due time, then number, before giving places",
    )
    def test_due_tasks_are_in_the_order_of_their_due_times(self) -> None:
        self.put(task_id="base")
        now = self.record("base").put_at
        dues = {"d": 13, "b": 12, "a": 11, "c": 12, "e": 13}  # far enough for a machine that is busy
        self.broker.apply(
            [self.make(task_id=name, due=now + self.moment * after) for name, after in dues.items()]
        )
        self.pass_time(self.moment * 14)
        assert self.take_all() == "base a b c d e"

    @clause(
        "DELAY-7",
        "priority goes before due time",
        needs="delay ordering priorities",
        look="the step that makes tasks due puts them all into one line: the sort key begins with priority",
    )
    def test_priority_goes_before_due_time(self) -> None:
        self.put(task_id="soon", delay=self.moment)
        self.put(task_id="later", delay=self.moment * 1.5, priority=9)
        self.put(task_id="ready", priority=1)
        self.pass_time(self.moment * 1.5)
        assert self.take_all() == "later ready soon"

    @clause(
        "DELAY-8",
        "a delayed retry comes at the end of the line",
        needs="delay ordering",
        look="retry with a delay must give up the old place, and get one when it is due",
    )
    def test_a_delayed_retry_comes_at_the_end(self) -> None:
        self.put_all("a b c")
        receipt = self.take("a").receipt
        self.ok(Retry(queue=self.queue, receipt=receipt, delay=self.moment), Settled)
        self.pass_time(self.moment)
        assert ids(self.claim(2)) == "b c"
        assert self.take("a").attempt == 2

    @clause(
        "DELAY-9",
        "a scheduled task has no place in line, and does not hold the others up",
        needs="delay",
        look="a place given to a scheduled task at the put, or a line that stops at its head",
    )
    def test_a_scheduled_task_holds_nobody_up(self) -> None:
        self.put(task_id="first", delay=LONG)
        self.put(task_id="second")
        assert self.record("first").place is None
        assert self.take_all() == "second"
        self.ack_nothing_of("first")

    def ack_nothing_of(self, task_id: str) -> None:
        """The task is scheduled, and was never out."""
        record = self.record(task_id)
        assert (record.state, record.deliveries) == (TaskState.SCHEDULED, 0)

    @clause(
        "DELAY-10",
        "a queue tells when its next task is due",
        needs="delay",
        look="next_due_at and wake_at: the least due time of the scheduled tasks, not of the newest",
    )
    def test_the_next_due_time_is_told(self) -> None:
        for hours in (3, 1, 2):
            self.put(task_id=f"h{hours}", delay=hours * LONG)
        due = self.record("h1").until
        assert self.stats().next_due_at == due
        assert (self.stats().scheduled, self.stats().ready) == (3, 0)
        wake_at = self.claimed().seen.wake_at
        assert wake_at is None or due is None or wake_at <= due + 0.001

    # --- A release with a delay -------------------------------------------------------------------

    def give_back(self, receipt: str, delay: float) -> Settled:
        """Release a delivery for a while."""
        return self.ok(Release(queue=self.queue, receipt=receipt, delay=delay), Settled)

    @clause(
        "DELAY-11",
        "a release with a delay makes the task due later, without using up an attempt",
        needs="delay",
        look="release with a delay: scheduled until then, with the attempt that it had, and no error",
    )
    def test_a_release_with_a_delay_waits(self) -> None:
        self.put(task_id="it", max_attempts=2)
        lease = self.take("it", lease=100.0)
        settled = self.give_back(lease.receipt, 300.0)
        assert settled.state is TaskState.SCHEDULED
        assert settled.until is not None
        assert 199 < settled.until - lease.until < 200 + self.patience
        record = self.record("it")
        assert (record.state, record.until, record.place) == (TaskState.SCHEDULED, settled.until, None)
        assert (record.error, record.failures) == (None, ())
        if not self.lacks("attempts_apart_from_deliveries"):
            assert (record.attempt, record.deliveries) == (1, 1)
        assert self.claim() == []

    @clause(
        "DELAY-12",
        "a task that was released with a delay comes at the end of the line once it is due",
        needs="delay ordering",
        look="release with a delay must give up the old place, as a retry with a delay does",
    )
    def test_a_release_with_a_delay_comes_at_the_end(self) -> None:
        self.put_all("a b c")
        self.give_back(self.take("a").receipt, self.moment)
        self.pass_time(self.moment)
        assert self.take_all() == "b c a"

    @clause(
        "DELAY-13",
        "a release with a delay can be repeated, and then changes nothing; another verb says so",
        needs="delay",
        look="remember release as the verb that settled, also where it leads to scheduled",
    )
    def test_a_release_with_a_delay_can_be_repeated(self) -> None:
        self.put(task_id="it")
        receipt = self.take("it").receipt
        first = self.give_back(receipt, LONG)
        before = self.record("it")
        for delay in (LONG, 2 * LONG, 0.0):
            again = self.give_back(receipt, delay)
            assert (again.task_id, again.state) == (first.task_id, TaskState.SCHEDULED)
            assert self.record("it") == before
        self.refuse(Retry(queue=self.queue, receipt=receipt, delay=0.0), AlreadySettled)
        assert self.record("it") == before

    @clause(
        "DELAY-14",
        "a task that was released with a delay is due when it was to be, also if the store was closed",
        needs="delay durability",
        look="what is written of a release: its due time belongs to it",
    )
    def test_a_release_with_a_delay_is_durable(self) -> None:
        self.put_all("it other")
        leases = {lease.task_id: lease for lease in self.claim(2)}
        self.give_back(leases["it"].receipt, LONG)
        self.give_back(leases["other"].receipt, self.moment)
        before = self.record("it")
        self.reopen()
        assert self.record("it") == before
        self.pass_time(self.moment)
        assert self.take_all() == "other"

    @clause(
        "DELAY-15",
        "however many tasks are due at the same time, one claim may take them all",
        needs="delay",
        look="the step that makes tasks due: a limit in it has to be a loop, until nothing is due any more",
    )
    def test_many_tasks_are_due_at_the_same_time(self) -> None:
        names = self.put_many(MANY, delay=self.moment)
        self.pass_time(self.moment)
        assert self.same(self.take_all(MANY), " ".join(names))
