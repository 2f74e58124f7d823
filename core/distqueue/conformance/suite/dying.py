"""Processes that are killed before they hear an answer, and what those who come after them find."""

from __future__ import annotations

import time

from distqueue.broker.event import Apply
from distqueue.commands import Ack, Claim, Command
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import Subject, expect
from distqueue.results import Stored

KILLS = 4
"""How often a process is killed, each time a little later after it was asked."""


class Dying(Subject):
    """Killed in the middle."""

    def ask_and_kill(self, *commands: Command, after: float) -> None:
        """Let another process be killed, some seconds after it was asked and before anybody heard it."""
        other = self.other_process()
        other.ask(Apply.of(commands))
        time.sleep(after)  # anywhere between reading the commands and answering: each place is as good
        other.child.kill()
        other.child.close()

    @clause(
        "CRASH-6",
        "a publisher is killed before its answer; its successor puts the same, and each task is there once",
        needs="shared_between_processes dedup",
        look="an id that is written in another commit than its task",
        slow=True,
    )
    def test_the_successor_of_a_killed_publisher_puts_again(self) -> None:
        names: list[str] = []
        for kill in range(KILLS):
            puts = [self.make(number, task_id=f"t{kill}.{number}") for number in range(40)]
            names += [put.task_id for put in puts]
            self.ask_and_kill(*puts, after=kill * 0.001)
            known = [self.find(put.task_id) is not None for put in puts]
            for outcome, was_known in zip(self.broker.apply(puts), known):
                assert expect(outcome, Stored).duplicate or not was_known
        assert self.stats().ready == len(names)
        assert sorted(self.take_all(len(names)).split()) == sorted(names)

    @clause(
        "CRASH-7",
        "a consumer is killed in the middle of an ack: the task is done, or comes back, and never both",
        needs="shared_between_processes dedup",
        look="an ack that deletes the task in one commit and remembers it in another",
        slow=True,
    )
    def test_a_consumer_is_killed_in_the_middle_of_an_ack(self) -> None:
        lease = max(self.moment, 0.5)
        for kill in range(KILLS):
            task_id = self.put(task_id=f"t{kill}")
            held = self.take(task_id, lease=lease)
            self.ask_and_kill(Ack(queue=self.queue, receipt=held.receipt), after=kill * 0.001)
            assert self.ok(self.make(task_id=task_id), Stored).duplicate
            self.until(lambda name=task_id: self.find(name) is None or self.acked_again(name), "its end")  # type: ignore[misc]
            assert self.ok(self.make(task_id=task_id), Stored).duplicate
            assert self.claim() == []

    def acked_again(self, task_id: str) -> bool:
        """Ack the task if it has come back."""
        for lease in self.claim():
            assert (lease.task_id, lease.deliveries) == (task_id, 2)
            self.ack(lease)
            return True
        return False

    @clause(
        "CRASH-8",
        "a consumer is killed in the middle of a claim: its tasks come back, each once",
        needs="shared_between_processes",
        look="a delivery that is counted, or a task taken out of its line, in another commit than the lease",
        slow=True,
    )
    def test_a_consumer_is_killed_in_the_middle_of_a_claim(self) -> None:
        lease = max(self.moment, 0.2)
        for kill in range(KILLS):
            names = {self.put(task_id=f"t{kill}.{number}", max_attempts=None) for number in range(3)}
            claim = Claim(queue=self.queue, token=f"t{kill}", count=3, lease=lease)
            self.ask_and_kill(claim, after=kill * 0.001)
            taken = [self.claim_soon() for _ in names]
            assert {each.task_id for each in taken} == names
            assert {each.deliveries for each in taken} <= {1, 2}
            for each in taken:
                self.ack(each)
            assert self.stats().leased == self.stats().ready == 0
