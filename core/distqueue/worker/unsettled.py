"""What a worker has to settle: deliveries whose handlers have ended, until the store has answered."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from distqueue.commands import Ack, Settle
from distqueue.limits import MAX_BATCH_BYTES, payload_bytes
from distqueue.worker.running import Running

_PAUSE: Final = 2.0
"""After how long that is tried again which the store could not take, in seconds."""


class Settling(NamedTuple):
    """A delivery, and the command that settles it."""

    running: Running
    command: Settle

    @property
    def tasks(self) -> int:
        """How many tasks it is in a batch: its own, and those that follow from it."""
        return 1 + (len(self.command.then) if isinstance(self.command, Ack) else 0)


class Unsettled:
    """Hands out batches that one call can take, the oldest first."""

    def __init__(self) -> None:
        self.again_at = math.inf
        """When what was put off is tried again, on the monotonic clock."""
        self._ready: list[Settling] = []
        self._put_off: list[Settling] = []
        self._sent = 0

    def __bool__(self) -> bool:
        return bool(self._ready or self._put_off)

    def add(self, settling: Settling) -> None:
        """Settle one more."""
        self._ready.append(settling)

    def put_off(self, settling: Settling) -> None:
        """Settle it later: the store has no room for it now, or that part of it is not there.

        Its lease is renewed until then, which may need less.
        """
        if not settling.running.lost:
            settling.running.renew()
        self._put_off.append(settling)
        self.again_at = time.monotonic() + _PAUSE

    def withdraw(self, running: Running) -> None:
        """Settle a delivery no longer, if that was put off."""
        self._put_off = [one for one in self._put_off if one.running is not running]

    def batch(self, most: int) -> tuple[list[Settle], int]:
        """Return the commands of the next call, and how many tasks it can have besides, of ``most``."""
        if time.monotonic() >= self.again_at:
            for settling in self._put_off:
                settling.running.settling()
            self._ready += self._put_off
            self._put_off, self.again_at = [], math.inf
        tasks = size = self._sent = 0
        for settling in self._ready:
            added = settling.tasks
            if added > 1:
                size += payload_bytes([settling.command])
            if self._sent and (tasks + added > most or size > MAX_BATCH_BYTES):
                break
            tasks += added
            self._sent += 1
        return [one.command for one in self._ready[: self._sent]], most - tasks

    def answered(self) -> Sequence[Settling]:
        """The call was carried out: return what was in it, which is no longer to be settled."""
        sent, self._ready = self._ready[: self._sent], self._ready[self._sent :]
        return sent
