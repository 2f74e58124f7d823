"""What the loads know of a program that runs handlers: a store, and the worker that is started on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.workers.records import PLACE, URL, Ran, Records

_PATIENCE: Final = 120.0
"""How long a worker may take for a load, and to end, in seconds."""


_ROOT: Final = Path(__file__).parents[2]
"""Where workers find the modules of their handlers."""


class Store(ABC):
    """Where tasks wait, new and empty, and what works on it."""

    def __init__(self, url: str, command: Sequence[str]) -> None:
        self.url = url
        self.command = command
        """The worker: a module of Python, and its arguments."""

    @abstractmethod
    def enqueue(self, numbers: Sequence[int]) -> None:
        """Enqueue a task for each, one after the other, as a program would that has one at a time."""

    @abstractmethod
    def fill(self, numbers: Sequence[int]) -> None:
        """Enqueue a task for each, however that is fastest."""

    @abstractmethod
    def left(self) -> int:
        """Return how many tasks are stored that wait or run."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open here."""


class System(NamedTuple):
    """A program that runs handlers, as it is set here; ``fresh`` makes a new store in a directory."""

    name: str
    fresh: Callable[[str], AbstractContextManager[Store]]


class Worker:
    """The worker of a store; what its handlers write down is in ``records``."""

    def __init__(self, store: Store, directory: str) -> None:
        self.records = Records(f"{directory}/records")
        self._log = f"{directory}/log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *store.command],
                cwd=_ROOT,
                env=os.environ | {PLACE: self.records.path, URL: store.url},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_for(self, count: int) -> list[Ran]:
        """Wait until so many handlers have run, and return what they wrote down."""
        deadline = time.monotonic() + _PATIENCE
        while self.records.count < count:
            if self._process.poll() is not None or time.monotonic() > deadline:
                with open(self._log) as log:
                    raise RuntimeError(f"{self.records.count} of {count} have run: {log.read()[-2000:]}")
            time.sleep(0.002)
        return self.records.read()

    def pids(self) -> list[int]:
        """Return the process and its descendants."""
        found = [self._process.pid]
        for pid in found:
            with open(f"/proc/{pid}/task/{pid}/children") as file:
                found += [int(child) for child in file.read().split()]
        return found

    def stop(self) -> None:
        """Let it end what it runs, and end."""
        if self._process.poll() is not None:
            return
        pids = self.pids()
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_PATIENCE)
        except BaseException:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            self._process.wait()
            raise


@contextmanager
def working(store: Store, directory: str) -> Iterator[Worker]:
    """Let a worker run meanwhile."""
    worker = Worker(store, directory)
    try:
        yield worker
    finally:
        worker.stop()
