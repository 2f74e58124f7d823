"""Connections that break, and an engine that is killed and comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from distqueue.commands import Ack, Claim, Command, Put
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, Subject, expect
from distqueue.errors import OutcomeUnknown, StoreError
from distqueue.ids import new_token
from distqueue.results import Claimed, Outcome, Settled, Stored

_PAUSE = 0.0005


class Breaking(Subject):
    """What the tests of both have in common: work goes on while something is done to the store."""

    @property
    def calls(self) -> int:
        """How many calls are made meanwhile."""
        return max(12, self.examples(40))

    def meanwhile(self, harm: Callable[[], None], call: Callable[[int], None]) -> None:
        """Make many calls in a thread, and do harm at odd moments: once in each call or two, if they last."""
        ended: list[int] = []
        harms: list[float] = []

        def work() -> None:
            for number in range(self.calls):
                self.until(lambda enough=number // 4: len(harms) >= enough, "harm to be done")  # type: ignore[misc]
                call(number)
                ended.append(number)

        working = self.in_thread(work)
        while not working.done():
            before = len(ended)
            pause = _PAUSE * (len(harms) % 4)  # at the beginning of a call, in the middle, at its end
            time.sleep(pause)
            harm()
            harms.append(pause)
            self.until(lambda seen=before: working.done() or len(ended) > seen, "a call to end")  # type: ignore[misc]
        working.result(self.patience)

    def attempt(self, commands: Sequence[Command]) -> list[Outcome] | None:
        """Carry out commands; ``None`` if nobody knows what became of them."""
        try:
            return self.broker.apply(commands)
        except OutcomeUnknown:
            return None
        except StoreError:  # certainly nothing was done
            return []

    def publish_through(self, harm: Callable[[], None]) -> None:
        """Publish while harm is done, and all of it again: what is there already is not put twice."""
        puts: list[Put] = [self.make(number, task_id=f"t{number}") for number in range(self.calls)]
        acknowledged: set[str] = set()
        refused: set[str] = set()

        def publish(number: int) -> None:
            outcomes = self.attempt([puts[number]])
            if outcomes == []:
                refused.add(puts[number].task_id)
            for outcome in outcomes or []:
                acknowledged.add(expect(outcome, Stored).task_id)

        self.meanwhile(harm, publish)
        assert all(self.find(task_id) is not None for task_id in acknowledged)
        assert all(self.find(task_id) is None for task_id in refused)
        for outcome in self.broker.apply(puts):
            expect(outcome, Stored)
        assert self.stats().ready == len(puts)
        assert self.same(self.take_all(), " ".join(put.task_id for put in puts)) or len(acknowledged) < len(
            puts
        )

    def claim_through(self, harm: Callable[[], None]) -> None:
        """Claim and ack while harm is done: no task is lost, and none is acked twice."""
        names = [f"t{number}" for number in range(self.calls)]
        self.put_all(" ".join(names))
        lease = max(self.moment * 4, 0.3)
        acked: list[str] = []
        tried: set[str] = set()

        def consume(_: int) -> None:
            claim = Claim(queue=self.queue, token=new_token(), lease=lease)
            for outcome in self.attempt([claim]) or []:
                for each in expect(outcome, Claimed).leases:
                    tried.add(each.task_id)
                    settled = self.attempt([Ack(queue=self.queue, receipt=each.receipt)])
                    if settled and isinstance(settled[0], Settled):
                        acked.append(each.task_id)

        self.meanwhile(harm, consume)
        assert len(set(acked)) == len(acked)
        left = {name for name in names if self.find(name) is not None}
        assert left.isdisjoint(acked)
        assert tried.union(left).issuperset(names), "what nobody tried to ack is gone"
        while left:
            again = self.claim_soon()
            assert again.task_id in left
            self.ack(again)
            left.discard(again.task_id)

    def wait_through(self, harm: Callable[[], None]) -> None:
        """Let a consumer wait while harm is done: it gets the task that is put afterwards."""
        for number in range(3):
            waiting = self.in_thread(self.claim_soon)
            time.sleep(self.moment)
            harm()
            self.put(task_id=f"t{number}")
            assert waiting.result(self.patience).task_id == f"t{number}"

    def settle_after(self, harm: Callable[[], None]) -> None:
        """Settle what was claimed before the harm was done, each with its own receipt."""
        self.put_all("a b")
        first, second = self.claim(2, lease=LONG)
        harm()
        self.ack(first)
        harm()
        assert self.claim(5) == []
        self.ack(second)


class Cutting(Breaking):
    """Connections that break."""

    @clause(
        "CUT-1",
        "a put whose connection broke is stored or not, and is there once when it is put again",
        asks="cut_connections",
        look="a call that was sent is not repeated blindly: it may have been carried out",
    )
    def test_puts_through_broken_connections(self) -> None:
        self.publish_through(self.rig.cut_connections)

    @clause(
        "CUT-2",
        "a task whose claim or ack lost its connection is handed out again or done, and never both",
        asks="cut_connections",
        look="the answer of a claim that reached nobody; an ack that is reported as failed and was done",
    )
    def test_claims_through_broken_connections(self) -> None:
        self.claim_through(self.rig.cut_connections)

    @clause(
        "CUT-3",
        "a consumer that waits goes on when its connection broke, and gets the next task",
        asks="cut_connections",
        look="a wait on a dead connection; a subscription that is not made again",
    )
    def test_a_waiter_survives_a_broken_connection(self) -> None:
        self.wait_through(self.rig.cut_connections)

    @clause(
        "CUT-4",
        "a receipt settles over another connection than it came by",
        asks="cut_connections",
        look="leases that belong to a connection or a session",
    )
    def test_a_receipt_survives_a_broken_connection(self) -> None:
        self.settle_after(self.rig.cut_connections)


class Restarting(Breaking):
    """An engine that is killed and comes back."""

    @clause(
        "RESTART-1",
        "what was acknowledged is there after the engine was killed, and what was not can be put again",
        needs="durability",
        asks="restart_engine",
        look="answers that are sent before the commit; puts that are kept in memory",
    )
    def test_puts_through_restarts(self) -> None:
        self.publish_through(self.rig.restart_engine)

    @clause(
        "RESTART-2",
        "no task is lost or acked twice by claims and acks while the engine is killed",
        needs="durability",
        asks="restart_engine",
        look="leases that are kept in memory; acks that are answered before they are stored",
    )
    def test_claims_through_restarts(self) -> None:
        self.claim_through(self.rig.restart_engine)

    @clause(
        "RESTART-3",
        "a consumer that waits goes on by itself when the engine is back, and gets the next task",
        needs="durability",
        asks="restart_engine",
        look="waiters that are not told that the engine is gone, or do not reconnect",
    )
    def test_a_waiter_survives_a_restart(self) -> None:
        self.wait_through(self.rig.restart_engine)

    @clause(
        "RESTART-4",
        "a receipt from before the engine was killed settles, and nobody else gets its task",
        needs="durability",
        asks="restart_engine",
        look="receipts that the engine forgets, or leases that it ends when it starts",
    )
    def test_a_receipt_survives_a_restart(self) -> None:
        self.settle_after(self.rig.restart_engine)
