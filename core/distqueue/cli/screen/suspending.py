"""Ctrl-Z: the terminal is given back before the program stops, and drawn on anew when it goes on."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import TracebackType
from typing import Self


class CtrlZ:
    """Notes in a block that the program is to stop (SIGTSTP): who draws looks at :attr:`is_due`, then stops.

    ``wake`` is called in the signal handler.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self.is_due = False
        """Whether the terminal is to be given back, and :meth:`stop` called then."""
        self._wake = wake
        self._before = signal.getsignal(signal.SIGTSTP)

    def __enter__(self) -> Self:
        if self._before is signal.SIG_DFL:  # not where a shell without job control has it ignored
            signal.signal(signal.SIGTSTP, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGTSTP, self._before)

    def stop(self) -> None:
        """Stop this process until it is continued."""
        self.is_due = False
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._note)

    def _note(self, *_: object) -> None:
        self.is_due = True
        self._wake()
