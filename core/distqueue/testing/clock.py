"""The clock of a test: it stands still until it is told to go on."""

from __future__ import annotations

import time


class StillClock:
    """Both clocks of a store in one; it begins at the time of day."""

    def __init__(self) -> None:
        self._now = time.time()

    def wall(self) -> float:
        return self._now

    def lease(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so much time pass.

        Raises:
            ValueError: it would go back.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds:g} s; advance by 0 or more")
        self._now += seconds
