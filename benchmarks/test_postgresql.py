"""What is in PostgreSQL: ours and others on the same server, every commit synced, round by round."""

from __future__ import annotations

import multiprocessing as mp
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import batched
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final, NamedTuple

import psycopg
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import run_rounds, timed
from benchmarks.postgresql.databases import Databases, Entry, databases
from benchmarks.postgresql.ours import OURS
from benchmarks.postgresql.pgqueuer import PGQUEUER
from benchmarks.postgresql.procrastinate import PROCRASTINATE
from benchmarks.postgresql.skip_locked import SKIP_LOCKED
from benchmarks.postgresql.workers import ours, pgqueuer, procrastinate
from benchmarks.test_waking import measure_waking
from benchmarks.test_worker import DRAINED, compare, drained, idle_workers
from distqueue.bench.contender import Contender

type Report = Callable[[str, str, str], None]

ROUNDS: Final = 5
LATENCIES: Final = 200
LARGE: Final = 1_000_000
SLOWLY: Final = 1000
"""How many tasks a worker drains that claims and finishes them one by one."""
CLAIMED: Final = 100
WORKERS: Final = 8
FSYNC: Final = "fsync"
"""What is said beside each number: fsync, synchronous_commit and full_page_writes are on for everybody."""

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def server() -> Iterator[Databases]:
    """The server that everybody uses."""
    with databases() as found:
        yield found


def numbered(count: int) -> list[dict[str, Any]]:
    """Return as many payloads of 200 bytes."""
    return [{"n": number, "text": "x" * 181} for number in range(100_000, 100_000 + count)]


class Rates(NamedTuple):
    """Tasks a second, of one round."""

    put: float
    taken: float


def cycle(contender: Contender, batch: int, count: int) -> Rates:
    """Put tasks and take them, a batch a call: each is taken, once, and nothing is left."""
    tasks = numbered(count)
    taken: list[Any] = []

    def put() -> None:
        for some in batched(tasks, batch):
            contender.put(some)

    def take() -> None:
        for _ in range(count // batch):
            taken.extend(contender.take(batch))

    rates = Rates(count / timed(put), count / timed(take))
    assert sorted(task["n"] for task in taken) == [task["n"] for task in tasks]
    assert contender.left() == 0
    return rates


@pytest.mark.parametrize(
    ("batch", "counts"),
    [
        (1, {OURS: 500, PGQUEUER: 500, PROCRASTINATE: 200, SKIP_LOCKED: 500}),
        (100, {OURS: 10_000, PGQUEUER: 10_000, PROCRASTINATE: 300, SKIP_LOCKED: 500}),
        (1000, {OURS: 30_000, PGQUEUER: 20_000, PROCRASTINATE: 1000, SKIP_LOCKED: 1000}),
    ],
    ids=["1", "100", "1000"],
)
def test_put_and_take(
    batch: int, counts: dict[Entry, int], server: Databases, benchmark: BenchmarkFixture, report: Report
) -> None:
    found: dict[str, list[Rates]] = {entry.name: [] for entry in counts}
    with ExitStack() as stack:
        contenders = {
            entry: stack.enter_context(closing(entry.open(server.fresh(entry.install)))) for entry in counts
        }

        def each_round() -> None:
            for entry, contender in contenders.items():
                found[entry.name].append(cycle(contender, min(batch, counts[entry]), counts[entry]))

        run_rounds(benchmark, each_round, 1 + ROUNDS)
    for what, at in (("put", 0), ("claim and ack", 1)):
        rates = {name: [each[at] for each in rounds[1:]] for name, rounds in found.items()}
        against(f"postgresql: {what}, {batch} a call", rates, report)


def against(title: str, rates: dict[str, list[float]], report: Report) -> None:
    """Report the first against the others, round by round."""
    (_, mine), *others = rates.items()
    ratios = (
        f"{median(a / b for a, b in zip(mine, theirs)):.2f} × {name} ({median(theirs):,.0f})"
        for name, theirs in others
    )
    report(f"{title} ({FSYNC})", f"{median(mine):,.0f} tasks/s", f"{', '.join(ratios)}, all {FSYNC}")


def test_draining(folder: Path, server: Databases, benchmark: BenchmarkFixture, report: Report) -> None:
    slow = [procrastinate(server, 1), procrastinate(server, 10)]
    compare(
        f"postgresql ({FSYNC}): drained by a worker",
        lambda system: drained(system, folder, SLOWLY if system in slow else DRAINED),
        [ours(server, 8), ours(server, 100), ours(server, 100, "coroutines")],
        [pgqueuer(server, 100), *slow],
        benchmark,
        report,
    )


def test_from_enqueue_to_start(
    folder: Path, server: Databases, benchmark: BenchmarkFixture, report: Report
) -> None:
    systems = [ours(server, 8), pgqueuer(server, 100), procrastinate(server, 1)]
    with ExitStack() as stack:
        workers = idle_workers(systems, folder, stack)

        def each_round() -> None:
            for idle in workers:
                idle.give()

        run_rounds(benchmark, each_round, LATENCIES)
        for idle in workers:
            p99 = quantiles(idle.latencies, n=100)[98]
            report(
                f"postgresql ({FSYNC}): enqueue to start in an idle worker: {idle.name}",
                f"p50 {median(idle.latencies) * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms",
                f"of {len(idle.latencies)}",
            )


def test_put_to_a_waiting_consumer(server: Databases, benchmark: BenchmarkFixture, report: Report) -> None:
    measure_waking(f"postgresql ({FSYNC}): ", server.fresh(OURS.install), benchmark, report)


class Pressed:
    """A queue with few tasks, and one with a million and a transaction that stays open beside it."""

    def __init__(self, entry: Entry, server: Databases, stack: ExitStack) -> None:
        self.name = entry.name
        self.ratios: list[float] = []
        self.seconds: list[float] = []
        small, large = server.fresh(entry.install), server.fresh(entry.install)
        self._small = stack.enter_context(closing(entry.open(small)))
        self._large = stack.enter_context(closing(entry.open(large)))
        for some in batched(numbered(LARGE), 10_000):
            self._large.put(some)
        for url in (small, large):
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
        # It holds back what may be vacuumed in its database: the other one is without it.
        old = stack.enter_context(psycopg.connect(large))
        old.execute("SELECT pg_current_xact_id()")

    def step(self) -> None:
        """Claim and settle a hundred in each, and put as many."""
        fresh = numbered(CLAIMED)
        self._small.put(fresh)
        without = timed(lambda: self._claim(self._small))
        self._small.ack()
        beside = timed(lambda: self._claim(self._large))
        self._large.ack()
        self._large.put(fresh)
        self.ratios.append(beside / without)
        self.seconds.append(beside)

    def _claim(self, contender: Contender) -> None:
        assert len(contender.claim(CLAIMED)) == CLAIMED


def test_a_million_and_a_long_transaction(
    server: Databases, benchmark: BenchmarkFixture, report: Report
) -> None:
    with ExitStack() as stack:
        known = [Pressed(entry, server, stack) for entry in (OURS, PGQUEUER)]

        def each_round() -> None:
            for pressed in known:
                pressed.step()

        run_rounds(benchmark, each_round, 400)
    for pressed in known:
        first, last = pressed.ratios[:100], pressed.ratios[-100:]
        where = f"beside {LARGE:,} and a long transaction"
        report(
            f"postgresql ({FSYNC}): claim of {CLAIMED} {where}: {pressed.name}",
            f"{median(pressed.ratios):.2f} × the cost without",
            f"{median(first):.2f} in the first hundred calls, {median(last):.2f} in the last; "
            f"{median(pressed.seconds) * 1000:.2f} ms",
        )


def take_all(entry: Entry, url: str, pipe: Connection) -> None:
    """Open the queue, wait for the start, take one by one until nothing is left, and tell what it was."""
    with closing(entry.open(url)) as contender:
        pipe.send("ready")
        pipe.recv()
        numbers = []
        while some := contender.take(1):
            numbers.append(some[0]["n"])
        pipe.send((numbers, time.monotonic()))


def together(entry: Entry, url: str, workers: int, count: int) -> float:
    """Fill a queue, let processes take everything one by one, and return the rate."""
    tasks = numbered(count)
    with closing(entry.open(url)) as contender:
        for some in batched(tasks, 1000):
            contender.put(some)
        context = mp.get_context("spawn")
        pipes = [context.Pipe() for _ in range(workers)]
        processes = [context.Process(target=take_all, args=(entry, url, theirs)) for _, theirs in pipes]
        for process in processes:
            process.start()
        for pipe, _ in pipes:
            pipe.recv()
        began = time.monotonic()
        for pipe, _ in pipes:
            pipe.send("start")
        results: Sequence[tuple[list[int], float]] = [pipe.recv() for pipe, _ in pipes]
        for process in processes:
            process.join()
        assert sorted(n for numbers, _ in results for n in numbers) == [task["n"] for task in tasks]
        assert contender.left() == 0
    return count / (max(at for _, at in results) - began)


def test_eight_workers(server: Databases, benchmark: BenchmarkFixture, report: Report) -> None:
    counts = {OURS: 2000, PGQUEUER: 2000, PROCRASTINATE: 400, SKIP_LOCKED: 2000}
    urls = {entry: server.fresh(entry.install) for entry in counts}
    one: dict[str, list[float]] = {entry.name: [] for entry in counts}
    eight: dict[str, list[float]] = {entry.name: [] for entry in counts}

    def each_round() -> None:
        for entry, url in urls.items():
            one[entry.name].append(together(entry, url, 1, counts[entry] // 2))
            eight[entry.name].append(together(entry, url, WORKERS, counts[entry]))

    run_rounds(benchmark, each_round, ROUNDS)
    against(f"postgresql: claim and ack, 1 a call, {WORKERS} processes", eight, report)
    for name in eight:
        report(
            f"postgresql ({FSYNC}): {WORKERS} processes: {name}",
            f"{median(a / b for a, b in zip(eight[name], one[name])):.2f} × one",
            f"{median(eight[name]):,.0f} and {median(one[name]):,.0f} tasks/s",
        )
