"""What a worker has done so far."""

from __future__ import annotations

import time

import msgspec


class Tally(msgspec.Struct):
    """Counts of settled deliveries, since the worker was started."""

    done: int = 0
    retried: int = 0
    dead: int = 0
    released: int = 0
    lost: int = 0
    children_died: int = 0
    since: float = msgspec.field(default_factory=time.monotonic)

    @property
    def handled(self) -> int:
        """How many handlers have come to an end."""
        return self.done + self.retried + self.dead
