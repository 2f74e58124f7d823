"""Puts that nobody waits for: stored together, within an interval."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from logging import getLogger
from typing import Final

from distqueue.combine import own_instance
from distqueue.commands import Command, Put
from distqueue.errors import Closed, Refused
from distqueue.limits import MAX_BATCH_BYTES
from distqueue.request import batches, good_puts
from distqueue.results import Outcome, Stored

MOST_UNWAITED: Final = 1000
"""So many unwaited puts are stored at once, without waiting for the interval's end."""

_logger = getLogger("distqueue")


class Unwaited:
    """Gathers puts; a thread of its own stores them ``interval`` seconds after the first one."""

    def __init__(self, apply: Callable[[Sequence[Command]], list[Outcome]], interval: float) -> None:
        self._apply = apply
        self._interval = interval
        self._pid = os.getpid()
        self._gathering = threading.Lock()
        self._storing = threading.Lock()
        self._gathered: list[tuple[Put, Future[Stored]]] = []
        self._bytes = 0
        self._some = threading.Event()
        self._now = threading.Event()
        self._is_closed = False
        self._thread: threading.Thread | None = None
        _living.add(self)

    def put(self, put: Put) -> Future[Stored]:
        """Return a future of the result. Never waits: see :attr:`is_full`.

        Raises:
            Closed: the queue has been closed.
        """
        future: Future[Stored] = Future()
        with self._gathering:
            if self._is_closed:
                raise Closed("the queue has been closed; open another one")
            self._gathered.append((put, future))
            self._bytes += len(put.data)
            self._start()
        if self.is_full:
            self._now.set()
        return future

    @property
    def is_full(self) -> bool:
        """Whether so much has gathered that it is stored at once; whoever can should wait for that."""
        return len(self._gathered) >= MOST_UNWAITED or self._bytes >= MAX_BATCH_BYTES

    @property
    def holds_any(self) -> bool:
        """Whether something has been put and not stored."""
        return bool(self._gathered)

    def flush(self) -> None:
        """Store what has been put so far. Returns once each of its futures has its outcome."""
        with self._storing:
            with self._gathering:
                gathered, self._gathered, self._bytes = self._gathered, [], 0
                if not self._is_closed:
                    self._some.clear()
                    self._now.clear()
            kept = [pair for pair in gathered if pair[1].running() or pair[1].set_running_or_notify_cancel()]
            try:
                if kept:
                    self._store(kept)
            except BaseException:  # an interrupt: what has no outcome yet is stored with the next ones
                with self._gathering:
                    self._gathered = [pair for pair in kept if not pair[1].done()] + self._gathered
                raise

    def close(self) -> None:
        """Store what has been put, and end the thread."""
        with self._gathering:
            self._is_closed = True
            self._some.set()
            self._now.set()
        self.flush()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def flush_at_exit(self) -> None:
        """Store what is left when the program ends, but only in the process that put it."""
        if self._pid == os.getpid():
            self.flush()

    def _start(self) -> None:
        self._some.set()
        if self._thread is None:
            if "multiprocessing.util" in sys.modules:  # its children end without atexit
                sys.modules["multiprocessing.util"].Finalize(None, _flush_all, exitpriority=10)
            self._thread = threading.Thread(target=self._run, name="distqueue-unwaited", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._is_closed:
            self._some.wait()
            self._now.wait(self._interval)
            self.flush()

    def _store(self, pairs: Sequence[tuple[Put, Future[Stored]]]) -> None:
        futures = iter([future for _, future in pairs])
        for batch in batches((put for put, _ in pairs), MOST_UNWAITED):
            some = [next(futures) for _ in batch]
            try:
                _resolve(some, self._apply(good_puts(batch)))
            except Exception as error:  # noqa: BLE001 - it belongs to whoever holds the futures
                _fail(some, error)


# Perhaps nobody ever looks at a future, so what went wrong is logged too.


def _resolve(futures: Sequence[Future[Stored]], outcomes: Sequence[Outcome]) -> None:
    for future, outcome in zip(futures, outcomes):
        if isinstance(outcome, Stored):
            future.set_result(outcome)
        elif isinstance(outcome, Refused):
            _fail([future], outcome)


def _fail(futures: Sequence[Future[Stored]], error: Exception) -> None:
    _logger.error("%d tasks put without waiting are not stored: %s", len(futures), error)
    for future in futures:
        future.set_exception(own_instance(error))


_living: weakref.WeakSet[Unwaited] = weakref.WeakSet()


@atexit.register
def _flush_all() -> None:
    for unwaited in list(_living):
        unwaited.flush_at_exit()
