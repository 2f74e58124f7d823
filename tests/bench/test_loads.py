"""The loads do what they say, and count what becomes of every task; how fast is no matter here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from distqueue.bench import processes
from distqueue.bench.contender import Contender
from distqueue.bench.crew import BenchFailed, Crew
from distqueue.bench.loads import InTurn, payload
from distqueue.bench.processes import Done, Together, counted, drain
from distqueue.bench.raw import limits
from distqueue.bench.stores import subject_of
from distqueue.bench.waking import Waking
from distqueue.urls import parse_url

SECONDS = 0.05


@pytest.mark.parametrize("size", [32, 200, 4096])
def test_a_payload_has_the_size_that_was_asked_for(size: int) -> None:
    assert len(orjson.dumps(payload(size))) == size


@pytest.mark.parametrize("url", ["memory://", "json:///{}/Queue.json", "sqlite:///{}/jobs.db"])
@pytest.mark.parametrize("batch", [1, 7])
def test_one_process_puts_and_then_gets(url: str, batch: int, tmp_path: Path) -> None:
    put, got = InTurn(100, batch).run(subject_of(parse_url(url.format(tmp_path))), SECONDS)
    assert (put.measure, got.measure) == ("put", "get and ack")
    assert put.tasks == batch * len(put.calls) > 0
    assert 0 < got.tasks <= put.tasks
    assert list(tmp_path.iterdir()) == []


def test_processes_share_a_store_and_nothing_is_lost(tmp_path: Path) -> None:
    load = Together(100, 2, publishers=2, consumers=1)
    put, got = load.run(subject_of(parse_url(f"json:///{tmp_path}/Queue.json")), 0.3)
    assert put.counts is not None
    assert put.counts.acknowledged == put.tasks == 2 * len(put.calls) > 0
    assert put.counts.handled == got.tasks
    assert put.counts[2:5] == (0, 0, 0)
    assert put.counts.errors == 0
    assert list(tmp_path.iterdir()) == []


def test_a_waiting_consumer_is_woken(tmp_path: Path) -> None:
    (sample,) = Waking(100).run(subject_of(parse_url(f"sqlite:///{tmp_path}/jobs.db")), SECONDS)
    assert all(seconds > 0 for seconds in sample.calls)
    assert list(tmp_path.iterdir()) == []


def test_processes_cannot_share_what_is_in_memory() -> None:
    memory = subject_of(parse_url("memory://"))
    assert Together(100, 1, 1, 1).refusal(memory) == "processes cannot share it"
    assert Waking(100).refusal(memory) == "processes cannot share it"
    assert InTurn(100, 1).refusal(memory) is None


def test_the_limits_of_the_machine_leave_nothing(tmp_path: Path) -> None:
    found = [limit.run(str(tmp_path), SECONDS) for limit in limits([100], [1, 10])]
    assert [sample.measure for sample in found] == [
        "write and sync",
        "write and sync",
        "SQLite, a row a transaction",
        "pipe, there and back",
    ]
    assert all(sample.tasks for sample in found)
    assert list(tmp_path.iterdir()) == []


class Broken(Contender):
    """A queue that loses every third task, hands every fifth out twice, and sits on every seventh."""

    def __init__(self) -> None:
        self._tasks: list[Any] = []
        self._kept = 0

    def put(self, batch: Sequence[Any]) -> None:
        for task in batch:
            times = 0 if task["n"] % 3 == 0 else 2 if task["n"] % 5 == 0 else 1
            if task["n"] % 7 == 0 and times:
                times, self._kept = 0, self._kept + 1
            self._tasks += [task] * times

    def claim(self, count: int, timeout: float = 0.0) -> list[Any]:
        taken, self._tasks = self._tasks[:count], self._tasks[count:]
        return taken

    def ack(self) -> None:
        pass

    def left(self) -> int:
        return len(self._tasks) + self._kept

    def close(self) -> None:
        pass


def test_lost_doubled_and_stuck_tasks_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "IDLE", SECONDS)
    queue = Broken()
    tasks = [{**payload(100), "n": n} for n in range(1, 36)]
    queue.put(tasks)
    acknowledged = Done([(0, task["n"]) for task in tasks], [], 0, "")
    found = counted([acknowledged], [], drain(queue, 4), queue.left())
    lost = [n for n in range(1, 36) if n % 3 == 0]
    stuck = [n for n in range(1, 36) if n % 3 and n % 7 == 0]
    doubled = [n for n in range(1, 36) if n % 3 and n % 5 == 0 and n % 7]
    assert (found.lost, found.stuck, found.doubled) == (len(lost), len(stuck), len(doubled))


def test_a_process_that_fails_is_reported() -> None:
    with Crew() as crew:
        other = crew.add(time.sleep)  # which is given a pipe, and cannot sleep that long
        with pytest.raises(BenchFailed, match=r"process \d+ of the load failed: TypeError"):
            crew.hear(other)
