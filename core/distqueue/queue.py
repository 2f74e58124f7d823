"""The queue that threads and single-threaded programs use."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from itertools import batched
from types import TracebackType
from typing import Self, Unpack

from distqueue.broker import Broker
from distqueue.capabilities import Capabilities
from distqueue.client import Client
from distqueue.commands import Browse, Cancel, Claim, Command, Find, Pause, Purge, Redrive, Resume, Stats
from distqueue.delivery import Delivery, own_deliveries, settled_together, settling
from distqueue.errors import Closed, Refused, StoreError
from distqueue.outcomes import expect, expect_all
from distqueue.request import PutOptions, good_puts, merged
from distqueue.results import (
    Browsed,
    Claimed,
    Counted,
    Found,
    Lease,
    Outcome,
    PauseSet,
    Purged,
    QueueStats,
    Redriven,
    Removed,
    Result,
    Settled,
    Stored,
)
from distqueue.session import Session
from distqueue.task import TaskRecord, TaskState
from distqueue.times import Duration, seconds


class Queue(Client[Session]):
    """A named queue in a store. Threads may share one; processes may inherit one.

    ``url`` says where the store is (default: ``DISTQUEUE_URL``, else the nearest ``distqueue.toml``).
    ``options`` are those of the backend, and ``lease``, ``retry`` (a ``Backoff``), ``max_attempts``,
    ``keep_done`` and ``flush_interval``, which hold where a call does not say otherwise; with
    ``create=False`` a store that is not there is ``StoreMissing``. The store is opened when it is first
    needed, by each process for itself.

    >>> with Queue("json:///Queue.json", name="emails") as queue:              # doctest: +SKIP
    ...     queue.put({"to": "a@example.org"}, delay=10, priority=5)
    ...     for delivery in queue:
    ...         with delivery:
    ...             send(delivery.data)

    Every verb that uses the store raises

    * ``ConfigError`` or another ``StoreError`` if it cannot be opened,
    * ``Closed`` once the queue has been closed,
    * ``StoreBusy`` if other processes kept it locked for too long: nothing was done,
    * ``StoreFailed`` if it has to be opened again,
    * ``OutcomeUnknown`` if what was asked may or may not have been done,
    * ``Refused`` if certainly nothing was done; the subclass says why.
    """

    # --- Publishing -----------------------------------------------------------------------------

    def put(self, data: object, *, connection: object = None, **options: Unpack[PutOptions]) -> Stored:
        """Store one task, and return once it is as durable as the store makes it.

        ``data`` is anything that can be written as JSON, or a task made by :meth:`task`, which has its own
        options. The options are those of
        :class:`~distqueue.request.PutOptions`: ``task_id``, ``delay``, ``due``, ``priority``,
        ``max_attempts``, ``expires_in``, ``keep_done``, ``group``, ``unique``, ``publisher_id``
        and ``headers``.

        With ``connection``, it is stored in the transaction that is open on that connection of yours to
        the store's own database, and exists if and only if you commit it (``docs/howto/transactions.md``).

        Raises:
            InvalidTask, TooLarge, Unsupported: the payload or an option is not allowed, or the store cannot
                use the connection.
            PayloadMismatch: the ``task_id`` is known with another payload.
            UniqueTaken: another live task has the ``unique`` key.
            OutcomeUnknown: put again with the same ``task_id``.

        >>> queue.put({"to": "a@example.org"}, delay=10).task_id               # doctest: +SKIP
        """
        put = self._putter.made(data, options)
        if connection is None:
            return self._ask(put, Stored)
        return expect(self.within(connection).apply([put])[0], Stored)

    def put_many(
        self, payloads: Iterable[object], *, connection: object = None, **options: Unpack[PutOptions]
    ) -> list[Stored]:
        """Store many tasks, as many in one commit as the store allows.

        The options hold for every payload; ``connection`` is that of :meth:`put`. Among the payloads
        may be tasks made by :meth:`task`, which have their own. Make all of them so to know their ids
        beforehand: after ``OutcomeUnknown`` the same tasks can be put again, and those that were stored
        are duplicates.

        Raises:
            BatchRefused: at least one task was refused; the others are stored.

        >>> queue.put_many([{"n": 1}, queue.task({"n": 2}, priority=9)])       # doctest: +SKIP
        """
        outcomes: list[Outcome] = []
        broker = self._session.broker if connection is None else self.within(connection)
        for batch in self._putter.batches(payloads, options, broker.capabilities.max_batch):
            outcomes += merged(batch, broker.apply(good_puts(batch)))
        return expect_all(outcomes, Stored, "stored")

    def put_nowait(self, data: object, **options: Unpack[PutOptions]) -> Future[Stored]:
        """Take a task to be stored soon, together with others, and return a future at once.

        It is stored within ``flush_interval`` seconds (2 by default), at ``flush`` and at ``close``;
        the future has its outcome then. A future cancelled before that is not stored. The task takes
        its place in line when it is stored. Who puts faster than the store can take has to wait after
        all. Options as for :meth:`put`.
        """
        unwaited = self._session.unwaited
        future = unwaited.put(self._putter.one(data, options))
        if unwaited.is_full:
            unwaited.flush()
        return future

    def flush(self) -> None:
        """Store all that was put without waiting; returns once every future has its outcome."""
        self._session.unwaited.flush()

    # --- Consuming ------------------------------------------------------------------------------

    def get(self, timeout: Duration | None = None, lease: Duration | None = None) -> Delivery | None:
        """Claim the next task; wait for one if there is none.

        ``timeout`` is how long to wait (seconds or ``timedelta``; 0: not at all; ``None``: for ever);
        after that, ``None`` is returned. ``lease`` is how long the task is yours (default 30 s);
        ``with delivery`` renews it.

        Raises:
            Closed: the queue was closed while waiting.
        """
        deliveries = self.get_many(1, timeout, lease)
        return deliveries[0] if deliveries else None

    def get_many(
        self, n: int, timeout: Duration | None = None, lease: Duration | None = None
    ) -> list[Delivery]:
        """Claim up to ``n`` tasks, as many as there are; wait as :meth:`get` does if there is none."""
        claim = self._new_claim(n, lease)
        deadline = None if timeout is None else time.monotonic() + seconds("timeout", timeout)
        session = self._session
        broker = session.broker
        in_flight = threading.RLock()  # which a signal handler that closes the queue may take again
        session.claims.add(in_flight)
        try:
            while True:
                began = time.monotonic()
                with in_flight:
                    claimed = self._claim(session, claim)
                if claimed.leases:
                    return [Delivery(session, one, claim.lease, began) for one in claimed.leases]
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return []
                with in_flight:
                    parked = broker.park(claim, claimed.seen, left)
                    self._check_handed_out(session, parked or [])
                if parked:
                    return [Delivery(session, one, claim.lease, one.began(claim.lease)) for one in parked]
                if parked is None:
                    broker.wait(self.name, claimed.seen, left)
        except (Refused, StoreError):  # nothing was claimed
            raise
        except BaseException:
            session.give_back([claim])
            raise
        finally:
            session.claims.discard(in_flight)

    def ack_many(self, deliveries: Iterable[Delivery]) -> list[Settled]:
        """Acknowledge many deliveries, as many in one commit as the store allows.

        Raises:
            BatchRefused: at least one could no longer be acked; the others are.
            ValueError: a delivery is not of this queue; nothing was done.

        >>> queue.ack_many(queue.get_many(100))                                # doctest: +SKIP
        """
        session = self._session
        outcomes: list[Outcome] = []
        for batch in batched(own_deliveries(session, deliveries), session.broker.capabilities.max_batch):
            with settling(batch) as acks:
                outcomes += settled_together(batch, session.apply(acks))
        return expect_all(outcomes, Settled, "acked")

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Delivery:
        """Return the next task, however long that takes; the end comes when the queue is closed."""
        try:
            while (delivery := self.get()) is None:
                pass
            return delivery
        except Closed:
            if self._is_closed:
                raise StopIteration from None
            raise

    def peek(self, n: int = 1) -> list[TaskRecord]:
        """Return the next ``n`` tasks that are ready, in the order in which they would be claimed."""
        first = Browse(queue=self.name, states=(TaskState.READY,), order="line", limit=n)
        return self._ask(first, Browsed).tasks

    # --- Administration -------------------------------------------------------------------------

    def find(self, task_id: str) -> TaskRecord | None:
        """Return what is known about a task, or ``None`` if it is not in the queue (any more)."""
        return self._ask(Find(queue=self.name, task_id=task_id), Found).task

    def dead(self, n: int = 100) -> list[TaskRecord]:
        """Return up to ``n`` tasks that are out of attempts or were rejected, the oldest first."""
        tasks: list[TaskRecord] = []
        after: int | None = None
        while True:  # a page of large tasks may hold fewer than were asked for
            page = Browse(queue=self.name, states=(TaskState.DEAD,), limit=n - len(tasks), after=after)
            browsed = self._ask(page, Browsed)
            tasks += browsed.tasks
            after = browsed.next
            if after is None or len(tasks) >= n:
                return tasks

    def redrive(self, task_id: str | None = None, error: str | None = None) -> Redriven:
        """Make dead tasks ready again, with all their attempts: one, or those whose error contains a text.

        Without arguments: all. Returns their count, and the ids of those that stay dead, as their
        unique key is taken or their group has another priority by now.

        Raises:
            TaskNotFound: there is no dead task with this id.
        """
        return self._ask(Redrive(queue=self.name, task_id=task_id, error=error), Redriven)

    def cancel(self, task_id: str) -> TaskState:
        """Remove a task, whatever its state, and return the state it was in.

        A consumer that has it finds out when it settles it (``TaskGone``).

        Raises:
            TaskNotFound: there is no such task.
        """
        return self._ask(Cancel(queue=self.name, task_id=task_id), Removed).state

    def purge(self, *states: TaskState) -> int:
        """Remove all tasks in the given states, or all there are if none is given; return how many."""
        return self._ask(Purge(queue=self.name, states=states), Purged).count

    def pause(self) -> None:
        """Let nobody claim tasks of this queue until :meth:`resume`. Everything else goes on."""
        self._ask(Pause(queue=self.name), PauseSet)

    def resume(self) -> None:
        """Let tasks be claimed again."""
        self._ask(Resume(queue=self.name), PauseSet)

    def stats(self) -> QueueStats:
        """Return how many tasks there are in each state."""
        return self._ask(Stats(queue=self.name), Counted).queues[0]

    def capabilities(self) -> Capabilities:
        """Return what the store promises."""
        return self._session.broker.capabilities

    # --- The end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Store what was put without waiting, end waiting gets, and close the store.

        A get that waits raises ``Closed``, a loop over the queue ends. What was claimed but not yet
        handed out is given back. Closing twice is the same as once.
        """
        self._is_closed = True
        if (session := self._sessions.get(os.getpid())) is not None:
            session.settle_claims()
            session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- Within ---------------------------------------------------------------------------------

    def _new_session(self, open_broker: Callable[[], Broker]) -> Session:
        return Session(open_broker, self.name, self._defaults)

    def _ask[R: Result](self, command: Command, kind: type[R]) -> R:
        return expect(self._session.apply([command])[0], kind)

    def _claim(self, session: Session, claim: Claim) -> Claimed:
        """Claim once; :meth:`close` waits for it, so that nothing stays claimed."""
        self._check_open()
        claimed = expect(session.apply([claim])[0], Claimed)
        self._check_handed_out(session, claimed.leases)
        return claimed

    def _check_handed_out(self, session: Session, leases: list[Lease]) -> None:
        """Give back what was claimed if the queue was closed meanwhile, as nobody will handle it."""
        try:
            self._check_open()
        except Closed:
            session.release([lease.receipt for lease in leases])
            raise
