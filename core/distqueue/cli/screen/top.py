"""``top``: the queues of a store, drawn again and again over the whole terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from distqueue.cli.output import shown_age
from distqueue.cli.screen.board import Board
from distqueue.cli.screen.counting import SHARE
from distqueue.cli.screen.keys import key_by_key, pressed
from distqueue.cli.screen.suspending import CtrlZ
from distqueue.cli.screen.text import plain, shown_span, table
from distqueue.cli.story import call_of
from distqueue.errors import OutcomeUnknown, StoreError
from distqueue.results import QueueStats
from distqueue.task import TaskRecord

COLUMNS: Final = ("queue", "ready", "scheduled", "leased", "dead", "growth", "empty in", "oldest ready")
_QUEUE_KEYS: Final = "up/down choose · p pause or resume · r redrive dead · d list dead · q quit"
_DEAD_KEYS: Final = "up/down choose · c cancel · q back"
_LOOK_EVERY: Final = 0.1
"""How often it is looked whether Ctrl-Z was pressed, in seconds."""
_FRAME: Final = 7
"""Lines besides the rows."""


def watch(board: Board, place: str, interval: float) -> None:
    """Show a store until ``q`` or a signal; the terminal is as before then.

    A store that cannot be read is said, and asked again.
    """
    terminal = sys.stdin.fileno()
    console = Console()
    with CtrlZ(lambda: None) as ctrl_z:
        while not board.is_over:
            with key_by_key(terminal), Live(console=console, screen=True, auto_refresh=False) as live:
                _watch(board, place, interval, live, terminal, ctrl_z)
            if ctrl_z.is_due:
                ctrl_z.stop()


def _watch(board: Board, place: str, interval: float, live: Live, terminal: int, ctrl_z: CtrlZ) -> None:
    """Show a store until ``q`` or Ctrl-Z."""
    looks_at = 0.0
    while not board.is_over and not ctrl_z.is_due:
        if (now := time.monotonic()) >= looks_at:
            _guarded(board, lambda: board.look(time.monotonic()))
            took = 0.0 if board.trouble else time.monotonic() - now
            looks_at = time.monotonic() + max(interval, SHARE * took)
        live.update(picture(board, place, live.console.size.height), refresh=True)
        for key in _pressed(terminal, looks_at, ctrl_z):
            _guarded(board, lambda: board.press(key))  # noqa: B023 - called at once
            looks_at = 0.0


def _pressed(terminal: int, until: float, ctrl_z: CtrlZ) -> list[str]:
    """Return the keys that are pressed next, none if none is until then (monotonic), or Ctrl-Z is."""
    keys: list[str] = []
    while not keys and not ctrl_z.is_due and (left := until - time.monotonic()) > 0:
        keys = pressed(terminal, min(left, _LOOK_EVERY))
    return keys


def picture(board: Board, place: str, height: int) -> RenderableType:
    """Return what is on the screen, which has so many lines."""
    room = max(1, height - _FRAME)
    shown = _queues(board, room) if board.dead is None else _dead(board, board.dead, room)
    said = f"{board.question} y/n" if board.question else board.trouble or board.said
    foot = plain(said, "bold red" if board.question or board.trouble else "")
    keys = plain(_QUEUE_KEYS if board.dead is None else _DEAD_KEYS, "dim")
    return Group(plain(f"{place} · {time.strftime('%H:%M:%S')}", "bold"), Text(), shown, Text(), foot, keys)


def _queues(board: Board, room: int) -> RenderableType:
    if not board.queues:
        return plain("there are no queues yet", "dim")
    shown = table(*COLUMNS, numbers=COLUMNS[1:])
    names = [each.queue for each in board.queues]
    for place in _window(len(names), names.index(board.chosen) if board.chosen in names else 0, room):
        _add(shown, _row(board, board.queues[place]), is_chosen=names[place] == board.chosen)
    return shown


def _dead(board: Board, dead: Sequence[TaskRecord], room: int) -> RenderableType:
    if not dead:
        return plain(f"no task of queue {board.chosen} is dead", "dim")
    shown = table(f"dead in {board.chosen}", "attempt", "task", "error", numbers=("attempt",), widest="error")
    for place in _window(len(dead), board.position, room):
        task = dead[place]
        cells = (task.task_id, str(task.attempt), call_of(task), task.error or "")
        _add(shown, cells, is_chosen=place == board.position)
    return shown


def _add(shown: Table, cells: Sequence[str], *, is_chosen: bool) -> None:
    marked = [f"{'>' if is_chosen else '-'} {cells[0]}", *cells[1:]]
    shown.add_row(*map(plain, marked), style="bold" if is_chosen else "")


def _row(board: Board, queue: QueueStats) -> tuple[str, ...]:
    counts = (queue.ready, queue.scheduled, queue.leased, queue.dead)
    growth, empty_in = board.growth(queue), board.empty_in(queue)
    return (
        f"{queue.queue} (paused)" if queue.paused else queue.queue,
        *(f"{count:,}" for count in counts),
        "" if growth is None else f"{growth:+,.1f}/s",
        "" if empty_in is None else shown_span(empty_in),
        shown_age(queue.oldest_ready_at),
    )


def _window(count: int, chosen: int, room: int) -> range:
    """Return which of so many rows are shown, so that the chosen one is among them."""
    first = min(max(0, chosen - room // 2), max(0, count - room))
    return range(first, min(count, first + room))


def _guarded(board: Board, function: Callable[[], None]) -> None:
    try:
        function()
    except (StoreError, OutcomeUnknown) as error:
        board.trouble = f"trying again: {error}"
