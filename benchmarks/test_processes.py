"""One store shared by processes: how much gets through, and whether it is fair."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import run_rounds, timed
from benchmarks.contenders import PAYLOAD
from benchmarks.processes import Load, run
from distqueue import Queue

ROUNDS = 3
SECONDS = 4.0


def test_four_publishers_and_two_consumers(
    folder: Path, benchmark: BenchmarkFixture, report: Callable[[str, str, str], None]
) -> None:
    loads: dict[str, list[Load]] = {"distqueue": [], "litequeue": []}

    def each_round() -> None:
        for kind, found in loads.items():
            place = folder / f"{kind}{len(found)}"
            place.mkdir()
            found.append(run(kind, place, SECONDS))

    run_rounds(benchmark, each_round, ROUNDS)
    ours, theirs = loads["distqueue"], loads["litequeue"]
    for name in ("published", "handled"):
        rates = [[getattr(load, name) for load in found] for found in (ours, theirs)]
        report(
            f"4 publishers, 2 consumers: {name}",
            f"{median(rates[0]):,.0f} tasks/s",
            f"{median(a / b for a, b in zip(*rates)):.2f} × litequeue FULL ({median(rates[1]):,.0f})",
        )
    report(
        "… lost, doubled, slowest publisher",
        f"{sum(x.lost for x in ours)}, {sum(x.doubled for x in ours)}, "
        f"{min(x.slowest_of_fastest for x in ours):.2f} of the fastest",
        f"litequeue {sum(x.lost for x in theirs)}, {sum(x.doubled for x in theirs)}, "
        f"{min(x.slowest_of_fastest for x in theirs):.2f}",
    )
    assert not any(load.lost or load.doubled for load in ours)


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
