"""A task that a worker has claimed, from then until it is settled."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from distqueue.app.ended import Ended
from distqueue.commands import Settle
from distqueue.errors import Refused
from distqueue.results import Lease
from distqueue.retry import Backoff
from distqueue.worker.wire import Run, TaskInfo

UNKNOWN_PAUSE: Final = 10.0
"""How long a task that no handler here is for is left to other workers, in seconds."""
_CANCELLING: Final = 5.0
"""How long an async handler may take to end once it is cancelled, in seconds."""


class Running:
    """One delivery, the handler that runs it, and until when that may take."""

    __slots__ = ("_is_lost", "_on_lost", "backoff", "began", "deadline", "info", "lease", "queue", "task")

    def __init__(
        self,
        queue: str,
        lease: Lease,
        task: str,
        info: TaskInfo,
        backoff: Backoff,
        on_lost: Callable[[Running], None],
    ) -> None:
        self.queue = queue
        self.lease = lease
        self.task = task
        self.info = info
        self.backoff = info.retry or backoff
        self.began = math.inf
        """When a child was given it, on the monotonic clock."""
        self.deadline = math.inf
        """When the child that runs it is killed (monotonic); an async handler is cancelled before."""
        self._is_lost = False
        self._on_lost = on_lost

    @property
    def receipt(self) -> str:
        """The receipt of the delivery."""
        return self.lease.receipt

    @property
    def labels(self) -> dict[str, str | int]:
        """What a line in a log tells of it: never the payload."""
        return {
            "task_id": self.lease.task_id,
            "task": self.task,
            "queue": self.queue,
            "attempt": self.lease.attempt,
        }

    def begin(self, now: float) -> None:
        """It is given to a child."""
        self.began = now
        if self.info.timeout is not None:
            self.deadline = now + self.info.timeout + (_CANCELLING if self.info.is_async else 0.0)

    @property
    def lost(self) -> bool:
        """Whether the lease is known to be lost: set by whoever renews it."""
        return self._is_lost

    @lost.setter
    def lost(self, is_lost: bool) -> None:
        self._is_lost = is_lost
        if is_lost:
            self._on_lost(self)

    def order(self) -> Run:
        """Return what a child is told."""
        return Run(queue=self.queue, task=self.task, lease=self.lease)

    def settled_by(self, ended: Ended) -> Settle:
        """Return the command that settles the delivery as its handler ended."""
        return ended.command(self.queue, self.receipt, self.backoff)

    def failed_by(self, refusal: Refused) -> Settle:
        """Return the command that settles it when the store refuses what follows from it."""
        return self.settled_by(Ended(verb="retry", error=f"what follows from the task is refused: {refusal}"))
