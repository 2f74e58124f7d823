"""A report for people: what belongs together, with a value for each store, for bars and for plots."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from distqueue.bench.report import BenchReport, LimitFound, Measure, Outcome


class Row(NamedTuple):
    """One store in a group."""

    name: str
    durability: str
    value: float
    """How long its bar is."""
    shown: str
    ratio: str
    p50: str
    p99: str


class Group(NamedTuple):
    """What is to be compared."""

    title: str
    unit: str
    rows: list[Row]
    notes: list[str]

    @property
    def longest(self) -> float:
        """The value that has the longest bar."""
        return max(row.value for row in self.rows)


def groups(report: BenchReport) -> list[Group]:
    """Return the measures by what was measured, then the limits, then one without rows for what was not."""
    found = [_group(list(each)) for _, each in groupby(report.measures, key=_title)]
    if report.limits:
        found.append(Group("limits of the machine", "a second", [_limit(each) for each in report.limits], []))
    return found


def skipped(report: BenchReport) -> list[str]:
    """Return a line for each load that was left out."""
    return [
        f"{each.store}: not with {_processes(each.publishers, each.consumers)}, "
        f"{each.batch} a call: {each.reason}"
        for each in report.skipped
    ]


def milliseconds(seconds: float) -> str:
    """Return a short time for people."""
    return f"{1000 * seconds:.3g} ms" if seconds < 0.1 else f"{1000 * seconds:,.0f} ms"


def told(outcome: Outcome) -> str:
    """Return what became of the tasks, for people."""
    counts = f"{outcome.lost:,} lost, {outcome.doubled:,} doubled, {outcome.stuck:,} stuck"
    return f"{counts}; {outcome.errors:,} errors, such as {outcome.error}" if outcome.errors else counts


def _group(measures: list[Measure]) -> Group:
    is_time = measures[0].tasks_per_second is None
    unit = "ms, less is better" if is_time else "tasks/s"
    return Group(_title(measures[0]), unit, [_row(each) for each in measures], _notes(measures))


def _title(measure: Measure) -> str:
    size = f"{measure.size:,} bytes"
    if measure.tasks_per_second is None:
        return f"put to a waiting consumer, {size}"
    processes = _processes(measure.publishers, measure.consumers)
    return f"{measure.measure}, {processes}, {measure.batch:,} a call, {size}"


def _processes(publishers: int, consumers: int) -> str:
    return f"{publishers}+{consumers} processes" if publishers else "one process"


def _row(measure: Measure) -> Row:
    rate = measure.tasks_per_second
    return Row(
        measure.store,
        measure.durability,
        1000 * measure.p50 if rate is None else rate.median,
        f"{1000 * measure.p50:.2f}" if rate is None else f"{rate.median:,.0f}",
        "" if measure.ratio is None else f"{measure.ratio.median:.2f} ×",
        milliseconds(measure.p50),
        milliseconds(measure.p99),
    )


def _limit(found: LimitFound) -> Row:
    rate = found.per_second.median
    name = f"{found.limit}, {found.size:,} bytes"
    return Row(name, "", rate, f"{rate:,.0f}", "", milliseconds(found.p50), milliseconds(found.p99))


def _notes(measures: list[Measure]) -> list[str]:
    return [
        f"{each.store}: {told(each.outcome)}; "
        f"the slowest publisher {each.outcome.slowest_of_fastest:.2f} of the fastest"
        for each in measures
        if each.outcome is not None and each.measure.startswith("put")
    ]
