"""``Consumer``: take tasks through a broker process that this program hosts."""

from __future__ import annotations

from distqueue.delivery import AsyncDelivery
from distqueue.face import Face
from distqueue.times import Duration

Task = AsyncDelivery
"""A task as a consumer gets it: with its data, and the verbs that settle it."""


class Consumer(Face):
    """Takes tasks out of a queue, through a manager's broker process, or wherever a URL leads.

    >>> consumer = Consumer(manager)                                           # doctest: +SKIP
    >>> async for task in consumer:                                            # doctest: +SKIP
    ...     async with task:
    ...         await handle(task.data)
    """

    async def get(
        self,
        timeout: Duration | None = None,  # noqa: ASYNC109 - as in Queue
        lease: Duration | None = None,
    ) -> Task | None:
        """Return the next task, or ``None`` if there is none within ``timeout``."""
        return await self.queue.get(timeout, lease)

    async def get_many(
        self,
        n: int,
        timeout: Duration | None = None,  # noqa: ASYNC109 - as in Queue
        lease: Duration | None = None,
    ) -> list[Task]:
        """Return up to ``n`` tasks, as soon as there is one."""
        return await self.queue.get_many(n, timeout, lease)

    def __aiter__(self) -> Consumer:
        return self

    async def __anext__(self) -> Task:
        return await anext(self.queue)
