"""What time it is for a store: one clock for due times, one for leases."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks, both in seconds since the Unix epoch."""

    def wall(self) -> float:
        """Return the time of day: for due times, expiry and what is shown."""

    def lease(self) -> float:
        """Return the time that leases run on."""


class SharedClock:
    """For a store that several processes open: leases run on the wall clock, the only one they share."""

    def wall(self) -> float:
        return time.time()

    def lease(self) -> float:
        return time.time()


class OwnClock:
    """For a store in one process: leases run on the monotonic clock, which nobody can set."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def wall(self) -> float:
        return time.time()

    def lease(self) -> float:
        return time.monotonic() + self._offset
