"""A day of schedules with two workers that are killed again and again, on a clock of the test's.

The stores forget the ids of tasks that are gone: that nothing comes twice is not owed to their memory.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from distqueue.broker import Broker
from distqueue.opening import open_broker
from distqueue.schedules.schedule import Definition, Missed
from tests.app.schedules import Died, Mortal, Virtual, schedule, url_of, virtual

OFTEN = [
    schedule("minute", cron="* * * * *", missed=Missed.ALL),
    schedule("steps", every=45.0, missed=Missed.ALL),
]
SELDOM = [
    schedule("five", cron="*/5 * * * *", timezone="Europe/Berlin", missed=Missed.ALL),
    schedule("half-past", cron="30 * * * *", timezone="Europe/Berlin", missed=Missed.ONE),
    schedule("nightly", cron="30 2 * * *", timezone="Europe/Berlin", missed=Missed.SKIP, grace=3600.0),
]


class Worker:
    """A worker that is killed in every third turn or so, and is down for up to two minutes then."""

    def __init__(
        self, store: Virtual, broker: Broker, definitions: list[Definition], rng: random.Random
    ) -> None:
        self.store = store
        self.broker = broker
        self.definitions = definitions
        self.rng = rng
        self.deaths = 0
        self._is_new = True
        self._starts_at = 0.0

    def turn(self, *, is_killed: bool) -> None:
        """Do what is to be done now; die on the way, perhaps."""
        if self.store.now() < self._starts_at:
            return
        broker = Mortal(self.broker, self.rng) if is_killed else self.broker
        try:
            if self._is_new:
                self.store.start(*self.definitions, broker=broker)
                self._is_new = False
            self.store.work(broker)
        except Died:
            self.deaths += 1
            self._is_new = True
            self._starts_at = self.store.now() + self.rng.uniform(0, 120)


def live_through(store: Virtual, definitions: list[Definition], hours: float, step: float, seed: int) -> int:
    """Let two workers work for some hours; return how often they were killed."""
    rng = random.Random(seed)
    second = open_broker(store.url) if "memory" not in store.url else store.broker
    workers = [Worker(store, broker, definitions, rng) for broker in (store.broker, second)]
    store.start(*definitions)
    end = store.now() + hours * 3600
    while store.now() < end:
        store.go_on(step)
        for worker in rng.sample(workers, 2):
            worker.turn(is_killed=rng.random() < 0.3)
        store.take()
    store.go_on(150)
    for _ in range(2):  # what a worker died with is free again
        workers[0].turn(is_killed=False)
        store.go_on(15)
    store.take()
    if second is not store.broker:
        second.close()
    return sum(worker.deaths for worker in workers)


def ticks_of(definitions: list[Definition], begin: float, end: float) -> dict[str, int]:
    """Return the ids of all ticks in a time, each with the count 1."""
    return {
        definition.schedule.tick(at).task_id: 1
        for definition in definitions
        for at in definition.schedule.ticks().between(begin, end)
    }


@pytest.mark.parametrize(
    ("url", "definitions", "hours", "step"),
    [
        ("memory://?dedup_window=0", [*OFTEN, *SELDOM], 24, 5),
        pytest.param("sqlite:///{tmp}/jobs.db?dedup_window=0", SELDOM, 15, 30, marks=pytest.mark.slow),
        pytest.param("json:///{tmp}/Queue.json?dedup_window=0", SELDOM, 15, 30, marks=pytest.mark.slow),
        pytest.param(
            "sharded-json:///{tmp}/queue.d?shards=3&dedup_window=0", SELDOM, 15, 30, marks=pytest.mark.slow
        ),
        pytest.param("postgresql?dedup_window=0", SELDOM, 15, 120, marks=pytest.mark.slow),
    ],
    ids=["memory", "sqlite", "json", "sharded", "postgresql"],
)
def test_every_tick_is_put_exactly_once(
    request: pytest.FixtureRequest,
    shm: Path,
    url: str,
    definitions: list[Definition],
    hours: float,
    step: float,
) -> None:
    with virtual(url_of(request, url), shm) as store:
        began = store.now()
        deaths = live_through(store, definitions, hours, step, seed=7)
        assert deaths > (100 if step <= 30 else 50)
        assert max(store.taken.values()) == 1
        last = store.now() - 60  # what came last may not have been looked at
        assert ticks_of(definitions, began, last).keys() <= store.taken.keys()
        assert store.taken.keys() <= ticks_of(definitions, began, store.now()).keys()
        assert len(store.links()) == len(definitions)
