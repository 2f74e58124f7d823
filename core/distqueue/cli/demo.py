"""``demo``: publishers, consumers and a broker process at work, and what two SIGKILLs do to them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from distqueue.cli.errors import ExitCode, note
from distqueue.cli.output import print_line

if TYPE_CHECKING:
    from distqueue.demo.run import Demo, Report
    from distqueue.urls import StoreURL


def demo(
    url: Annotated[
        str | None,
        typer.Option("--url", "-u", metavar="URL", help="The store.  [default: a new file]"),
    ] = None,
    publishers: Annotated[int, typer.Option(metavar="N", min=1, help="Publisher processes.")] = 10,
    consumers: Annotated[int, typer.Option(metavar="N", min=2, help="Consumer processes.")] = 5,
    tasks: Annotated[int, typer.Option(metavar="N", min=2, help="Tasks in all.")] = 5000,
) -> None:
    """See it at work, and survive a crash.

    A broker process serves a new Queue.json (or the store at the URL). Publishers publish one task after
    another, each acknowledged once it is on the disk; consumers handle them. Half-way a consumer and the
    broker process are killed. In the end nothing is lost, and the file is there to be looked at.
    """
    from distqueue.demo.run import Demo  # not needed by whoever asks for help
    from distqueue.urls import parse_url

    place = parse_url(url or f"json:///{tempfile.mkdtemp(prefix='distqueue-demo-')}/Queue.json")
    note(f"{publishers} publishers, {consumers} consumers and a broker process on {place}")
    shown = Demo(place, publishers, consumers, max(tasks, publishers))
    with _display(shown.total) as show:
        report = shown.run(show)
    _print(report, place, shown.queue)
    if report.lost:
        raise typer.Exit(ExitCode.ERROR)


@contextmanager
def _display(total: int) -> Iterator[Callable[[Demo], None]]:
    """Show how far it is: on a terminal two bars, otherwise a line when something is killed."""
    if not sys.stderr.isatty():
        said: list[str] = []

        def say(demo: Demo) -> None:
            for victim in demo.killed[len(said) :]:
                said.append(victim)
                note(f"killed {victim} after {len(demo.published):,} of {total:,} were acknowledged")

        yield say
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description:>12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[what]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        published = bars.add_task("acknowledged", total=total, what="")
        handled = bars.add_task("handled", total=total, what="")

        def draw(demo: Demo) -> None:
            killed = f"killed: {', '.join(demo.killed)}" if demo.killed else ""
            bars.update(published, completed=len(demo.published), what=killed)
            bars.update(handled, completed=len(demo.handled))

        yield draw


def _print(report: Report, place: StoreURL, queue: str) -> None:
    rate = report.acknowledged / report.seconds if report.seconds else 0.0
    for name, value in (
        ("acknowledged", f"{report.acknowledged:,}"),
        ("handled", f"{report.handled:,}"),
        ("redelivered", f"{report.redelivered:,}  (a consumer died with them; handlers must be idempotent)"),
        ("lost", f"{report.lost:,}"),
        ("killed", "; ".join(report.killed)),
        ("throughput", f"{rate:,.0f} tasks/s published and handled, in {report.seconds:.1f} s"),
        ("publish", f"{_shown(report.publish)}  until it is on the disk"),
        ("wait", f"{_shown(report.age)}  from the put to a consumer, with all that was put before it"),
    ):
        print_line(f"{name:>12}  {value}")
    if place.is_file:
        print_line("")
        print_line(f"The store is {place.path}; nothing is left in queue {queue}. Try next:")
        typed = sys.argv[0] if os.path.basename(sys.argv[0]) == "distqueue" else "distqueue"
        print_line(f"  {typed} stats -u {place}")
        if (look := _LOOKS.get(place.scheme)) is not None:
            print_line("  " + look.format(place.path))


_LOOKS: Final = {
    "json": "jq '.commits[-1]' {}",
    "sharded-json": "jq -c '.commits[-1]' {}/shard-*.json",
    "sqlite": "sqlite3 -readonly {} 'SELECT * FROM distqueue_queues'",
}
"""How to look into a store with tools that many have."""


def _shown(percentiles: list[float]) -> str:
    return "p50 {:.1f} ms, p95 {:.1f} ms, p99 {:.1f} ms".format(*(1000 * each for each in percentiles))
