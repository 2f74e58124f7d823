"""One store shared by processes: how much gets through, and whether it is fair."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import run_rounds, timed
from benchmarks.contenders import PAYLOAD
from benchmarks.sharing import compare, subjects_in
from distqueue import Queue


def test_four_publishers_and_two_consumers(
    folder: Path, benchmark: BenchmarkFixture, report: Callable[[str, str, str], None]
) -> None:
    known = subjects_in(folder)
    subjects = {name: known[name] for name in ("direct", "litequeue FULL")}
    compare("4 publishers, 2 consumers", subjects, benchmark, report)


def test_eight_threads_on_one_queue(
    folder: Path, benchmark: BenchmarkFixture, report: Callable[[str, str, str], None]
) -> None:
    alone: list[float] = []
    together: list[float] = []
    with Queue(f"json:///{folder}/Queue.json") as queue, ThreadPoolExecutor(8) as pool:

        def puts(count: int) -> None:
            for _ in range(count):
                queue.put(PAYLOAD)

        def each_round() -> None:
            alone.append(timed(lambda: puts(400)) / 400)
            together.append(timed(lambda: list(pool.map(puts, [200] * 8))) / 1600)
            queue.purge()

        run_rounds(benchmark, each_round, 10, warmup=1)
    ratio = median(one / eight for one, eight in zip(alone, together))
    report("put, 8 threads on one Queue", f"{1 / median(together):,.0f} tasks/s", f"{ratio:.2f} × one thread")
