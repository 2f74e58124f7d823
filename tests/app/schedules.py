"""A store whose clock the test sets, and workers that carry out links in it and may die at any call."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from distqueue.broker import Broker
from distqueue.capabilities import Capabilities
from distqueue.commands import Ack, Browse, Claim, Command, Fence, Find
from distqueue.conformance.harness import harness_for
from distqueue.fences import FenceLevel
from distqueue.ids import new_token
from distqueue.opening import open_broker
from distqueue.outcomes import expect, leases_in
from distqueue.results import Browsed, Fenced, Found, Outcome, Seen
from distqueue.schedules.carrying_out import carry_out
from distqueue.schedules.chains import establish
from distqueue.schedules.schedule import QUEUE, Definition, Schedule
from distqueue.task import TaskRecord, TaskState
from tests.servers.chosen import with_query

APP: Final = "shop:app"
TASKS: Final = "beats"
NOON: Final = datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp()
"""Half a day before the clocks of Europe are put forward."""


def schedule(name: str = "beat", **said: Any) -> Definition:
    """Return the definition of a schedule; by default it ticks every minute."""
    if "every" not in said:
        said.setdefault("cron", "* * * * *")
    defaults = {"app": APP, "task": "beat", "queue": TASKS, "data": msgspec.Raw(b'{"task":"beat","args":{}}')}
    return Definition.of(Schedule(name=name, **{**defaults, **said}))


def url_of(request: pytest.FixtureRequest, text: str) -> str:
    """Return the URL that a parameter says; ``postgresql`` is a new schema on the server of the tests."""
    if not text.startswith("postgresql"):
        return text
    server = request.getfixturevalue("postgres_url")
    options = text.partition("?")[2]
    return with_query(server, f"schema={{name}}&{options}")


class Virtual:
    """A store, and the clock that it reads."""

    def __init__(self, url: str, directory: Path) -> None:
        self._harness = harness_for(url)(url, directory)
        self._ahead = 0.0
        self.set_clock(NOON - self.now())
        self.url = self._harness.fresh_url()
        self.broker = open_broker(self.url)
        self.taken: Counter[str] = Counter()
        """How often each task was taken, by id."""

    def close(self) -> None:
        """Let the clock be that of the machine again."""
        self.broker.close()
        self._harness.close()

    def now(self) -> float:
        """Return what the store's clock shows."""
        return time.time() + self._ahead

    def go_on(self, seconds: float) -> None:
        """Let time go by."""
        self._ahead += seconds
        self._harness.advance(seconds)

    def go_to(self, when: float) -> None:
        """Let time go by until then."""
        self.go_on(when - self.now())

    def set_clock(self, seconds: float) -> None:
        """Set the clock, forward or back."""
        self._ahead += seconds
        self._harness.step_clock(seconds)

    def start(self, *definitions: Definition, app: str = APP, broker: Broker | None = None) -> None:
        """Do what a worker does when it starts."""
        establish(broker or self.broker, app, definitions, self.now())

    def work(self, broker: Broker | None = None) -> None:
        """Do what a worker does when it is woken: all that is due."""
        while carry_out(broker or self.broker, self.now).leases:
            pass

    def take(self) -> list[str]:
        """Take and ack what was put since, as handlers would; return the ids."""
        ids: list[str] = []
        while True:
            claim = Claim(queue=TASKS, token=new_token(), count=1000)
            leases = leases_in(self.broker.apply([claim]))
            if not leases:
                self.taken.update(ids)
                return ids
            self.broker.apply([Ack(queue=TASKS, receipt=lease.receipt) for lease in leases])
            ids += [lease.task_id for lease in leases]

    def find(self, queue: str, task_id: str) -> TaskState | None:
        """Return the state of a task."""
        task = expect(self.broker.apply([Find(queue=queue, task_id=task_id)])[0], Found).task
        return None if task is None else task.state

    def fence(self, queue: str) -> None:
        """Let a queue have moved elsewhere."""
        for level in (FenceLevel.DRAINING, FenceLevel.FROZEN):
            expect(self.broker.apply([Fence(queue=queue, level=level, note="memory://there")])[0], Fenced)

    def links(self) -> list[TaskRecord]:
        """Return the links in the store."""
        live = (TaskState.SCHEDULED, TaskState.READY, TaskState.LEASED)
        return expect(self.broker.apply([Browse(queue=QUEUE, states=live)])[0], Browsed).tasks


@contextmanager
def virtual(url: str, directory: Path) -> Iterator[Virtual]:
    """Give a store with a clock of the test's, until the block ends."""
    made = Virtual(url, directory)
    try:
        yield made
    finally:
        made.close()


class Died(Exception):
    """The worker was killed."""


class Mortal(Broker):
    """What a worker sees of a store, until it dies: before one of its calls, or before the answer comes."""

    def __init__(self, inner: Broker, rng: random.Random) -> None:
        self._inner = inner
        self._calls_left = rng.randrange(10)
        self._carries_out_the_last = rng.random() < 0.5

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        if self._calls_left:
            self._calls_left -= 1
            return self._inner.apply(commands)
        if self._carries_out_the_last:
            self._inner.apply(commands)
        raise Died

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        return self._inner.wait(queue, seen, timeout)

    def close(self) -> None:
        """Nothing: nobody closes what he dies with."""


def shown(at: float) -> str:
    """Return a time as it is in the ids of ticks."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
