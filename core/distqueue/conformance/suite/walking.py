"""Random walks through the lifecycle: each step that a task takes is one that the table allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from distqueue.commands import Ack, Cancel, Command, Extend, Purge, Redrive, Reject, Release, Retry
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, PutOptions, Subject
from distqueue.errors import Refused
from distqueue.lifecycle import TaskEvent as Happened
from distqueue.lifecycle import is_allowed
from distqueue.results import Lease
from distqueue.task import TaskRecord, TaskState

type Snapshot = dict[str, TaskRecord | None]

BY_TIME = frozenset({Happened.DUE, Happened.LAPSE, Happened.EXPIRE, Happened.FORGET})
SOON = 0.02
"""A delay, in seconds."""
STEPS = ["put", "put", "claim", "claim", "hurry", "ack", "retry", "later", "release", "not now", "reject"]
STEPS += ["extend", "stale", "cancel", "redrive", "purge", "pass"]


@dataclass(slots=True)
class Walk:
    """One walk: the tasks that were put and the leases that were had, in a queue of its own."""

    test: Subject
    tasks: list[str] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)

    def step(self, name: str, choice: int) -> None:
        """Take one step, and hold what it did to each task against the table."""
        before = self.snapshot()
        events, about = self.take(name, choice)
        after = self.snapshot()
        for task_id in self.tasks:
            allowed = BY_TIME | (events if about is None or task_id == about else frozenset())
            self.compare(name, before.get(task_id), after[task_id], allowed)

    def snapshot(self) -> Snapshot:
        """The record of each task."""
        return {task_id: self.test.find(task_id) for task_id in self.tasks}

    def compare(
        self, step: str, before: TaskRecord | None, after: TaskRecord | None, events: frozenset[Happened]
    ) -> None:
        """Check that the events lead from one record to the other."""
        came_from, went_to = before.state if before else None, after.state if after else None
        assert went_to in reachable(came_from, events), f"{step}: {came_from} became {went_to}"
        if before is not None and after is not None:
            assert after.deliveries >= before.deliveries
            assert after.number == before.number or (step == "redrive" and after.number > before.number)
            assert bytes(after.data) == bytes(before.data)
            assert after.max_attempts is None or after.attempt <= after.max_attempts

    def take(self, name: str, choice: int) -> tuple[frozenset[Happened], str | None]:
        """Carry out a step; return what may happen by it, and to which task (``None``: to any)."""
        match name:
            case "put":
                return self.put(choice)
            case "claim" | "hurry":
                lease = LONG if name == "claim" else self.test.moment / 4
                self.leases += self.test.claim(1 + choice % 3, lease)
                return frozenset({Happened.CLAIM}), None
            case "pass":
                self.test.pass_time(self.test.moment / 4)
                self.leases += self.test.claim(1)
                return frozenset({Happened.CLAIM}), None
            case "cancel" if self.tasks:
                task_id = self.tasks[choice % len(self.tasks)]
                self.test.do(Cancel(queue=self.test.queue, task_id=task_id))
                return frozenset({Happened.CANCEL}), task_id
            case "redrive":
                self.test.do(Redrive(queue=self.test.queue))
                return frozenset({Happened.REDRIVE}), None
            case "purge":
                states = list(TaskState)
                self.test.do(Purge(queue=self.test.queue, states=(states[choice % len(states)],)))
                return frozenset({Happened.PURGE}), None
            case "later" | "not now" if self.test.lacks("delay"):
                pass
            case _ if self.leases and name in SETTLING:
                return self.settle(name, self.leases[choice % len(self.leases)])
        return frozenset(), None

    def put(self, choice: int) -> tuple[frozenset[Happened], str | None]:
        """Put a task, with options as the choice and the backend allow."""
        options: PutOptions = {"max_attempts": 1 + choice % 3}
        if choice % 5 == 1 and not self.test.lacks("delay"):
            options["delay"] = self.test.moment / 4
        if choice % 5 == 2 and not self.test.lacks("groups"):
            options["group"] = "g"
        if choice % 5 == 3 and not self.test.lacks("expiry"):
            options["expires_in"] = self.test.moment / 4
        if choice % 5 == 4 and not self.test.lacks("keep_done"):
            options["keep_done"] = LONG
        self.tasks.append(self.test.put(choice, **options))
        return frozenset({Happened.PUT}), self.tasks[-1]

    def settle(self, name: str, lease: Lease) -> tuple[frozenset[Happened], str | None]:
        """Settle a delivery, perhaps a stale one: then nothing may happen by it."""
        command, event = SETTLING[name](self.test.queue, lease.receipt)
        refused = isinstance(self.test.do(command), Refused)
        return frozenset() if refused else frozenset({event}), lease.task_id


SETTLING: dict[str, Callable[[str, str], tuple[Command, Happened]]] = {
    "ack": lambda queue, receipt: (Ack(queue=queue, receipt=receipt), Happened.ACK),
    "retry": lambda queue, receipt: (Retry(queue=queue, receipt=receipt, delay=0.0), Happened.RETRY),
    "later": lambda queue, receipt: (Retry(queue=queue, receipt=receipt, delay=SOON), Happened.RETRY),
    "release": lambda queue, receipt: (Release(queue=queue, receipt=receipt), Happened.RELEASE),
    "not now": lambda queue, receipt: (Release(queue=queue, receipt=receipt, delay=SOON), Happened.RELEASE),
    "reject": lambda queue, receipt: (Reject(queue=queue, receipt=receipt), Happened.REJECT),
    "extend": lambda queue, receipt: (Extend(queue=queue, receipt=receipt, lease=LONG), Happened.EXTEND),
}


def reachable(state: TaskState | None, events: frozenset[Happened]) -> set[TaskState | None]:
    """The states that a task can be in after any number of the events, one after another."""
    found = {state}
    new = {state}
    while new:
        new = {
            after
            for before in new
            for after in (*TaskState, None)
            if after not in found and any(is_allowed(before, event, after) for event in events)
        }
        found |= new
    return found


class Walking(Subject):
    """Random walks."""

    @clause(
        "LIFE-1",
        "whatever the commands, each task goes only where the lifecycle leads",
        look="the verb that the printed steps end with: its condition on the state, and its counting",
    )
    def test_random_walks_stay_within_the_lifecycle(self) -> None:
        steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 99)), min_size=10, max_size=40)

        @settings(
            max_examples=self.examples(30),
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @given(steps)
        def walk(plan: list[tuple[str, int]]) -> None:
            self.queue = f"walk{next(numbers)}"
            on_foot = Walk(self)
            for name, choice in plan:
                on_foot.step(name, choice)

        numbers = iter(range(1_000_000))
        walk()
