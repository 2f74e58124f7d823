"""Threads that run sync handlers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final


class Threads:
    """Runs calls in up to ``most`` threads; one more is started when none is free.

    As ``ThreadPoolExecutor``, but without a future for each call, which costs more than a small handler:
    a call says itself what came of it.
    """

    def __init__(self, most: int) -> None:
        self._most: Final = most
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._open: set[Callable[[], None]] = set()
        """What waits or runs."""
        self._started = 0

    def run(self, call: Callable[[], None]) -> None:
        """Let a thread make a call, which must not raise."""
        self._open.add(call)
        if self._started < min(len(self._open), self._most):
            self._started += 1
            name = f"distqueue-handler-{self._started}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        self._calls.put(call)

    def _work(self) -> None:
        while True:
            call = self._calls.get()
            call()
            self._open.discard(call)
