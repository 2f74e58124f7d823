"""How long a failed task waits before its next attempt."""

from __future__ import annotations

import random

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """Exponential backoff with jitter, in seconds.

    Attempt *n* waits ``first * factor ** (n - 1)``, at most ``cap``, of which a random share of up
    to ``jitter`` (0 to 1) is taken off, so that tasks which failed together do not return together.

    >>> Backoff(first=2, jitter=0).delay(3)
    8.0
    """

    first: float = 1.0
    factor: float = 2.0
    cap: float = 3600.0
    jitter: float = 0.25

    def delay(self, attempt: int) -> float:
        """Return the delay after the failure of attempt number ``attempt`` (the first is 1)."""
        try:
            full = min(self.first * self.factor ** (attempt - 1), self.cap)
        except OverflowError:
            full = self.cap
        return float(full * (1 - self.jitter * random.random()))
