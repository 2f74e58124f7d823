"""A store, used directly, or through the broker process that serves it: whichever it is now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from msgspec.structs import replace

from distqueue.broker import Broker
from distqueue.broker.again import apply_again
from distqueue.broker.channel import Broken, Channel
from distqueue.broker.connection import GRACE, Connection, Gone
from distqueue.capabilities import Capabilities
from distqueue.commands import Claim, Command
from distqueue.errors import Closed, StoreServed
from distqueue.outcomes import leases_in
from distqueue.results import Lease, Outcome, Seen

_PAUSE: Final = 0.01


class Door(Broker):
    """Goes over to a broker process that takes the store, and back when that is gone for good.

    ``open_directly`` opens the store, or raises ``StoreServed``, as the store itself does from the
    moment on that a broker process has it. ``grace`` is how long one that died is waited for, in seconds.
    Receipts stay what they are: it is the same store.
    """

    def __init__(self, open_directly: Callable[[], Broker], grace: float = GRACE) -> None:
        self._open_directly = open_directly
        self._grace = grace
        self._switching = threading.Lock()
        self._is_closed = False
        self._inner = self._opened()

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        inner = self._inner
        try:
            return inner.attempt(commands) if isinstance(inner, Connection) else inner.apply(commands)
        except StoreServed as served:
            self._switch(inner, served)
            if served.outcomes:
                return self._completed(commands, served.outcomes)
        except Gone as gone:
            self._switch(inner)
            if gone.sent:
                return apply_again(self.apply, commands, gone.began)
        return self.apply(commands)

    def _completed(self, commands: Sequence[Command], outcomes: Sequence[Outcome | None]) -> list[Outcome]:
        """Carry out those of the commands that have no outcome yet."""
        rest = [command for command, outcome in zip(commands, outcomes) if outcome is None]
        answers = iter(self.apply(rest))
        return [next(answers) if outcome is None else outcome for outcome in outcomes]

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        inner = self._inner
        try:
            return inner.wait(queue, seen, timeout)
        except Closed:
            if self._is_closed:
                raise
            return Seen()  # the door was closed behind another way in: look for yourself

    def park(self, claim: Claim, seen: Seen, timeout: float | None) -> list[Lease] | None:
        inner = self._inner
        if not isinstance(inner, Connection):
            return inner.park(claim, seen, timeout)
        try:
            return inner.attempt_park(claim, seen, timeout)
        except Gone:
            return leases_in(self.apply([replace(claim, again=True)]))
        except Closed:
            if self._is_closed:
                raise
            return []  # the door was closed behind another way in: claim to know

    def unpark(self, token: str | None = None) -> None:
        self._inner.unpark(token)

    def close(self) -> None:
        with self._switching:
            self._is_closed = True
            self._inner.close()

    def _switch(self, old: Broker, served: StoreServed | None = None) -> None:
        """Find another way into the store than ``old``, unless another thread has."""
        with self._switching:
            if self._is_closed:
                raise Closed("the queue was closed")
            if self._inner is old:
                self._inner = self._opened(served)
                old.close()

    def _opened(self, served: StoreServed | None = None) -> Broker:
        """Return the store, by whichever way there is."""
        deadline = time.monotonic() + self._grace
        while True:
            if served is not None:
                with suppress(OSError, Broken):
                    dial = partial(Channel.to_socket, served.address)
                    return Connection(dial, self._grace, first=dial())
                if time.monotonic() >= deadline:
                    raise served
                time.sleep(_PAUSE)
            try:
                return self._open_directly()
            except StoreServed as now:
                served = now
