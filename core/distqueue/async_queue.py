"""The queue that coroutines use."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from itertools import batched
from logging import getLogger
from types import TracebackType
from typing import Self, Unpack

from distqueue.async_commit import AsyncCommit, Outcomes
from distqueue.broker import Broker
from distqueue.capabilities import Capabilities
from distqueue.client import Client
from distqueue.commands import (
    Browse,
    Cancel,
    Claim,
    Command,
    Find,
    Pause,
    Purge,
    Put,
    Redrive,
    Release,
    Resume,
    Stats,
)
from distqueue.defaults import Defaults
from distqueue.delivery import AsyncDelivery, own_deliveries, settled_together, settling
from distqueue.errors import Closed
from distqueue.outcomes import expect, expect_all, leases_in
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
from distqueue.waiter import Waiter

_logger = getLogger("distqueue")


class _AsyncSession(Session):
    """A session with what the coroutines of one process share: a committing and a waiting thread."""

    def __init__(self, open_broker: Callable[[], Broker], queue: str, defaults: Defaults) -> None:
        super().__init__(open_broker, queue, defaults)
        self.commit = AsyncCommit(lambda: self.broker)
        self.waiter = Waiter(lambda: self.broker, self._give_back)
        self.claims.add(self.waiter.in_flight)
        self._claiming: set[Outcomes] = set()

    async def claim(self, claim: Claim) -> Claimed:
        """Claim once. What comes of it after a cancellation, or at the close, is given back."""
        answer = self.commit.submit([claim])
        self._claiming.add(answer)
        try:
            outcomes = await asyncio.shield(answer)
        except BaseException:
            self._abandon(answer)
            raise
        if answer not in self._claiming:
            raise Closed("the queue was closed while claiming")
        self._claiming.discard(answer)
        return expect(outcomes[0], Claimed)

    async def aclose(self) -> None:
        """Let waiting gets go, give back what is being claimed, and close everything."""
        self.waiter.close()
        for answer in list(self._claiming):
            self._abandon(answer)
        for step in (self.settle_claims, _carried_out, self.close):
            if not self.commit.is_closed:
                await self.commit.call(step)
        self.commit.close()

    def close(self) -> None:
        super().close()
        self.waiter.join()

    def _abandon(self, answer: Outcomes) -> None:
        if answer in self._claiming:
            self._claiming.discard(answer)
            answer.add_done_callback(self._give_back_claimed)

    def _give_back_claimed(self, answer: Outcomes) -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._give_back(leases_in(answer.result()))

    def _give_back(self, leases: list[Lease]) -> None:
        if leases:
            releases = [Release(queue=self.queue, receipt=lease.receipt) for lease in leases]
            self.commit.submit(releases).add_done_callback(_log_failure)


class AsyncQueue(Client[_AsyncSession]):
    """A named queue in a store, for coroutines: :class:`~distqueue.queue.Queue` with every verb awaited.

    Options, results and errors are the same. The store is used in a thread of its own, never on the
    event loop, and what coroutines ask for at the same time goes into one commit. A cancelled ``get``
    gives back what it claimed; a cancelled ``put`` may have stored its task.

    >>> async with AsyncQueue("json:///Queue.json", name="emails") as queue:   # doctest: +SKIP
    ...     await queue.put({"to": "a@example.org"}, delay=10, priority=5)
    ...     async for delivery in queue:
    ...         async with delivery:
    ...             await send(delivery.data)
    """

    # --- Publishing -----------------------------------------------------------------------------

    async def put(self, data: object, *, connection: object = None, **options: Unpack[PutOptions]) -> Stored:
        """As :meth:`Queue.put <distqueue.queue.Queue.put>`; ``connection`` is one that is awaited."""
        put = self._putter.made(data, options)
        if connection is None:
            return await self._ask(put, Stored)
        return expect((await self.within(connection).apply_async([put]))[0], Stored)

    async def put_many(
        self, payloads: Iterable[object], *, connection: object = None, **options: Unpack[PutOptions]
    ) -> list[Stored]:
        """As :meth:`Queue.put_many <distqueue.queue.Queue.put_many>`; ``connection`` as for :meth:`put`."""
        outcomes: list[Outcome] = []
        apply: Callable[[list[Put]], Awaitable[list[Outcome]]]
        if connection is None:
            apply, max_batch = self._session.commit.submit, (await self.capabilities()).max_batch
        else:
            within = self.within(connection)
            apply, max_batch = within.apply_async, within.capabilities.max_batch
        for batch in self._putter.batches(payloads, options, max_batch):
            outcomes += merged(batch, await apply(good_puts(batch)))
        return expect_all(outcomes, Stored, "stored")

    def put_nowait(self, data: object, **options: Unpack[PutOptions]) -> asyncio.Future[Stored]:
        """As :meth:`Queue.put_nowait <distqueue.queue.Queue.put_nowait>`, but never waits.

        Returns a future to await, or not.
        """
        return asyncio.wrap_future(self._session.unwaited.put(self._putter.one(data, options)))

    async def flush(self) -> None:
        """As :meth:`Queue.flush <distqueue.queue.Queue.flush>`."""
        session = self._session
        await session.commit.call(session.unwaited.flush)

    async def flush_if_used(self) -> None:
        """As :meth:`flush`, but without opening anything if nothing was put without waiting."""
        session = self._sessions.get(os.getpid())
        if session is not None and not self._is_closed and session.unwaited.holds_any:
            await self.flush()

    # --- Consuming ------------------------------------------------------------------------------

    async def get(
        self,
        timeout: Duration | None = None,  # noqa: ASYNC109 - as in Queue
        lease: Duration | None = None,
    ) -> AsyncDelivery | None:
        """As :meth:`Queue.get <distqueue.queue.Queue.get>`. May be cancelled at any time."""
        deliveries = await self.get_many(1, timeout, lease)
        return deliveries[0] if deliveries else None

    async def get_many(
        self,
        n: int,
        timeout: Duration | None = None,  # noqa: ASYNC109 - as in Queue
        lease: Duration | None = None,
    ) -> list[AsyncDelivery]:
        """As :meth:`Queue.get_many <distqueue.queue.Queue.get_many>`. May be cancelled at any time."""
        claim = self._new_claim(n, lease)
        deadline = None if timeout is None else time.monotonic() + seconds("timeout", timeout)
        session = self._session
        waiter, submit = session.waiter, session.commit.submit
        try:
            while True:
                began = time.monotonic()
                claimed = await session.claim(claim)
                if claimed.leases:
                    waiter.wake_one()
                    return [AsyncDelivery(session, one, claim.lease, began, submit) for one in claimed.leases]
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    waiter.wake_one()  # the hint that woke this one is for those who still wait
                    return []
                if parked := await waiter.sleep(claim, claimed.seen, left):
                    waiter.wake_one()
                    return [
                        AsyncDelivery(session, one, claim.lease, one.began(claim.lease), submit)
                        for one in parked
                    ]
        except BaseException:
            waiter.wake_one()  # whoever goes without having looked passes the hint on
            raise

    async def ack_many(self, deliveries: Iterable[AsyncDelivery]) -> list[Settled]:
        """As :meth:`Queue.ack_many <distqueue.queue.Queue.ack_many>`."""
        session = self._session
        outcomes: list[Outcome] = []
        max_batch = (await self.capabilities()).max_batch
        for batch in batched(own_deliveries(session, deliveries), max_batch):
            with settling(batch) as acks:
                outcomes += settled_together(batch, await session.commit.submit(acks))
        return expect_all(outcomes, Settled, "acked")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AsyncDelivery:
        """Return the next task, however long that takes; the end comes when the queue is closed."""
        try:
            while (delivery := await self.get()) is None:
                pass
            return delivery
        except Closed:
            if self._is_closed:
                raise StopAsyncIteration from None
            raise

    async def peek(self, n: int = 1) -> list[TaskRecord]:
        """As :meth:`Queue.peek <distqueue.queue.Queue.peek>`."""
        first = Browse(queue=self.name, states=(TaskState.READY,), order="line", limit=n)
        return (await self._ask(first, Browsed)).tasks

    # --- Administration -------------------------------------------------------------------------

    async def find(self, task_id: str) -> TaskRecord | None:
        """As :meth:`Queue.find <distqueue.queue.Queue.find>`."""
        return (await self._ask(Find(queue=self.name, task_id=task_id), Found)).task

    async def dead(self, n: int = 100) -> list[TaskRecord]:
        """As :meth:`Queue.dead <distqueue.queue.Queue.dead>`."""
        tasks: list[TaskRecord] = []
        after: int | None = None
        while True:  # a page of large tasks may hold fewer than were asked for
            page = Browse(queue=self.name, states=(TaskState.DEAD,), limit=n - len(tasks), after=after)
            browsed = await self._ask(page, Browsed)
            tasks += browsed.tasks
            after = browsed.next
            if after is None or len(tasks) >= n:
                return tasks

    async def redrive(self, task_id: str | None = None, error: str | None = None) -> Redriven:
        """As :meth:`Queue.redrive <distqueue.queue.Queue.redrive>`."""
        return await self._ask(Redrive(queue=self.name, task_id=task_id, error=error), Redriven)

    async def cancel(self, task_id: str) -> TaskState:
        """As :meth:`Queue.cancel <distqueue.queue.Queue.cancel>`."""
        return (await self._ask(Cancel(queue=self.name, task_id=task_id), Removed)).state

    async def purge(self, *states: TaskState) -> int:
        """As :meth:`Queue.purge <distqueue.queue.Queue.purge>`."""
        return (await self._ask(Purge(queue=self.name, states=states), Purged)).count

    async def pause(self) -> None:
        """As :meth:`Queue.pause <distqueue.queue.Queue.pause>`."""
        await self._ask(Pause(queue=self.name), PauseSet)

    async def resume(self) -> None:
        """As :meth:`Queue.resume <distqueue.queue.Queue.resume>`."""
        await self._ask(Resume(queue=self.name), PauseSet)

    async def stats(self) -> QueueStats:
        """As :meth:`Queue.stats <distqueue.queue.Queue.stats>`."""
        return (await self._ask(Stats(queue=self.name), Counted)).queues[0]

    async def capabilities(self) -> Capabilities:
        """As :meth:`Queue.capabilities <distqueue.queue.Queue.capabilities>`."""
        session = self._session
        if not session.is_open:
            await session.commit.call(lambda: session.broker)
        return session.broker.capabilities

    # --- The end --------------------------------------------------------------------------------

    async def close(self) -> None:
        """As :meth:`Queue.close <distqueue.queue.Queue.close>`. No thread and no task is left over."""
        self._is_closed = True
        if (session := self._sessions.get(os.getpid())) is not None:
            await session.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- Within ---------------------------------------------------------------------------------

    def _new_session(self, open_broker: Callable[[], Broker]) -> _AsyncSession:
        return _AsyncSession(open_broker, self.name, self._defaults)

    async def _ask[R: Result](self, command: Command, kind: type[R]) -> R:
        return expect((await self._session.commit.submit([command]))[0], kind)


def _carried_out() -> None:
    """Do nothing: when this is called, all that was submitted before has been carried out."""


def _log_failure(answer: Outcomes) -> None:
    if not answer.cancelled() and (error := answer.exception()) is not None:
        _logger.warning("what was claimed stays leased until its lease ends: %s", error)
