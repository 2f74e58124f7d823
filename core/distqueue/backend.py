"""The base class for authors of backends: commands become one method each, with plain arguments.

Nine verbs must be written (``put``, ``claim``, ``ack``, ``retry``, ``release``, ``reject``,
``extend``, ``find`` and ``shut``). The others refuse with ``Unsupported`` until they are, and the
backend says so in its capabilities.
"""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, ClassVar, Final

import msgspec

from distqueue import commands as c
from distqueue.broker import Broker
from distqueue.capabilities import Capabilities
from distqueue.clock import Clock
from distqueue.commands import Ack, Command, Put
from distqueue.errors import Closed, InvalidTask, Refused, Unsupported
from distqueue.fences import EVERY, FenceLevel
from distqueue.limits import (
    MAX_TRACEBACK,
    check_batch,
    check_command,
    check_put,
    check_queue_name,
    check_types,
    cut_error,
)
from distqueue.payload import Payload
from distqueue.payload import check as check_payload
from distqueue.results import (
    AnyResult,
    Browsed,
    Claimed,
    Cleared,
    Counted,
    Fenced,
    Found,
    Loaded,
    Outcome,
    PauseSet,
    Purged,
    Redriven,
    Removed,
    Seen,
    Settled,
)
from distqueue.retry import Backoff
from distqueue.task import RememberedTask, TaskRecord, TaskState
from distqueue.transfer.checking import check_remembered, check_task
from distqueue.urls import StoreURL
from distqueue.within import Within


class Fsck(msgspec.Struct, frozen=True, kw_only=True):
    """What the examination of a store found, a sentence each; and where bad bytes were kept aside."""

    is_sound: bool
    findings: list[str]
    kept_aside: str | None = None


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """From which version of its tables a store goes to which, and the SQL for that if it was asked for.

    ``unasked`` is why the database was not asked for the version that it has, if it should have been.
    """

    before: int
    after: int
    sql: str = ""
    unasked: str = ""


class OpenStore(Broker):
    """A store that this process has open: what a URL opens, and a broker process serves.

    One thread at a time calls ``apply``; ``wait`` and ``close`` come from any. A :class:`Backend` is
    one, and so is whatever divides its commands among several backends.
    """

    _closing: threading.Event

    def __init__(self) -> None:
        self._closing = threading.Event()

    @classmethod
    def fsck(cls, url: StoreURL, options: Any, *, repair: bool) -> Fsck:
        """Examine the store at a URL, and mend it if ``repair`` is true; nobody else may change it."""
        raise Unsupported(f"{url.scheme}: has nothing to examine here; the engine has tools of its own")

    @classmethod
    def migrate(cls, url: StoreURL, options: Any, *, only_sql: bool, since: int | None = None) -> Migration:
        """Make the tables of the store, or bring them up to date; with ``only_sql``, say by which SQL.

        That starts from the version ``since``; if none is given, from the one that the store has.
        """
        raise Unsupported(
            f"{url.scheme}: has nothing to migrate; a store is made and kept up to date by opening it"
        )

    @classmethod
    def within(cls, url: StoreURL, options: Any, connection: object) -> Within:
        """Return what carries out puts in the transaction open on an application's connection."""
        raise Unsupported(
            f"{url.scheme}: cannot put tasks in a transaction of the application's; leave connection= out, "
            "or use a store that can (sqlite:, postgresql:)"
        )

    @classmethod
    def on_clock(cls, url: StoreURL, options: Any, clock: Clock) -> OpenStore:
        """Open the store at a URL so that it reads the time from a clock of the caller's: for tests."""
        raise Unsupported(f"{cls.__name__} reads the clock of the machine; use memory: where time is made up")

    def serve_at(self, address: str) -> bool:
        """Keep the store for this process, which serves it to others at a Unix socket.

        Return whether nobody else can change it from now on. Who tries to open or use it directly gets
        ``StoreServed`` with the address. By default nothing is kept, and others may use it too.
        """
        return False

    @abstractmethod
    def shut(self) -> None:
        """Free everything; called once, by ``close``, when no ``apply`` is running."""

    @property
    def is_closed(self) -> bool:
        """Whether it has been closed: what a ``wait`` looks at that ``shut`` has woken."""
        return self._closing.is_set()

    def close(self) -> None:
        if not self._closing.is_set():
            self._closing.set()
            self.shut()

    def close_in_child(self) -> None:
        """In a process that a fork has made: it is no longer open, whatever a thread of the parent did."""
        self._closing = threading.Event()
        self._closing.set()


def each[C](verb: Callable[[C], Outcome], commands: Sequence[C]) -> list[Outcome]:
    """Carry out a verb on each command; the refusal of one is its outcome, and the others are carried out.

    >>> def put(self, tasks: Sequence[Put]) -> list[Outcome]:
    ...     return each(self.store, tasks)
    """
    outcomes: list[Outcome] = []
    for command in commands:
        try:
            outcomes.append(verb(command))
        except Refused as refusal:
            outcomes.append(refusal.with_traceback(None))
    return outcomes


class Backend(OpenStore):
    """A storage driver: one method for each command.

    A verb returns its result or raises a :class:`~distqueue.errors.Refused`; anything else that it
    raises ends the whole call. Names, options, sizes and payloads have been checked before.
    """

    poll_interval: ClassVar[float] = 0.05
    """How long the default ``wait`` sleeps at most, in seconds."""

    # --- What an author writes: required --------------------------------------------------------

    @abstractmethod
    def put(self, tasks: Sequence[Put]) -> list[Outcome]:
        """Store tasks; answer each with ``Stored`` or a refusal (returned, not raised)."""

    @abstractmethod
    def claim(self, queue: str, count: int, lease: float, token: str) -> Claimed:
        """Take up to ``count`` tasks for ``lease`` seconds; the receipts hold ``token``."""

    @abstractmethod
    def ack(self, acks: Sequence[Ack]) -> list[Outcome]:
        """End tasks as done; answer each with ``Settled`` or a refusal (returned, not raised).

        The follow-up tasks in the ``then`` of an ack are stored with it, all or nothing.
        """

    @abstractmethod
    def retry(
        self,
        queue: str,
        receipt: str,
        delay: float | None,
        backoff: Backoff,
        error: str | None,
        traceback: str | None,
    ) -> Settled:
        """Use up an attempt; ready or due after ``delay`` (``None``: as ``backoff`` says), or dead.

        ``delay`` is always 0 where the capability ``delay`` is not declared. ``error`` and ``traceback`` are
        noted among the task's failures, as :func:`distqueue.failures.with_failure` says.
        """

    @abstractmethod
    def release(self, queue: str, receipt: str, delay: float) -> Settled:
        """Give the task back with its attempt: at its old place, or due after ``delay``, as a retry is.

        ``delay`` is always 0 where the capability ``delay`` is not declared.
        """

    @abstractmethod
    def reject(self, queue: str, receipt: str, error: str | None, traceback: str | None) -> Settled:
        """Make the task dead; the attempt is noted among its failures."""

    @abstractmethod
    def extend(self, queue: str, receipt: str, lease: float) -> Settled:
        """Let the lease end ``lease`` seconds from now."""

    @abstractmethod
    def find(self, queue: str, task_id: str) -> TaskRecord | None:
        """Return the task, or ``None``."""

    # --- What an author may write ---------------------------------------------------------------

    @contextmanager
    def commit(self, commands: Sequence[Command]) -> Iterator[None]:
        """Surround the verbs of one call, to make one commit of them; the default does nothing.

        What is raised by a verb comes out of the ``yield``: leave the store as it was before. Raise
        ``StoreBusy`` or ``StoreFailed`` if nothing was stored, ``OutcomeUnknown`` if that is not certain.
        """
        yield

    def reclaim(self, queue: str, token: str) -> Claimed:
        """Return the deliveries of an earlier claim that are still leased."""
        raise self._unsupported("a repeated claim")

    def cancel(self, queue: str, task_id: str) -> Removed:
        """Remove one task."""
        raise self._unsupported("cancel")

    def redrive(self, queue: str, task_id: str | None, error: str | None) -> Redriven:
        """Make dead tasks ready again: all, one, or those whose error contains a text."""
        raise self._unsupported("redrive")

    def purge(self, queue: str, states: Sequence[TaskState]) -> Purged:
        """Remove all tasks, or those in the given states."""
        raise self._unsupported("purge")

    def pause(self, queue: str, paused: bool) -> PauseSet:
        """Stop claims, or allow them again."""
        raise self._unsupported("pause")

    def fence(self, queue: str, level: FenceLevel, note: str) -> Fenced:
        """Put a fence around a queue, or around all not there yet (``"*"``), as ``next_fence`` says."""
        raise self._unsupported("move")

    def clear(self, queue: str) -> Cleared:
        """Forget all of a queue that has moved or is being filled, but for its fence."""
        raise self._unsupported("move")

    def load(self, record: TaskRecord | RememberedTask, source: str) -> Loaded:
        """Store a task as another store exported it; if ``source`` is given, only while filled from there."""
        raise self._unsupported("import")

    def browse(
        self, queue: str, states: Sequence[TaskState], order: str, limit: int, after: int | None
    ) -> Browsed:
        """Return one page of tasks."""
        raise self._unsupported("browse")

    def remembered(self, queue: str, limit: int, after: int | None) -> Browsed:
        """Return one page of the ids remembered after their task is gone."""
        raise self._unsupported("browse")

    def stats(self, queue: str) -> Counted:
        """Count the tasks of one queue, or of all if ``queue`` is ``"*"``."""
        raise self._unsupported("stats")

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        """Sleep for a short time: right for an engine that cannot tell; others do better."""
        if self._closing.is_set():
            raise Closed("the backend is closed")
        pause = self.poll_interval if timeout is None else min(timeout, self.poll_interval)
        if seen.wake_at is not None:
            pause = min(pause, max(0.0, seen.wake_at - time.time()))
        if self._closing.wait(pause):
            raise Closed("the backend is closed")
        return seen

    # --- What every backend inherits ------------------------------------------------------------

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        if self._closing.is_set():
            raise Closed("the backend is closed; open the URL again")
        check_batch(commands, self.capabilities)
        with self.commit(commands):
            return self.carry_out(commands)

    def carry_out(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out commands in order, neighbouring puts together."""
        outcomes: list[Outcome] = []
        for kind, run in groupby(commands, type):
            if kind is Put:
                outcomes += self._allowed(run, self._checked_put, self.put)
            elif kind is Ack:
                outcomes += self._allowed(run, self._checked_ack, self.ack)
            else:
                outcomes += [self._one(command) for command in run]
        return outcomes

    def _allowed[C](
        self,
        commands: Iterable[Any],
        check: Callable[[C], C],
        verb: Callable[[Sequence[C]], list[Outcome]],
    ) -> list[Outcome]:
        """Carry out the commands that are allowed; the fault of one does not touch its neighbours."""
        faults: list[tuple[int, Refused]] = []
        good: list[C] = []
        for position, command in enumerate(commands):
            try:
                good.append(check(command))
            except Refused as fault:
                faults.append((position, fault.with_traceback(None)))
        outcomes = verb(good)
        for position, refusal in faults:
            outcomes.insert(position, refusal)
        return outcomes

    def _checked_put(self, put: Put) -> Put:
        check_put(put, self.capabilities)
        if type(put.data) is Payload:
            return put
        return msgspec.structs.replace(put, data=check_payload(put.data))

    def _checked_ack(self, ack: Ack) -> Ack:
        check_queue_name(ack.queue)
        if not ack.then and type(ack.receipt) is str:
            return ack
        check_types(ack)
        return msgspec.structs.replace(ack, then=tuple([self._checked_put(put) for put in ack.then]))

    def _one(self, command: Command) -> Outcome:
        try:
            if command.queue != EVERY or not isinstance(command, c.Stats | c.Fence):
                check_queue_name(command.queue)
            check_command(command)
            return _VERBS[type(command)](self, command)
        except Refused as refusal:
            return refusal.with_traceback(None)

    def _claim(self, command: c.Claim) -> Claimed:
        if command.again:
            return self.reclaim(command.queue, command.token)
        return self.claim(command.queue, command.count, command.lease, command.token)

    def _retry(self, command: c.Retry) -> Settled:
        delay = command.delay
        if not self.capabilities.delay:
            if delay:
                raise self._unsupported("a retry with a delay")
            delay = 0.0  # the backoff of a queue is what it would like, and not a promise
        error, traceback = cut_error(command.error), cut_error(command.traceback, MAX_TRACEBACK)
        return self.retry(command.queue, command.receipt, delay, command.backoff, error, traceback)

    def _release(self, command: c.Release) -> Settled:
        if command.delay and not self.capabilities.delay:
            raise self._unsupported("a release with a delay")
        return self.release(command.queue, command.receipt, command.delay)

    def _reject(self, command: c.Reject) -> Settled:
        error, traceback = cut_error(command.error), cut_error(command.traceback, MAX_TRACEBACK)
        return self.reject(command.queue, command.receipt, error, traceback)

    def _unsupported(self, verb: str) -> Unsupported:
        return Unsupported(f"{type(self).__name__} does not support {verb}")


def _checked_record(
    load: c.LoadTask | c.LoadRemembered, capabilities: Capabilities
) -> TaskRecord | RememberedTask:
    record = load.record
    if record.queue != load.queue:
        raise InvalidTask(f"the record is of queue {record.queue!r:.80}, the command of {load.queue!r}")
    if isinstance(record, RememberedTask):
        return check_remembered(record)
    return check_task(record, capabilities)


_VERBS: Final[dict[type[Command], Callable[[Any, Any], AnyResult]]] = {
    c.Claim: Backend._claim,
    c.Retry: Backend._retry,
    c.Release: Backend._release,
    c.Reject: Backend._reject,
    c.Extend: lambda b, x: b.extend(x.queue, x.receipt, x.lease),
    c.Cancel: lambda b, x: b.cancel(x.queue, x.task_id),
    c.Redrive: lambda b, x: b.redrive(x.queue, x.task_id, x.error),
    c.Purge: lambda b, x: b.purge(x.queue, x.states),
    c.Pause: lambda b, x: b.pause(x.queue, True),
    c.Resume: lambda b, x: b.pause(x.queue, False),
    c.Fence: lambda b, x: b.fence(x.queue, x.level, x.note),
    c.Clear: lambda b, x: b.clear(x.queue),
    c.LoadTask: lambda b, x: b.load(_checked_record(x, b.capabilities), x.source),
    c.LoadRemembered: lambda b, x: b.load(_checked_record(x, b.capabilities), x.source),
    c.Find: lambda b, x: Found(task=b.find(x.queue, x.task_id)),
    c.Browse: lambda b, x: b.browse(x.queue, x.states, x.order, x.limit, x.after),
    c.Remembered: lambda b, x: b.remembered(x.queue, x.limit, x.after),
    c.Stats: lambda b, x: b.stats(x.queue),
}
