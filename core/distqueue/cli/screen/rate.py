"""How fast a count grows."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW: Final = 10.0
"""Over how many seconds a rate is taken."""


class Rate:
    """The growth of a count over the last seconds, a second; times are on the monotonic clock.

    >>> rate = Rate()
    >>> rate.note(0.0, 100)
    >>> rate.note(2.0, 80)
    >>> rate.per_second
    -10.0
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def note(self, at: float, count: int) -> None:
        """Take in how much it is at a time."""
        self._samples.append((at, count))
        while len(self._samples) > 2 and self._samples[1][0] <= at - WINDOW:
            self._samples.popleft()

    @property
    def per_second(self) -> float | None:
        """The growth a second, ``None`` while there is nothing to compare with."""
        (since, before), (at, now) = (self._samples or [(0.0, 0)])[0], (self._samples or [(0.0, 0)])[-1]
        return (now - before) / (at - since) if at > since else None
