"""A terminal that a command draws on, read as a person sees it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from typing import Any

import pyte

from .conftest import Shell

_BOUND = 25.0
"""How long anything is waited for at most, in seconds."""


class Terminal:
    """A terminal of 120 by 60; ``seen`` is all that was written to it."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.own, self.other = pty.openpty()
        fcntl.ioctl(self.own, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 120, 0, 0))
        self.modes = termios.tcgetattr(self.other)
        self.seen = b""
        self._screen = pyte.Screen(120, 60)
        self._stream = pyte.ByteStream(self._screen)

    def start(self, *arguments: str, **streams: Any) -> subprocess.Popen[str]:
        """Start a command whose streams are this terminal, unless others are given."""
        return self._shell.start(
            *arguments, **{**dict.fromkeys(("stdin", "stdout", "stderr"), self.other), **streams}
        )

    def type(self, keys: str) -> None:
        """Type something."""
        os.write(self.own, keys.encode())

    @property
    def lines(self) -> list[str]:
        """What stands there now, but for empty lines."""
        return [line.rstrip() for line in self._screen.display if not line.isspace()]

    @property
    def text(self) -> str:
        """The same in one piece."""
        return "\n".join(self.lines)

    def is_as_before(self) -> bool:
        """Whether the cursor is shown, the screen is the usual one, and keys do what they did before."""
        is_usual = self.seen.count(b"\x1b[?1049h") == self.seen.count(b"\x1b[?1049l")
        return is_usual and not self._screen.cursor.hidden and termios.tcgetattr(self.other) == self.modes

    def wait_for(self, *texts: str) -> None:
        """Return once these texts stand there at the same time."""
        self._read(lambda: all(text in self.text for text in texts), f"{texts} did not appear")

    def wait_until_gone(self, text: str) -> None:
        """Return once a text stands there no longer."""
        self._read(lambda: text not in self.text, f"{text} is still there")

    def wait_end(self, child: subprocess.Popen[str]) -> int:
        """Return the exit code of a command once it has ended and all that it wrote is there."""
        self._read(lambda: child.poll() is not None, "it did not end")
        self._take_all()
        return child.wait()

    def interrupt(self, child: subprocess.Popen[str]) -> int:
        """Press Ctrl-C and return the exit code."""
        child.send_signal(signal.SIGINT)
        return self.wait_end(child)

    def suspend(self, child: subprocess.Popen[str]) -> None:
        """Let a command with a process group of its own stop, as Ctrl-Z does, and wait until it has."""
        child.send_signal(signal.SIGTSTP)
        self._read(lambda: _is_stopped(child.pid), "it did not stop")
        self._take_all()

    def close(self) -> None:
        """Take the terminal away."""
        os.close(self.own)
        os.close(self.other)

    def _read(self, is_enough: Any, complaint: str) -> None:
        deadline = time.monotonic() + _BOUND
        while not is_enough():
            assert time.monotonic() < deadline, f"{complaint}:\n{self.text}"
            if select.select([self.own], [], [], 0.05)[0]:
                self._take()

    def _take_all(self) -> None:
        while select.select([self.own], [], [], 0)[0]:
            self._take()

    def _take(self) -> None:
        data = os.read(self.own, 65536)
        self.seen += data
        self._stream.feed(data)


def _is_stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"
