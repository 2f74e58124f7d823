"""Export and import: a store's tasks loaded into another one are the same there."""

from __future__ import annotations

import pytest

from distqueue.broker import Broker
from distqueue.commands import Ack, Claim, Load, Pause, Release, Remembered
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, Subject, expect, ids
from distqueue.errors import AlreadySettled
from distqueue.results import Browsed, Claimed, Lease, Loaded, Settled, Stored
from distqueue.task import RememberedTask, TaskRecord


class Moving(Subject):
    """Export and import."""

    def fill_for_moving(self) -> Lease:
        """Bring tasks into every state and return the lease of the one that is out."""
        self.put_all("done dead acked out a b")
        for name in ("done", "dead"):
            lease = self.take(name)
            self.ack(lease) if name == "done" else self.reject(lease, "no ä good")
        self.ack(self.take("acked"))
        out = self.take("out")
        self.release(self.take("a"))
        if not self.lacks("delay"):
            self.put(task_id="later", delay=LONG)
        if not self.lacks("groups"):
            self.put_all("g1 g2", group="g")
        self.put(
            {"x": [1, 2.5, "ä\n"]}, task_id="rich", max_attempts=None, headers={"h": "v"}, publisher_id="p"
        )
        return out

    def export(self) -> list[TaskRecord | RememberedTask]:
        """Read everything that there is of the queue."""
        return [*self.browse(), *self.remembered()]

    def move(self, records: list[TaskRecord | RememberedTask]) -> Broker:
        """Load records into another store, which becomes that of the test; return the old one."""
        old = self.broker
        self.broker = self.open(self.fresh_url())
        outcomes = self.broker.apply([Load.of(each) for each in records])
        assert [expect(outcome, Loaded).duplicate for outcome in outcomes] == [False] * len(records)
        return old

    @clause(
        "MOVE-1",
        "what is loaded into another store is the same there",
        needs="browse",
        look="load: which field of the record is not taken over: number, place, counts, times, receipt?",
    )
    def test_a_round_trip_changes_nothing(self) -> None:
        self.fill_for_moving()
        before, line, stats = self.export(), self.browse(order="line"), self.stats()
        self.move(before)
        assert self.export() == before
        assert self.browse(order="line") == line
        assert self.stats() == stats

    @clause(
        "MOVE-2",
        "a loaded lease is good: its receipt settles, and nobody else gets the task",
        needs="browse",
        look="load of a leased task: token and end as they are, the end by this store's clock",
    )
    def test_a_loaded_lease_is_good(self) -> None:
        out = self.fill_for_moving()
        self.move(self.export())
        assert out.task_id not in ids(self.claim(100)).split()
        assert isinstance(self.do(Ack(queue=self.queue, receipt=out.receipt)), Settled)

    @clause(
        "MOVE-3",
        "what was remembered is remembered after loading: ids, payloads and receipts",
        needs="browse dedup",
        look="load of a remembered id: checksum, receipt, verb and time of the end, all of them",
    )
    def test_the_memory_moves_too(self) -> None:
        self.put("data", task_id="it")
        lease = self.take("it")
        self.ack(lease)
        self.move(self.export())
        assert self.ok(self.make("data", task_id="it"), Stored).duplicate
        self.ok(Ack(queue=self.queue, receipt=lease.receipt), Settled)
        self.refuse(Release(queue=self.queue, receipt=lease.receipt), AlreadySettled)

    @clause(
        "MOVE-4",
        "tasks are claimed in the same order after loading, and new ones come behind",
        needs="browse",
        look="load keeps places, and moves the counter of places behind the highest of them",
    )
    def test_the_order_moves_too(self) -> None:
        self.fill_for_moving()
        old = self.move(self.export())
        self.put(task_id="new")
        command = Claim(queue=self.queue, token="t", count=100, lease=LONG)  # noqa: S106 - no password
        before = expect(old.apply([command])[0], Claimed).leases
        after = self.claim(100)
        assert self.same(ids(after), f"{ids(before)} new")
        counts = {each.task_id: (each.attempt, each.deliveries) for each in after}
        assert [counts[each.task_id] for each in before] == [
            (each.attempt, each.deliveries) for each in before
        ]

    @clause(
        "MOVE-5",
        "loading what is there says so and changes nothing",
        needs="browse",
        look="load has to look for the id among tasks and in the memory, before it writes",
    )
    def test_loading_twice_is_the_same_as_once(self) -> None:
        self.fill_for_moving()
        records = self.export()
        self.move(records)
        before = self.export()
        for outcome in self.broker.apply([Load.of(each) for each in records]):
            assert expect(outcome, Loaded).duplicate
        assert self.export() == before

    @pytest.mark.parametrize("limit", [1, 4])
    @clause(
        "MOVE-6",
        "what is remembered is listed page by page, each id once",
        needs="browse dedup",
        look="the pages of the memory: sorted by a number that is unique, going on behind the last",
    )
    def test_pages_of_the_memory(self, limit: int) -> None:
        self.put_all("a b c d e f g")
        for lease in self.claim(7):
            self.ack(lease)
        assert sorted(each.task_id for each in self.remembered(limit=limit)) == list("abcdefg")
        assert self.remembered(queue="nowhere") == []

    @clause(
        "MOVE-7",
        "a paused queue can be read and loaded",
        needs="browse pause",
        look="browse, remembered and load looking at the flag of a pause, which is for claims only",
    )
    def test_a_paused_queue_can_be_moved(self) -> None:
        self.put_all("a b")
        self.do(Pause(queue=self.queue))
        self.move(self.export())
        assert self.same(self.take_all(), "a b")

    @clause(
        "MOVE-8",
        "ids forgotten between two pages do not make others be left out",
        needs="browse dedup",
        look="pages of the memory by offset: entries dropped at the front move the others up",
    )
    def test_pages_of_a_memory_in_use(self) -> None:
        self.broker.close()
        self.broker = self.open(dedup_max=6)
        self.put_all("a b c d e f g h")
        leases = self.claim(8)
        for lease in leases[:6]:
            self.ack(lease)
        page = self.ok(Remembered(queue=self.queue, limit=3), Browsed)
        listed = {each.task_id for each in page.remembered}
        for lease in leases[6:]:
            self.ack(lease)
        while page.next is not None:
            page = self.ok(Remembered(queue=self.queue, limit=3, after=page.next), Browsed)
            listed |= {each.task_id for each in page.remembered}
        assert listed >= {each.task_id for each in leases[2:6]}

    @clause(
        "MOVE-9",
        "the id of a task that had a group, and is gone, is known where it was moved to",
        needs="browse dedup groups",
        look="what is remembered tells no group: an id has to be looked for wherever it may be kept",
    )
    def test_what_had_a_group_is_known_after_a_move(self) -> None:
        names = [f"t{number}" for number in range(12)]
        puts = [self.make(task_id=name, group=f"of {name}") for name in names]
        self.broker.apply(puts)
        for lease in self.claim(len(names)):
            self.ack(lease)
        self.move(self.export())
        for put in puts:
            assert self.ok(put, Stored).duplicate
        assert self.claim() == []
