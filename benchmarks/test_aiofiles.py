"""Why aiofiles is not on the durable path: what one commit costs through it (decision 3)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from statistics import median

import aiofiles
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import run_rounds, timed

BLOCK = b"x" * 400
COMMITS = 300


async def through_aiofiles(path: Path) -> None:
    """Write and sync each commit as a coroutine has to: aiofiles itself has no sync."""
    async with aiofiles.open(path, "r+b", buffering=0) as file:
        for _ in range(COMMITS):
            await file.write(BLOCK)
            await asyncio.to_thread(os.fdatasync, file.fileno())


async def in_one_hop(path: Path) -> None:
    """Write and sync each commit in one call in another thread, as AsyncQueue does."""
    fd = os.open(path, os.O_RDWR)
    for number in range(COMMITS):
        await asyncio.to_thread(direct, fd, number * len(BLOCK))
    os.close(fd)


def direct(fd: int, at: int) -> None:
    """Write and sync one commit."""
    os.pwrite(fd, BLOCK, at)
    os.fdatasync(fd)


async def concurrent_writes(path: Path, count: int) -> None:
    """Write numbered lines at the same time."""
    async with aiofiles.open(path, "wb", buffering=0) as file:
        await asyncio.gather(*(file.write(b"%04d\n" % number) for number in range(count)))


def in_order(path: Path) -> bool:
    """Whether lines written at the same time are in the file in the order of the calls."""
    asyncio.run(concurrent_writes(path, 200))
    lines = path.read_bytes().split()
    return lines == sorted(lines)


def test_one_commit(
    folder: Path, benchmark: BenchmarkFixture, report: Callable[[str, str, str], None]
) -> None:
    path = folder / "log"
    path.write_bytes(b" " * len(BLOCK) * COMMITS)
    through: list[float] = []
    one_hop: list[float] = []

    def each_round() -> None:
        through.append(timed(lambda: asyncio.run(through_aiofiles(path))) / COMMITS)
        one_hop.append(timed(lambda: asyncio.run(in_one_hop(path))) / COMMITS)

    run_rounds(benchmark, each_round, 10, warmup=1)
    ratio = median(a / b for a, b in zip(through, one_hop))
    report(
        "a commit through aiofiles", f"{median(through) * 1e6:.0f} µs", f"{ratio:.2f} × one hop to a thread"
    )
    disordered = sum(not in_order(folder / f"lines{number}") for number in range(20))
    report("files in which concurrent writes by aiofiles are out of order", f"{disordered} of 20", "")
