"""How long a waiting consumer in another process takes to get a task, and what waiting costs."""

from __future__ import annotations

import multiprocessing as mp
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import run_rounds
from distqueue import Queue

IDLE = 10.0


def consume(url: str, pipe: Connection) -> None:
    """Wait for tasks, and tell when each arrived; then wait for nothing, and tell what that cost."""
    with Queue(url) as queue:
        queue.stats()  # open the store
        pipe.send("ready")
        while (delivery := queue.get(timeout=30)) is not None and delivery.data != "end":
            pipe.send(time.monotonic())
            delivery.ack()
        if delivery is not None:
            delivery.ack()
        before = time.process_time()
        queue.get(timeout=IDLE)
        pipe.send((time.process_time() - before) / IDLE)


def test_put_to_a_waiting_consumer(
    folder: Path, benchmark: BenchmarkFixture, report: Callable[[str, str, str], None]
) -> None:
    measure_waking("", f"json:///{folder}/Queue.json", benchmark, report)


def measure_waking(
    title: str, url: str, benchmark: BenchmarkFixture, report: Callable[[str, str, str], None]
) -> None:
    """Report how long a put takes to an idle consumer in another process, and what being idle costs."""
    context = mp.get_context("spawn")
    pipe, theirs = context.Pipe()
    latencies: list[float] = []
    with Queue(url) as queue:
        process = context.Process(target=consume, args=(url, theirs))
        process.start()
        pipe.recv()
        queue.stats()

        def each_round() -> None:
            time.sleep(0.03)  # let the consumer fall asleep
            began = time.monotonic()
            queue.put(os.getpid())
            latencies.append(pipe.recv() - began)

        run_rounds(benchmark, each_round, 200)
        queue.put("end")
        share = pipe.recv()
        process.join()
    report(
        f"{title}put to an idle consumer in another process",
        f"p50 {median(latencies) * 1000:.2f} ms, p99 {quantiles(latencies, n=100)[98] * 1000:.2f} ms",
        "with the sync of the put and of the claim",
    )
    report(f"{title}an idle consumer", f"{share:.2%} CPU", f"in {IDLE:.0f} s")
