"""``Publisher`` and ``TaskIn``: publish through a broker process that this program hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from distqueue.errors import AckTimeout, InvalidTask
from distqueue.face import Face
from distqueue.ids import new_task_id
from distqueue.manager import BrokerManager
from distqueue.request import PutOptions
from distqueue.results import Stored
from distqueue.times import seconds
from distqueue.urls import StoreURL

ACK_TIMEOUT: Final = 30.0
"""How long a publisher waits for an acknowledgement, in seconds."""


class TaskIn(msgspec.Struct, kw_only=True, frozen=True):
    """A task to publish. It has its id from the beginning, so publishing it again does not store it twice.

    ``options`` are those of :meth:`AsyncQueue.put <distqueue.async_queue.AsyncQueue.put>`.

    >>> TaskIn(data={"to": "a@example.org"}, task_id="welcome-7", options={"priority": 5}).task_id
    'welcome-7'
    """

    data: Any
    task_id: str = msgspec.field(default_factory=new_task_id)
    options: PutOptions = msgspec.field(default_factory=PutOptions)


class Publisher(Face):
    """Publishes into a queue, through a manager's broker process, or wherever a URL leads.

    ``publisher_id`` goes with every task; by default it is a new name. ``ack_timeout`` is in seconds.

    >>> publisher = Publisher(manager)                                         # doctest: +SKIP
    >>> await publisher.publish(TaskIn(data="Process this data"))              # doctest: +SKIP
    """

    def __init__(
        self,
        place: BrokerManager | str | StoreURL | None = None,
        queue: str = "default",
        *,
        publisher_id: str | None = None,
        ack_timeout: float = ACK_TIMEOUT,
        **options: object,
    ) -> None:
        super().__init__(place, queue, name=publisher_id, **options)
        self.ack_timeout = seconds("ack_timeout", ack_timeout)

    async def publish(self, task: TaskIn) -> Stored:
        """Publish a task; return once it is on the disk.

        Raises:
            Refused: certainly not stored; the subclass says why.
            AckTimeout: no acknowledgement came in time (a ``TimeoutError``). Publish the same task again.
            OutcomeUnknown: the same, as the broker process is gone for good.
            Closed: the publisher or the manager was closed.
        """
        options = self._options(task)
        waiting = asyncio.ensure_future(self.queue.put(task.data, **options))
        try:
            done, _ = await asyncio.wait({waiting}, timeout=self.ack_timeout)
        except asyncio.CancelledError:
            waiting.cancel()  # the task may be stored
            raise
        if not done:
            waiting.cancel()
            raise AckTimeout(
                f"task {task.task_id} was not acknowledged within {self.ack_timeout:g} s; publish it again"
            )
        return waiting.result()

    async def publish_many(self, tasks: Iterable[TaskIn]) -> list[Stored]:
        """Publish tasks at the same time: they share commits. Raises the first error, as :meth:`publish`."""
        return list(await asyncio.gather(*[self.publish(task) for task in tasks]))

    def publish_nowait(self, task: TaskIn) -> asyncio.Future[Stored]:
        """Publish a task without waiting: it is on the disk within ``flush_interval`` and at the close."""
        return self.queue.put_nowait(task.data, **self._options(task))

    def _options(self, task: TaskIn) -> PutOptions:
        if not isinstance(task, TaskIn):
            raise InvalidTask(f"{task!r:.80} is not a task; publish TaskIn(data=…)")
        return {"publisher_id": self.name, **task.options, "task_id": task.task_id}
