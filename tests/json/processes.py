"""Other processes that have a store open, started, stopped and killed by the tests."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from distqueue.commands import Command

_AGENT: Final = str(Path(__file__).with_name("agent.py"))


class Process:
    """A process that runs ``agent.py``."""

    def __init__(self, path: Path, **options: float) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, _AGENT, str(path), msgspec.json.encode(options).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self._popen.pid

    def tell(self, **request: Any) -> None:
        """Let the process do something, without waiting for the answer."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(msgspec.json.encode(request, enc_hook=bytes) + b"\n")
        self._popen.stdin.flush()

    def hear(self) -> Any:
        """Return the next answer."""
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        assert line, "the process ended"
        return msgspec.json.decode(line)

    def ask(self, **request: Any) -> Any:
        """Let the process do something and return its answer."""
        self.tell(**request)
        return self.hear()

    def apply(self, *commands: Command) -> Any:
        """Let the process carry out commands and return their outcomes."""
        return self.ask(apply=commands)

    def stop(self) -> None:
        """Let it stand still, whatever it is doing, and return once it does."""
        self._popen.send_signal(signal.SIGSTOP)
        state = ""
        while state not in ("T", "t"):
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def go_on(self) -> None:
        """Let it go on."""
        self._popen.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, as the kernel does when memory runs out."""
        self._popen.kill()
        self._popen.wait()

    def close(self) -> None:
        """End it and free what belongs to it."""
        self._popen.kill()
        self._popen.communicate()


@contextmanager
def running(path: Path, count: int = 1, **options: float) -> Iterator[Sequence[Process]]:
    """Run processes that have a store open, for the time of a block."""
    processes = [Process(path, **options) for _ in range(count)]
    try:
        for process in processes:
            assert process.hear() == "ready"
        yield processes
    finally:
        for process in processes:
            process.close()
