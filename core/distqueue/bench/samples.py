"""What one round of a load gives: how many tasks in how many seconds, and how long each call took."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final, NamedTuple

WAKE_UP: Final = "wake-up"
"""The measure that has no rate: how long a task takes to a consumer that waits."""


class Counts(NamedTuple):
    """What became of the tasks that were acknowledged, added up over the rounds."""

    acknowledged: int
    handled: int
    """By the consumers, while the load ran."""
    lost: int
    """Neither handed out to anybody nor in the store any more."""
    doubled: int
    """Handed out more than once, although nobody died."""
    stuck: int
    """Still in the store, but not handed out to whoever asked for some seconds."""
    slowest_of_fastest: float
    """How much the slowest publisher got done, as a part of the fastest."""
    errors: int
    """Calls that failed."""
    error: str
    """The first of them."""


class Sample(NamedTuple):
    """One measure in one round; times are in seconds."""

    measure: str
    tasks: int
    seconds: float
    calls: list[float]
    """How long each call took."""
    counts: Counts | None = None

    @property
    def rate(self) -> float:
        """Tasks a second; of a wake-up, whose time is that of one task, it serves to compare."""
        return self.tasks / self.seconds if self.seconds else 0.0


def repeat(measure: str, call: Callable[[], int], seconds: float) -> Sample:
    """Call again and again until the time is up, or a call tells that it did nothing.

    ``call`` returns how many tasks it was about.
    """
    calls: list[float] = []
    tasks = 0
    began = now = perf_counter()
    until = began + seconds
    while now < until:
        done = call()
        if not done:
            break
        before, now = now, perf_counter()
        calls.append(now - before)
        tasks += done
    return Sample(measure, tasks, now - began, calls)
