"""``export`` and ``import``: a store as JSON lines, for backups and for moving."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from distqueue.cli.errors import ExitCode, complain, note
from distqueue.cli.options import SomeQueues, Url
from distqueue.cli.output import counted
from distqueue.cli.progress import progress
from distqueue.cli.store import Store, open_store
from distqueue.commands import Stats
from distqueue.results import Counted


def export_verb(
    path: Annotated[str, typer.Argument(metavar="FILE|-", help="Where to; - is standard output.")] = "-",
    url: Url = None,
    queue: SomeQueues = None,
) -> None:
    """Write all tasks as JSON lines, while the store is in use."""
    # Imported here, as asyncio takes longer than most commands do.
    from distqueue.cli.coroutines import run
    from distqueue.transfer.exporting import export_store

    with open_store(url) as store, progress("export", _total(store, queue)) as on_progress:
        counts = run(export_store(store.broker, queue, path, on_progress))
    note(f"exported {counted(counts.tasks, 'task')} and {counted(counts.remembered, 'remembered id')}")


def import_verb(
    path: Annotated[str, typer.Argument(metavar="FILE|-", help="An export; - is standard input.")] = "-",
    url: Url = None,
    queue: SomeQueues = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Take what is left of a truncated export.")
    ] = False,
) -> None:
    """Store the tasks of an export exactly as they were.

    To import twice is the same as once. The store is created if there is none.
    """
    # Imported here, as asyncio takes longer than most commands do.
    from distqueue.cli.coroutines import run
    from distqueue.transfer.importing import check_export, import_store

    run(check_export(path, partial=partial))
    total = os.path.getsize(path) if os.path.isfile(path) else None
    with (
        open_store(url, create=True) as store,
        progress("import", total, in_bytes=True) as on_progress,
    ):
        imported = run(import_store(store.broker, queue, path, partial=partial, on_progress=on_progress))
    for refusal in imported.refusals:
        complain(f"line {refusal.line}: {refusal.reason}")
    if not imported.is_whole:
        complain("the export was not whole; what there was of it is imported")
    note(
        f"imported {counted(imported.tasks, 'task')} and {counted(imported.remembered, 'remembered id')}; "
        f"there before: {imported.duplicates}; refused: {imported.refused}"
    )
    if imported.refused:
        raise typer.Exit(ExitCode.REFUSED)


def _total(store: Store, queues: list[str] | None) -> int:
    counted = store.ask(Stats(queue="*"), Counted)
    return sum(
        each.ready + each.scheduled + each.leased + each.done + each.dead
        for each in counted.queues
        if queues is None or each.queue in queues
    )
