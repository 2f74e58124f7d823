"""What a worker does, drawn at the foot of a terminal; what is printed and logged scrolls by above it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from itertools import islice
from types import TracebackType
from typing import Final, Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from distqueue.cli.output import clean
from distqueue.cli.screen.counting import Counting
from distqueue.cli.screen.rate import Rate
from distqueue.cli.screen.suspending import CtrlZ
from distqueue.cli.screen.text import plain, shown_rate, shown_span, table
from distqueue.results import QueueStats
from distqueue.worker.output import Output
from distqueue.worker.running import Running
from distqueue.worker.tally import Failure
from distqueue.worker.worker import Phase, Worker

_REDRAW: Final = 0.2
"""How long a picture stands at least, in seconds."""
_IDLE: Final = 1.0
"""How long it stands at most: what runs gets older."""
_QUEUES, _FAILURES = 5, 5
"""How many are shown at most."""
_FRAME: Final = 9
"""Lines that are always there: heads, rules and the empty ones between."""


class WorkScreen:
    """Shows a worker from :meth:`watch` on, until the block ends; the terminal is as before then.

    :attr:`output` is what children print to meanwhile; what is written to :attr:`above` stands above it, too.
    """

    def __init__(self, console: Console, *, takes_stdout: bool = True) -> None:
        self.output = Output(self._print, takes_stdout=takes_stdout)
        self.above: TextIO = _Above(self._print)
        self._console = console
        self._live = self._new_live()
        self._ctrl_z = CtrlZ(self._wake)
        self._worker: Worker | None = None
        self._counting: Counting | None = None
        self._done, self._failed = Rate(), Rate()
        self._draws_at = 0.0

    def watch(self, worker: Worker) -> None:
        """Show this worker."""
        self._worker = worker
        self._counting = Counting(lambda: _counted(worker))
        worker.on_turn = self._on_turn

    def __enter__(self) -> Self:
        self._live.start()
        self._ctrl_z.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ctrl_z.__exit__(kind, error, trace)
        if self._counting is not None:
            self._counting.close()
        self.output.close()
        self._live.stop()

    def _on_turn(self, worker: Worker) -> None:
        if self._ctrl_z.is_due:
            self._suspend()
        now = time.monotonic()
        if now < self._draws_at:  # what has changed is drawn then
            worker.turn_by = self._draws_at
            return
        self._done.note(now, worker.tally.done)
        self._failed.note(now, worker.tally.failed)
        self._live.update(self._picture(worker, now), refresh=True)
        self._draws_at = now + _REDRAW
        worker.turn_by = now + _IDLE

    def _new_live(self) -> Live:
        return Live(console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop")

    def _wake(self) -> None:
        if self._worker is not None:
            self._worker.wake()

    def _suspend(self) -> None:
        """Give the terminal back, stop until the program is continued, and draw anew."""
        self._live.stop()
        self._ctrl_z.stop()
        self._live = self._new_live()  # the old one would go back to where it was
        self._live.start()
        self._draws_at = 0.0

    def _print(self, lines: list[str]) -> None:
        self._console.print(Text("\n".join(map(clean, lines))), soft_wrap=True)

    # --- The picture ----------------------------------------------------------------------------

    def _picture(self, worker: Worker, now: float) -> RenderableType:
        queues, failures = self._queues(), self._failures(worker.tally.failures)
        height = self._console.size.height - _FRAME - len(queues) - len(failures)
        parts = [*self._totals(worker, now), *queues, *_running(worker, now, max(1, height)), *failures]
        return Group(*parts)

    def _totals(self, worker: Worker, now: float) -> Iterable[RenderableType]:
        plan, tally = worker.plan, worker.tally
        yield plain(
            f"{plan.app}: {len(worker.running)} of {plan.concurrency} running, "
            f"up {shown_span(now - tally.since)}{_ending(worker.phase)}",
            "bold",
        )
        counts = [
            f"done {tally.done:,} {shown_rate(self._done.per_second)}",
            f"failed {tally.failed:,} {shown_rate(self._failed.per_second)}",
            f"dead {tally.dead:,}",
            f"given back {tally.released:,}",
        ]
        unusual = {"leases lost": tally.lost, "processes died": tally.children_died}
        counts += [f"{name} {count:,}" for name, count in unusual.items() if count]
        yield plain(" · ".join(counts))

    def _queues(self) -> list[RenderableType]:
        queues = self._counting.queues if self._counting is not None else []
        if not queues:
            return []
        counts = ("ready", "scheduled", "leased", "dead")
        shown = table("queue", *counts, numbers=counts)
        for each in queues[:_QUEUES]:
            name = f"{each.queue} (paused)" if each.paused else each.queue
            shown.add_row(plain(name), *(f"{getattr(each, count):,}" for count in counts))
        left = len(queues) - _QUEUES
        return [Text(), shown, *([plain(f"and {left} more queues", "dim")] if left > 0 else [])]

    def _failures(self, failures: Iterable[Failure]) -> list[RenderableType]:
        newest = list(islice(reversed(list(failures)), _FAILURES))
        if not newest:
            return []
        shown = table("failed", "task", "id", "attempt", "error", numbers=("attempt",), widest="error")
        for each in newest:
            clock = time.strftime("%H:%M:%S", time.localtime(each.at))
            error = plain(each.error.partition("\n")[0], "red")
            shown.add_row(clock, plain(each.task), plain(each.task_id), str(each.attempt), error)
        return [Text(), shown]


def _running(worker: Worker, now: float, room: int) -> Iterable[RenderableType]:
    all_of_them = [(one, child.process.pid) for child in worker.children for one in child.running.values()]
    if not all_of_them:
        return
    all_of_them.sort(key=_began)
    if len(all_of_them) > room:  # one line says how many more there are
        room = max(1, room - 1)
    shown = table("running", "id", "attempt", "for", "process", numbers=("attempt", "for", "process"))
    for one, pid in all_of_them[:room]:
        attempt, took = str(one.lease.attempt), shown_span(now - one.began)
        shown.add_row(plain(one.task), plain(one.lease.task_id), attempt, took, str(pid))
    yield Text()
    yield shown
    if len(all_of_them) > room:
        yield plain(f"and {len(all_of_them) - room} more", "dim")


def _counted(worker: Worker) -> list[QueueStats]:
    counted = worker.counted()
    return [] if counted is None else [one for one in counted.queues if one.queue in worker.queue_names]


def _began(what: tuple[Running, int]) -> float:
    return what[0].began


def _ending(phase: Phase) -> str:
    match phase:
        case Phase.WORKING:
            return ""
        case Phase.STOPPING:
            return "; stopping when they have ended, at once after another Ctrl-C"
        case Phase.KILLING:
            return "; stopping"


class _Above(io.TextIOBase, TextIO):
    """A stream whose lines go above a screen."""

    def __init__(self, show: Callable[[list[str]], None]) -> None:
        super().__init__()
        self._show = show

    def write(self, text: str) -> int:
        self._show(text.splitlines())
        return len(text)
