"""The clocks of the machine, as a store reads them: one for due times, one for leases."""

from __future__ import annotations

import time


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
