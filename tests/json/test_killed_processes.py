"""SIGKILL of publishers and consumers that share one file, in the middle of their work."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from distqueue.results import Claimed, Settled

from .support import ack, claim, expect, fsck, opened

pytestmark = pytest.mark.slow

_WORKLOAD: Final = str(Path(__file__).with_name("workload.py"))
KILLS: Final = 8


class Worker:
    """A process that publishes or consumes until it is killed, and what it said."""

    def __init__(self, role: str, path: Path, name: str) -> None:
        self.role, self.lines = role, [b""]
        self._popen = subprocess.Popen(
            [sys.executable, _WORKLOAD, role, str(path), name], stdout=subprocess.PIPE, bufsize=0
        )

    def hear(self, count: int) -> None:
        """Let it work until it has said so many lines."""
        assert self._popen.stdout is not None
        for _ in range(count):
            self.lines.append(self._popen.stdout.readline())
            assert self.lines[-1], "it ended by itself"

    def kill(self) -> None:
        """Kill it and hear what else it had said."""
        self._popen.kill()
        rest, _ = self._popen.communicate()
        self.lines += rest.splitlines()

    def said(self, verb: str) -> list[str]:
        """Return the task ids that it named with a verb."""
        lines = [line.decode().split() for line in self.lines]
        return [task_id for words in lines if words[:1] == [verb] for task_id in words[1:]]


@contextmanager
def crew(path: Path) -> Iterator[list[Worker]]:
    """Two that publish and two that consume."""
    workers = [Worker(role, path, f"{role}-{number}") for role in ("publish", "consume") for number in (0, 1)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()


def work_off(path: Path) -> list[str]:
    """Claim and settle all that is left, also what killed consumers had claimed; return the ids."""
    ids: list[str] = []
    with opened(path) as backend:
        while True:
            result = expect(backend.apply([claim(1000)])[0], Claimed)
            assert all(isinstance(each, Settled) for each in backend.apply([ack(x) for x in result.leases]))
            ids += [lease.task_id for lease in result.leases]
            if not result.leases:
                if result.seen.wake_at is None:
                    return ids
                backend.wait("q", result.seen, None)


def batch_of(task_id: str) -> tuple[str, int]:
    """Return the publisher and the number of the call that put a task."""
    name, number, _ = task_id.rsplit("-", 2)
    return name, int(number)


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_acknowledged_is_lost_and_nothing_is_made_up(tmp_path: Path, seed: int) -> None:
    pick, path = random.Random(seed), tmp_path / "Queue.json"
    past: list[Worker] = []
    with crew(path) as workers:
        for number in range(KILLS):
            for worker in workers:
                worker.hear(pick.randrange(2, 12))
            place = pick.randrange(4)
            workers[place].kill()
            past.append(workers[place])
            workers[place] = Worker(workers[place].role, path, f"{workers[place].role}-again-{number}")
            with opened(path, lock_timeout=60) as reader, reader._lock:
                json.loads(path.read_bytes())
        past += workers
    published = [task_id for worker in past for task_id in worker.said("stored")]
    taken = {task_id for worker in past for task_id in worker.said("claimed")}
    done = [task_id for worker in past for task_id in worker.said("done")]
    left = work_off(path)
    assert fsck(path).is_sound
    assert len(published) > 10 * KILLS
    assert done

    twice = [task_id for task_id, count in Counter(done + left).items() if count > 1]
    assert twice == []
    unsaid = set(published) - set(done) - set(left)  # settled by one that was killed before it could say so
    assert unsaid <= taken
    assert len(unsaid) <= sum(worker.role == "consume" for worker in past)
    last = dict(map(batch_of, published))
    for task_id in {*done, *left} - set(published):  # stored by one that was killed before it could say so
        name, number = batch_of(task_id)
        assert number == last.get(name, -1) + 1
