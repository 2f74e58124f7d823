"""A report on a terminal: a table for each thing that was measured, with bars."""

from __future__ import annotations

from rich.bar import Bar
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from distqueue.bench.groups import Group, groups, skipped
from distqueue.bench.report import BenchReport


def print_bars(report: BenchReport) -> None:
    """Print a report to the standard output, which is a terminal."""
    console = Console()
    for group in groups(report):
        console.print(_table(group))
        for note in group.notes:
            console.print(Text(f"  {note}"))
    for line in skipped(report):
        console.print(Text(f"left out: {line}"))


def _table(group: Group) -> Table:
    table = Table(box=SIMPLE_HEAD, title=Text(group.title), title_justify="left", pad_edge=False, expand=True)
    table.add_column(group.unit, overflow="fold", ratio=3)
    table.add_column("")
    table.add_column("", ratio=2, min_width=8)
    for name in ("", "", "p50", "p99"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in group.rows:
        bar = Bar(group.longest or 1.0, 0, row.value, color="cyan")
        texts = [Text(each) for each in (row.shown, row.ratio, row.p50, row.p99)]
        table.add_row(Text(row.name), Text(row.durability), bar, *texts)
    return table
