"""The store of an app: opened once in each process, for all queues of the app."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

from distqueue.async_commit import AsyncCommit
from distqueue.broker import Broker
from distqueue.capabilities import Capabilities
from distqueue.commands import Claim, Command
from distqueue.errors import Closed
from distqueue.results import Lease, Outcome, Seen


class Store:
    """Opens its broker when it is first needed, in each process by itself."""

    def __init__(self, open_broker: Callable[[], Broker]) -> None:
        self._open_broker = open_broker
        self._opened: dict[int, _Opened] = {}

    def broker(self) -> Broker:
        """Return this process's broker."""
        return self._mine.broker()

    def lend(self) -> Broker:
        """Return this process's broker for somebody who will close it, while others still use it."""
        return Lent(self.broker())

    @property
    def commit(self) -> AsyncCommit:
        """Return what carries out commands of this process's coroutines."""
        return self._mine.commit

    def close(self) -> None:
        """Close this process's broker, if it was opened; it can be opened again."""
        if (mine := self._opened.pop(os.getpid(), None)) is not None:
            mine.close()

    @property
    def _mine(self) -> _Opened:
        # Never that of a process from which this one was forked; it stays referenced, see Client.
        pid = os.getpid()
        return self._opened.get(pid) or self._opened.setdefault(pid, _Opened(self._open_broker))


class _Opened:
    """What one process has open."""

    def __init__(self, open_broker: Callable[[], Broker]) -> None:
        self._open_broker = open_broker
        self._lock = threading.Lock()
        self._broker: Broker | None = None
        self._is_closed = False
        self.commit = AsyncCommit(self.broker)

    def broker(self) -> Broker:
        if self._broker is None:
            with self._lock:
                if self._is_closed:
                    raise Closed("the app has been closed meanwhile; call again")
                if self._broker is None:
                    self._broker = self._open_broker()
        return self._broker

    def close(self) -> None:
        self.commit.close()
        with self._lock:
            self._is_closed = True
            if self._broker is not None:
                self._broker.close()


class Lent(Broker):
    """A broker that others use as well: to close it only ends what it is lent for."""

    def __init__(self, inner: Broker) -> None:
        self._inner = inner

    @property
    def capabilities(self) -> Capabilities:
        return self._inner.capabilities

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return self._inner.apply(commands)

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        return self._inner.wait(queue, seen, timeout)

    def park(self, claim: Claim, seen: Seen, timeout: float | None) -> list[Lease] | None:
        return self._inner.park(claim, seen, timeout)

    def unpark(self, token: str | None = None) -> None:
        self._inner.unpark(token)

    def close(self) -> None:
        """Nothing: the app closes the store."""
