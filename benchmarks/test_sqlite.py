"""The SQLite backend, against a bare loop on the same SQLite and against litequeue with FULL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from statistics import median

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import ROUNDS, WARMUP, Compared, run_rounds
from benchmarks.contenders import PAYLOAD
from benchmarks.peers.litequeue import Litequeue
from benchmarks.sharing import compare, subjects_in
from benchmarks.test_backlog import LARGE, SMALL, filled, step_costs
from benchmarks.test_waking import measure_waking
from distqueue import Queue
from distqueue.bench.contender import Contender, Distqueue
from distqueue.payload import encode

DEAD = DELAYED = 100_000
SQLITE_FULL = "litequeue FULL"


@pytest.fixture
def ours(folder: Path, opened: ExitStack) -> Distqueue:
    """The queue that is measured."""
    return opened.enter_context(closing(Distqueue(f"sqlite:///{folder}/jobs.db")))


@pytest.fixture
def litequeue(folder: Path, opened: ExitStack) -> Litequeue:
    """What it is held against."""
    return opened.enter_context(closing(Litequeue(f"{folder}/")))


def put(contender: Contender, batch: int, tasks: int) -> None:
    """Put so many tasks, a batch a call."""
    for _ in range(tasks // batch):
        contender.put([PAYLOAD] * batch)


def take(contender: Contender, batch: int, tasks: int) -> None:
    """Claim and acknowledge so many tasks, a batch a call."""
    for _ in range(tasks // batch):
        assert len(contender.take(batch)) == batch


def test_put_one_at_a_time(
    folder: Path, ours: Distqueue, litequeue: Litequeue, compared: Compared, opened: ExitStack
) -> None:
    bare = opened.enter_context(closing(sqlite3.connect(folder / "bare.db", isolation_level=None)))
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute("PRAGMA synchronous = FULL")
    bare.execute("CREATE TABLE tasks (id INTEGER PRIMARY KEY, data BLOB)")
    data = encode(PAYLOAD)

    def rows() -> None:
        for _ in range(400):
            bare.execute("BEGIN IMMEDIATE")
            bare.execute("INSERT INTO tasks (data) VALUES (?)", (data,))
            bare.execute("COMMIT")

    compared.run(
        "sqlite: put, 1 a commit",
        400,
        partial(put, ours, 1, 400),
        {"bare rows": (400, rows), SQLITE_FULL: (100, partial(put, litequeue, 1, 100))},
        before=ours.queue.purge,
    )


@pytest.mark.parametrize(("batch", "tasks"), [(100, 5000), (1000, 20_000)], ids=lambda n: str(n))
def test_put_many(batch: int, tasks: int, ours: Distqueue, litequeue: Litequeue, compared: Compared) -> None:
    few = max(1000, batch)
    compared.run(
        f"sqlite: put, {batch} a commit",
        tasks,
        partial(put, ours, batch, tasks),
        {SQLITE_FULL: (few, partial(put, litequeue, batch, few))},
        before=ours.queue.purge,
    )


@pytest.mark.parametrize(("batch", "tasks"), [(1, 200), (100, 5000)], ids=lambda n: str(n))
def test_get_and_ack(
    batch: int, tasks: int, ours: Distqueue, litequeue: Litequeue, compared: Compared
) -> None:
    litequeue.put([PAYLOAD] * 200 * (ROUNDS + WARMUP))
    compared.run(
        f"sqlite: claim and ack, {batch} a commit",
        tasks,
        partial(take, ours, batch, tasks),
        {SQLITE_FULL: (200, partial(take, litequeue, 1, 200))},
        before=lambda: ours.put([PAYLOAD] * tasks),
    )


def test_four_publishers_and_two_consumers(
    folder: Path, benchmark: BenchmarkFixture, report: Callable[[str, str, str], None]
) -> None:
    known = subjects_in(folder)
    subjects = {name: known[name] for name in ("sqlite", SQLITE_FULL)}
    compare("sqlite: 4 publishers, 2 consumers", subjects, benchmark, report)


def test_cost_against_backlog(
    folder: Path, benchmark: BenchmarkFixture, report: Callable[[str, str, str], None]
) -> None:
    with (
        filled(f"sqlite:///{folder}/small.db", SMALL) as small,
        filled(f"sqlite:///{folder}/large.db", LARGE - DEAD - DELAYED) as large,
    ):
        fill_with_dead_and_delayed(large)
        rounds: list[tuple[tuple[float, float], tuple[float, float]]] = []
        run_rounds(benchmark, lambda: rounds.append((step_costs(small, 200), step_costs(large, 200))), 10)
        stats = large.stats()
        assert stats.ready + stats.scheduled + stats.dead == LARGE
        assert (stats.scheduled, stats.dead) == (DELAYED, DEAD)
    for name, at in (("put", 0), ("claim", 1)):
        ratio = median(big[at] / little[at] for little, big in rounds)
        report(
            f"sqlite: {name} at {LARGE:,} tasks, {DELAYED:,} of them delayed, {DEAD:,} dead",
            f"{ratio:.2f} × its cost at {SMALL:,}",
            "in the same rounds",
        )


def fill_with_dead_and_delayed(queue: Queue) -> None:
    """Add the tasks that a claim has to get past."""
    for _ in range(DELAYED // 10_000):
        queue.put_many([PAYLOAD] * 10_000, delay=86_400)
    for _ in range(DEAD // 1000):
        queue.put_many([PAYLOAD] * 1000, max_attempts=1, priority=31)
        for delivery in queue.get_many(1000, timeout=0):
            delivery.reject("it can never succeed")


def test_put_to_a_waiting_consumer(
    folder: Path, benchmark: BenchmarkFixture, report: Callable[[str, str, str], None]
) -> None:
    measure_waking("sqlite: ", f"sqlite:///{folder}/jobs.db", benchmark, report)
