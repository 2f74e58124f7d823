"""Waiting for tasks on behalf of many coroutines: one thread for a queue, however many wait.

The claim of the one that has slept longest is parked, if the broker lets a claim wait; otherwise a change
wakes that one, and it looks for itself. If it finds a task, it wakes the next, as there may be more; if it
finds none, there is none for the others either.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from distqueue.broker import Broker
from distqueue.commands import Claim, Release
from distqueue.errors import Closed
from distqueue.results import Lease, Seen

_PAUSE: Final = 0.02


class _Sleeper(msgspec.Struct, eq=False):
    """A coroutine that sleeps, and what it wants to claim."""

    claim: Claim
    seen: Seen
    leases: asyncio.Future[list[Lease]]

    def wake(self, leases: list[Lease]) -> bool:
        """Wake the coroutine if it still sleeps."""
        if self.leases.done():
            return False
        self.leases.set_result(leases)
        return True

    def unclaimed(self) -> list[Lease]:
        """Return what was claimed for a coroutine that was cancelled while it was told so."""
        told = self.leases.done() and not self.leases.cancelled() and self.leases.exception() is None
        return self.leases.result() if told else []


class Waiter:
    """Sleepers, and the thread that waits for them. All but the thread runs in the event loop.

    ``give_back`` is called, in the loop, with what was claimed for a sleeper that is gone.
    """

    def __init__(self, broker: Callable[[], Broker], give_back: Callable[[list[Lease]], object]) -> None:
        self.in_flight = threading.RLock()
        """Held while a claim is parked, and until the loop has been told what came of it."""
        self._broker = broker
        self._give_back = give_back
        self._changed = threading.Condition()
        self._asked: _Sleeper | None = None
        self._is_closed = self._is_parking = False
        self._thread: threading.Thread | None = None
        self._sleepers: deque[_Sleeper] = deque()
        self._served: _Sleeper | None = None

    async def sleep(self, claim: Claim, seen: Seen, at_most: float | None) -> list[Lease]:
        """Return what was claimed, once there may be more than ``seen``, or after ``at_most`` seconds.

        That is nothing if the broker lets no claim wait, and may be nothing anyway: claim again to know.

        Raises:
            Closed: the queue was closed.
        """
        loop = asyncio.get_running_loop()
        sleeper = _Sleeper(claim, seen, loop.create_future())
        self._sleepers.append(sleeper)
        alarm = None if at_most is None else loop.call_later(at_most, sleeper.wake, [])
        try:
            self._serve(self._sleepers[0], seen)
            return await sleeper.leases
        except BaseException:
            self._give_back(sleeper.unclaimed())
            raise
        finally:
            if alarm is not None:
                alarm.cancel()
            with suppress(ValueError):
                self._sleepers.remove(sleeper)
            self._withdraw(sleeper)

    def wake_one(self) -> None:
        """Let the coroutine that has slept longest look for itself, unless the thread serves it."""
        for sleeper in list(self._sleepers):
            if sleeper is not self._served:
                self._sleepers.remove(sleeper)
                if sleeper.wake([]):
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

    def _serve(self, sleeper: _Sleeper, seen: Seen) -> None:
        """Let the thread wait for a sleeper, if it does not wait for one already."""
        if self._is_closed:
            raise Closed("the queue was closed while waiting")
        if self._served is not None:
            if not self._served.leases.get_loop().is_closed():
                return
            self._unpark(self._served)  # nobody can be told any longer what it waits for
        sleeper.seen = seen
        self._served = sleeper
        with self._changed:
            self._asked = sleeper
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="distqueue-waiter", daemon=True)
            self._thread.start()

    def _withdraw(self, sleeper: _Sleeper) -> None:
        """Let the thread come back if it serves a sleeper that is gone."""
        if self._served is sleeper and self._unpark(sleeper):
            sleeper.leases.get_loop().call_later(_PAUSE, self._withdraw, sleeper)  # if it had only begun

    def _unpark(self, sleeper: _Sleeper) -> bool:
        """Give up the claim of a sleeper, if it is parked; return whether it was."""
        if self._is_parking:
            self._broker().unpark(sleeper.claim.token)
        return self._is_parking

    def _returned(self, leases: list[Lease]) -> None:
        """The thread is back, with what it claimed, or with news for whoever looks first."""
        served, self._served = self._served, None
        if not leases:
            self.wake_one()
        elif served is None or not served.wake(leases):
            self._give_back(leases)
            self.wake_one()

    def _fail_all(self, error: Exception) -> None:
        self._served = None
        while self._sleepers:
            sleeper = self._sleepers.popleft()
            if not sleeper.leases.done():
                sleeper.leases.set_exception(error)

    # --- In the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while (sleeper := self._next()) is not None:
            loop = sleeper.leases.get_loop()
            try:
                if self._park(sleeper, loop) is None:
                    self._broker().wait(sleeper.claim.queue, sleeper.seen, None)
                    _in_loop(loop, self._returned, [])
            except Exception as error:  # noqa: BLE001 - it belongs to those who wait
                _in_loop(loop, self._fail_all, error)

    def _next(self) -> _Sleeper | None:
        """Return whom to wait for, once there is one; ``None`` at the end."""
        with self._changed:
            while self._asked is None and not self._is_closed:
                self._changed.wait()
            asked, self._asked = self._asked, None
            return None if self._is_closed else asked

    def _park(self, sleeper: _Sleeper, loop: asyncio.AbstractEventLoop) -> list[Lease] | None:
        """Park a claim, if the broker does that, and tell the loop what came of it."""
        with self.in_flight:
            if self._is_closed:
                return []
            self._is_parking = True
            try:
                leases = self._broker().park(sleeper.claim, sleeper.seen, None)
            finally:
                self._is_parking = False
            if leases is not None and not _in_loop(loop, self._returned, leases) and leases:
                releases = [Release(queue=sleeper.claim.queue, receipt=lease.receipt) for lease in leases]
                self._broker().apply(releases)
            return leases


def _in_loop[*A](loop: asyncio.AbstractEventLoop, function: Callable[[*A], None], *arguments: *A) -> bool:
    """Call a function in the loop; ``False`` if that is closed, and nobody waits there any longer."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        return False
    return True
