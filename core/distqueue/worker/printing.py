"""What handlers print: in whole lines, though many threads print at once."""

from __future__ import annotations

import io
import sys
import threading


class WholeLines(io.TextIOWrapper):
    """A stream that writes each line in one piece; what is less than one waits in its thread.

    ``flush`` writes that too, such as the dots of somebody who shows progress.
    """

    def __init__(self, stream: io.TextIOWrapper) -> None:
        self._rests: dict[int, str] = {}
        encoding, errors = stream.encoding, stream.errors
        super().__init__(stream.detach(), encoding, errors, write_through=True)

    def write(self, text: str, /) -> int:
        me = threading.get_ident()
        lines, end, rest = text.rpartition("\n")
        if end:
            super().write(f"{self._rests.pop(me, '')}{lines}\n")
        if rest:
            self._rests[me] = self._rests.get(me, "") + rest
        return len(text)

    def flush(self) -> None:
        self._write_rest(threading.get_ident())
        super().flush()

    def flush_all(self) -> None:
        """Write what waits in any thread."""
        for thread in list(self._rests):
            self._write_rest(thread)
        super().flush()

    def end_line(self) -> None:
        """Write what waits in this thread, if anything does."""
        if self._rests:
            self.flush()

    def _write_rest(self, thread: int) -> None:
        if rest := self._rests.pop(thread, ""):
            super().write(rest)


class Printing:
    """The standard output and error of this process, as handlers see them from now on."""

    def __init__(self) -> None:
        self._streams: list[WholeLines] = []
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if isinstance(stream, io.TextIOWrapper):
                whole = WholeLines(stream)
                setattr(sys, name, whole)
                setattr(sys, f"__{name}__", whole)
                self._streams.append(whole)

    def end_handler(self) -> None:
        """Write what a handler has left behind it in this thread."""
        for stream in self._streams:
            stream.end_line()

    def end(self) -> None:
        """Write what is left."""
        for stream in self._streams:
            stream.flush_all()
