"""The processes of a load: started together, heard through a pipe each, none left behind."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from distqueue.errors import DistqueueError

PATIENCE: Final = 60.0
"""How long a process may take to answer, beyond the time of its load, in seconds."""
_LEAD: Final = 0.05


class BenchFailed(DistqueueError):
    """A load could not be carried out."""


class _Failure(NamedTuple):
    """What a process says if it cannot go on."""

    text: str


class Crew:
    """Processes that each carry out a function; those that still run are killed when the block ends."""

    def __init__(self) -> None:
        self._members: list[tuple[SpawnProcess, Connection]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, _ in self._members:
            process.kill()
        for process, pipe in self._members:
            process.join()
            process.close()
            pipe.close()

    def add(self, work: Callable[..., None], *arguments: Any) -> int:
        """Start a process; ``work`` is given a pipe first. Return its number."""
        context = mp.get_context("spawn")
        resource_tracker.ensure_running()  # as it would undo what comes next
        with _signals_later():
            ours, theirs = context.Pipe()
            process = context.Process(target=_carry_out, args=(work, theirs, *arguments), daemon=True)
            process.start()
            self._members.append((process, ours))
        theirs.close()
        return len(self._members) - 1

    def hear(self, number: int, seconds: float = 0.0) -> Any:
        """Return what a process says next; it may take ``seconds`` and some more.

        Raises:
            BenchFailed: it had an error, has ended, or says nothing.
        """
        process, pipe = self._members[number]
        if not pipe.poll(seconds + PATIENCE):
            raise BenchFailed(f"process {process.pid} said nothing for {seconds + PATIENCE:g} s; try again")
        try:
            said = pipe.recv()
        except EOFError:
            raise BenchFailed(f"process {process.pid} was killed; try again") from None
        if isinstance(said, _Failure):
            raise BenchFailed(f"process {process.pid} of the load failed: {said.text}")
        return said

    def pipe(self, number: int) -> Connection:
        """Return our end of a process's pipe."""
        return self._members[number][1]

    def begin(self, seconds: float) -> None:
        """Once all are ready, let them work at the same time, for so many seconds."""
        for number in range(len(self._members)):
            self.hear(number)
        start = time.monotonic() + _LEAD
        for _, pipe in self._members:
            pipe.send((start, start + seconds))

    def results(self, seconds: float) -> list[Any]:
        """Return what each says at the end."""
        return [self.hear(number, seconds) for number in range(len(self._members))]

    def kill(self, number: int) -> None:
        """Kill a process, as a crash would."""
        process, _ = self._members[number]
        process.kill()
        process.join()


def ready(pipe: Connection) -> float:
    """In a process: say that it is ready, wait for the start, and return when to end (monotonic)."""
    pipe.send(os.getpid())
    start, end = pipe.recv()
    time.sleep(max(0.0, start - time.monotonic()))
    return float(end)


def _carry_out(work: Callable[..., None], pipe: Connection, *arguments: Any) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work(pipe, *arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent reports it
        pipe.send(_Failure(f"{type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    """End this process at once when its parent ends, be it killed."""
    if (parent := mp.parent_process()) is not None:
        parent.join()
    os._exit(1)


@contextmanager
def _signals_later() -> Iterator[None]:
    """Keep interrupts away while a process starts, and from it for good: its parent ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
