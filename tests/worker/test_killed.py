"""Workers and children that are killed and stopped under load, at random.

By default a few; ``DISTQUEUE_WORKER_KILLS=100 DISTQUEUE_WORKER_STOPS=50`` makes it a campaign, which needs
``pytest --timeout 3000``.
"""

from __future__ import annotations

import os
import random
import signal
from collections import defaultdict

import pytest

from distqueue.conformance.forks import Process
from tests.worker.conftest import Bench, check_apart, children_of, wait_until

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("DISTQUEUE_WORKER_KILLS", "4"))
STOPS = int(os.environ.get("DISTQUEUE_WORKER_STOPS", "3"))
LEASE = 1.0
AT_ONCE = 6
ENDS = (0, 7, 143)
"""How a worker ends that is told to stop: 143 if it has not begun yet."""


class Load:
    """Two workers that always have something to do, and what is done to them."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.chance = random.Random(7)
        self.task_ids: set[str] = set()
        self.workers: list[Process] = []
        (bench.directory / "distqueue.toml").write_text(f"[defaults]\nlease = {LEASE}\n")

    def feed(self, begun: int) -> None:
        """See that more has begun than before, while there is always something to do."""
        payloads = [{"task": "work", "args": {"seconds": self.chance.random() / 20}} for _ in range(40)]
        stored = self.bench.queue.put_many(payloads, max_attempts=None)
        self.task_ids.update(one.task_id for one in stored)
        while len(self.workers) < 2:
            grace = self.chance.choice(["0", "0.02", "5"])
            arguments = ("-c", str(AT_ONCE), "--processes", "2", "--grace", grace)
            self.workers.append(self.bench.start(*arguments))
        self.bench.wait_for_notes(begun + self.chance.randrange(5, 30))

    def kill(self) -> None:
        """Kill a worker, or one of its children."""
        worker = self.chance.choice(self.workers)
        children = children_of(worker.pid)
        if self.chance.random() < 0.5 and children:
            try:
                os.kill(self.chance.choice(children), signal.SIGKILL)
            except ProcessLookupError:
                return
        else:
            worker.kill()
            worker.wait()
            self.workers.remove(worker)

    def stop(self) -> None:
        """Tell a worker to stop."""
        worker = self.workers.pop(0)
        worker.terminate()
        assert worker.wait(60) in ENDS

    def finish(self) -> None:
        """Wait until everything is done, and check that it was."""
        self.feed(0)
        bench = self.bench
        wait_until(lambda: {note.task_id for note in bench.notes("end")} >= self.task_ids, bench.log)
        for worker in self.workers:
            worker.terminate()
            assert worker.wait(60) in ENDS
        wait_until(lambda: bench.queue.stats().leased == 0, bench.log)
        stats = bench.queue.stats()
        assert (stats.ready, stats.scheduled, stats.dead) == (0, 0, 0)
        check_apart(bench.notes())

    def attempts(self) -> dict[str, list[int]]:
        """Return the attempts of each task, in the order in which they began."""
        attempts: dict[str, list[int]] = defaultdict(list)
        for note in self.bench.notes("begin"):
            attempts[note.task_id].append(note.attempt)
        return attempts


def test_who_is_stopped_uses_up_no_attempt(bench: Bench) -> None:
    load = Load(bench)
    for _ in range(STOPS):
        load.feed(len(bench.notes("begin")))
        load.stop()
    load.finish()
    assert {attempt for attempts in load.attempts().values() for attempt in attempts} == {1}


def test_who_is_killed_uses_up_one_each_time(bench: Bench) -> None:
    load = Load(bench)
    for _ in range(KILLS):
        load.feed(len(bench.notes("begin")))
        load.kill()
    load.finish()
    again = 0
    for task_id, attempts in load.attempts().items():
        assert attempts == sorted(attempts), f"{task_id}: {attempts}"
        again += attempts[-1] - 1
    assert again <= KILLS * AT_ONCE
