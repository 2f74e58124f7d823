"""The time of day is set back and forth: nothing is lost, doubled or moved by it.

A store may run its leases on the time of day, if that is the only clock that its processes share. Then a
step forth ends them early and a step back late, so what a lease is worth after a step is left open here;
that a task is neither lost nor handed out again after its ack is not.
"""

from __future__ import annotations

import random
from typing import Final

import pytest

from distqueue.commands import Ack, Extend, Release, Retry, Settle
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, Subject, ids
from distqueue.errors import LeaseLost
from distqueue.results import Lease, Settled, Stored
from distqueue.task import TaskState

HOUR: Final = 3600.0
DAY: Final = 86400.0
STEPS: Final = [-HOUR, DAY]
"""Back an hour, and forth a day, in seconds."""
STROBE: Final = [-HOUR, DAY, HOUR, -DAY, -1.0, 1.0]
"""Back and forth and back again."""


class Clocks(Subject):
    """Clocks."""

    offset: float

    def close_and_open(self) -> None:
        """Open the store again, if it outlives that."""
        if not self.lacks("durability"):
            self.reopen()

    def settle_if_it_runs(self, settle: Settle) -> bool:
        """Settle a delivery whose lease may have been ended by a step, and say whether it was not."""
        outcome = self.do(settle)
        assert isinstance(outcome, (Settled, LeaseLost)), outcome
        return isinstance(outcome, Settled)

    @clause(
        "CLOCK-1",
        "the clock jumps between any two calls: every task is delivered, none after its ack",
        asks="step_clock advance",
        look="times that are compared with times from before the step; a lease or a due time that is dropped",
    )
    def test_a_jumping_clock_loses_and_doubles_nothing(self) -> None:
        chance = random.Random(self.seed)  # noqa: S311 - steps and verbs
        acked: set[str] = set()
        self.offset = 0.0
        for number in range(40):
            self.jump(chance)
            self.put(number, task_id=f"t{number}", max_attempts=None)
            self.jump(chance)
            for lease in self.claim(chance.randint(1, 3), lease=60.0):
                assert lease.task_id not in acked, "delivered after its ack"
                self.jump(chance)
                kind = chance.choice([Ack, Ack, Release, Retry, Extend])
                settle = kind(queue=self.queue, receipt=lease.receipt)
                if self.settle_if_it_runs(settle) and kind is Ack:
                    acked.add(lease.task_id)
            if number % 20 == 10:
                self.close_and_open()
        self.rig.advance(2 * DAY)
        assert set(self.take_all().split()) == {f"t{number}" for number in range(40)} - acked

    def jump(self, chance: random.Random) -> None:
        """Set the clock to one of three times."""
        there = chance.choice((-HOUR, 0.0, DAY))
        self.rig.step_clock(there - self.offset)
        self.offset = there

    @pytest.mark.parametrize("step", STEPS)
    @clause(
        "CLOCK-2",
        "tasks are claimed in the order of their puts, whatever time it was",
        needs="ordering",
        asks="step_clock",
        look="a place in line that is made of the time of day; it has to be a number that only grows",
    )
    def test_a_step_reorders_nothing(self, step: float) -> None:
        self.put_all("a b")
        self.rig.step_clock(step)
        self.put_all("c d")
        self.close_and_open()
        self.put(task_id="e")
        self.release(self.take("a"))
        self.rig.step_clock(-step)
        self.put(task_id="f")
        self.ok(Retry(queue=self.queue, receipt=self.take("a").receipt, delay=0.0), Settled)
        self.close_and_open()
        self.rig.step_clock(step)
        assert self.take_all() == "b c d e f a"

    @clause(
        "CLOCK-3",
        "a step back gives nobody a task whose lease runs, and takes its receipt from nobody",
        asks="step_clock",
        look="a lease that is taken for over because its end lies far ahead, or its begin too",
    )
    def test_a_step_back_ends_no_lease(self) -> None:
        self.put_all("a b c")
        leases = {lease.task_id: lease for lease in self.claim(3)}
        self.rig.step_clock(-HOUR)
        assert self.claim() == []
        self.ok(Extend(queue=self.queue, receipt=leases["c"].receipt, lease=LONG), Settled)
        self.close_and_open()
        assert self.claim() == []
        self.ack(leases["a"])
        self.release(leases["b"])
        self.ack(leases["c"])
        assert self.take_all() == "b"

    @clause(
        "CLOCK-4",
        "a lease that began before a step back is over when the clock has caught up",
        asks="step_clock advance",
        look="a lease whose end is never looked at again, or that each look makes longer",
    )
    def test_a_step_back_makes_no_lease_endless(self) -> None:
        self.put(task_id="it")
        late = self.take("it", lease=60.0)
        self.rig.step_clock(-HOUR)
        assert self.claim() == []
        self.close_and_open()
        self.rig.advance(HOUR + 61.0)
        again = self.take("it", lease=60.0)
        assert (again.attempt, again.deliveries) == (2, 2)
        if not self.lacks("fenced_receipts"):
            self.refuse(Ack(queue=self.queue, receipt=late.receipt), LeaseLost)
        self.rig.advance(61.0)
        assert self.take("it").attempt == 3

    @clause(
        "CLOCK-5",
        "a lease that begins after a step is as long as was asked for",
        asks="step_clock advance",
        look="a clock that was read once and kept, where each call has to read it",
    )
    def test_a_lease_after_a_step_has_its_length(self) -> None:
        for number, step in enumerate((-HOUR, DAY, -DAY)):
            self.rig.step_clock(step)
            task_id = self.put(task_id=f"t{number}")
            self.take(task_id, lease=60.0)
            self.rig.advance(50.0)
            assert self.claim() == []
            self.rig.advance(11.0)
            self.ack(self.take(task_id))

    @pytest.mark.parametrize("step", STEPS)
    @clause(
        "CLOCK-6",
        "attempts and deliveries are counted by deliveries, whatever time it is",
        asks="step_clock",
        look="a count that is derived from times",
    )
    def test_a_step_counts_no_attempt(self, step: float) -> None:
        self.put(task_id="it", max_attempts=3)
        for attempt in (1, 2, 3):
            lease = self.take("it")
            assert (lease.attempt, lease.deliveries) == (attempt, attempt)
            self.ok(Retry(queue=self.queue, receipt=lease.receipt, delay=0.0), Settled)
            self.rig.step_clock(step)
            self.close_and_open()
        assert self.state("it") is TaskState.DEAD
        assert self.claim() == []

    @pytest.mark.parametrize("step", STEPS)
    @clause(
        "CLOCK-7",
        "the ids of tasks that are there, and of tasks that are gone for less than the window, are known",
        needs="dedup",
        asks="step_clock",
        look="a memory of ids that is cleared by the time of day alone, or in the order of that time",
    )
    def test_a_step_forgets_no_id(self, step: float) -> None:
        self.broker.close()
        self.broker = self.open(dedup_window=7 * DAY)
        self.put_all("acked dead cancelled ready")
        self.ack(self.take("acked"))
        self.rig.step_clock(step)
        self.reject(self.take("dead"))
        self.cancel("cancelled")
        self.rig.step_clock(-step)
        if not self.lacks("durability"):
            self.broker.close()
            self.broker = self.open(dedup_window=7 * DAY)
        for name in ("acked", "dead", "cancelled", "ready"):
            assert self.ok(self.make(task_id=name), Stored).duplicate, name
        assert self.take_all() == "ready"

    @pytest.mark.parametrize("step", STEPS)
    @clause(
        "CLOCK-8",
        "a delayed task is due at its time of day: later after a step back, at once after one forth",
        needs="delay",
        asks="step_clock advance",
        look="a due time that is kept on another clock than the one that it is compared with",
    )
    def test_a_step_loses_no_delayed_task(self, step: float) -> None:
        self.put(task_id="late", delay=HOUR)
        self.rig.step_clock(step)
        self.close_and_open()
        assert ids(self.claim()) == ("late" if step > HOUR else "")
        if step < HOUR:
            self.rig.advance(HOUR - step + 1.0)
            self.take("late")

    @clause(
        "CLOCK-9",
        "after each kind of settling and a step the task is where it has to be",
        asks="step_clock",
        look="a state that is worked out from times when it is read",
    )
    def test_what_is_settled_stays_so(self) -> None:
        self.put_all("acked rejected released")
        leases = {lease.task_id: lease for lease in self.claim(3)}
        self.ack(leases["acked"])
        self.reject(leases["rejected"])
        self.release(leases["released"])
        for step in STROBE:
            self.rig.step_clock(step)
            assert self.find("acked") is None
            assert self.state("rejected") is TaskState.DEAD
            assert self.state("released") is TaskState.READY
        self.close_and_open()
        assert self.take_all() == "released"

    @pytest.mark.parametrize("step", STEPS)
    @clause(
        "CLOCK-10",
        "a waiter is woken by a put after a step",
        asks="step_clock",
        look="a wait that is over at a time of day, or a change that is told by one",
    )
    def test_a_put_after_a_step_wakes(self, step: float) -> None:
        self.put(task_id="held")
        self.take("held", lease=LONG)
        seen = self.claimed().seen

        def wait() -> Lease:
            self.wait(seen)
            return self.claim_soon()

        waiting = self.in_thread(wait)
        self.rig.step_clock(step)
        self.put(task_id="it")
        taken = {waiting.result(self.patience).task_id}
        if taken == {"held"}:  # whose lease the step has ended
            taken.add(self.take("it").task_id)
        assert "it" in taken
