"""Groups: strict order within, at most one out, and nobody else held up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from distqueue.commands import Cancel, Purge, Redrive, Retry
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, Subject, ids
from distqueue.errors import GroupPriorityMismatch
from distqueue.results import Lease, Purged, Redriven, Removed, Settled
from distqueue.task import TaskState

type End = Callable[[Subject, Lease], object]

FREEING: list[End] = [
    lambda test, lease: test.ack(lease),
    lambda test, lease: test.reject(lease),
    lambda test, lease: test.ok(Cancel(queue=test.queue, task_id=lease.task_id), Removed),
    lambda test, lease: test.ok(Purge(queue=test.queue, states=(TaskState.LEASED,)), Purged),
]


class Groups(Subject):
    """Groups."""

    def only(self, task_id: str, lease: float = LONG) -> Lease:
        """Claim as much as there is: it has to be this task and no other."""
        leases = self.claim(10, lease)
        assert ids(leases) == task_id
        return leases[0]

    @clause("GROUP-1", "at most one task of a group is out, the first that was put", needs="groups")
    def test_one_at_a_time_in_order(self) -> None:
        self.put_all("g1 g2 g3", group="g")
        for name in ("g1", "g2", "g3"):
            lease = self.only(name)
            assert lease.group == "g"
            assert self.claim(10) == []
            self.ack(lease)
        assert self.claim(10) == []

    @clause(
        "GROUP-2", "a group holds up nobody else: other groups and tasks without one", needs="groups ordering"
    )
    def test_groups_and_others_interleave(self) -> None:
        for name in ("a1", "b1", "a2", "x", "b2", "c1", "a3", "y"):
            group = None if name in "xy" else name[0]
            self.put(task_id=name, group=group)
        leases = self.claim(10)
        assert ids(leases) == "a1 b1 x c1 y"
        self.ack(leases[1])
        self.ack(leases[0])
        assert self.take_all() == "a2 b2"

    @pytest.mark.parametrize("end", FREEING, ids=["ack", "reject", "cancel", "purge"])
    @clause("GROUP-3", "done, dead or gone frees the group", needs="groups")
    def test_the_end_of_the_head_frees_the_group(self, end: End) -> None:
        self.put_all("g1 g2", group="g")
        end(self, self.take("g1"))
        self.take("g2")

    @clause("GROUP-4", "a scheduled head blocks its group; cancelling it frees it", needs="groups delay")
    def test_a_scheduled_head_blocks(self) -> None:
        self.put(task_id="g1", group="g", delay=LONG)
        self.put(task_id="g2", group="g")
        self.put(task_id="free")
        assert self.take_all() == "free"
        self.cancel("g1")
        self.take("g2")

    @clause("GROUP-5", "a head that waits for its retry blocks its group", needs="groups delay")
    def test_a_retrying_head_blocks(self) -> None:
        self.put_all("g1 g2", group="g")
        receipt = self.take("g1").receipt
        self.ok(Retry(queue=self.queue, receipt=receipt, delay=LONG), Settled)
        assert self.claim(10) == []
        assert self.state("g1") is TaskState.SCHEDULED
        self.cancel("g1")
        self.take("g2")

    @clause("GROUP-6", "a scheduled head comes first once it is due", needs="groups delay")
    def test_a_due_head_comes_first(self) -> None:
        self.put(task_id="g1", group="g", delay=self.moment)
        self.put_all("g2 g3", group="g")
        self.pass_time(self.moment)
        for name in ("g1", "g2", "g3"):
            lease = self.only(name)
            self.ack(lease)

    @clause("GROUP-7", "a later task that is scheduled does not block those before it", needs="groups delay")
    def test_only_the_head_blocks(self) -> None:
        self.put(task_id="g1", group="g")
        self.put(task_id="g2", group="g", delay=LONG)
        self.put(task_id="g3", group="g")
        self.ack(self.take("g1"))
        assert self.claim(10) == []
        self.cancel("g2")
        self.take("g3")

    @clause("GROUP-8", "the members of a group keep their order when one is retried", needs="groups")
    def test_a_retry_keeps_the_order(self) -> None:
        self.put_all("g1 g2", group="g")
        self.ok(Retry(queue=self.queue, receipt=self.take("g1").receipt, delay=0.0), Settled)
        self.put(task_id="g3", group="g")
        for name in ("g1", "g2", "g3"):
            lease = self.only(name)
            self.ack(lease)

    @clause(
        "GROUP-9",
        "the members of a group keep their order when one is released or its lease ends",
        needs="groups",
    )
    def test_a_return_keeps_the_order(self) -> None:
        self.put_all("g1 g2", group="g")
        self.release(self.take("g1"))
        self.only("g1", lease=self.moment)
        self.pass_time(self.moment)
        lease = self.only("g1")
        self.ack(lease)
        self.take("g2")

    @clause("GROUP-10", "a redriven task is the last of its group", needs="groups")
    def test_a_redriven_task_is_the_last(self) -> None:
        self.put_all("g1 g2 g3", group="g")
        self.reject(self.take("g1"))
        assert self.ok(Redrive(queue=self.queue, task_id="g1"), Redriven).count == 1
        for name in ("g2", "g3", "g1"):
            lease = self.only(name)
            self.ack(lease)

    @clause("GROUP-11", "a task of another priority than its group is refused", needs="groups priorities")
    def test_one_priority_a_group(self) -> None:
        self.put(task_id="g1", group="g", priority=3)
        for priority in (0, 4):
            self.refuse(self.make(task_id="g2", group="g", priority=priority), GroupPriorityMismatch)
        assert self.find("g2") is None
        self.put(task_id="g2", group="g", priority=3)
        self.put(task_id="h1", group="h", priority=4)
        first, second = self.broker.apply(
            [self.make(task_id="k1", group="k"), self.make(task_id="k2", group="k", priority=1)]
        )
        assert not isinstance(first, GroupPriorityMismatch)
        assert isinstance(second, GroupPriorityMismatch)

    @clause("GROUP-12", "groups of a higher priority come first", needs="groups priorities")
    def test_priority_between_groups(self) -> None:
        self.put_all("a1 a2", group="a", priority=1)
        self.put_all("b1 b2", group="b", priority=2)
        for name in ("b1", "b2", "a1", "a2"):
            lease = self.take(name)
            self.ack(lease)

    @clause("GROUP-13", "an emptied group begins anew, with any priority", needs="groups priorities")
    def test_an_emptied_group_begins_anew(self) -> None:
        self.put(task_id="g1", group="g", priority=3)
        self.ack(self.take("g1"))
        self.put(task_id="g2", group="g", priority=5)
        self.take("g2")

    @clause(
        "GROUP-14",
        "tasks that wait for the head of their group are counted as ready and waiting",
        needs="groups",
    )
    def test_waiting_tasks_are_counted(self) -> None:
        self.put_all("g1 g2 g3", group="g")
        self.put(task_id="free")
        assert (self.stats().ready, self.stats().waiting) == (4, 2)
        lease = self.take("g1")
        assert (self.stats().ready, self.stats().waiting, self.stats().leased) == (3, 2, 1)
        self.ack(lease)
        assert (self.stats().ready, self.stats().waiting) == (3, 1)

    @clause("GROUP-15", "the same group in another queue is another group", needs="groups")
    def test_a_group_belongs_to_its_queue(self) -> None:
        self.put(task_id="g1", group="g")
        self.put(task_id="g1", group="g", queue="other")
        self.take("g1")
        assert ids(self.claim(10, queue="other")) == "g1"

    @clause("GROUP-16", "a removed member in the middle leaves the order of the others", needs="groups")
    def test_a_removed_member_leaves_the_others_in_order(self) -> None:
        self.put_all("g1 g2 g3 g4", group="g")
        self.cancel("g2")
        lease = self.take("g1")
        self.cancel("g3")
        self.ack(lease)
        self.take("g4")

    @clause("GROUP-17", "an expired head frees its group", needs="groups expiry")
    def test_an_expired_head_frees_its_group(self) -> None:
        self.put(task_id="g1", group="g", expires_in=self.moment)
        self.put(task_id="g2", group="g")
        self.pass_time(self.moment)
        self.take("g2")
        assert self.find("g1") is None

    @clause("GROUP-18", "a redrive into a group of another priority is refused", needs="groups priorities")
    def test_a_redrive_into_another_priority_is_refused(self) -> None:
        self.put(task_id="g1", group="g", priority=3)
        self.reject(self.take("g1"))
        self.put(task_id="g2", group="g", priority=5)
        outcome = self.do(Redrive(queue=self.queue))
        refused = Redriven(count=0, refused=("g1",))
        assert outcome == refused or isinstance(outcome, GroupPriorityMismatch)
        assert self.state("g1") is TaskState.DEAD
        self.ack(self.take("g2"))
        assert self.ok(Redrive(queue=self.queue), Redriven).count == 1
        self.only("g1")

    @clause(
        "GROUP-19",
        "a group whose head is dead goes on without it, also after a redrive of all",
        needs="groups",
    )
    def test_redriven_tasks_stand_behind_the_living(self) -> None:
        self.put_all("g1 g2 g3 g4", group="g")
        for name in ("g1", "g2"):
            self.reject(self.take(name))
        assert self.ok(Redrive(queue=self.queue), Redriven).count == 2
        for name in ("g3", "g4", "g1", "g2"):
            self.ack(self.only(name))
