"""A progress bar on standard error, if a person is looking at it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

type OnProgress = Callable[[int], None]


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
    # Imported here, as that takes longer than most commands do.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn

    amount = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def _ignore(done: int) -> None:
    pass
