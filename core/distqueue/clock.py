"""What time it is for a store."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Two clocks, both in seconds since the Unix epoch."""

    def wall(self) -> float:
        """Return the time of day: for due times, expiry and what is shown."""

    def lease(self) -> float:
        """Return the time that leases run on."""
