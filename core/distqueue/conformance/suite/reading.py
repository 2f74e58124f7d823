"""Reading: find, browse and the statistics."""

from __future__ import annotations

import pytest

from distqueue.commands import Browse, Stats
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, Subject, expect, ids
from distqueue.results import Browsed, Counted, Stored
from distqueue.task import TaskState

QUEUES = 300
"""More queues than a backend lists on one page, if it lists them in pages."""


class Reading(Subject):
    """Find, browse and the statistics."""

    def fill_for_reading(self) -> None:
        """Tasks in every state that needs no capability: one dead, one leased, two ready."""
        self.put_all("dead leased r1 r2")
        self.reject(self.take("dead"))
        self.take("leased")

    @clause(
        "FIND-1",
        "what is not in the queue is not found",
        look="the condition of find: queue and id; and the answer None, no error, where the queue is new",
    )
    def test_what_is_not_there_is_not_found(self) -> None:
        self.put(task_id="it", queue="other")
        assert self.find("it") is None
        assert self.find("it", "nowhere") is None
        assert self.record("it", "other").task_id == "it"

    @clause(
        "FIND-2",
        "looking changes nothing",
        look="find or stats going through the step of claim, or counting, touching or locking rows",
    )
    def test_looking_changes_nothing(self) -> None:
        self.fill_for_reading()
        before = [self.record(name) for name in ("dead", "leased", "r1", "r2")]
        self.stats()
        assert [self.record(name) for name in ("dead", "leased", "r1", "r2")] == before
        assert sorted(self.take_all().split()) == ["r1", "r2"]

    @pytest.mark.parametrize("limit", [1, 3, 10, 100])
    @clause(
        "BROWSE-1",
        "browse lists every task once, page by page, in the order of publishing",
        needs="browse",
        look="the sort key of the pages: the task's number, unique and increasing, not its time or place",
    )
    def test_browse_lists_every_task_once(self, limit: int) -> None:
        names = [f"t{number}" for number in range(10)]
        self.put_all(" ".join(names))
        self.claim(4)
        tasks = self.browse(limit=limit)
        assert self.same(ids(tasks), " ".join(names))
        assert [task.number for task in tasks] == sorted(task.number for task in tasks)

    @clause(
        "BROWSE-2",
        "a page holds at most as many tasks as asked for, and the last one says that it is",
        needs="browse",
        look="the limit of the query, and the last page: next is None when nothing is behind it",
    )
    def test_pages(self) -> None:
        self.put_all("a b c d e")
        sizes = []
        after = None
        for _ in range(4):
            page = self.ok(Browse(queue=self.queue, limit=2, after=after), Browsed)
            sizes.append(len(page.tasks))
            after = page.next
            if after is None:
                break
        assert after is None
        assert sizes in ([2, 2, 1], [2, 2, 1, 0])

    @clause(
        "BROWSE-3",
        "browse gives the same records as find",
        needs="browse",
        look="one function for both has to turn a row into a record: compare what each fills in",
    )
    def test_browse_and_find_agree(self) -> None:
        self.fill_for_reading()
        for record in self.browse():
            assert record == self.record(record.task_id)

    @clause(
        "BROWSE-4",
        "browse can be limited to some states",
        needs="browse",
        look="the condition on states, before the limit counts; none given means all of them",
    )
    def test_browse_by_state(self) -> None:
        self.fill_for_reading()
        assert self.same(ids(self.browse(TaskState.READY)), "r1 r2")
        assert self.same(ids(self.browse(TaskState.DEAD, TaskState.LEASED)), "dead leased")
        assert self.browse(TaskState.SCHEDULED) == []
        assert self.browse(queue="nowhere") == []

    @pytest.mark.parametrize("limit", [1, 4, 100])
    @clause(
        "BROWSE-5",
        "the line begins with the tasks that would be claimed now, in that order",
        needs="browse ordering priorities",
        look="order=line has to use the very sort key of claim, and leave out what could not be claimed",
    )
    def test_the_line_is_the_order_of_claims(self, limit: int) -> None:
        for number in range(12):
            self.put(task_id=f"t{number}", priority=number % 3)
        for lease in self.claim(5)[1::2]:
            self.release(lease)
        command = Browse(queue=self.queue, states=(TaskState.READY,), order="line", limit=limit)
        page = self.ok(command, Browsed).tasks
        assert ids(page) == ids(self.claim(limit))

    @clause(
        "BROWSE-6",
        "tasks that go between two pages do not make others appear twice or be left out",
        needs="browse",
        look="pages by offset: go on from the number of the last task instead",
    )
    def test_pages_of_a_queue_in_use(self) -> None:
        self.put_all("a b c d e f")
        names = ids(self.browse()).split()
        assert self.same(" ".join(names), "a b c d e f")
        page = self.ok(Browse(queue=self.queue, limit=3), Browsed)
        assert ids(page.tasks).split() == names[:3]
        for name in (names[0], *names[2:4]):
            self.cancel(name)
        self.put(task_id="g")
        page = self.ok(Browse(queue=self.queue, limit=10, after=page.next), Browsed)
        rest = ids(page.tasks).split()
        if self.lacks("ordering"):  # where a new task stands in the listing is not said
            rest = [*[name for name in rest if name != "g"], "g"]
        assert rest == [*names[4:], "g"]

    @clause(
        "STATS-1",
        "the statistics count the tasks of a queue by state",
        look="counters that a verb forgets to move between states; count rows to compare",
    )
    def test_tasks_are_counted_by_state(self) -> None:
        self.fill_for_reading()
        self.put(task_id="other", queue="other")
        stats = self.stats()
        assert (stats.ready, stats.leased, stats.dead, stats.done, stats.scheduled) == (2, 1, 1, 0, 0)
        assert self.stats("other").ready == 1

    @clause(
        "STATS-2",
        "scheduled and kept tasks are counted",
        needs="delay keep_done",
        look="done and scheduled tasks kept in tables of their own, which stats does not read",
    )
    def test_scheduled_and_kept_tasks_are_counted(self) -> None:
        self.put(task_id="done", keep_done=LONG)
        self.ack(self.take("done"))
        self.put(task_id="scheduled", delay=LONG)
        stats = self.stats()
        assert (stats.done, stats.scheduled, stats.ready) == (1, 1, 0)

    @clause(
        "STATS-3",
        "the statistics of '*' are those of every queue",
        look="stats taking '*' for a name: each queue that has tasks is listed once, with its own counts",
    )
    def test_every_queue_is_counted(self) -> None:
        assert self.ok(Stats(queue="*"), Counted).queues == []
        for name, count in (("b", 2), ("a", 1), ("c", 3)):
            for _ in range(count):
                self.put(queue=name)
        counted = self.ok(Stats(queue="*"), Counted).queues
        assert {each.queue: each.ready for each in counted} == {"a": 1, "b": 2, "c": 3}

    @clause(
        "STATS-6",
        "the statistics of '*' are those of every queue, however many there are",
        look="a list of queues that has an end: a limit in its query, or its first page taken for all of it",
    )
    def test_many_queues_are_counted(self) -> None:
        names = [f"q{number}" for number in range(QUEUES)]
        for outcome in self.apply_all([self.make(queue=name) for name in names]):
            expect(outcome, Stored)
        counted = self.ok(Stats(queue="*"), Counted).queues
        assert sorted((each.queue, each.ready) for each in counted) == sorted((name, 1) for name in names)

    @clause(
        "STATS-4",
        "the statistics tell since when the oldest ready task waits, of whatever priority",
        look="of the ready tasks only, by put_at, or None; not only the one that is next in line",
    )
    def test_the_oldest_ready_task(self) -> None:
        assert self.stats().oldest_ready_at is None
        self.put(task_id="out")
        self.take("out")
        assert self.stats().oldest_ready_at is None
        self.pass_time(self.moment)
        priorities = (0,) if self.lacks("priorities") else (1, 0, 2, 31)
        self.put(task_id="a", priority=priorities[0])
        first = self.record("a").put_at
        self.pass_time(self.moment)
        for priority in priorities:
            self.put(priority=priority)
            assert self.stats().oldest_ready_at == pytest.approx(first, abs=self.moment / 2)
        self.claim(10)
        assert self.stats().oldest_ready_at is None

    @clause(
        "STATS-5",
        "the counts agree with the tasks after many different steps",
        needs="browse delay",
        look="counters kept beside the tasks: a lease that is cancelled or released, a batch counted as one",
    )
    def test_counts_and_tasks_agree(self) -> None:
        for round_ in range(5):
            self.put_all(" ".join(f"r{round_}t{number}" for number in range(8)))
            self.put(task_id=f"s{round_}", delay=LONG)
            leases = self.claim(6)
            self.ack(leases[0])
            self.reject(leases[1])
            self.release(leases[2])
            self.cancel(leases[3].task_id)
        stats = self.stats()
        for state in TaskState:
            assert getattr(stats, state.value) == len(self.browse(state))
