"""Fixtures, and the table at the end: each line is one measure, its ratios taken in the same rounds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 15
WARMUP = 2
_LINES = pytest.StashKey[list[tuple[str, str, str]]]()


class Compared:
    """Runs a load of ours and, in every round just before it, the same load on what it is held against.

    The machine's speed drifts; so each ratio is the median of the ratios of single rounds.
    """

    def __init__(self, benchmark: BenchmarkFixture, report: Callable[[str, str, str], None]) -> None:
        self._benchmark = benchmark
        self._report = report

    def run(
        self,
        name: str,
        tasks: int,
        ours: Callable[[], object],
        others: dict[str, tuple[int, Callable[[], object]]],
        before: Callable[[], object] = lambda: None,
    ) -> None:
        """Measure ``ours`` (that many tasks a round) against ``others`` (theirs, and their load)."""
        seconds: dict[str, list[float]] = {other: [] for other in others}
        own: list[float] = []

        def each_round() -> None:
            for other, (count, load) in others.items():
                seconds[other].append(timed(load) / count)
            before()

        def load() -> None:
            own.append(timed(ours) / tasks)

        run_rounds(self._benchmark, load, ROUNDS, WARMUP, setup=each_round)
        rate = 1 / median(own[WARMUP:])
        ratios = {
            other: median(theirs / mine for theirs, mine in zip(taken[WARMUP:], own[WARMUP:]))
            for other, taken in seconds.items()
        }
        self._benchmark.extra_info.update({"tasks/s": rate, **ratios})
        self._report(name, f"{rate:,.0f} tasks/s", ", ".join(f"{r:.2f} × {o}" for o, r in ratios.items()))


def run_rounds(
    benchmark: BenchmarkFixture,
    load: Callable[[], object],
    rounds: int,
    warmup: int = 0,
    setup: Callable[[], object] = lambda: None,
) -> None:
    """Let pytest-benchmark, which is not typed, time so many rounds of a load, each after ``setup``."""
    pedantic: Callable[..., object] = benchmark.pedantic
    pedantic(load, setup=setup, rounds=rounds, warmup_rounds=warmup)


def timed(load: Callable[[], object]) -> float:
    """Return how many seconds a call takes."""
    began = perf_counter()
    load()
    return perf_counter() - began


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str, str, str], None]:
    """Add a line to the table: the measure, the figure, and what it is held against."""
    lines = request.config.stash.setdefault(_LINES, [])
    return lambda name, figure, against: lines.append((name, figure, against))


@pytest.fixture
def compared(benchmark: BenchmarkFixture, report: Callable[[str, str, str], None]) -> Compared:
    """Measure against others."""
    return Compared(benchmark, report)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk: ``DISTQUEUE_BENCH_DIR``, else where temporary files are."""
    chosen = os.environ.get("DISTQUEUE_BENCH_DIR")
    place = Path(chosen) / tmp_path.name if chosen else tmp_path
    place.mkdir(parents=True, exist_ok=True)
    yield place
    for entry in place.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """What is entered into it with ``closing`` is closed at the end."""
    with ExitStack() as stack:
        yield stack


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table in Markdown, as docs/benchmarks.md has it."""
    if lines := config.stash.get(_LINES, []):
        terminalreporter.section("measures")
        for line in (("measure", "figure", "against, in the same rounds"), ("---",) * 3, *lines):
            terminalreporter.write_line("| " + " | ".join(line) + " |")
