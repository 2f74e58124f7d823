"""What children print, taken in line by line: so that a screen is not torn apart by it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_PIECE: Final = 64 * 1024
_LONGEST_LINE: Final = 64 * 1024
"""How many bytes without a line break are kept back, waiting for one."""
_PATIENCE: Final = 1.0
"""How long the last lines are waited for, in seconds: who has a child's pipe may outlive the child."""

type Streams = tuple[int | None, int | None]
"""The standard output and the standard error of a child; ``None`` is that of its parent."""


class Output:
    """Gives each child a pipe to print to; ``tell`` is called with the lines, in threads of their own.

    With ``takes_stdout`` false only the standard error is taken in: the other one goes elsewhere already.
    """

    def __init__(self, tell: Callable[[list[str]], None], *, takes_stdout: bool = True) -> None:
        self._tell = tell
        self._takes_stdout = takes_stdout
        self._threads: list[threading.Thread] = []

    @contextmanager
    def streams(self) -> Iterator[Streams]:
        """Lend the streams for a child that is started in this block."""
        reader, writer = os.pipe()
        thread = threading.Thread(target=self._read, args=(reader,), name="distqueue-output", daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()
        try:
            yield (writer if self._takes_stdout else None), writer
        finally:
            os.close(writer)

    def close(self) -> None:
        """Wait until all that children printed has been told; they have to have ended."""
        deadline = time.monotonic() + _PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _read(self, reader: int) -> None:
        rest = b""
        while piece := os.read(reader, _PIECE):
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                lines, rest = [*lines, rest], b""
            if lines:
                self._tell([_text(line) for line in lines])
        os.close(reader)
        if rest:
            self._tell([_text(rest)])


def _text(line: bytes) -> str:
    """Return a line as a terminal would show it in the end: what a progress bar wrote over is gone."""
    return line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]
