"""What a worker has done so far."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

import msgspec

KEPT_FAILURES: Final = 20
"""How many of the last failures are remembered."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that failed, at a time in seconds since the Unix epoch."""

    at: float
    task_id: str
    task: str
    attempt: int
    error: str


class Tally(msgspec.Struct):
    """Counts of settled deliveries, and the last failures, since the worker was started."""

    done: int = 0
    retried: int = 0
    dead: int = 0
    released: int = 0
    lost: int = 0
    children_died: int = 0
    since: float = msgspec.field(default_factory=time.monotonic)
    failures: deque[Failure] = msgspec.field(default_factory=lambda: deque(maxlen=KEPT_FAILURES))

    @property
    def failed(self) -> int:
        """How many attempts have failed."""
        return self.retried + self.dead
