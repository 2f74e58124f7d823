"""One delivery in a test: the handler, what it is told, and what it raised."""

from __future__ import annotations

from typing import Any

from distqueue.app.current import CurrentDelivery
from distqueue.app.ended import Ended, ended_by
from distqueue.app.function import TaskFunction
from distqueue.app.handling import handle, handle_async
from distqueue.app.policy import Policy
from distqueue.results import Lease
from distqueue.testing.calls import Raised


class Run:
    """A claimed task, and its handler."""

    def __init__(self, queue: str, lease: Lease, task: TaskFunction[..., Any]) -> None:
        self.queue = queue
        self.lease = lease
        self.task = task
        self.raised: BaseException | None = None
        self._delivery = CurrentDelivery(queue, task.name, lease)

    def handle(self) -> Ended:
        """Run a sync handler in this thread."""
        return handle(self.task, self._delivery, self.lease.data, self._judge)

    async def handle_async(self) -> Ended:
        """Run an async handler."""
        ended = await handle_async(self.task, self._delivery, self.lease.data, self._judge)
        if ended.verb == "retry" and self.raised is None:
            self.raised = TimeoutError(ended.error)
        return ended

    def as_raised(self, error: BaseException) -> Raised:
        """Return what a test sees of it."""
        lease = self.lease
        return Raised(task=self.task.name, task_id=lease.task_id, attempt=lease.attempt, error=error)

    def _judge(self, error: BaseException, policy: Policy, seconds: float) -> Ended:
        self.raised = error
        return ended_by(error, policy, seconds)
