"""Through the broker process: processes that share a store, publishes in flight, waking, idle clients."""

from __future__ import annotations

import asyncio
import multiprocessing as mp
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median, quantiles

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import run_rounds, timed
from benchmarks.contenders import PAYLOAD
from benchmarks.peers.ours import served
from benchmarks.sharing import ROUNDS, SECONDS, compare, share, subjects_in
from benchmarks.test_waking import IDLE, consume
from distqueue import AsyncQueue, Queue
from distqueue.supervisor import Supervisor

type Report = Callable[[str, str, str], None]

PUBLISHERS, IN_FLIGHT = 4, 100
CLIENTS = 500


def test_four_publishers_and_two_consumers(folder: Path, benchmark: BenchmarkFixture, report: Report) -> None:
    compare("broker, 4 publishers, 2 consumers", subjects_in(folder), benchmark, report)


def keep_in_flight(url: str, go: Event, halt: Event, pipe: Connection) -> None:
    """Publish with so many publishes under way at any time; tell how many were acknowledged."""

    async def publish(queue: AsyncQueue) -> int:
        count = 0
        while not halt.is_set():
            await queue.put(PAYLOAD)
            count += 1
        return count

    async def work() -> None:
        async with AsyncQueue(url) as queue:
            await queue.put(PAYLOAD)
            pipe.send("ready")
            await asyncio.to_thread(go.wait)
            pipe.send(sum(await asyncio.gather(*[publish(queue) for _ in range(IN_FLIGHT)])))

    asyncio.run(work())


def in_flight(url: str) -> float:
    """Return how many tasks a second the publishers got acknowledged."""
    context = mp.get_context("spawn")
    go, halt = context.Event(), context.Event()
    pipes = []
    for _ in range(PUBLISHERS):
        ours, theirs = context.Pipe()
        context.Process(target=keep_in_flight, args=(url, go, halt, theirs)).start()
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    go.set()
    time.sleep(SECONDS)
    halt.set()
    return float(sum(pipe.recv() for pipe in pipes)) / SECONDS


def test_a_hundred_in_flight(folder: Path, benchmark: BenchmarkFixture, report: Report) -> None:
    rates: list[float] = []
    theirs: list[float] = []
    litequeue = subjects_in(folder)["litequeue FULL"]

    def each_round() -> None:
        url = f"json:///{folder}/Queue{len(rates)}.json"
        with served(url):
            rates.append(in_flight(url))
        theirs.append(share(litequeue).published.rate)

    run_rounds(benchmark, each_round, ROUNDS)
    ratio = median(rate / other for rate, other in zip(rates, theirs))
    report(
        f"broker, 4 publishers, {IN_FLIGHT} in flight each",
        f"{median(rates):,.0f} tasks/s",
        f"{ratio:.1f} × litequeue FULL, one at a time",
    )


def cpu_seconds(pid: int | None) -> float:
    """Return how much CPU time a process has had."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int | None) -> int:
    """Return how much memory a process has, in bytes."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_waking_and_idle_clients(folder: Path, benchmark: BenchmarkFixture, report: Report) -> None:
    url = f"json:///{folder}/Queue.json"
    alone: list[float] = []
    crowded: list[float] = []
    syncs: list[float] = []
    with served(url) as supervisor, Queue(url) as queue:
        context = mp.get_context("spawn")
        pipe, theirs = context.Pipe()
        process = context.Process(target=consume, args=(url, theirs))
        process.start()
        pipe.recv()
        queue.stats()
        fd = os.open(folder / "beside", os.O_RDWR | os.O_CREAT, 0o600)

        def put_one(latencies: list[float]) -> None:
            time.sleep(0.03)  # let the consumer fall asleep
            began = time.monotonic()
            queue.put("x")
            latencies.append(pipe.recv() - began)
            os.pwrite(fd, b"x" * 4096, 0)
            syncs.append(timed(lambda: os.fdatasync(fd)))

        run_rounds(benchmark, lambda: put_one(alone), 100)
        before = resident(supervisor.pid)
        clients = [_idle_client(supervisor) for _ in range(CLIENTS)]
        for _ in range(100):
            put_one(crowded)
        grown = resident(supervisor.pid) - before
        for client in clients:
            client.close()
        os.close(fd)
        queue.put("end")
        cpu = cpu_seconds(supervisor.pid)
        share = pipe.recv() + (cpu_seconds(supervisor.pid) - cpu) / IDLE
        process.join()
    report(
        "broker, put to an idle consumer in another process",
        f"p50 {median(alone) * 1000:.2f} ms, p99 {quantiles(alone, n=100)[98] * 1000:.2f} ms",
        f"3 syncs + 1 ms: {3 * median(syncs) * 1000 + 1:.2f} ms",
    )
    report("broker and idle consumer together", f"{share:.2%} CPU", f"in {IDLE:.0f} s")
    report(
        f"broker, {CLIENTS} idle clients",
        f"{grown / 2**20:.0f} MiB more",
        f"the same put: p50 {median(crowded) * 1000:.2f} ms",
    )


def _idle_client(supervisor: Supervisor) -> Queue:
    queue = Queue(f"broker:///{supervisor.address}")
    queue.stats()
    return queue


def test_one_client_puts_many(folder: Path, benchmark: BenchmarkFixture, report: Report) -> None:
    through: list[float] = []
    direct: list[float] = []
    url = f"json:///{folder}/served.json"
    with served(url), Queue(url) as served_queue, Queue(f"json:///{folder}/direct.json") as direct_queue:

        def each_round() -> None:
            through.append(timed(lambda: served_queue.put_many([PAYLOAD] * 1000)))
            direct.append(timed(lambda: direct_queue.put_many([PAYLOAD] * 1000)))

        run_rounds(benchmark, each_round, 30, warmup=2)
    ratio = median(b / a for a, b in zip(through, direct))
    report("broker, put 1000 a commit", f"{1000 / median(through):,.0f} tasks/s", f"{ratio:.2f} × direct")
