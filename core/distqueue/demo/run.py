"""Runs the demo: starts everybody, kills two of them half-way, and counts."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import quantiles
from typing import IO, Final

import msgspec

from distqueue.broker.connection import Connection
from distqueue.capabilities import Durability
from distqueue.demo.worker import Plan
from distqueue.errors import DistqueueError
from distqueue.groupcommit import GroupCommit
from distqueue.ids import new_token
from distqueue.queue import Queue
from distqueue.supervisor import Supervisor
from distqueue.urls import StoreURL

LEASE: Final = 3.0
"""How long the demo's consumers have for a task, in seconds."""
PATIENCE: Final = 60.0
"""How long the demo may take before it gives up, in seconds."""


class DemoFailed(DistqueueError):
    """The demo could not be carried out."""


class Report(msgspec.Struct, kw_only=True):
    """What the demo showed; times are in seconds."""

    acknowledged: int
    handled: int
    redelivered: int
    lost: int
    killed: list[str]
    seconds: float
    publish: list[float]
    """How long a publisher waited: the 50th, 95th and 99th percentile."""
    age: list[float]
    """From the put to the hand-over: the same percentiles."""


class Worker:
    """A process of the demo."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._rest = b""
        reader, writer = os.pipe()
        self.output: IO[bytes] = open(reader, "rb", buffering=0)  # noqa: SIM115 - closed by close()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "distqueue.demo.worker", msgspec.json.encode(plan).decode()],
                stdin=subprocess.PIPE,
                stdout=writer,
            )
        finally:
            os.close(writer)

    def lines(self) -> list[list[str]] | None:
        """Return what it has said since, in words; ``None`` once it has ended."""
        data = os.read(self.output.fileno(), 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode().split() for line in lines] if data else None

    def end(self) -> None:
        """Let it finish."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    def close(self) -> None:
        """Kill it if it still runs."""
        self.end()
        self.process.kill()
        self.process.wait()
        self.output.close()


class Demo:
    """The processes, and what they said so far."""

    def __init__(self, url: StoreURL, publishers: int, consumers: int, tasks: int) -> None:
        self.total = publishers * (tasks // publishers)
        self.published: dict[str, float] = {}
        self.handled: Counter[str] = Counter()
        self.ages: list[float] = []
        self.killed: list[str] = []
        self.queue = f"demo-{new_token()[:8]}"
        """A queue of its own, whatever else is in the store."""
        self._url = url
        self._plans = [
            Plan("publisher", number, "", self.queue, tasks // publishers) for number in range(publishers)
        ] + [Plan("consumer", number, "", self.queue, lease=LEASE) for number in range(consumers)]
        self._workers: list[Worker] = []

    def run(self, show: Callable[[Demo], None]) -> Report:
        """Carry it out; ``show`` is called again and again.

        Raises:
            DemoFailed: a process ended that was not killed, or it takes too long.
            DistqueueError: the store cannot be served.
        """
        with ExitStack() as stack:
            supervisor = Supervisor(self._url, {})
            supervisor.start()
            stack.callback(supervisor.stop)
            connection = Connection(supervisor.dial)
            stack.callback(connection.close)
            queue = stack.enter_context(Queue.over(GroupCommit(connection), self.queue))
            if connection.capabilities.durability is Durability.MEMORY:
                raise DemoFailed(
                    f"{self._url} is gone when its process is killed; choose a store on the disk"
                )
            address = f"broker:///{supervisor.address}"
            for plan in self._plans:
                worker = Worker(msgspec.structs.replace(plan, url=address))
                stack.callback(worker.close)
                self._workers.append(worker)
            began = self._carry_out(supervisor, queue, show)
            return self._report(time.monotonic() - began)

    def _carry_out(self, supervisor: Supervisor, queue: Queue, show: Callable[[Demo], None]) -> float:
        began, deadline = 0.0, time.monotonic() + PATIENCE
        with self._listening() as hear:
            while len(self.published) < self.total or not self._is_drained(queue):
                hear()
                began = began or (time.monotonic() if self.published else 0.0)
                if not self.killed and len(self.published) >= self.total // 2:
                    self._kill(supervisor)
                show(self)
                if time.monotonic() > deadline:
                    raise DemoFailed(f"it is not through after {PATIENCE:g} s")
            for worker in self._workers:
                worker.end()
            while hear():
                pass
        show(self)
        return began

    @contextmanager
    def _listening(self) -> Iterator[Callable[[], bool]]:
        """Give a function that takes in what the processes say, and tells whether anybody is left."""
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.output, selectors.EVENT_READ, worker)

            def hear() -> bool:
                for key, _ in selector.select(0.1):
                    if not self._take_in(key.data):
                        selector.unregister(key.fileobj)
                return bool(selector.get_map())

            yield hear

    def _take_in(self, worker: Worker) -> bool:
        lines = worker.lines()
        for line in lines or ():
            if line[0] == "p":
                self.published[line[1]] = float(line[2])
            else:
                self.handled[line[1]] += 1
                self.ages.append(float(line[3]))
        if lines is None and worker.process.wait() not in (0, -signal.SIGKILL):
            raise DemoFailed(f"{worker.plan.role} {worker.plan.number} ended with an error, see above")
        return lines is not None

    def _kill(self, supervisor: Supervisor) -> None:
        """Kill a consumer and the broker process, as a crash would."""
        victim = self._workers[-1].process
        for name, pid in (("a consumer", victim.pid), ("the broker process", supervisor.pid)):
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
                self.killed.append(f"{name} (pid {pid})")

    def _is_drained(self, queue: Queue) -> bool:
        counts = queue.stats()
        return counts.ready + counts.scheduled + counts.leased == 0

    def _report(self, seconds: float) -> Report:
        return Report(
            acknowledged=len(self.published),
            handled=len(self.handled),
            redelivered=sum(count - 1 for count in self.handled.values()),
            lost=len(self.published.keys() - self.handled.keys()),
            killed=self.killed,
            seconds=seconds,
            publish=_percentiles(list(self.published.values())),
            age=_percentiles(self.ages),
        )


def _percentiles(values: list[float]) -> list[float]:
    """Return the 50th, 95th and 99th percentile."""
    cuts = quantiles(values, n=100) if len(values) > 1 else [*values] * 99
    return [cuts[49], cuts[94], cuts[98]]
