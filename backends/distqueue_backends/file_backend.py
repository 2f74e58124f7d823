"""What stores that are a file have in common: a lock and a bell beside it, and who may use it."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from threading import Event
from typing import Final, Protocol

import msgspec

from distqueue.capabilities import Capabilities
from distqueue.clock import Clock
from distqueue.commands import Command
from distqueue.errors import Closed, OutcomeUnknown, StoreFailed
from distqueue.limits import check_batch
from distqueue.results import Seen
from distqueue_backends.bell import Bell
from distqueue_backends.filesystem import DirectoryWatch
from distqueue_backends.lock import StoreLock
from distqueue_backends.table.backend import TableBackend
from distqueue_backends.table.clock import OwnClock, SharedClock
from distqueue_backends.table.queue_table import QueueTable

_log: Final = logging.getLogger("distqueue")

SAFETY_POLL: Final = 5.0
"""How long a waiting consumer sleeps at most: a writer may be killed before it rings the bell."""


def longest_wait(clock: Clock, seen: Seen, timeout: float | None) -> float:
    """Return for how many seconds a consumer waits at most, before it looks for itself."""
    longest = SAFETY_POLL if timeout is None else min(timeout, SAFETY_POLL)
    if seen.wake_at is not None:
        longest = min(longest, max(0.0, seen.wake_at - clock.lease()))
    return longest


def wait_for_ring(bell: Bell, closing: Event, seen: Seen, longest: float) -> Seen:
    """Return once the bell rang since ``seen``, or after so many seconds.

    Raises:
        Closed: the store was closed meanwhile.
    """
    rings = bell.wait(seen.version, longest)
    if closing.is_set():
        raise Closed("the store was closed while waiting")
    return Seen(rings)


class FileOptions(Protocol):
    """The options that every such store has."""

    @property
    def dedup_window(self) -> float: ...
    @property
    def dedup_max(self) -> int: ...
    @property
    def lock_timeout(self) -> float: ...


class FileBackend[T: QueueTable](TableBackend[T]):
    """A file that several processes share; a broker process can take it for itself."""

    def __init__(self, path: str, options: FileOptions, capabilities: Capabilities) -> None:
        super().__init__(SharedClock(), options.dedup_window, options.dedup_max)
        self.path = os.path.abspath(path)
        self._capabilities = msgspec.structs.replace(
            capabilities, dedup_window=options.dedup_window, dedup_max=options.dedup_max
        )
        self._directory = DirectoryWatch(os.path.dirname(self.path))
        self._lock: StoreLock
        self._bell: Bell
        self._has_failed = False

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def serve_at(self, address: str) -> bool:
        with self._lock:
            self._lock.hold(address)
        self.clock = OwnClock()
        return True

    def check_usable(self, commands: Sequence[Command]) -> None:
        """Refuse a call that cannot be carried out here.

        Raises:
            Closed, StoreFailed: the store is closed, or has to be.
            TooLarge: the batch is over a limit.
        """
        if self._closing.is_set():
            raise Closed("the store is closed; open the URL again")
        if self._has_failed:
            raise StoreFailed(f"a sync of {self.path} failed before; close the store and open it again")
        check_batch(commands, self._capabilities)

    def failed(self, error: Exception) -> OutcomeUnknown:
        """Note, for everybody, that a sync failed and the store has to be recovered; return what to raise."""
        self._has_failed = True
        try:
            self._lock.mark_failed()
        except OSError as too:
            _log.warning("%s could not be marked as failed: %s", self.path, too)
        return OutcomeUnknown(
            f"{self.path} could not be synced ({error}); the commands may or may not be stored. "
            "Open the store again, which recovers it, and publish again with the same task ids"
        )

    def version_of(self, table: QueueTable) -> int:
        return self._bell.rings()

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        return wait_for_ring(self._bell, self._closing, seen, longest_wait(self.clock, seen, timeout))
