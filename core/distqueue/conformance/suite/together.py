"""Random calls of many commands together: whatever was carried out in one commit is read back as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from distqueue.commands import (
    Ack,
    Cancel,
    Claim,
    Command,
    Extend,
    Pause,
    Purge,
    Redrive,
    Reject,
    Release,
    Resume,
    Retry,
)
from distqueue.conformance.clauses import clause
from distqueue.conformance.suite.subject import LONG, PutOptions, Subject
from distqueue.ids import new_token
from distqueue.results import Claimed, Lease
from distqueue.retry import Backoff
from distqueue.task import TaskState

type Plan = list[list[tuple[str, int]]]
"""The calls of a walk: the name of each command, and the number by which it chooses."""

SETTLING: Final[dict[str, Callable[[str, str], Command]]] = {
    "ack": lambda queue, receipt: Ack(queue=queue, receipt=receipt),
    "retry": lambda queue, receipt: Retry(queue=queue, receipt=receipt, delay=0.0, error="failed"),
    "release": lambda queue, receipt: Release(queue=queue, receipt=receipt),
    "reject": lambda queue, receipt: Reject(queue=queue, receipt=receipt, error="rejected"),
    "extend": lambda queue, receipt: Extend(queue=queue, receipt=receipt, lease=2 * LONG),
}
NAMES: Final = ["put", "put", "claim", "claim", "cancel", "redrive", "purge", "pause", *SETTLING]
SLOW: Final = Backoff(first=LONG, jitter=0.0)


class Together(Subject):
    """Random calls of many commands together."""

    @clause(
        "LIFE-2",
        "whatever commands are carried out together, the store is as before after closing and opening",
        needs="durability browse",
    )
    def test_calls_of_many_commands_are_read_back_as_they_were(self) -> None:
        call = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 99)), min_size=2, max_size=12)

        @settings(
            max_examples=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @given(st.lists(call, min_size=2, max_size=6))
        def walk(plan: Plan) -> None:
            self.broker.close()
            self.store = self.fresh_url()
            self.broker = self.open()
            self.walk_together(plan)

        walk()

    def walk_together(self, plan: Plan) -> None:
        """Carry out the calls, and open the store again after each."""
        tasks: list[str] = []
        leases: list[Lease] = []
        for call in plan:
            outcomes = self.broker.apply([self.choose(*choice, tasks, leases) for choice in call])
            leases += [
                each for outcome in outcomes if isinstance(outcome, Claimed) for each in outcome.leases
            ]
            before = self.everything()
            self.reopen()
            assert self.everything() == before

    def everything(self) -> object:
        """All that can be read of the queue."""
        return self.browse(), self.browse(order="line"), self.remembered(), self.stats()

    def choose(self, name: str, choice: int, tasks: list[str], leases: Sequence[Lease]) -> Command:
        """Make a command; one that needs a lease is a put where there is none yet."""
        match name:
            case "claim":
                return Claim(queue=self.queue, token=new_token(), count=1 + choice % 4, lease=LONG)
            case "cancel" if tasks:
                return Cancel(queue=self.queue, task_id=tasks[choice % len(tasks)])
            case "redrive":
                return Redrive(queue=self.queue)
            case "purge" if choice % 4 == 0:
                return Purge(queue=self.queue, states=(list(TaskState)[choice % 5],))
            case "pause" if not self.lacks("pause"):
                return (Pause if choice % 8 == 0 else Resume)(queue=self.queue)
            case "retry" if leases and choice % 2 and not self.lacks("delay"):
                return Retry(queue=self.queue, receipt=leases[choice % len(leases)].receipt, backoff=SLOW)
            case "ack" if leases and choice % 2:
                then = (self.make(choice), self.make(choice))
                return Ack(queue=self.queue, receipt=leases[choice % len(leases)].receipt, then=then)
            case _ if leases and name in SETTLING:
                return SETTLING[name](self.queue, leases[choice % len(leases)].receipt)
        tasks.append(f"t{len(tasks)}")
        return self.make(choice, task_id=tasks[-1], **self.options(choice))

    def options(self, choice: int) -> PutOptions:
        """The options of a put, as far as the backend has them."""
        options: PutOptions = {"max_attempts": 1 + choice % 2}
        if choice % 6 == 1 and not self.lacks("delay"):
            options["delay"] = LONG
        if choice % 6 == 2 and not self.lacks("groups"):
            options["group"] = "g"
        if choice % 6 == 3 and not self.lacks("expiry"):
            options["expires_in"] = LONG
        if choice % 6 == 4 and not self.lacks("keep_done"):
            options["keep_done"] = LONG
        if choice % 6 == 5 and not self.lacks("unique"):
            options["unique"] = "u"
        return options
