"""Workers: draining, from enqueue to start, end to end, memory, and what delayed tasks cost."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Final

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import run_rounds
from benchmarks.test_broker import cpu_seconds
from benchmarks.workers.ours import Ours
from benchmarks.workers.records import Ran
from benchmarks.workers.system import Store, System, Worker, working
from benchmarks.workers.systems import (
    broker_process,
    huey,
    json,
    sqlite,
    taskiq_lists,
    taskiq_streams,
)

type Report = Callable[[str, str, str], None]

ROUNDS: Final = 3
DRAINED: Final = 10_000
ENQUEUED: Final = 3_000
LATENCIES: Final = 200
RARELY: Final = 10
"""huey, which asks its store less and less often, is given a task in every tenth round only."""
BESIDE: Final = 1_000
IDLE: Final = 5.0
SKIPPED: Final = 20
"""A twentieth of the tasks is not counted in a rate, as the worker is still starting."""


pytestmark = pytest.mark.timeout(3600)


def rate(ran: list[Ran]) -> float:
    """Return how many handlers ended in a second, from the first twentieth on."""
    first = len(ran) // SKIPPED
    return (len(ran) - 1 - first) / (ran[-1].at - ran[first].at)


def check_all(ran: Iterable[Ran], numbers: Iterable[int], store: Store) -> None:
    """Every task was run, once, and nothing is left."""
    assert sorted(one.number for one in ran) == sorted(numbers)
    assert store.left() == 0


def drained(system: System, folder: Path, count: int = DRAINED) -> float:
    """Fill a store, let a worker drain it, and return the rate."""
    numbers = range(count)
    with TemporaryDirectory(dir=folder) as directory, system.fresh(directory) as store:
        store.fill(numbers)
        with working(store, directory) as worker:
            ran = worker.wait_for(count)
        check_all(ran, numbers, store)
    return rate(ran)


def fed(system: System, folder: Path) -> float:
    """Enqueue one after the other while a worker runs; return the rate from the first to the last end."""
    numbers = range(1, ENQUEUED + 1)
    with TemporaryDirectory(dir=folder) as directory, system.fresh(directory) as store:
        with working(store, directory) as worker:
            store.enqueue([0])
            worker.wait_for(1)
            began = time.monotonic()
            store.enqueue(numbers)
            ran = worker.wait_for(1 + ENQUEUED)
        check_all(ran, [0, *numbers], store)
    return ENQUEUED / (ran[-1].at - began)


def compare(
    title: str,
    measure: Callable[[System], float],
    ours: list[System],
    others: list[System],
    benchmark: BenchmarkFixture,
    report: Report,
) -> None:
    """Measure each in every round, and report ours against the others round by round."""
    rates: dict[str, list[float]] = {system.name: [] for system in (*ours, *others)}

    def each_round() -> None:
        for system in (*ours, *others):
            rates[system.name].append(measure(system))

    run_rounds(benchmark, each_round, ROUNDS)
    for system in ours:
        mine = rates[system.name]
        ratios = (
            f"{median(a / b for a, b in zip(mine, rates[other.name])):.2f} × {other.name} "
            f"({median(rates[other.name]):,.0f})"
            for other in others
        )
        report(f"{title}: {system.name}", f"{median(mine):,.0f} tasks/s", ", ".join(ratios))


def test_draining(folder: Path, benchmark: BenchmarkFixture, report: Report) -> None:
    ours = [make(concurrency) for make in (sqlite, broker_process) for concurrency in (8, 32, 100)]
    others = [make(fsync) for make in (taskiq_lists, taskiq_streams) for fsync in ("everysec", "always")]
    compare(
        "drained by a worker",
        lambda system: drained(system, folder),
        ours,
        [*others, huey()],
        benchmark,
        report,
    )


def test_end_to_end(folder: Path, benchmark: BenchmarkFixture, report: Report) -> None:
    compare(
        "enqueued one by one while a worker runs",
        lambda system: fed(system, folder),
        [sqlite(), json(), broker_process()],
        [huey(), taskiq_lists("everysec"), taskiq_streams("always")],
        benchmark,
        report,
    )


class Idle:
    """A worker that has nothing to do."""

    def __init__(self, name: str, store: Store, worker: Worker) -> None:
        self.name = name
        self.store = store
        self.worker = worker
        self.latencies: list[float] = []
        self._numbers = itertools.count()
        self._give()
        self.latencies.clear()  # it was starting

    def give(self) -> None:
        """Enqueue a task, and note how long it takes to be begun."""
        time.sleep(0.03)  # let it fall asleep
        self._give()

    def drain(self, count: int) -> float:
        """Put so many tasks, and return the rate from before that to the end of the last."""
        numbers = list(itertools.islice(self._numbers, count))
        began = time.monotonic()
        self.store.fill(numbers)
        ran = self.worker.wait_for(numbers[-1] + 1)
        return count / (ran[-1].at - began)

    def _give(self) -> None:
        number = next(self._numbers)
        began = time.monotonic()
        self.store.enqueue([number])
        self.latencies.append(self.worker.wait_for(number + 1)[-1].at - began)


def idle_workers(systems: Iterable[System], folder: Path, stack: ExitStack) -> list[Idle]:
    """Start a worker on a new store of each; the stack ends them."""
    found = []
    for system in systems:
        directory = stack.enter_context(TemporaryDirectory(dir=folder))
        store = stack.enter_context(system.fresh(directory))
        worker = stack.enter_context(working(store, directory))
        found.append(Idle(system.name, store, worker))
    return found


def test_from_enqueue_to_start(folder: Path, benchmark: BenchmarkFixture, report: Report) -> None:
    systems = [sqlite(), json(), broker_process(), taskiq_lists("everysec"), taskiq_streams("always"), huey()]
    rounds = itertools.count()
    with ExitStack() as stack:
        *often, rarely = idle_workers(systems, folder, stack)

        def each_round() -> None:
            for idle in often:
                idle.give()
            if next(rounds) % RARELY == 0:
                rarely.give()

        run_rounds(benchmark, each_round, LATENCIES)
        for idle in (*often, rarely):
            p99 = quantiles(idle.latencies, n=100)[98]
            report(
                f"enqueue to start in an idle worker: {idle.name}",
                f"p50 {median(idle.latencies) * 1000:.2f} ms, p99 {p99 * 1000:.2f} ms",
                f"of {len(idle.latencies)}",
            )


def memory(pids: Iterable[int], kind: str) -> float:
    """Return the memory of processes, in MB."""
    kibibytes = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            kibibytes += next(int(line.split()[1]) for line in file if line.startswith(f"{kind}:"))
    return kibibytes * 1024 / 1e6


def test_memory_at_rest(folder: Path, benchmark: BenchmarkFixture, report: Report) -> None:
    systems = [sqlite(), json(), broker_process(), taskiq_lists("everysec"), huey()]
    with ExitStack() as stack:
        workers = idle_workers(systems, folder, stack)
        for idle in workers:
            idle.drain(BESIDE)
        run_rounds(benchmark, lambda: time.sleep(1), 1)
        for idle in workers:
            pids = idle.worker.pids()
            report(
                f"memory at rest: {idle.name}",
                f"{memory(pids, 'Pss'):.0f} MB",
                f"{len(pids)} processes, resident {memory(pids, 'Rss'):.0f} MB",
            )


@pytest.mark.parametrize(
    ("system", "delayed"), [(sqlite(), 1_000_000), (json(), 100_000)], ids=["sqlite", "json"]
)
def test_beside_delayed_tasks(
    system: System, delayed: int, folder: Path, benchmark: BenchmarkFixture, report: Report
) -> None:
    """What is due one day costs a worker nothing until then."""
    costs: dict[str, list[float]] = {"empty": [], "crowded": []}
    rates: dict[str, list[float]] = {"empty": [], "crowded": []}
    with ExitStack() as stack:
        empty, crowded = idle_workers([system, system], folder, stack)
        assert isinstance(crowded.store, Ours)
        for _ in range(delayed // 10_000):
            crowded.store.queue.put_many([{"task": "note", "args": {"number": 0}}] * 10_000, delay=86_400)
        workers = {"empty": empty, "crowded": crowded}

        def each_round() -> None:
            for name, idle in workers.items():
                rates[name].append(idle.drain(BESIDE))
            before = {name: _cpu(idle) for name, idle in workers.items()}
            time.sleep(IDLE)
            for name, idle in workers.items():
                costs[name].append((_cpu(idle) - before[name]) / IDLE)

        run_rounds(benchmark, each_round, ROUNDS)
        assert crowded.store.queue.stats().scheduled == delayed
    ratio = median(a / b for a, b in zip(rates["crowded"], rates["empty"]))
    report(
        f"{system.name}: {BESIDE:,} tasks drained beside {delayed:,} delayed ones",
        f"{median(rates['crowded']):,.0f} tasks/s",
        f"{ratio:.2f} × the rate in an empty store",
    )
    report(
        f"{system.name}: an idle worker beside {delayed:,} delayed tasks",
        f"{median(costs['crowded']):.2%} CPU",
        f"{median(costs['empty']):.2%} in an empty store, both in {IDLE:.0f} s",
    )


def _cpu(idle: Idle) -> float:
    return sum(cpu_seconds(pid) for pid in idle.worker.pids())
