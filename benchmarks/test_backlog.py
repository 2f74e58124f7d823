"""What a backlog costs, how large the file gets, and how long a compaction holds a call up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import run_rounds, timed
from benchmarks.contenders import PAYLOAD
from distqueue import Queue
from distqueue.broker import Broker
from distqueue.commands import Stats
from distqueue.opening import open_broker
from distqueue.results import Counted

SMALL, LARGE, PAUSED = 1_000, 1_000_000, 100_000
_OPEN = """
import sys, time
from distqueue import Queue
from distqueue.broker import Broker
from distqueue.commands import Stats
from distqueue.opening import open_broker
from distqueue.results import Counted
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
queue = Queue(sys.argv[1], create=False)
with Queue("memory://"+"warm") as other: other.stats()
before = rss()
began = time.perf_counter()
ready = queue.stats().ready
print(time.perf_counter() - began, (rss() - before) / ready)
"""


def filled(url: str, count: int) -> Queue:
    """Return a queue with so many tasks."""
    queue = Queue(url)
    for start in range(0, count, 10_000):
        queue.put_many([PAYLOAD] * min(10_000, count - start))
    return queue


def step_costs(queue: Queue, steps: int) -> tuple[float, float]:
    """Return the medians of one put and of one claim with its ack, in seconds."""
    puts, claims = [], []
    for _ in range(steps):
        puts.append(timed(lambda: queue.put(PAYLOAD)))
        began = perf_counter()
        (delivery,) = queue.get_many(1, timeout=0)
        claims.append(perf_counter() - began)
        delivery.ack()
    return median(puts), median(claims)


def test_cost_against_backlog(
    folder: Path, benchmark: BenchmarkFixture, report: Callable[[str, str, str], None]
) -> None:
    url = f"json:///{folder}/large.json"
    with filled(f"json:///{folder}/small.json", SMALL) as small, filled(url, LARGE) as large:
        rounds: list[tuple[tuple[float, float], tuple[float, float]]] = []
        run_rounds(benchmark, lambda: rounds.append((step_costs(small, 200), step_costs(large, 200))), 10)
    for name, at in (("put", 0), ("claim", 1)):
        ratio = median(big[at] / little[at] for little, big in rounds)
        report(
            f"{name} at a backlog of {LARGE:,}", f"{ratio:.2f} × its cost at {SMALL:,}", "in the same rounds"
        )
    opened = subprocess.run([sys.executable, "-c", _OPEN, url], capture_output=True, text=True, check=True)
    seconds, memory = map(float, opened.stdout.split())
    report(f"opening a backlog of {LARGE:,}", f"{seconds:.1f} s", f"{memory:.0f} bytes of memory a task")


def _kept_bytes(store: Broker) -> float:
    """Return how large what is live and remembered is (tests/json/test_size.py proves the figure)."""
    (counted,) = store.apply([Stats(queue="*")])
    assert isinstance(counted, Counted)
    return float(counted.store["live_bytes"])


def test_size_and_pauses(
    folder: Path, benchmark: BenchmarkFixture, report: Callable[[str, str, str], None]
) -> None:
    path = folder / "Queue.json"
    longest, largest = 0.0, 0.0
    url = f"json:///{path}"
    with filled(url, PAUSED) as queue, closing(open_broker(url)) as store:

        def each_round() -> None:
            nonlocal longest, largest
            for _ in range(50):
                longest = max(longest, timed(lambda: queue.put_many([PAYLOAD] * 1000)))
                longest = max(longest, timed(lambda: queue.ack_many(queue.get_many(1000))))
                size, kept = path.stat().st_size, _kept_bytes(store)
                largest = max(largest, (size - (1 << 20)) / kept)

        run_rounds(benchmark, each_round, 8)
    report(
        f"longest call at {PAUSED:,} live tasks, compactions included",
        f"{longest:.2f} s",
        "1,000 tasks a call",
    )
    report(
        "largest file, less 1 MiB",
        f"{largest:.2f} × (live + dedup)",
        f"{PAUSED:,} live, up to 100,000 remembered",
    )
