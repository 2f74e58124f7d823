"""What a measuring found, as it is printed with ``--json``; the shape is described in the manual.

Times are in seconds, sizes in bytes. ``ratio`` is taken to the first store, round by round.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median, quantiles
from typing import Final

import msgspec

from distqueue.bench.samples import Counts, Sample

FORMAT: Final = 1
"""Goes up when a field changes its meaning or goes away."""


class Spread(msgspec.Struct):
    """A figure in each of the rounds."""

    median: float
    lowest: float
    highest: float


class Outcome(msgspec.Struct):
    """What became of the tasks when processes shared a store, in all rounds together."""

    acknowledged: int
    handled: int
    lost: int
    doubled: int
    stuck: int
    slowest_of_fastest: float
    errors: int
    error: str


class Measure(msgspec.Struct, kw_only=True):
    """One measure of one store."""

    store: str
    durability: str
    measure: str
    size: int
    batch: int
    publishers: int
    consumers: int
    tasks_per_second: Spread | None
    """``None`` where how long it takes is what counts: the wake-up."""
    bytes_per_second: float | None
    calls: int
    p50: float
    p99: float
    ratio: Spread | None
    """``None`` if the first store got nothing done in any round."""
    outcome: Outcome | None


class LimitFound(msgspec.Struct, kw_only=True):
    """What the machine can do at most, where the first store is."""

    limit: str
    size: int
    per_second: Spread
    calls: int
    p50: float
    p99: float


class Skipped(msgspec.Struct):
    """A load that a store cannot be given."""

    store: str
    size: int
    batch: int
    publishers: int
    consumers: int
    reason: str


class Versions(msgspec.Struct):
    """Of what the figures depend on."""

    distqueue: str
    python: str
    sqlite: str


class Machine(msgspec.Struct):
    """Where it was measured; ``file_system`` is that of the first store, empty if it has no file."""

    cores: int
    system: str
    file_system: str


class BenchReport(msgspec.Struct, kw_only=True):
    """All that was found."""

    format: int = FORMAT
    date: str
    seconds: float
    rounds: int
    versions: Versions
    machine: Machine
    measures: list[Measure]
    limits: list[LimitFound]
    skipped: list[Skipped]


def now() -> str:
    """Return the time for a report."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> Versions:
    """Return what runs here."""
    return Versions(version("distqueue"), platform.python_version(), sqlite3.sqlite_version)


def machine(file_system: str) -> Machine:
    """Return what this is."""
    return Machine(os.cpu_count() or 1, f"{platform.system()} {platform.release()}", file_system)


def spread(figures: Sequence[float]) -> Spread:
    """Return the median with the extremes."""
    return Spread(median(figures), min(figures), max(figures))


def percentiles(samples: Sequence[Sample]) -> tuple[int, float, float]:
    """Return how many calls there were, and the 50th and 99th percentile of how long they took."""
    calls = [call for sample in samples for call in sample.calls] or [0.0]
    cuts = quantiles(calls, n=100) if len(calls) > 1 else calls * 99
    return len(calls), cuts[49], cuts[98]


def ratio(mine: Sequence[Sample], first: Sequence[Sample]) -> Spread | None:
    """Hold a store against the first one, in each round in which that got something done; more is better."""
    ratios = [own.rate / other.rate for own, other in zip(mine, first) if other.rate]
    return spread(ratios) if ratios else None


def outcome(samples: Sequence[Sample]) -> Outcome | None:
    """Add up what became of the tasks in all rounds."""
    found: list[Counts] = [sample.counts for sample in samples if sample.counts is not None]
    if not found:
        return None
    return Outcome(
        acknowledged=sum(each.acknowledged for each in found),
        handled=sum(each.handled for each in found),
        lost=sum(each.lost for each in found),
        doubled=sum(each.doubled for each in found),
        stuck=sum(each.stuck for each in found),
        slowest_of_fastest=min(each.slowest_of_fastest for each in found),
        errors=sum(each.errors for each in found),
        error=next((each.error for each in found if each.error), ""),
    )
