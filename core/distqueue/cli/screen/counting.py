"""The tasks of a worker's queues, counted now and then in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from distqueue.errors import DistqueueError
from distqueue.results import QueueStats

INTERVAL: Final = 2.0
"""How long there is between two counts, in seconds."""
_SOON: Final = 0.1
"""How long until the next try, in seconds, while the store is not open yet."""
SHARE: Final = 20
"""Of so many seconds one at most is spent on counting: some stores go through all tasks for it."""


class Counting:
    """Calls ``count`` at intervals, and keeps its last answer in :attr:`queues`."""

    def __init__(self, count: Callable[[], list[QueueStats]]) -> None:
        self.queues: list[QueueStats] = []
        self._count = count
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="distqueue-counting", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Count no more."""
        self._closing.set()

    def _run(self) -> None:
        pause = 0.0
        while not self._closing.wait(pause):
            began = time.monotonic()
            with suppress(DistqueueError):  # the worker finds out what is wrong, and says so
                self.queues = self._count()
            pause = max(INTERVAL if self.queues else _SOON, SHARE * (time.monotonic() - began))
