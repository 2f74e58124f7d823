"""``top``: watch the queues of a store, and do to them what is to be done."""

from __future__ import annotations

import sys
from contextlib import ExitStack, suppress
from typing import Annotated

import typer

from distqueue.broker import Broker
from distqueue.cli.options import AnyQueue, Url
from distqueue.cli.output import print_table, shown_age
from distqueue.cli.store import open_store
from distqueue.cli.tty import can_draw
from distqueue.commands import Stats
from distqueue.errors import StoreError
from distqueue.outcomes import expect
from distqueue.results import Counted


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
    with _Watched(url, queue) as watched:
        if once or not (can_draw(sys.stdout) and sys.stdin.isatty()):
            _print(watched.broker, queue)
            return
        from distqueue.cli.screen.board import Board
        from distqueue.cli.screen.top import watch

        watch(Board(lambda: watched.broker, queue), watched.place, interval, watched.reopen)


def _print(broker: Broker, queue: str | None) -> None:
    counted = expect(broker.apply([Stats(queue=queue or "*")])[0], Counted)
    counts = ("queue", "ready", "scheduled", "leased", "dead", "paused")
    print_table(
        [*counts, "oldest ready"],
        [
            [*(getattr(each, name) for name in counts), shown_age(each.oldest_ready_at)]
            for each in counted.queues
        ],
    )


class _Watched(ExitStack):
    """A store that is opened again when it could not be asked."""

    def __init__(self, url: str | None, queue: str | None) -> None:
        super().__init__()
        self._url = url
        self._queue = queue or "default"
        self._open()

    def reopen(self) -> None:
        """Open it again, if it is there; the next call finds out if not."""
        self.close()
        with suppress(StoreError):
            self._open()

    def _open(self) -> None:
        store = self.enter_context(open_store(self._url, self._queue))
        self.broker = store.broker
        self.place = str(store.settings.url)
