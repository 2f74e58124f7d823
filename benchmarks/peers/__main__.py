"""``python -m benchmarks.peers``: our backends and other queues, the same loads, in one run."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import msgspec
import typer

from benchmarks.peers.installed import find_peers
from benchmarks.peers.killed import Fate, kill_a_consumer
from benchmarks.peers.ours import BACKENDS, Ours
from benchmarks.peers.peer import Setting
from benchmarks.peers.table import tables
from distqueue.bench.loads import InTurn
from distqueue.bench.processes import Together
from distqueue.bench.report import BenchReport
from distqueue.bench.run import Bench, Load
from distqueue.bench.stores import costs_nothing, fresh_directory
from distqueue.cli.progress import progress
from distqueue.filesystems import file_system_of

SIZE = 200
BEGIN, END = "<!-- peers -->\n", "<!-- end of peers -->\n"
LOADS: list[Load] = [InTurn(SIZE, 1), InTurn(SIZE, 100), Together(SIZE, 1, 4, 2)]


class Comparison(msgspec.Struct):
    """What ``--json`` writes; a version is ``None`` where a peer is not installed."""

    peers: dict[str, str | None]
    report: BenchReport
    killed: list[Fate]


def main(
    seconds: Annotated[float, typer.Option(min=0.1, help="For each measure of a queue.")] = 6.0,
    rounds: Annotated[int, typer.Option(min=1, help="In so many rounds.")] = 3,
    directory: Annotated[str, typer.Option(help="On the disk that is measured.")] = os.curdir,
    json: Annotated[str | None, typer.Option(metavar="FILE", help="Write everything there, too.")] = None,
    into: Annotated[
        str | None,
        typer.Option(metavar="PAGE", help="Put the tables into this page, in place of its old ones."),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only queues whose name has this in it.")] = None,
) -> None:
    """Compare our backends with other queues, and print the tables of docs/benchmarks.md."""
    peers = find_peers()
    place = os.path.realpath(directory)
    if costs_nothing(place):
        print(f"{place} is in memory, where a sync costs nothing", file=sys.stderr)
    with fresh_directory(place) as parent:
        known: list[Ours | Setting] = [*BACKENDS, *(setting for peer in peers for setting in peer.settings)]
        subjects = [entry.subject(parent) for entry in known if _is_wanted(entry.name, only)]
        bench = Bench(subjects, LOADS, [], parent, seconds, rounds)
        with progress("comparing", bench.total) as on_progress:
            report = bench.run(on_progress, file_system_of(place))
        fates = [kill_a_consumer(subject, SIZE) for subject in subjects]
    found = tables(report, fates, peers)
    print(found, end="")
    if into is not None:
        _replace(into, found)
    if json is not None:
        whole = Comparison({peer.distribution: peer.version for peer in peers}, report, fates)
        with open(json, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(whole)))


def _replace(path: str, found: str) -> None:
    """Put the tables between the two marks of a page."""
    with open(path, "r+", encoding="utf-8") as page:
        before, begin, rest = page.read().partition(BEGIN)
        _, end, after = rest.partition(END)
        page.seek(0)
        page.write(f"{before}{begin}\n{found}{end}{after}")
        page.truncate()


def _is_wanted(name: str, only: list[str] | None) -> bool:
    return only is None or any(part in name for part in only)


if __name__ == "__main__":
    typer.run(main)
