"""Random calls of many commands together: whatever was carried out in one commit is read back as it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from distqueue.broker import Broker
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
CALLS: Final = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 99)), min_size=2, max_size=12)
PLANS: Final = st.lists(CALLS, min_size=2, max_size=6)
SLOW: Final = Backoff(first=LONG, jitter=0.0)


class Together(Subject):
    """Random calls of many commands together."""

    second: Broker

    @clause(
        "LIFE-2",
        "whatever commands are carried out together, the store is as before after closing and opening",
        needs="durability browse",
        slow=True,
        look="what one commit writes for many steps: a final state against a list of steps, read in order",
    )
    def test_calls_of_many_commands_are_read_back_as_they_were(self) -> None:
        self.walk_together(self.reopen)

    @clause(
        "LIFE-3",
        "two opens of a store that carry out calls in turn see the same",
        needs="browse",
        look="what an open caches: read what others committed before each call, counters and places too",
    )
    def test_two_opens_of_a_store_agree(self) -> None:
        self.walk_together(self.take_turns)

    def take_turns(self) -> None:
        """Go on with the other open of the store."""
        one, other = self.broker, self.second
        self.broker, self.second = other, one

    def walk_together(self, go_on: Callable[[], None]) -> None:
        """Carry out random calls on fresh stores; whatever ``go_on`` does after each changes nothing."""

        @settings(
            max_examples=self.examples(40),
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @given(PLANS)
        def walk(plan: Plan) -> None:
            self.store = self.fresh_url()
            self.broker, self.second = self.open(), self.open()
            try:
                self.carry_out(plan, go_on)
            finally:
                self.broker.close()
                self.second.close()

        self.broker.close()
        walk()

    def carry_out(self, plan: Plan, go_on: Callable[[], None]) -> None:
        """Carry out the calls of one walk."""
        tasks: list[str] = []
        leases: list[Lease] = []
        for call in plan:
            outcomes = self.broker.apply([self.choose(*choice, tasks, leases) for choice in call])
            for outcome in outcomes:
                leases += outcome.leases if isinstance(outcome, Claimed) else []
            before = self.everything()
            go_on()
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
            case _ if leases and name in SETTLING:
                newest = leases[-4:]  # mostly the receipts that still count
                return self.settle_together(name, choice, newest[choice % len(newest)].receipt)
        tasks.append(f"t{len(tasks)}")
        return self.make(choice, task_id=tasks[-1], **self.options(choice))

    def settle_together(self, name: str, choice: int, receipt: str) -> Command:
        """Make a settling command, in each of its forms."""
        if name == "retry" and choice % 2 and not self.lacks("delay"):
            return Retry(queue=self.queue, receipt=receipt, backoff=SLOW, error="later")
        if name == "ack" and choice % 2:
            return Ack(queue=self.queue, receipt=receipt, then=(self.make(choice), self.make(choice)))
        return SETTLING[name](self.queue, receipt)

    def options(self, choice: int) -> PutOptions:
        """The options of a put, as far as the backend has them."""
        options: PutOptions = {"max_attempts": 1 + choice % 3}
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
