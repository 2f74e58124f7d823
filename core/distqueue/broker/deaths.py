"""Proof that a consumer's process died: its leases end at once, and each used up an attempt.

A broken connection proves nothing. Only the kernel does, through a descriptor of the process (pidfd),
which cannot be mistaken for that of a later process with the same number.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from distqueue.commands import Command, Extend, Settle
from distqueue.results import Claimed, Outcome, Settled

AT_ONCE: Final = 0.000001
"""A lease that ends now, in seconds: an attempt is used up, and the task is where it stood."""
_TIDY_EVERY: Final = 1000


class Consumer:
    """A client's process, and the leases that it holds."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self._leases: dict[str, tuple[str, float]] = {}
        self._tidy_at = _TIDY_EVERY

    def fileno(self) -> int:
        """Return the descriptor, which becomes readable when the process dies."""
        return self.pidfd

    @property
    def holds_leases(self) -> bool:
        """Whether something is left to be done when the process dies."""
        return bool(self._leases)

    def note(self, commands: Sequence[Command], outcomes: Sequence[Outcome]) -> None:
        """Note which leases the process got, and which it gave up."""
        for command, outcome in zip(commands, outcomes):
            if isinstance(outcome, Claimed):
                for lease in outcome.leases:
                    self._leases[lease.receipt] = (command.queue, lease.until)
            elif isinstance(command, Extend) and isinstance(outcome, Settled):
                self._leases[command.receipt] = (command.queue, outcome.until or 0.0)
            elif isinstance(command, Settle):
                self._leases.pop(command.receipt, None)
        if len(self._leases) > self._tidy_at:
            self._tidy()

    def last_will(self) -> list[Extend]:
        """Return the commands that end the leases of a dead process."""
        return [
            Extend(queue=queue, receipt=receipt, lease=AT_ONCE)
            for receipt, (queue, _) in self._leases.items()
        ]

    def close(self) -> None:
        """Free the descriptor."""
        os.close(self.pidfd)

    def _tidy(self) -> None:
        now = time.time()
        self._leases = {receipt: held for receipt, held in self._leases.items() if held[1] > now}
        self._tidy_at = _TIDY_EVERY + 2 * len(self._leases)


def watched(pid: int | None) -> Consumer | None:
    """Return what watches a process, if it can be watched."""
    if pid is not None and hasattr(os, "pidfd_open"):
        with suppress(OSError):
            return Consumer(pid)
    return None
