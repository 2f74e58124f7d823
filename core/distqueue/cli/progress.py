"""A progress bar on standard error, if a person is looking at it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

type OnProgress = Callable[[int], None]
type OnPhase = Callable[[str, int, int], None]


@contextmanager
def progress(
    what: str, total: int | None, *, in_bytes: bool = False, is_shown: bool = True
) -> Iterator[OnProgress]:
    """Show how far something has got, until the block ends; the function is told what is done so far.

    Without a terminal nothing is shown, nor unless ``is_shown``. ``total`` is ``None`` if it is not known.
    """
    if not is_shown or not sys.stderr.isatty():
        yield _ignore
        return
    with _bar(in_bytes=in_bytes) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def phases() -> Iterator[OnPhase]:
    """Show what is being done and how far it has got, until the block ends; the function is told both."""
    if not sys.stderr.isatty():
        yield _ignore
        return
    with _bar() as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def _bar(*, in_bytes: bool = False) -> Progress:
    # Imported here, as that takes longer than most commands do.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn

    amount = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount)
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _ignore(*seen: object) -> None:
    pass
