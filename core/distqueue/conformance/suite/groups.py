"""Groups: strict order within, at most one out, and nobody else held up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from distqueue.commands import Cancel, Purge, Redrive, Release, Retry
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

    @clause(
        "GROUP-1",
        "at most one task of a group is out, the first that was put",
        needs="groups",
        look="claim must skip a group that has a task out, also within one claim of many",
    )
    def test_one_at_a_time_in_order(self) -> None:
        self.put_all("g1 g2 g3", group="g")
        for name in ("g1", "g2", "g3"):
            lease = self.only(name)
            assert lease.group == "g"
            assert self.claim(10) == []
            self.ack(lease)
        assert self.claim(10) == []

    @clause(
        "GROUP-2",
        "a group holds up nobody else: other groups and tasks without one",
        needs="groups ordering",
        look="claim stopping at the first blocked task: go on to the next in line",
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
    @clause(
        "GROUP-3",
        "done, dead or gone frees the group",
        needs="groups",
        look="ack, reject, cancel and purge each have to let the next member into the line",
    )
    def test_the_end_of_the_head_frees_the_group(self, end: End) -> None:
        self.put_all("g1 g2", group="g")
        end(self, self.take("g1"))
        self.take("g2")

    @clause(
        "GROUP-4",
        "a scheduled head blocks its group; cancelling it frees it",
        needs="groups delay",
        look="the head is the first live member, scheduled too; cancel has to promote the next",
    )
    def test_a_scheduled_head_blocks(self) -> None:
        self.put(task_id="g1", group="g", delay=LONG)
        self.put(task_id="g2", group="g")
        self.put(task_id="free")
        assert self.take_all() == "free"
        self.cancel("g1")
        self.take("g2")

    @clause(
        "GROUP-5",
        "a head that waits for its retry blocks its group",
        needs="groups delay",
        look="retry with a delay must keep the group's lock and the head's number",
    )
    def test_a_retrying_head_blocks(self) -> None:
        self.put_all("g1 g2", group="g")
        receipt = self.take("g1").receipt
        self.ok(Retry(queue=self.queue, receipt=receipt, delay=LONG), Settled)
        assert self.claim(10) == []
        assert self.state("g1") is TaskState.SCHEDULED
        self.cancel("g1")
        self.take("g2")

    @clause(
        "GROUP-20",
        "a head that was released with a delay blocks its group",
        needs="groups delay",
        look="release with a delay must keep the group's lock and the head's number, as retry does",
    )
    def test_a_head_released_for_later_blocks(self) -> None:
        self.put_all("g1 g2", group="g")
        receipt = self.take("g1").receipt
        self.ok(Release(queue=self.queue, receipt=receipt, delay=LONG), Settled)
        assert self.claim(10) == []
        assert self.state("g1") is TaskState.SCHEDULED
        self.cancel("g1")
        self.take("g2")

    @clause(
        "GROUP-6",
        "a scheduled head comes first once it is due",
        needs="groups delay",
        look="a due head gets its place behind the members: they have to stay out of the line till then",
    )
    def test_a_due_head_comes_first(self) -> None:
        self.put(task_id="g1", group="g", delay=self.moment)
        self.put_all("g2 g3", group="g")
        self.pass_time(self.moment)
        for name in ("g1", "g2", "g3"):
            lease = self.only(name)
            self.ack(lease)

    @clause(
        "GROUP-7",
        "a later task that is scheduled does not block those before it",
        needs="groups delay",
        look="promotion of the next member: if it is scheduled, the group waits for it, not at the put",
    )
    def test_only_the_head_blocks(self) -> None:
        self.put(task_id="g1", group="g")
        self.put(task_id="g2", group="g", delay=LONG)
        self.put(task_id="g3", group="g")
        self.ack(self.take("g1"))
        assert self.claim(10) == []
        self.cancel("g2")
        self.take("g3")

    @clause(
        "GROUP-8",
        "the members of a group keep their order when one is retried",
        needs="groups",
        look="retry gives a new place: inside its group the task keeps its number, and stays the head",
    )
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
        look="release and lapse must make the task the head again, before members put meanwhile",
    )
    def test_a_return_keeps_the_order(self) -> None:
        self.put_all("g1 g2", group="g")
        self.release(self.take("g1"))
        self.only("g1", lease=self.moment)
        self.pass_time(self.moment)
        lease = self.only("g1")
        self.ack(lease)
        self.take("g2")

    @clause(
        "GROUP-10",
        "a redriven task is the last of its group",
        needs="groups",
        look="redrive has to give a new number, higher than those of the group's members",
    )
    def test_a_redriven_task_is_the_last(self) -> None:
        self.put_all("g1 g2 g3", group="g")
        self.reject(self.take("g1"))
        assert self.ok(Redrive(queue=self.queue, task_id="g1"), Redriven).count == 1
        for name in ("g2", "g3", "g1"):
            lease = self.only(name)
            self.ack(lease)

    @clause(
        "GROUP-11",
        "a task of another priority than its group is refused",
        needs="groups priorities",
        look="put compares priority with the group's live members, also with those of the same call",
    )
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

    @clause(
        "GROUP-12",
        "groups of a higher priority come first",
        needs="groups priorities",
        look="the head stands in the line of its group's priority, and so does who follows it",
    )
    def test_priority_between_groups(self) -> None:
        self.put_all("a1 a2", group="a", priority=1)
        self.put_all("b1 b2", group="b", priority=2)
        for name in ("b1", "b2", "a1", "a2"):
            lease = self.take(name)
            self.ack(lease)

    @clause(
        "GROUP-13",
        "an emptied group begins anew, with any priority",
        needs="groups priorities",
        look="the group's record, with its priority, must go when its last live member goes",
    )
    def test_an_emptied_group_begins_anew(self) -> None:
        self.put(task_id="g1", group="g", priority=3)
        self.ack(self.take("g1"))
        self.put(task_id="g2", group="g", priority=5)
        self.take("g2")

    @clause(
        "GROUP-14",
        "tasks that wait for the head of their group are counted as ready and waiting",
        needs="groups",
        look="a ready member behind the head is counted as ready and as waiting; the head is not waiting",
    )
    def test_waiting_tasks_are_counted(self) -> None:
        self.put_all("g1 g2 g3", group="g")
        self.put(task_id="free")
        assert (self.stats().ready, self.stats().waiting) == (4, 2)
        lease = self.take("g1")
        assert (self.stats().ready, self.stats().waiting, self.stats().leased) == (3, 2, 1)
        self.ack(lease)
        assert (self.stats().ready, self.stats().waiting) == (3, 1)

    @clause(
        "GROUP-15",
        "the same group in another queue is another group",
        needs="groups",
        look="groups found by name alone: queue and name together are the key, in put and in claim",
    )
    def test_a_group_belongs_to_its_queue(self) -> None:
        self.put(task_id="g1", group="g")
        self.put(task_id="g1", group="g", queue="other")
        self.take("g1")
        assert ids(self.claim(10, queue="other")) == "g1"

    @clause(
        "GROUP-16",
        "a removed member in the middle leaves the order of the others",
        needs="groups",
        look="a member removed in the middle leaves a link or a count behind: look for the next live one",
    )
    def test_a_removed_member_leaves_the_others_in_order(self) -> None:
        self.put_all("g1 g2 g3 g4", group="g")
        self.cancel("g2")
        lease = self.take("g1")
        self.cancel("g3")
        self.ack(lease)
        self.take("g4")

    @clause(
        "GROUP-17",
        "an expired head frees its group",
        needs="groups expiry",
        look="what drops expired tasks has to promote the next member, as cancel does",
    )
    def test_an_expired_head_frees_its_group(self) -> None:
        self.put(task_id="g1", group="g", expires_in=self.moment)
        self.put(task_id="g2", group="g")
        self.pass_time(self.moment)
        self.take("g2")
        assert self.find("g1") is None

    @clause(
        "GROUP-18",
        "a redrive into a group of another priority is refused",
        needs="groups priorities",
        look="redrive has to make the same check of priority as put, task by task",
    )
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
        look="a dead task still in the group's list as its head; redriven ones enter at the end, in order",
    )
    def test_redriven_tasks_stand_behind_the_living(self) -> None:
        self.put_all("g1 g2 g3 g4", group="g")
        for name in ("g1", "g2"):
            self.reject(self.take(name))
        assert self.ok(Redrive(queue=self.queue), Redriven).count == 2
        for name in ("g3", "g4", "g1", "g2"):
            self.ack(self.only(name))
