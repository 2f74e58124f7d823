"""A child as its worker sees it: the process, the socket to it, and what runs there."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext

from distqueue.broker.frames import Frames
from distqueue.worker import wire
from distqueue.worker.output import Output
from distqueue.worker.plan import Plan
from distqueue.worker.running import Running


class ChildProcess:
    """One child: started when it is made, and ended by :meth:`finish` or :meth:`kill`."""

    def __init__(self, work: Plan, output: Output | None = None) -> None:
        self.slots = work.slots
        self.running: dict[str, Running] = {}
        """What runs there, by receipt."""
        self.started = 0
        """How many handlers it has been given."""
        self.is_ready = False
        self.is_retiring = False
        """Gets nothing more to run."""
        self.is_killed = False
        self.socket, theirs = wire.pair()
        self._most = work.max_tasks
        self._frames = Frames()
        self._out = bytearray()
        with theirs:
            self.process = _started(theirs.fileno(), output)
        self.socket.setblocking(False)
        self._out += wire.encode(_plan(work))
        self.flush()

    def __repr__(self) -> str:
        return f"<ChildProcess {self.process.pid}, {len(self.running)} of {self.slots} running>"

    def fileno(self) -> int:
        """Return the descriptor that is readable when the child has said something, or is gone."""
        return self.socket.fileno()

    @property
    def free(self) -> int:
        """How many handlers more it can run."""
        if not self.is_ready or self.is_retiring:
            return 0
        free = self.slots - len(self.running)
        return free if self._most is None else min(free, self._most - self.started)

    @property
    def deadline(self) -> float:
        """When it is to be killed, on the monotonic clock: when the first handler has run for too long."""
        if self.is_killed:
            return math.inf
        return min((running.deadline for running in self.running.values()), default=math.inf)

    @property
    def has_unsent(self) -> bool:
        """Whether something is left to be sent once the socket takes it."""
        return bool(self._out)

    def run(self, running: Running) -> None:
        """Let it run a handler; :meth:`flush` sends it."""
        self.running[running.receipt] = running
        self.started += 1
        self._out += wire.encode(running.order())

    def lose(self, receipt: str) -> None:
        """Let a handler know that its lease is lost."""
        self._out += wire.encode(wire.Lost(receipt))
        self.flush()

    def flush(self) -> None:
        """Send what the socket takes now."""
        with contextlib.suppress(BlockingIOError, ConnectionError):  # a dead child is noticed when it is read
            while self._out:
                del self._out[: self.socket.send(self._out)]

    def heard(self) -> Iterator[wire.FromChild]:
        """Give out what the child has said.

        Raises:
            EOFError: it is gone; what it said before has been given out.
        """
        while True:
            try:
                data = self.socket.recv(wire.PIECE)
            except BlockingIOError:
                return
            except ConnectionError:
                raise EOFError from None
            if not data:
                raise EOFError
            self._frames.feed(data)
            yield from map(wire.decode_from_child, self._frames.whole())
            if len(data) < wire.PIECE:
                return

    def finish(self) -> None:
        """Let it end, as nothing runs there any more."""
        self._out += wire.encode(wire.Finish())
        self.flush()

    def end_by(self, deadline: float) -> None:
        """Wait for its end, and kill it if that has not come by then (monotonic)."""
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill it with what its handlers have started; what it still says is heard, and then its end."""
        self.is_killed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # it leads a session of its own

    def reap(self) -> str:
        """Wait for the end of the process, and return how it ended."""
        code = self.process.wait()
        self.socket.close()
        if code >= 0:
            return f"ended with exit code {code}"
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
        return f"was killed by signal {-code}"


def _plan(work: Plan) -> wire.ChildPlan:
    """Return what a child has to know of what its worker is asked to do."""
    return wire.ChildPlan(
        parent=os.getpid(),
        app=work.app,
        slots=work.slots,
        url=work.url,
        queues=work.queues,
        tells_memory=work.max_memory is not None,
        logs=work.logs,
    )


def _started(fd: int, output: Output | None) -> subprocess.Popen[bytes]:
    """Start the process of a child, with its end of the socket."""
    streams = nullcontext((None, None)) if output is None else output.streams()
    with streams as (stdout, stderr):
        return subprocess.Popen(
            [sys.executable, "-u", "-P", "-m", "distqueue.worker.child", str(fd)],
            pass_fds=[fd],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,  # an interrupt at the keyboard is for the worker
        )
