"""The publishers and consumers of a campaign: started, killed at random moments, and started again."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from distqueue.conformance import consumer, publisher
from distqueue.conformance.history import Fault, Recorder, now
from distqueue.conformance.processes import PREPARED, Child
from distqueue.supervisor import Supervisor
from distqueue.urls import parse_url

PATIENCE: Final = 60.0
"""How long a process may take to begin its work or to end, in seconds."""


class CrewFailed(Exception):
    """A process of the campaign ended by itself, or with an error."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign. ``lease`` is in seconds; ``gap`` is the mean time between kills, in seconds.

    ``directory`` takes the histories. With ``tasks`` each publisher ends after as many; without, when
    the kills are done. With ``broker`` a broker process serves the store, and is killed too; so is the
    engine under the store if ``run`` is told how.
    """

    url: str
    directory: str
    kills: int = 200
    publishers: int = 4
    consumers: int = 2
    seed: int = 0
    lease: float = 10.0
    gap: float = 0.1
    tasks: int | None = None
    queue: str = "campaign"
    broker: bool = False
    prepare: str = ""


@dataclass(slots=True)
class Member:
    """A place in the crew: one process after another, each with a name and a history of its own."""

    role: str
    number: int
    incarnation: int
    history: Path
    child: Child

    @property
    def name(self) -> str:
        """The name of the process that has the place now."""
        return f"{self.role}{self.number}.{self.incarnation}"

    def begun(self) -> bool:
        """Whether the process has recorded something, or will not any more."""
        return not self.child.running or (self.history.exists() and self.history.stat().st_size > 0)


@dataclass(slots=True)
class Crew:
    """The processes of a campaign."""

    plan: Plan
    faults: Recorder
    chance: random.Random
    members: list[Member] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    supervisor: Supervisor | None = None
    restart_engine: Callable[[], None] | None = None

    def kill_one(self) -> None:
        """Kill something at work, at a random moment: of each role one at first, then by chance."""
        role = self._next_role()
        if role == "broker":
            self._kill_broker()
        elif role == "engine":
            self._kill_engine()
        else:
            self._kill_member(self.chance.choice([each for each in self.members if each.role == role]))

    def _next_role(self) -> str:
        roles = ["engine"] if self.restart_engine is not None else []
        roles += ["broker"] if self.supervisor is not None else []
        roles += dict.fromkeys(member.role for member in self.members)
        unhurt = [role for role in roles if not self.killed[role]]
        return unhurt[0] if unhurt else self.chance.choice(roles)

    def _kill_member(self, member: Member) -> None:
        self._bide([member])
        self._note_kill(member.role, member.name)
        member.child.kill()

    def _kill_broker(self) -> None:
        """Kill the broker process, and wait until it has been started again."""
        assert self.supervisor is not None
        supervisor = self.supervisor
        self._bide(self.members)
        pid, restarts = supervisor.pid, supervisor.restarts
        if pid is None:
            raise CrewFailed("the broker process ended by itself")
        self._note_kill("broker", "broker")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: supervisor.restarts > restarts, "the broker process to be started again")

    def _kill_engine(self) -> None:
        """Kill the engine under the store, and start it again."""
        assert self.restart_engine is not None
        self._bide(self.members)
        self._note_kill("engine", "engine")
        self.restart_engine()

    def _bide(self, members: Iterable[Member]) -> None:
        """Wait for a random moment at which some members are at work.

        Not if another one has ended by itself, without which there may be nothing to do.
        """
        for member in members:
            wait_until(partial(self._may_go_on, member), f"{member.name} to begin its work")
        time.sleep(self.chance.expovariate(1 / self.plan.gap))
        self.check_alive("publisher", "consumer")

    def _note_kill(self, role: str, victim: str) -> None:
        self.faults.record([Fault(at=now(), process="campaign", kind="kill", victim=victim)])
        self.killed[role] += 1

    def replace_the_dead(self) -> None:
        """Start a successor for each process that was killed."""
        for place, member in enumerate(self.members):
            if not member.child.running:
                member.child.close()
                self.members[place] = self.start(
                    member.role, member.number, member.incarnation + 1, member.history
                )

    def _may_go_on(self, member: Member) -> bool:
        return member.begun() or not all(each.child.running for each in self.members)

    def check_alive(self, *roles: str) -> None:
        """Fail if a process ended that was not killed."""
        for member in self.members:
            if member.role in roles and not member.child.running:
                raise CrewFailed(f"{member.name} ended by itself: {member.child.complaints()}")

    def finish(self, role: str) -> None:
        """Wait until the processes of a role are through; what has no end of its own is told to end."""
        for member in self.members:
            if member.role == role:
                if role == "publisher" and self.plan.tasks is not None:
                    member.child.join(PATIENCE)
                if member.child.end(PATIENCE) != 0:
                    raise CrewFailed(f"{member.name} failed: {member.child.complaints()}")

    def close(self) -> None:
        """Kill whatever still runs."""
        for member in self.members:
            member.child.close()

    def start(self, role: str, number: int, incarnation: int = 1, before: Path | None = None) -> Member:
        """Start a process; ``before`` is the history of the one whose place it takes."""
        name = f"{role}{number}.{incarnation}"
        history = Path(self.plan.directory) / f"{name}.jsonl"
        task = self.publisher(name, history, before) if role == "publisher" else self.consumer(name, history)
        arguments = msgspec.json.encode(task).decode()
        child = Child(f"distqueue.conformance.{role}", arguments, prepare=self.plan.prepare)
        return Member(role, number, incarnation, history, child)

    def publisher(self, name: str, history: Path, before: Path | None) -> publisher.Plan:
        """The plan of one publisher."""
        return publisher.Plan(
            url=self.plan.url,
            queue=self.plan.queue,
            name=name,
            history=str(history),
            seed=self.chance.getrandbits(32),
            count=self.plan.tasks,
            before=str(before) if before is not None and before.exists() else None,
        )

    def consumer(self, name: str, history: Path) -> consumer.Plan:
        """The plan of one consumer."""
        return consumer.Plan(
            url=self.plan.url,
            queue=self.plan.queue,
            name=name,
            history=str(history),
            seed=self.chance.getrandbits(32),
            lease=self.plan.lease,
        )


@contextmanager
def crew_at_work(plan: Plan, restart_engine: Callable[[], None] | None = None) -> Iterator[Crew]:
    """Start the processes of a campaign; none of them is left at the end of the ``with`` block."""
    with ExitStack() as stack:
        faults = Recorder(Path(plan.directory) / "campaign.jsonl", "campaign")
        stack.callback(faults.close)
        chance = random.Random(plan.seed)  # noqa: S311 - victims and moments
        crew = Crew(plan, faults, chance, restart_engine=restart_engine)
        if plan.broker:
            prepared = (PREPARED, plan.prepare) if plan.prepare else ()
            crew.supervisor = Supervisor(parse_url(plan.url), {}, prepared=prepared)
            crew.supervisor.start()
            stack.callback(crew.supervisor.stop)
        stack.callback(crew.close)
        for number in range(plan.publishers):
            crew.members.append(crew.start("publisher", number))
        for number in range(plan.consumers):
            crew.members.append(crew.start("consumer", number))
        yield crew


def wait_until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Poll until a condition holds.

    Raises:
        TimeoutError: it did not within ``patience`` seconds.
    """
    deadline = now() + patience
    while not condition():
        if now() > deadline:
            raise TimeoutError(f"waited {patience:.0f} s in vain for {what}")
        time.sleep(0.005)
