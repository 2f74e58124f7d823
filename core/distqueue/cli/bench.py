"""``bench``: how much stores take here, and how long a call lasts."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from distqueue import times
from distqueue.cli.errors import ExitCode, complain, note
from distqueue.cli.options import AsJson
from distqueue.cli.output import print_json, print_table
from distqueue.cli.progress import progress

if TYPE_CHECKING:
    from distqueue.bench.contender import Subject
    from distqueue.bench.report import BenchReport, LimitFound, Measure
    from distqueue.bench.run import Load
    from distqueue.urls import StoreURL

_DEFAULT: Final = ("json:///Queue.json", "sqlite:///jobs.db")
_ALONE: Final = "1"
_PROCESSES = re.compile(r"([1-9][0-9]{0,2})\+([1-9][0-9]{0,2})", re.ASCII)


def bench(
    url: Annotated[
        list[str] | None,
        typer.Option(
            "--url",
            "-u",
            metavar="URL",
            help="A store; may be repeated, to compare them. [default: json and sqlite, here]",
            show_default=False,
        ),
    ] = None,
    size: Annotated[
        list[int] | None,
        typer.Option(
            metavar="BYTES", help="The payloads; may be repeated. [default: 200]", show_default=False
        ),
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N", help="Tasks in a call; may be repeated. [default: 1 and 100]", show_default=False
        ),
    ] = None,
    processes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="1|P+C",
            help="One that puts, then gets; or P that put and C that get; may be repeated. [default: 1]",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=3600, help="For each measure of a store.")
    ] = 2.0,
    raw: Annotated[bool, typer.Option("--raw", help="Measure the limits of the machine, too.")] = False,
    as_json: AsJson = False,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE.svg", help="Draw it, too.", show_default=False)
    ] = None,
) -> None:
    """Measure what stores take here.

    Nobody's data is touched: for a file a new store is made in a new directory beside the URL's path, and
    removed at the end; elsewhere a new queue with a random name is used, and purged. Stores are compared
    round by round, as ratios to the first.
    """
    from distqueue.bench.plot import check_plot, write_plot  # not needed by whoever asks for help
    from distqueue.bench.raw import limits
    from distqueue.bench.run import Bench

    length = times.seconds("--seconds", seconds)
    sizes, batches = size or [200], batch or [1, 100]
    loads = _loads(sizes, batches, processes or [_ALONE])
    if plot is not None:
        check_plot(plot)
    places = _places(url or _DEFAULT)
    subjects, directory, file_system = _prepared(places)
    wanted = limits(sizes, batches) if raw else []
    measuring = Bench(subjects, loads, wanted, directory, length)
    with progress("measuring", measuring.total) as on_progress:
        report = measuring.run(on_progress, file_system)
    if plot is not None:
        write_plot(plot, report)
    _print(report, as_json=as_json)
    _judge(report)


def _loads(sizes: Sequence[int], batches: Sequence[int], processes: Sequence[str]) -> list[Load]:
    """Return what the options ask for.

    Raises:
        BadParameter: one of them is not what it has to be.
    """
    from distqueue.bench.loads import SMALLEST, InTurn
    from distqueue.bench.processes import Together
    from distqueue.bench.waking import Waking
    from distqueue.limits import MAX_BATCH, MAX_BATCH_BYTES, MAX_PAYLOAD

    _check("--size", sizes, SMALLEST, MAX_PAYLOAD)
    _check("--batch", batches, 1, MAX_BATCH)
    if max(sizes) * max(batches) > MAX_BATCH_BYTES:
        raise typer.BadParameter(f"--size times --batch may be {MAX_BATCH_BYTES:,} bytes at most")
    loads: list[Load] = []
    for each in processes:
        pairs = [(size, batch) for size in sizes for batch in batches]
        if each == _ALONE:
            loads += [InTurn(size, batch) for size, batch in pairs]
            loads += [Waking(size) for size in sizes]
        elif (match := _PROCESSES.fullmatch(each)) is not None:
            loads += [Together(size, batch, int(match[1]), int(match[2])) for size, batch in pairs]
        else:
            raise typer.BadParameter(
                f"{each!r:.80} is neither 1 nor publishers+consumers, such as 4+2", param_hint="--processes"
            )
    return loads


def _check(option: str, values: Sequence[int], least: int, most: int) -> None:
    for value in values:
        if not least <= value <= most:
            raise typer.BadParameter(f"{value} is not in {least}..{most:,}", param_hint=option)
    if len(set(values)) < len(values):
        raise typer.BadParameter("a value is given twice", param_hint=option)


def _places(urls: Sequence[str]) -> list[StoreURL]:
    from distqueue.urls import parse_url

    places = [parse_url(url) for url in urls]
    if len({str(place) for place in places}) < len(places):
        raise typer.BadParameter("a URL is given twice", param_hint="--url")
    return places


def _prepared(places: Sequence[StoreURL]) -> tuple[list[Subject], str, str]:
    """Return the stores, once each has been opened, and the directory of the first with its file system."""
    from distqueue.bench.stores import costs_nothing, directory_of, is_beside, subject_of
    from distqueue.filesystems import file_system_of

    directories = dict.fromkeys(directory_of(place) for place in places if is_beside(place))
    subjects = [subject_of(place) for place in places]
    for directory in directories:
        note(f"measuring in new directories in {directory}, removed at the end")
        if costs_nothing(directory):
            note(f"{directory} is in memory, where a sync costs nothing: no figure is that of a disk")
    first = next(iter(directories), None)
    return subjects, first or os.path.realpath(os.curdir), file_system_of(first) if first else ""


def _print(report: BenchReport, *, as_json: bool) -> None:
    if as_json:
        print_json(report)
    elif sys.stdout.isatty():
        from distqueue.bench.bars import print_bars

        print_bars(report)
    else:
        _print_plain(report)


def _print_plain(report: BenchReport) -> None:
    from distqueue.bench.groups import skipped

    columns = (
        "measure", "processes", "size", "batch", "store", "durability", "per second", "lowest", "highest",
        "bytes/s", "p50 ms", "p99 ms", "ratio", "lost", "doubled", "stuck",
    )  # fmt: skip
    print_table(columns, [*map(_cells, report.measures), *map(_limit_cells, report.limits)])
    for line in skipped(report):
        note(f"left out: {line}")


def _cells(measure: Measure) -> list[object]:
    rate, found = measure.tasks_per_second, measure.outcome
    rates = (
        ["", "", ""] if rate is None else [f"{each:.0f}" for each in (rate.median, rate.lowest, rate.highest)]
    )
    return [
        measure.measure,
        f"{measure.publishers}+{measure.consumers}" if measure.publishers else _ALONE,
        measure.size,
        measure.batch,
        measure.store,
        measure.durability,
        *rates,
        "" if measure.bytes_per_second is None else f"{measure.bytes_per_second:.0f}",
        f"{1000 * measure.p50:.3f}",
        f"{1000 * measure.p99:.3f}",
        "" if measure.ratio is None else f"{measure.ratio.median:.2f}",
        *(["", "", ""] if found is None else [found.lost, found.doubled, found.stuck]),
    ]


def _limit_cells(found: LimitFound) -> list[object]:
    rate = found.per_second
    rates = [f"{each:.0f}" for each in (rate.median, rate.lowest, rate.highest)]
    times = [f"{1000 * found.p50:.3f}", f"{1000 * found.p99:.3f}"]
    return [
        found.limit,
        "",
        found.size,
        "",
        "",
        "",
        *rates,
        f"{rate.median * found.size:.0f}",
        *times,
        *[""] * 4,
    ]


def _judge(report: BenchReport) -> None:
    """End with an error if a store did not keep what it promises."""
    from distqueue.bench.groups import told

    found = [(each.store, each.outcome) for each in report.measures if each.outcome is not None]
    broken = dict.fromkeys(
        f"{store}: {told(outcome)}"
        for store, outcome in found
        if outcome.lost or outcome.doubled or outcome.stuck or outcome.errors
    )
    for line in broken:
        complain(line)
    if broken:
        raise typer.Exit(ExitCode.ERROR)
