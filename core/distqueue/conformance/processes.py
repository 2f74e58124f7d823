"""Starting, stopping and killing the child processes of a test; none outlives its ``with`` block."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, Self

from distqueue.broker import Broker
from distqueue.broker.event import Applied, Apply, Body, Failed, Wait, Welcome, Woken, request
from distqueue.capabilities import Capabilities
from distqueue.commands import Command
from distqueue.conformance.agent import from_line, to_line
from distqueue.conformance.forks import stand_still, start
from distqueue.errors import OutcomeUnknown
from distqueue.results import Outcome, Seen

AGENT = "distqueue.conformance.agent"
"""The module that carries out commands for a test."""
PREPARED = "distqueue.conformance.prepared"
"""The module that prepares a process before it runs another one."""
PATIENCE = 30.0
"""How long a child may take to answer or to end, in seconds, before the test fails."""
_PIECE = 64 * 1024


class Child:
    """A running ``python -m MODULE``, ended and waited for when the ``with`` block ends.

    Where processes can be forked it is: :mod:`distqueue.conformance.forks`.

    ``told`` is the first line of its input: a command line, with a password in it, could be read by others.
    ``prepare`` names the ``"module:function"`` that it calls before anything else, if any. ``under`` is a
    command that runs another one in its own place, such as ``strace -D``.
    """

    def __init__(self, module: str, told: str, *, prepare: str = "", under: Sequence[str] = ()) -> None:
        command = [PREPARED, prepare, module] if prepare else [module]
        self._heard = bytearray()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        (stdin, told_to), (heard_from, stdout) = os.pipe(), os.pipe()
        self._input = os.fdopen(told_to, "wb", buffering=0)
        self._output = os.fdopen(heard_from, "rb", buffering=0)
        try:
            self._process = start((stdin, stdout, self._errors.fileno()), *command, under=under)
        finally:
            os.close(stdin)
            os.close(stdout)
        with suppress(BrokenPipeError):  # it has ended already: whoever listens to it will know
            self.say(told.encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What the pipe is called, in the system calls of both ends, that the child answers into."""
        return os.readlink(f"/proc/self/fd/{self._output.fileno()}")

    @property
    def running(self) -> bool:
        """Whether the child has not ended yet."""
        return self._process.poll() is None

    def say(self, line: bytes) -> None:
        """Write a line to the child's input."""
        self._input.write(line + b"\n")

    def hear(self, patience: float = PATIENCE) -> bytes:
        """Return the next line of the child's output, empty if it has ended before that was whole.

        Raises:
            TimeoutError: it has not said a whole line within some seconds.
        """
        deadline = time.monotonic() + patience
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while b"\n" not in self._heard:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    why = f"process {self.pid} said nothing for {patience} s: {self.complaints()}"
                    raise TimeoutError(why)
                if not (piece := self._output.read(_PIECE)):
                    return b""
                self._heard += piece
        line, _, rest = self._heard.partition(b"\n")
        self._heard = rest
        return bytes(line) + b"\n"

    def kill(self) -> None:
        """Send SIGKILL and wait until the child is dead."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def stop(self) -> None:
        """Send SIGSTOP and wait until the child stands still."""
        stand_still(self._process)

    def proceed(self) -> None:
        """Send SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def join(self, patience: float = PATIENCE) -> int:
        """Wait until the child has finished by itself, and return its exit code.

        Raises:
            TimeoutError: it did not in time; it still runs.
        """
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"process {self.pid} did not end within {patience} s") from None

    def end(self, patience: float = PATIENCE) -> int:
        """End the child's input, wait for it to finish, and return its exit code."""
        self._input.close()
        return self.join(patience)

    def complaints(self) -> str:
        """What the child wrote to its standard error."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def close(self) -> None:
        """Kill the child if it still runs, and free everything."""
        with suppress(ChildProcessError):  # it has ended, and nobody can tell how
            self.kill()
        for each in (self._input, self._output, self._errors):
            each.close()


class OtherProcess(Broker):
    """A broker in a child process of its own, which can be killed and stopped."""

    def __init__(
        self, url: str, capabilities: Capabilities, prepare: str = "", under: Sequence[str] = ()
    ) -> None:
        self._capabilities = capabilities
        self.child = Child(AGENT, url, prepare=prepare, under=under)
        try:
            reply = self.hear()
            assert isinstance(reply, Welcome), f"the child said {reply!r} before it was ready"
        except BaseException:
            self.child.close()
            raise

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        self.ask(Apply.of(commands))
        return self.outcomes()

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        self.ask(Wait(queue, seen, timeout))
        return self.woken()

    def close(self) -> None:
        if self.child.running:
            self.child.end()
        self.child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.child.close()

    def ask(self, body: Apply | Wait) -> None:
        """Send a request without waiting for its answer."""
        self.child.say(to_line(request(0, body)))

    def outcomes(self) -> list[Outcome]:
        """Return the answer to an ``Apply``."""
        reply = self.hear()
        assert isinstance(reply, Applied), reply
        return reply.rebuilt()

    def woken(self, patience: float = PATIENCE) -> Seen:
        """Return the answer to a ``Wait``, which has to come within some seconds."""
        reply = self.hear(patience)
        assert isinstance(reply, Woken), reply
        return reply.seen

    def hear(self, patience: float = PATIENCE) -> Body:
        """Return the child's next reply; an error is raised as itself."""
        line = self.child.hear(patience)
        if not line:
            raise OutcomeUnknown(f"the child ended without an answer: {self.child.complaints()}")
        reply = from_line(line)
        if isinstance(reply, Failed):
            raise reply.failure.rebuilt()
        return reply
