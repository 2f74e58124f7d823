"""What was found, as the tables that ``docs/benchmarks.md`` has."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.peers.installed import Found
from benchmarks.peers.killed import Fate
from distqueue.bench.report import BenchReport, Measure
from distqueue.cli.output import counted

_TOGETHER = ("put by all", "get and ack by all")


def tables(report: BenchReport, fates: Sequence[Fate], peers: Sequence[Found]) -> str:
    """Return everything as Markdown."""
    parts = [_environment(report, peers)]
    for batch in sorted({each.batch for each in report.measures}):
        found = [each for each in report.measures if each.batch == batch and not each.publishers]
        if found:
            how = "one at a time" if batch == 1 else f"{batch} a commit where there is a way"
            parts.append(f"One process, {how}:\n\n" + _in_turn(found))
    if shared := [each for each in report.measures if each.publishers]:
        parts.append(
            f"{shared[0].publishers} publishers and {shared[0].consumers} consumers:\n\n" + _together(shared)
        )
    parts.append("A consumer is killed while it has a task:\n\n" + _fates(fates))
    if report.skipped:
        parts.append("Left out:\n\n" + _skipped(report))
    return "\n\n".join(parts) + "\n"


def _environment(report: BenchReport, peers: Sequence[Found]) -> str:
    named = [
        f"{each.distribution} {each.version or 'is not installed here, and not measured'}" for each in peers
    ]
    versions, machine = report.versions, report.machine
    return (
        f"{report.date[:10]}: {machine.cores} cores, {machine.system}, {machine.file_system}, "
        f"CPython {versions.python}, SQLite {versions.sqlite}; {', '.join(named)}. "
        f"{counted(report.rounds, 'round')} of {report.seconds / report.rounds:g} s for each measure; "
        "median (lowest–highest), ratio to the first line round by round."
    )


def _in_turn(measures: Sequence[Measure]) -> str:
    rows = []
    for store in dict.fromkeys(each.store for each in measures):
        mine = {each.measure: each for each in measures if each.store == store}
        put, get = mine["put"], mine["get and ack"]
        rows.append([store, put.durability, *_cells(put), *_cells(get)])
    return _markdown(
        ["queue", "durability", "put, tasks/s", "×", "p99", "get and ack, tasks/s", "×", "p99"], rows
    )


def _together(measures: Sequence[Measure]) -> str:
    rows = []
    for store in dict.fromkeys(each.store for each in measures):
        put, get = (next(e for e in measures if (e.store, e.measure) == (store, name)) for name in _TOGETHER)
        found = put.outcome
        if found is not None:
            counts = [f"{each:,}" for each in (found.lost, found.doubled, found.stuck, found.errors)]
            fair = f"{found.slowest_of_fastest:.2f}"
            rows.append([store, put.durability, *_cells(put)[:2], *_cells(get)[:2], *counts, fair])
    columns = ["queue", "durability", "put, tasks/s", "×", "get and ack, tasks/s", "×"]
    return _markdown([*columns, "lost", "doubled", "stuck", "errors", "slowest/fastest publisher"], rows)


def _fates(fates: Sequence[Fate]) -> str:
    return _markdown(["queue", "its task"], [[fate.store, str(fate)] for fate in fates])


def _skipped(report: BenchReport) -> str:
    return "\n".join(
        f"- {each.store}: "
        + (f"{each.publishers}+{each.consumers} processes" if each.publishers else f"{each.batch} a call")
        + f", {each.reason}"
        for each in report.skipped
    )


def _cells(measure: Measure) -> list[str]:
    rate = measure.tasks_per_second
    if rate is None:
        return ["", "", ""]
    return [
        f"{rate.median:,.0f} ({rate.lowest:,.0f}–{rate.highest:,.0f})",
        "" if measure.ratio is None else f"{measure.ratio.median:.2f}",
        f"{1000 * measure.p99:.2f} ms",
    ]


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (columns, ["---"] * len(columns), *rows))
