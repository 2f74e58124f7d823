"""One hand-out of a task: what is in it, and the verbs that settle it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from logging import getLogger
from traceback import format_exception, format_exception_only
from types import TracebackType
from typing import Any, Self

from distqueue.commands import Ack, Command, Extend, Put, Reject, Release, Retry, Settle
from distqueue.errors import DistqueueError, InvalidTask, LeaseLost, Refused, SettleRefused, TaskGone
from distqueue.limits import MAX_TRACEBACK, cut_error
from distqueue.outcomes import PASSING, expect
from distqueue.payload import decode
from distqueue.results import Lease, Outcome, Settled
from distqueue.session import Session
from distqueue.times import Duration, seconds

type AsyncApply = Callable[[Sequence[Command]], Awaitable[list[Outcome]]]

_UNREAD = object()
_logger = getLogger("distqueue")


class _Handed:
    """What both kinds of delivery have in common: the task, and which command settles it."""

    __slots__ = ("_began", "_data", "_inside", "_lease", "_seconds", "_session", "_settled", "lost")

    def __init__(self, session: Session, lease: Lease, seconds: float, began: float) -> None:
        self.lost = False
        self._session = session
        self._lease = lease
        self._seconds = seconds
        self._began = began
        self._data: Any = _UNREAD
        self._inside = False
        self._settled = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of task {self.task_id}, attempt {self.attempt}>"

    # --- What was handed out --------------------------------------------------------------------

    @property
    def task_id(self) -> str:
        """The task's id."""
        return self._lease.task_id

    @property
    def data(self) -> Any:
        """The payload as a Python value, decoded when it is first asked for."""
        if self._data is _UNREAD:
            self._data = decode(self._lease.data)
        return self._data

    @property
    def attempt(self) -> int:
        """Which try of the task this is; the first is 1."""
        return self._lease.attempt

    @property
    def deliveries(self) -> int:
        """How many times the task was handed out, this one included."""
        return self._lease.deliveries

    @property
    def max_attempts(self) -> int | None:
        """After so many failed attempts the task is dead; ``None``: never."""
        return self._lease.max_attempts

    @property
    def receipt(self) -> str:
        """The name of this delivery, by which anybody can settle it."""
        return self._lease.receipt

    @property
    def headers(self) -> dict[str, str]:
        """The headers that the task was put with."""
        return self._lease.headers or {}

    @property
    def priority(self) -> int:
        """The task's priority, 0 to 31."""
        return self._lease.priority

    @property
    def group(self) -> str | None:
        """The group whose tasks are handed out one after another."""
        return self._lease.group

    @property
    def publisher_id(self) -> str | None:
        """Who put the task."""
        return self._lease.publisher_id

    @property
    def put_at(self) -> float:
        """When the task was put, in seconds since the Unix epoch."""
        return self._lease.put_at

    # --- Which command settles it ---------------------------------------------------------------

    def _ack(self, then: Iterable[Put]) -> Ack:
        puts = tuple(then)
        for put in puts:
            if not isinstance(put, Put):
                raise InvalidTask(f"a follow-up task is {put!r:.80}; make it with queue.task(…)")
        return Ack(queue=self._session.queue, receipt=self.receipt, then=puts)

    def _retry(self, delay: Duration | None, error: str | None, traceback: str | None) -> Retry:
        return Retry(
            queue=self._session.queue,
            receipt=self.receipt,
            delay=None if delay is None else seconds("delay", delay),
            error=error,
            traceback=traceback,
            backoff=self._session.backoff,
        )

    def _release(self, delay: Duration | None) -> Release:
        pause = 0.0 if delay is None else seconds("delay", delay)
        return Release(queue=self._session.queue, receipt=self.receipt, delay=pause)

    def _reject(self, error: str | None, traceback: str | None) -> Reject:
        return Reject(queue=self._session.queue, receipt=self.receipt, error=error, traceback=traceback)

    def _extend(self, lease: Duration | None) -> Extend:
        length = self._seconds if lease is None else seconds("lease", lease)
        return Extend(queue=self._session.queue, receipt=self.receipt, lease=length)

    def _at_exit(self, error: BaseException | None) -> Settle:
        if error is None:
            return self._ack(())
        if isinstance(error, Exception):
            return self._retry(None, error_text(error), traceback_text(error))
        return self._release(None)

    # --- Before and after it is settled ---------------------------------------------------------

    def _enter(self) -> None:
        self._session.check_process()
        self._inside = True
        self._session.renewal.add(self, self._seconds, self._began)

    def _leave(self, error: BaseException | None) -> None:
        self._inside = False
        self._session.renewal.drop(self)
        if isinstance(error, Exception):
            _logger.error("task %s failed in attempt %d", self.task_id, self.attempt, exc_info=error)

    def _before(self) -> None:
        """The lease is not renewed while it is being given up, as that would be refused."""
        self._session.check_process()
        if self._inside:
            self._session.renewal.drop(self)

    def _failed(self) -> None:
        """Settling did not get through: the delivery is still out, and its lease goes on."""
        if self._inside:
            self._session.renewal.add(self, self._seconds, self._began)

    def _note(self, outcome: Outcome) -> None:
        if isinstance(outcome, Settled | SettleRefused):
            self._settled = True
            self.lost = isinstance(outcome, LeaseLost | TaskGone)
        else:
            self._failed()

    def _answered(self, outcome: Outcome) -> Settled:
        self._note(outcome)
        return expect(outcome, Settled)

    def _extended(self, command: Extend, began: float, outcome: Outcome) -> Settled:
        if not isinstance(outcome, PASSING):
            self.lost = isinstance(outcome, Refused)
        settled = expect(outcome, Settled)
        self._seconds = command.lease
        self._began = began
        if self._inside:
            self._session.renewal.add(self, self._seconds, began)
        return settled

    def _fault_at_exit(self, fault: DistqueueError, error: BaseException | None) -> None:
        """Raise what went wrong at the exit, unless the store has settled the matter or more is going on."""
        interrupted = error is not None and not isinstance(error, Exception)
        if not interrupted and not isinstance(fault, SettleRefused):
            raise fault
        _logger.warning("task %s could not be settled: %s", self.task_id, fault)


def error_text(error: BaseException) -> str:
    """Return what is recorded of an exception: its type and what it says."""
    return "".join(format_exception_only(error)).strip()


def traceback_text(error: BaseException) -> str | None:
    """Return the traceback that is recorded of an exception: its beginning and its end, if it is long."""
    return cut_error("".join(format_exception(error)), MAX_TRACEBACK)


# --- Many at once -------------------------------------------------------------------------------


def own_deliveries[D: _Handed](session: Session, deliveries: Iterable[D]) -> list[D]:
    """Return deliveries that one commit of the session can settle.

    Raises:
        ValueError: one is of another queue.
        CarriedAcrossFork: they were claimed by another process.
    """
    session.check_process()
    mine = list(deliveries)
    for delivery in mine:
        if delivery._session is not session:
            raise ValueError(f"{delivery} is of another queue; settle it there")
    return mine


@contextmanager
def settling(deliveries: Sequence[_Handed]) -> Iterator[list[Ack]]:
    """Give the commands that ack deliveries; if they do not get through, the leases go on."""
    for delivery in deliveries:
        if delivery._inside:
            delivery._session.renewal.drop(delivery)
    try:
        yield [Ack(queue=one._session.queue, receipt=one._lease.receipt) for one in deliveries]
    except BaseException:
        for delivery in deliveries:
            delivery._failed()
        raise


def settled_together(deliveries: Sequence[_Handed], outcomes: list[Outcome]) -> list[Outcome]:
    """Let each delivery know what became of it."""
    for delivery, outcome in zip(deliveries, outcomes):
        if type(outcome) is Settled:
            delivery._settled = True
        else:
            delivery._note(outcome)
    return outcomes


class Delivery(_Handed):
    """One hand-out of a task by a :class:`~distqueue.queue.Queue`.

    Inside ``with delivery:`` the lease is renewed in the background. At the end the task is acked;
    after an ``Exception`` it is retried instead: the exception is logged and recorded with the task,
    each time with its traceback, and not raised again. ``KeyboardInterrupt``, ``SystemExit`` and the like
    release the task and are raised. If the delivery was settled inside, the exit settles nothing. If
    the store refuses at the exit because the lease was lost or the task cancelled, that is logged
    as a warning and not raised; the verbs below do raise it. ``lost`` is true once the lease is known
    to be lost: whatever is still being done may be done by another consumer, too.

    >>> with delivery:                                                         # doctest: +SKIP
    ...     send(delivery.data)

    The verbs return the state that the task is in afterwards. All raise

    * ``AlreadySettled``, ``LeaseLost``, ``TaskGone`` if the delivery can no longer be settled so,
    * ``CarriedAcrossFork`` in another process than the one that claimed it,
    * ``Closed``, ``StoreBusy``, ``StoreFailed``, ``OutcomeUnknown`` as every verb of the queue.
    """

    __slots__ = ()

    def ack(self, then: Iterable[Put] = ()) -> Settled:
        """The task is carried out. Tasks in ``then`` are stored in the same commit, or nothing is done.

        >>> delivery.ack(then=[queue.task({"step": 2})])                       # doctest: +SKIP
        """
        return self._settle(self._ack(then))

    def retry(
        self, delay: Duration | None = None, error: str | None = None, traceback: str | None = None
    ) -> Settled:
        """The attempt failed: try again after ``delay`` (seconds or ``timedelta``; default: backoff).

        ``error`` and ``traceback`` are kept with the task: see ``TaskRecord.failures``.
        """
        return self._settle(self._retry(delay, error, traceback))

    def release(self, delay: Duration | None = None) -> Settled:
        """Give the task back without using up an attempt: at its old place, or due after ``delay``."""
        return self._settle(self._release(delay))

    def reject(self, error: str | None = None, traceback: str | None = None) -> Settled:
        """The task can never succeed: make it dead. ``error`` and ``traceback`` are kept as by ``retry``."""
        return self._settle(self._reject(error, traceback))

    def extend(self, lease: Duration | None = None) -> Settled:
        """Let the lease end so long from now (seconds or ``timedelta``; default: as it was claimed)."""
        command = self._extend(lease)
        self._session.check_process()
        began = time.monotonic()
        return self._extended(command, began, self._session.apply([command])[0])

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._leave(error)
        if not self._settled:
            try:
                self._settle(self._at_exit(error))
            except DistqueueError as fault:
                self._fault_at_exit(fault, error)
        return isinstance(error, Exception)

    def _settle(self, command: Settle) -> Settled:
        self._before()
        try:
            outcome = self._session.apply([command])[0]
        except BaseException:
            self._failed()
            raise
        return self._answered(outcome)


class AsyncDelivery(_Handed):
    """One hand-out of a task by an :class:`~distqueue.async_queue.AsyncQueue`.

    Everything is as with :class:`Delivery`; the verbs are awaited, and it is ``async with``.
    Cancellation releases the task and goes on.
    """

    __slots__ = ("_apply",)

    def __init__(
        self, session: Session, lease: Lease, seconds: float, began: float, apply: AsyncApply
    ) -> None:
        super().__init__(session, lease, seconds, began)
        self._apply = apply

    async def ack(self, then: Iterable[Put] = ()) -> Settled:
        """The task is carried out. Tasks in ``then`` are stored in the same commit, or nothing is done."""
        return await self._settle(self._ack(then))

    async def retry(
        self, delay: Duration | None = None, error: str | None = None, traceback: str | None = None
    ) -> Settled:
        """The attempt failed: try again after ``delay`` (seconds or ``timedelta``; default: backoff).

        ``error`` and ``traceback`` are kept with the task: see ``TaskRecord.failures``.
        """
        return await self._settle(self._retry(delay, error, traceback))

    async def release(self, delay: Duration | None = None) -> Settled:
        """Give the task back without using up an attempt: at its old place, or due after ``delay``."""
        return await self._settle(self._release(delay))

    async def reject(self, error: str | None = None, traceback: str | None = None) -> Settled:
        """The task can never succeed: make it dead. ``error`` and ``traceback`` are kept as by ``retry``."""
        return await self._settle(self._reject(error, traceback))

    async def extend(self, lease: Duration | None = None) -> Settled:
        """Let the lease end so long from now (seconds or ``timedelta``; default: as it was claimed)."""
        command = self._extend(lease)
        self._session.check_process()
        began = time.monotonic()
        return self._extended(command, began, (await self._apply([command]))[0])

    async def __aenter__(self) -> Self:
        self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._leave(error)
        if not self._settled:
            try:
                await self._settle(self._at_exit(error))
            except DistqueueError as fault:
                self._fault_at_exit(fault, error)
        return isinstance(error, Exception)

    async def _settle(self, command: Settle) -> Settled:
        self._before()
        try:
            outcome = (await self._apply([command]))[0]
        except BaseException:
            self._failed()
            raise
        return self._answered(outcome)
