"""``top``: watch the queues of a store, and do to them what is to be done."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from distqueue.cli.options import AnyQueue, Url
from distqueue.cli.output import print_table, shown_age
from distqueue.cli.store import Store, open_store
from distqueue.cli.tty import can_draw
from distqueue.commands import Stats
from distqueue.results import Counted
from distqueue.times import seconds


def top(
    url: Url = None,
    queue: AnyQueue = None,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="Count anew so often, at most.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
) -> None:
    """Watch the queues of a store.

    Keys: up and down (or k and j) choose a queue, p pauses or resumes it, r redrives its dead tasks, d lists
    them, c in that list removes one, q quits. Without a terminal, one table is printed.
    """
    every = seconds("--interval", interval)
    with open_store(url, queue or "default") as store:
        if once or not (can_draw(sys.stdout) and sys.stdin.isatty()):
            _print(store, queue)
            return
        from distqueue.cli.screen.board import Board
        from distqueue.cli.screen.top import watch

        watch(Board(store, queue), str(store.settings.url), every)


def _print(store: Store, queue: str | None) -> None:
    counted = store.ask(Stats(queue=queue or "*"), Counted)
    counts = ("queue", "ready", "scheduled", "leased", "dead", "paused")
    print_table(
        [*counts, "oldest ready"],
        [
            [*(getattr(each, name) for name in counts), shown_age(each.oldest_ready_at)]
            for each in counted.queues
        ],
    )
