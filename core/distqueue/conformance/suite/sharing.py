"""Several processes that share a store, and what happens when one of them stops or dies."""

from __future__ import annotations

import pytest

from distqueue.broker.event import Apply, Wait, Welcome
from distqueue.commands import (
    Ack,
    Claim,
    Command,
    Extend,
    Find,
    Pause,
    Reject,
    Release,
    Resume,
    Retry,
    Settle,
)
from distqueue.conformance.agent import from_line
from distqueue.conformance.campaign import run
from distqueue.conformance.clauses import clause
from distqueue.conformance.crew import Plan
from distqueue.conformance.processes import AGENT, Child, OtherProcess
from distqueue.conformance.suite.subject import LONG, expect, ids
from distqueue.conformance.suite.tidying import Tidying
from distqueue.errors import LeaseLost, PayloadMismatch
from distqueue.results import Claimed, Found, Lease, Settled, Stored
from distqueue.task import TaskState


class Sharing(Tidying):
    """Several processes that share a store."""

    def claim_in(self, other: OtherProcess, count: int = 1, lease: float = LONG) -> list[Lease]:
        """Claim in another process."""
        command = Claim(queue=self.queue, token="other", count=count, lease=lease)  # noqa: S106 - no password
        return expect(other.apply([command])[0], Claimed).leases

    @clause(
        "SHARE-1",
        "what one process does the others see at once",
        needs="shared_between_processes",
        look="what a process caches of the store: read what others committed before each call",
    )
    def test_processes_see_each_other(self) -> None:
        other = self.other_process()
        self.put(task_id="a")
        assert ids(self.claim_in(other)) == "a"
        self.put_all("b c")
        assert self.state("a") is TaskState.LEASED
        lease = self.take("b")
        other.apply([self.make(task_id="d")])
        self.ack(lease)
        assert self.same(ids(self.claim_in(other, 5)), "c d")

    @clause(
        "SHARE-2",
        "a receipt works in every process",
        needs="shared_between_processes",
        look="receipts checked against what this process handed out: check them against the store",
    )
    def test_a_receipt_works_everywhere(self) -> None:
        other = self.other_process()
        self.put(task_id="a")
        (theirs,) = self.claim_in(other)
        self.put(task_id="b")
        mine = self.take("b")
        self.ack(theirs)
        expect(other.apply([Ack(queue=self.queue, receipt=mine.receipt)])[0], Settled)
        if not self.lacks("dedup"):
            expect(other.apply([Ack(queue=self.queue, receipt=theirs.receipt)])[0], Settled)

    @clause(
        "SHARE-10",
        "a claim that is repeated by another process returns what it did at first",
        needs="shared_between_processes",
        look="claims noted in the process that made them: a repeated one has to look through the store",
    )
    def test_a_claim_is_repeated_elsewhere(self) -> None:
        other = self.other_process()
        self.put_all("a b c")
        self.claim_again("other", self.claim_in(other, 2))
        assert len(self.claim(3)) == 1

    @clause(
        "SHARE-3",
        "a task is published once, whichever process does it",
        needs="shared_between_processes",
        look="ids kept in memory: the check at a put has to be made in the store, in the commit",
    )
    def test_an_id_is_known_everywhere(self) -> None:
        other = self.other_process()
        self.put("data", task_id="it")
        duplicate, mismatch = other.apply([self.make("data", task_id="it"), self.make("else", task_id="it")])
        assert expect(duplicate, Stored).duplicate
        expect(mismatch, PayloadMismatch)

    @clause(
        "SHARE-4",
        "a pause holds in every process",
        needs="shared_between_processes pause",
        look="the flag of a pause in memory, or read once at the open",
    )
    def test_a_pause_holds_everywhere(self) -> None:
        other = self.other_process()
        self.put(task_id="it")
        self.do(Pause(queue=self.queue))
        assert self.claim_in(other) == []
        other.apply([Resume(queue=self.queue)])
        self.take("it")

    @clause(
        "SHARE-5",
        "a put wakes a waiter in another process",
        needs="shared_between_processes",
        look="how waiters in other processes are told of a commit: after it, never before, and each of them",
    )
    def test_a_put_wakes_another_process(self) -> None:
        other = self.other_process()
        for number in range(20):
            claim = Claim(queue=self.queue, token=f"t{number}", lease=LONG)
            seen = expect(other.apply([claim])[0], Claimed).seen
            other.ask(Wait(self.queue, seen, None))
            self.put(task_id=f"task{number}")
            other.woken(self.patience)
            assert self.claim_soon(other).task_id == f"task{number}"

    @clause(
        "SHARE-6",
        "a put in another process wakes a waiter here",
        needs="shared_between_processes",
        look="wait has to listen before it compares with seen; a change in between must end it",
    )
    def test_a_put_in_another_process_wakes(self) -> None:
        other = self.other_process()
        for number in range(20):
            seen = self.claimed().seen
            waiting = self.in_thread(lambda at=seen: self.wait(at))  # type: ignore[misc]
            other.apply([self.make(task_id=f"task{number}")])
            waiting.result(self.patience)
            assert self.claim_soon().task_id == f"task{number}"

    @clause(
        "SHARE-7",
        "processes that open a new store at the same time share one",
        needs="shared_between_processes",
        look="open with create: make the store in one step, or under a lock; who comes second uses it",
    )
    def test_a_store_is_made_once(self) -> None:
        for _ in range(3):
            self.store = self.fresh_url()
            prepare = self.rig.prepare
            children = [Child(AGENT, self.store, prepare=prepare) for _ in range(3)]
            for child in children:
                self.cleanup.callback(child.close)
            for child in children:
                assert isinstance(from_line(child.hear()), Welcome)
            others = [self.other_process(), self.other_process()]
            for number, other in enumerate(others):
                expect(other.apply([self.make(task_id=f"t{number}")])[0], Stored)
            self.broker = self.open()
            assert self.stats().ready == 2
            for other in others:
                other.close()

    @clause(
        "SHARE-8",
        "a process goes on with what is in the store once another one has let it tidy up its files",
        needs="shared_between_processes",
        look="files that were replaced while a process has them open: look what is there now",
        slow=True,
    )
    def test_processes_go_on_when_the_files_were_tidied_up(self) -> None:
        other = self.other_process()
        kept, new = self.make("put before", task_id="kept"), self.make("put after", task_id="b")
        other.apply([self.make(task_id="a"), kept])
        theirs = {lease.task_id: lease for lease in self.claim_in(other, 2)}
        other.apply([Release(queue=self.queue, receipt=theirs["kept"].receipt)])
        self.let_it_tidy_up()
        put, ack = other.apply([new, Ack(queue=self.queue, receipt=theirs["a"].receipt)])
        assert not expect(put, Stored).duplicate
        expect(ack, Settled)
        leases = [*self.claim_in(other), *self.claim_in(other)]
        assert {lease.task_id: lease.data for lease in leases} == {"kept": kept.data, "b": new.data}
        for broker in (self.broker, self.other_process()):
            looks = broker.apply([Find(queue=self.queue, task_id=task_id) for task_id in "ab"])
            assert [expect(look, Found).task is not None for look in looks] == [False, True]

    @clause(
        "SHARE-9",
        "whoever looks at a task finds its payload, however often another process lets the store tidy up",
        needs="shared_between_processes",
        look="places in files that were replaced: those in the new file have to be learned, each time",
        slow=True,
    )
    def test_payloads_are_found_while_the_files_are_tidied_up(self) -> None:
        other = self.other_process()
        puts = [self.make(f"payload {name}", task_id=name) for name in "abcde"]
        other.apply(puts)
        for _ in self.tidying_up():
            looks = other.apply([Find(queue=self.queue, task_id=put.task_id) for put in puts])
            tasks = [expect(look, Found).task for look in looks]
            assert [task and bytes(task.data) for task in tasks] == [put.data for put in puts]

    @clause(
        "CRASH-1",
        "the task of a killed consumer is delivered again",
        needs="shared_between_processes",
        look="leases tied to a process or connection: their end must be seen by any other process",
    )
    def test_the_task_of_a_killed_consumer_comes_back(self) -> None:
        other = self.other_process()
        self.put(task_id="a")
        lease = max(self.moment, 0.2)
        assert ids(self.claim_in(other, lease=lease)) == "a"
        self.put(task_id="b")
        other.child.kill()
        # Where the death can be proved the lease ends at once, and the task is back at its place before b.
        first, second = sorted((self.claim_soon(), self.claim_soon()), key=lambda lease: lease.task_id)
        assert (first.task_id, first.attempt, first.deliveries) == ("a", 2, 2)
        assert (second.task_id, second.attempt, second.deliveries) == ("b", 1, 1)

    @clause(
        "CRASH-2",
        "what was acknowledged to a killed process is there",
        needs="shared_between_processes",
        look="an answer sent before the commit, or a buffer that is written later",
    )
    def test_what_was_acknowledged_survives_a_kill(self) -> None:
        for number in range(5):
            other, queue = self.other_process(), f"q{number}"
            put, claim = self.make(task_id="t", queue=queue), Claim(queue=queue, token="t")  # noqa: S106
            leases = expect(other.apply([put, claim])[1], Claimed).leases
            if number % 2:
                other.apply([Ack(queue=queue, receipt=leases[0].receipt)])
            other.child.kill()
        out = (TaskState.LEASED, TaskState.READY)  # ready again where the death can be proved
        for number in range(5):
            assert self.state("t", f"q{number}") in ((None,) if number % 2 else out)

    @pytest.mark.parametrize("kind", [Ack, Retry, Release, Reject, Extend])
    @clause(
        "CRASH-3",
        "a consumer that was stopped past its lease cannot settle any more",
        needs="shared_between_processes fenced_receipts",
        look="settling compares the lease's end with the clock inside the commit, after it got the lock",
    )
    def test_a_stopped_consumer_is_fenced_off(self, kind: type[Settle]) -> None:
        other = self.other_process()
        self.put(task_id="it")
        (theirs,) = self.claim_in(other, lease=max(self.moment, 0.1))
        other.child.stop()
        other.ask(Apply.of([kind(queue=self.queue, receipt=theirs.receipt)]))
        mine = self.claim_soon()
        assert (mine.task_id, mine.attempt) == ("it", 2)
        before = self.record("it")
        other.child.proceed()
        expect(other.outcomes()[0], LeaseLost)
        assert self.record("it") == before
        self.ack(mine)

    @clause(
        "CRASH-4",
        "a process that stands still does not hold up the others",
        needs="shared_between_processes",
        look="a lock or an open transaction kept between two calls, or while an answer is sent",
    )
    def test_a_stopped_process_holds_nobody_up(self) -> None:
        other = self.other_process()
        other.apply([self.make(task_id="a")])
        other.child.stop()
        self.put(task_id="b")
        assert self.same(self.take_all(), "a b")
        other.child.proceed()
        expect(other.apply([self.make(task_id="c")])[0], Stored)

    @clause(
        "CRASH-5",
        "of a call that was cut off by a kill all commands were carried out, or none, as one call sees them",
        needs="shared_between_processes atomic_batch",
        look="a call's commands in several commits; looks of one call that each see another moment",
    )
    def test_a_call_is_all_or_nothing(self) -> None:
        size = 300
        for number in range(9):
            other, before = self.other_process(), self.stats().ready
            batch: list[Command] = [self.make("x" * 200, task_id=f"b{number}.{each}") for each in range(size)]
            other.ask(Apply.of(batch))
            if number % 3 == 1:  # the kill falls somewhere between reading the batch and its answer
                self.stats()
            elif number % 3 == 2:  # or right behind the first task that is seen of it
                self.until(lambda seen=before: self.stats().ready > seen, "tasks")  # type: ignore[misc]
            other.child.kill()
            # In one call, as what the dead process had sent may be carried out between two.
            some = [f"b{number}.{each}" for each in (0, 1, size // 2, size - 1)]
            looks = self.broker.apply([Find(queue=self.queue, task_id=task_id) for task_id in some])
            found = {expect(look, Found).task is not None for look in looks}
            assert len(found) == 1, f"batch {number} was torn"
            assert self.stats().ready % size == 0

    @clause(
        "LOAD-1",
        "N publishers and M consumers: nothing lost, doubled or out of order",
        needs="shared_between_processes",
        look="what is read in one commit and written in another; the verdict names the broken invariant",
    )
    def test_many_processes_lose_and_double_nothing(self) -> None:
        self.judge(kills=0, tasks=150, publishers=3)

    @clause(
        "LOAD-2",
        "the same while publishers and consumers are killed",
        needs="shared_between_processes",
        slow=True,
        look="what a dead process leaves half done: temporary rows, locks, a claim without its lease",
    )
    def test_kills_lose_and_double_nothing(self) -> None:
        self.judge(kills=6, tasks=None, publishers=2)

    @clause(
        "LOAD-3",
        "the same when a broker process serves the store, and is killed too",
        needs="shared_between_processes",
        look="what a store needs to be opened after its process was killed; a lock that outlives its holder",
        slow=True,
    )
    def test_kills_of_the_broker_process_lose_and_double_nothing(self) -> None:
        self.judge(kills=6, tasks=None, publishers=2, broker=True)

    @clause(
        "LOAD-4",
        "leases that run out while others publish and consume: each task is handed out again, and acked once",
        needs="shared_between_processes",
        look="a lease that ends between a claim and its ack; two consumers that find the same ended lease",
        slow=True,
    )
    def test_leases_run_out_under_load(self) -> None:
        self.judge(kills=0, tasks=100, publishers=2, lease=max(self.moment / 8, 0.005))

    def judge(
        self,
        *,
        kills: int,
        tasks: int | None,
        publishers: int,
        broker: bool = False,
        lease: float | None = None,
    ) -> None:
        """Run a campaign and expect that every promise was kept."""
        self.before_campaign(broker=broker)
        if broker:
            self.broker.close()  # that one serves the store alone
        directory = self._directory / "history"
        directory.mkdir()
        plan = Plan(
            url=self.store,
            directory=str(directory),
            kills=kills,
            publishers=publishers,
            consumers=2,
            seed=kills,
            lease=lease or (30.0 if kills == 0 else 1.0),
            tasks=tasks,
            broker=broker,
            prepare=self.rig.prepare,
        )
        report = run(plan)
        assert report.valid, report
        assert sum(report.kills.values()) == kills
        assert report.kills.get("broker", 0) > 0 or not broker
        assert tasks is None or report.counts["acked"] == tasks * publishers
