"""``memory://``: the task table and nothing else. Everything is gone with the process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final, Self

import msgspec
from msgspec import Meta

from distqueue.capabilities import Capabilities, Durability, Ordering, WakeUp
from distqueue.clock import Clock
from distqueue.commands import Command
from distqueue.errors import Closed
from distqueue.limits import MAX_BATCH, MAX_PAYLOAD
from distqueue.results import Seen
from distqueue.urls import StoreURL
from distqueue_backends.table.backend import TableBackend
from distqueue_backends.table.clock import OwnClock
from distqueue_backends.table.entry import Entry
from distqueue_backends.table.journal import NoJournal
from distqueue_backends.table.queue_table import QueueTable


class MemoryOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How long (seconds) and for how many tasks a queue remembers the ids of tasks that are gone."""

    dedup_window: Annotated[float, Meta(ge=0)] = 300.0
    dedup_max: Annotated[int, Meta(ge=0)] = 100_000


MEMORY_CAPABILITIES: Final = Capabilities(
    durability=Durability.MEMORY,
    ordering=Ordering.QUEUE,
    atomic_batch=True,
    fenced_receipts=True,
    priorities=True,
    delay=True,
    groups=True,
    unique=True,
    dedup_window=300.0,
    dedup_max=100_000,
    expiry=True,
    pause=True,
    fence=True,
    browse=True,
    keep_done=True,
    transactional_enqueue=False,
    shared_between_processes=False,
    wake_up=WakeUp.PUSH,
    attempts_apart_from_deliveries=True,
    max_payload=MAX_PAYLOAD,
    max_batch=MAX_BATCH,
)


class _Shared:
    """What the backends of one name share: the tables, and a condition that tells of changes."""

    def __init__(self) -> None:
        self.tables: dict[str, QueueTable] = {}
        self.changed = threading.Condition()
        self.users = 0


_NAMED: Final[dict[str, _Shared]] = {}
_NAMED_LOCK: Final = threading.RLock()


def _before_fork() -> None:
    """Let a child find every store whole, and no lock of a thread that it does not have."""
    _NAMED_LOCK.acquire()
    for shared in _NAMED.values():
        shared.changed.acquire()


def _after_fork() -> None:
    for shared in _NAMED.values():
        shared.changed.release()
    _NAMED_LOCK.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


class MemoryBackend(TableBackend[QueueTable]):
    """A store in this process: a private one, or (``memory://NAME``) one that several opens share."""

    @classmethod
    def open(cls, url: StoreURL, options: MemoryOptions, *, create: bool) -> Self:
        """Open the store that the URL names; there is always one."""
        return cls(options, name=url.host or url.path)

    @classmethod
    def on_clock(cls, url: StoreURL, options: MemoryOptions, clock: Clock) -> Self:
        """Open the store that the URL names, on a clock of the caller's."""
        return cls(options, name=url.host or url.path, clock=clock)

    def __init__(
        self, options: MemoryOptions | None = None, name: str | None = None, clock: Clock | None = None
    ) -> None:
        options = options or MemoryOptions()
        super().__init__(clock or OwnClock(), options.dedup_window, options.dedup_max)
        self.journal = NoJournal()
        self._name = name
        with _NAMED_LOCK:
            self._shared = _NAMED.setdefault(name, _Shared()) if name else _Shared()
            self._shared.users += 1
        self.tables = self._shared.tables
        self._capabilities = msgspec.structs.replace(
            MEMORY_CAPABILITIES, dedup_window=options.dedup_window, dedup_max=options.dedup_max
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def serve_at(self, address: str) -> bool:
        return True  # it is in this process, and nobody else's

    @contextmanager
    def commit(self, commands: Sequence[Command]) -> Iterator[None]:
        with self._shared.changed:
            self.set_time()
            yield
            if self.has_work():
                self._shared.changed.notify_all()

    def new_table(self, queue: str) -> QueueTable:
        return QueueTable(queue, self.dedup_window, self.dedup_max)

    def payloads(self, table: QueueTable, entries: Sequence[Entry]) -> list[bytes]:
        return [entry.where for entry in entries if isinstance(entry.where, bytes)]

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        now = self.clock.lease()
        at = seen.wake_at
        if at is not None and (timeout is None or at - now < timeout):
            timeout = max(0.0, at - now)
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._shared.changed:
            while not self._closing.is_set():
                version = self.tables[queue].version if queue in self.tables else 0
                left = None if deadline is None else deadline - time.monotonic()
                if version != seen.version or (left is not None and left <= 0):
                    return Seen(version)
                self._shared.changed.wait(left)
        raise Closed("the store was closed while waiting")

    def shut(self) -> None:
        with self._shared.changed:
            self._shared.changed.notify_all()
        with _NAMED_LOCK:
            self._shared.users -= 1
            if not self._shared.users and self._name:
                _NAMED.pop(self._name, None)
