"""``move``: all tasks of a store, or of some queues, to another store."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from distqueue.cli.errors import note
from distqueue.cli.options import SomeQueues
from distqueue.cli.output import counted, print_line
from distqueue.cli.progress import OnPhase, phases
from distqueue.cli.store import open_store
from distqueue.errors import Refused, StoreMissing
from distqueue.urls import parse_url

if TYPE_CHECKING:
    from distqueue.transfer.ends import End
    from distqueue.transfer.moving import MovedQueue
    from distqueue.urls import StoreURL

Source = Annotated[
    str, typer.Argument(metavar="SRC", help="The URL of the store to move from.", show_default=False)
]
Target = Annotated[
    str, typer.Argument(metavar="DST", help="The URL of the store to move to.", show_default=False)
]


def move(
    source: Source,
    target: Target,
    queue: SomeQueues = None,
    now: Annotated[
        bool, typer.Option("--now", help="Take along what is out, with its lease; do not wait for it.")
    ] = False,
    empty: Annotated[bool, typer.Option("--empty", help="Empty the source afterwards; do not ask.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take back a move that has not finished.")] = False,
) -> None:
    """Move all tasks to another store, which is created if there is none.

    Interrupted at any point, the same command finishes it. The source is kept, and says where its tasks went.
    """
    if undo and (now or empty):
        raise typer.BadParameter("what is taken back is neither moved now nor emptied", param_hint="--undo")
    with ExitStack() as stack:
        here = stack.enter_context(_end(source))
        _refuse_itself(here, target)
        if undo:
            _undo(here, stack.enter_context(_end_if_there(target)), queue)
            return
        there = stack.enter_context(_end(target, create=True))
        moved = _move(here, there, queue, now)
        _print(moved, there)
        if empty or _is_to_be_emptied(here):
            from distqueue.transfer.undoing import empty_source

            empty_source(here, there, [each.queue for each in moved])
            note(f"{here.name} is empty, and says that its queues are at {there.name}")
        else:
            note(f"{here.name} is kept, fenced: whoever puts there is told to use {there.name}")


def _move(here: End, there: End, queues: Sequence[str] | None, now: bool) -> list[MovedQueue]:
    from distqueue.transfer.ends import check_ends
    from distqueue.transfer.moving import move_store

    for less in check_ends(here, there):
        note(f"{there.name} promises less: {less}")
    try:
        with phases() as on_phase:
            return move_store(here, there, queues, now=now, on_progress=_telling(on_phase))
    except SystemExit:
        note("interrupted; nothing is lost. The same command finishes it, with --undo it is taken back")
        raise


def _telling(on_phase: OnPhase) -> OnPhase:
    """Say what is waited for also where no progress is shown, as it may take long."""
    said: set[str] = set()

    def tell(what: str, done: int, total: int) -> None:
        if what.startswith("wait ") and what not in said and not sys.stderr.isatty():
            said.add(what)
            note(f"{what}: {total - done}; with --now they are taken along")
        on_phase(what, done, total)

    return tell


def _undo(here: End, there: End, queues: Sequence[str] | None) -> None:
    from distqueue.transfer.undoing import undo_move

    for queue in undo_move(here, there, queues):
        print_line(f"queue {queue} is open again")
    note(f"{here.name} is as it was, and {there.name} has nothing of it")


def _print(moved: Sequence[MovedQueue], there: End) -> None:
    for each in moved:
        if each.is_old:
            print_line(f"queue {each.queue} was moved to {there.name} before")
        else:
            print_line(
                f"queue {each.queue}: {counted(each.tasks, 'task')} and "
                f"{counted(each.remembered, 'remembered id')} moved, the same at both ends, hash {each.hash}"
            )
    if not moved:
        print_line("there was no queue; new ones are made at the destination from now on")


def _is_to_be_emptied(here: End) -> bool:
    """Ask, if somebody can be asked."""
    return sys.stdin.isatty() and typer.confirm(f"Empty {here.name}?", err=True)


def _refuse_itself(here: End, target: str) -> None:
    """Refuse a destination that is the source, before anything is created."""
    if _name(parse_url(target)) == here.name:
        raise Refused(f"{here.name} cannot move to itself; name another store to move to")


def _name(url: StoreURL) -> str:
    from distqueue.opening import name_of_store

    return name_of_store(url)


@contextmanager
def _end(url: str, *, create: bool = False) -> Iterator[End]:
    from distqueue.transfer.ends import End

    with open_store(url, create=create) as store:
        if not store.broker.capabilities.shared_between_processes:
            raise Refused(f"{store.settings.url} ends with this command; nothing can be moved from or to it")
        yield End(store.broker, _name(store.settings.url))


@contextmanager
def _end_if_there(url: str) -> Iterator[End]:
    """Open a store, or in its stead one that has nothing."""
    from distqueue.opening import open_broker
    from distqueue.transfer.ends import End

    with ExitStack() as stack:
        with suppress(StoreMissing):
            yield stack.enter_context(_end(url))
            return
        nothing = open_broker("memory://")
        stack.callback(nothing.close)
        yield End(nothing, _name(parse_url(url)))
