"""An event loop for queues that have coroutines only: a blocking program that uses them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


class Loop:
    """Runs what can be awaited, each to its end."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run[T](self, awaitable: Awaitable[T]) -> T:
        """Return what it returns."""
        return self._loop.run_until_complete(awaitable)

    def close(self) -> None:
        """Close the loop."""
        self._loop.close()
