"""Processes that are killed before they hear an answer, and what those who come after them find."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import wait
from typing import Final

from distqueue.broker.event import Apply
from distqueue.commands import Ack, Claim, Command, Find, Purge, Put
from distqueue.conformance.clauses import clause
from distqueue.conformance.processes import OtherProcess
from distqueue.conformance.suite.subject import Subject, expect
from distqueue.errors import LeaseLost
from distqueue.results import Found, Stored

MOMENTS: Final = (0.0, 0.3, 0.6, math.inf)
"""When a process is killed, in parts of the time that its call takes: never carried out, to answered."""
LARGE: Final = 3000
"""How many commands a call has that is to be found in the middle."""
TRIES: Final = 30
"""How often a process is stopped in order to find it in the middle of a call; it may be that none ever is."""
PLACES: Final = 6
"""At how many places of it that is tried, one after the other."""
MARGIN: Final = 0.3
"""How long an answer may be on its way that was made before a lease ended, in seconds."""
SIZE: Final = 200
"""How many commands a call has: enough that a kill can fall into it."""
PAIRS: Final = SIZE // 4
"""How many acks a call has of which each lets two tasks follow."""


class Dying(Subject):
    """Killed in the middle."""

    def kill_in(self, other: OtherProcess, commands: Sequence[Command], after: float) -> None:
        """Ask another process for something, and kill it some seconds later; nobody goes by its answer."""
        if after == 0.0:
            other.child.stop()
        other.ask(Apply.of(commands))
        if after == math.inf:
            other.outcomes()
        else:
            time.sleep(after)  # anywhere in the call: each place is as good
        other.child.kill()
        other.child.close()

    def puts_of(self, name: str, size: int = SIZE, group: str | None = None) -> list[Put]:
        """Make the puts of a call."""
        return [
            self.make("x" * 100, task_id=f"{name}.{number}", max_attempts=None, group=group)
            for number in range(size)
        ]

    def seconds_of(self, commands: Sequence[Command]) -> float:
        """Carry out a call of the size of the others and say how long it takes, in seconds."""
        began = time.monotonic()
        self.broker.apply(commands)
        return time.monotonic() - began

    @clause(
        "CRASH-6",
        "a publisher is killed before its answer; its successor puts the same, and each task is there once",
        needs="shared_between_processes dedup",
        look="an id that is written in another commit than its task",
        slow=True,
    )
    def test_the_successor_of_a_killed_publisher_puts_again(self) -> None:
        names = [put.task_id for put in self.puts_of("first")]
        seconds = self.seconds_of(self.puts_of("first"))
        for moment in MOMENTS:
            puts = self.puts_of(f"t{moment}")
            names += [put.task_id for put in puts]
            self.kill_in(self.other_process(), puts, moment * seconds)
            known = [self.find(put.task_id) is not None for put in puts]
            for outcome, was_known in zip(self.broker.apply(puts), known):
                assert expect(outcome, Stored).duplicate or not was_known
        assert self.stats().ready == len(names)
        assert sorted(self.take_all(len(names)).split()) == sorted(names)

    @clause(
        "CRASH-7",
        "a consumer is killed in the middle of its acks: each task is done, or comes back, and never both",
        needs="shared_between_processes dedup",
        look="an ack that deletes the task in one commit and remembers it in another",
        slow=True,
    )
    def test_a_consumer_is_killed_in_the_middle_of_its_acks(self) -> None:
        seconds = self.seconds_of(self.puts_of("first"))
        self.broker.apply([Ack(queue=self.queue, receipt=each.receipt) for each in self.claim(SIZE)])
        for moment in MOMENTS:
            other, puts = self.other_process(), self.puts_of(f"t{moment}")
            self.broker.apply(puts)
            held = self.claim(SIZE, lease=max(self.moment, 0.5))
            assert len(held) == SIZE
            acks = [Ack(queue=self.queue, receipt=lease.receipt) for lease in held]
            self.kill_in(other, acks, moment * seconds)
            left = {put.task_id for put in puts}
            self.until(lambda some=left: not self.still_there(some), "what was not acked to come back")  # type: ignore[misc]
            assert all(expect(outcome, Stored).duplicate for outcome in self.broker.apply(puts))
            assert self.claim() == []

    def still_there(self, left: set[str]) -> set[str]:
        """Ack what has come back, and take away from ``left`` what is done."""
        for lease in self.claim(SIZE):
            assert lease.task_id in left, "it was done, and came back"
            assert lease.deliveries == 2
            self.ack(lease)
        left -= {task_id for task_id in left if self.find(task_id) is None}
        return left

    @clause(
        "CRASH-10",
        "a consumer is killed in the middle of acks: each is done with its follow-up tasks, or not at all",
        needs="shared_between_processes",
        look="follow-up tasks that are put after the commit of the ack: whoever comes next has to put them",
        slow=True,
    )
    def test_a_consumer_is_killed_in_the_middle_of_acks_with_follow_up_tasks(self) -> None:
        seconds = self.seconds_of(self.acks_with_follow_ups("first"))
        assert not self.torn("first")
        for moment in MOMENTS:
            other, acks = self.other_process(), self.acks_with_follow_ups(name := f"t{moment}")
            self.kill_in(other, acks, moment * seconds)
            self.until(lambda name=name: not self.torn(name), "the follow-up tasks of what was acked")  # type: ignore[misc]

    def acks_with_follow_ups(self, name: str) -> list[Ack]:
        """Put and claim tasks; return the acks that let two tasks follow each of them."""
        self.broker.apply(self.puts_of(name, PAIRS))
        acks: list[Ack] = []
        for lease in self.claim(PAIRS):
            then = tuple(self.make(task_id=f"{lease.task_id}.{each}", queue="next") for each in "ab")
            acks.append(Ack(queue=self.queue, receipt=lease.receipt, then=then))
        return acks

    def torn(self, name: str) -> list[int]:
        """Return which tasks are not done though some follow them, or done though not all do."""
        names = [f"{name}.{number}" for number in range(PAIRS)]
        looks: list[Command] = [Find(queue=self.queue, task_id=task_id) for task_id in names]
        looks += [Find(queue="next", task_id=f"{task_id}.{each}") for task_id in names for each in "ab"]
        found = [expect(outcome, Found).task is not None for outcome in self.broker.apply(looks)]
        states = zip(found[:PAIRS], found[PAIRS::2], found[PAIRS + 1 :: 2])
        return [at for at, (is_there, *then) in enumerate(states) if then != [not is_there] * 2]

    @clause(
        "CRASH-8",
        "a consumer is killed in the middle of a claim: its tasks come back, each once",
        needs="shared_between_processes",
        look="a delivery that is counted, or a task taken out of its line, in another commit than the lease",
        slow=True,
    )
    def test_a_consumer_is_killed_in_the_middle_of_a_claim(self) -> None:
        seconds = self.seconds_of(self.puts_of("first"))
        self.broker.apply([Ack(queue=self.queue, receipt=each.receipt) for each in self.claim(SIZE)])
        for number, moment in enumerate(MOMENTS):
            other, puts = self.other_process(), self.puts_of(f"t{moment}")
            self.broker.apply(puts)
            lease = max(self.moment, 0.3)
            claim = Claim(queue=self.queue, token=f"t{number}", count=SIZE, lease=lease)
            self.kill_in(other, [claim], moment * seconds)
            left = {put.task_id for put in puts}
            self.until(lambda some=left: not self.take_from(some), "the tasks to come back")  # type: ignore[misc]
            assert self.claim() == []

    @clause(
        "CRASH-9",
        "a receipt is stale, too, if its lease ends while its consumer waits until another process is done",
        needs="shared_between_processes fenced_receipts",
        look="the clock that is read before the lock or the transaction is got: read it once that is there",
        slow=True,
    )
    def test_a_lease_ends_while_its_consumer_waits_for_the_store(self) -> None:
        size = min(self.capabilities.max_batch, LARGE)
        group = None if self.lacks("groups") else "g"  # by which a store that is divided keeps all together
        seconds = self.seconds_of(self.puts_of("first", size, group))
        other = self.other_process()
        for number in range(TRIES):
            batch = self.puts_of(f"t{number}", size, group)
            receipt = self.take_a_new_one(lease := max(self.moment, 0.2), group)
            other.ask(Apply.of(batch))
            time.sleep(seconds * (number % PLACES + 1) / PLACES)
            other.child.stop()
            ack = Ack(queue="held", receipt=receipt)
            look = Find(queue=self.queue, task_id=batch[-1].task_id)
            answer = self.in_thread(lambda both=(ack, look): self.broker.apply(both))  # type: ignore[misc]
            if not wait([answer], lease / 4).done:  # else that is soon over, and it is tried again
                self.pass_time(lease + MARGIN)
            has_waited = not answer.done()
            other.child.proceed()
            settled, found = answer.result(self.patience)
            other.outcomes()
            if has_waited and expect(found, Found).task is not None:  # so it was carried out after the batch
                expect(settled, LeaseLost)
                return

    def take_a_new_one(self, lease: float, group: str | None) -> str:
        """Put and claim a task in a queue that has no other; return the receipt."""
        self.broker.apply([Purge(queue="held")])
        self.put(queue="held", group=group)
        return self.claim(lease=lease, queue="held")[0].receipt

    def take_from(self, left: set[str]) -> set[str]:
        """Claim and ack tasks once each, and take them away from ``left``."""
        leases = self.claim(SIZE)
        for lease in leases:
            assert lease.deliveries in (1, 2)
            left.remove(lease.task_id)
        self.broker.apply([Ack(queue=self.queue, receipt=lease.receipt) for lease in leases])
        return left
