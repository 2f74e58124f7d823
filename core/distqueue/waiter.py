"""Waiting for tasks on behalf of many coroutines: one thread for a queue, however many wait.

One change wakes one sleeper. If that finds a task, it wakes the next, as there may be more; if it
finds none, there is none for the others either.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from distqueue.errors import Closed
from distqueue.results import Seen


class Waiter:
    """Sleepers, and the thread that waits for them. All but the thread runs in the event loop."""

    def __init__(self, wait: Callable[[Seen], object]) -> None:
        self._wait = wait
        self._changed = threading.Condition()
        self._asked: tuple[Seen, asyncio.AbstractEventLoop] | None = None
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._sleepers: deque[asyncio.Future[None]] = deque()

    async def sleep(self, seen: Seen, at_most: float | None) -> None:
        """Return once there may be more than ``seen``, or after ``at_most`` seconds.

        Raises:
            Closed: the queue was closed.
        """
        loop = asyncio.get_running_loop()
        sleeper: asyncio.Future[None] = loop.create_future()
        self._sleepers.append(sleeper)
        alarm = None if at_most is None else loop.call_later(at_most, _wake, sleeper)
        try:
            self._wait_for(seen, loop)
            await sleeper
        finally:
            if alarm is not None:
                alarm.cancel()
            with suppress(ValueError):
                self._sleepers.remove(sleeper)

    def wake_one(self) -> None:
        """Let the coroutine that has slept longest look for itself."""
        while self._sleepers:
            if _wake(self._sleepers.popleft()):
                return

    def close(self) -> None:
        """Let every sleeper raise ``Closed``. The thread ends once the broker is closed."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._fail_all(Closed("the queue was closed while waiting"))

    def join(self) -> None:
        """Wait for the end of the thread."""
        if self._thread is not None:
            self._thread.join()

    def _wait_for(self, seen: Seen, loop: asyncio.AbstractEventLoop) -> None:
        with self._changed:
            if self._is_closed:
                raise Closed("the queue was closed while waiting")
            self._asked = (seen, loop)
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="distqueue-waiter", daemon=True)
            self._thread.start()

    def _fail_all(self, error: Exception) -> None:
        while self._sleepers:
            sleeper = self._sleepers.popleft()
            if not sleeper.done():
                sleeper.set_exception(error)

    # --- In the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while (next_one := self._next()) is not None:
            seen, loop = next_one
            try:
                self._wait(seen)
            except Exception as error:  # noqa: BLE001 - it belongs to those who wait
                _in_loop(loop, self._fail_all, error)
            else:
                _in_loop(loop, self.wake_one)

    def _next(self) -> tuple[Seen, asyncio.AbstractEventLoop] | None:
        """Return what the last sleeper has seen, once there is one; ``None`` at the end."""
        with self._changed:
            while self._asked is None and not self._is_closed:
                self._changed.wait()
            asked, self._asked = self._asked, None
            return None if self._is_closed else asked


def _wake(sleeper: asyncio.Future[None]) -> bool:
    """Wake a coroutine if it still sleeps."""
    if sleeper.done():
        return False
    sleeper.set_result(None)
    return True


def _in_loop[*A](loop: asyncio.AbstractEventLoop, function: Callable[[*A], None], *arguments: *A) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(function, *arguments)
