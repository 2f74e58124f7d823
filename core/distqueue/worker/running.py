"""A task that a worker has claimed, from then until it is settled."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from distqueue.app.ended import Ended
from distqueue.commands import Settle
from distqueue.errors import Refused
from distqueue.results import Lease
from distqueue.worker.source import Source
from distqueue.worker.wire import Run, TaskInfo

_CANCELLING: Final = 5.0
"""How long an async handler may take to end once it is cancelled, in seconds."""


class Running:
    """One delivery, the handler that runs it, and until when that may take."""

    __slots__ = (
        "_is_lost",
        "_on_lost",
        "_renewed_at",
        "_source",
        "began",
        "deadline",
        "ended",
        "info",
        "lease",
        "task",
    )

    def __init__(
        self, source: Source, lease: Lease, task: str, info: TaskInfo, on_lost: Callable[[Running], None]
    ) -> None:
        self._source = source
        self.lease = lease
        self.task = task
        self.info = info
        self.began = math.inf
        """When a child was given it, on the monotonic clock."""
        self.deadline = math.inf
        """When the child that runs it is killed (monotonic); an async handler is cancelled before."""
        self.ended: Ended | None = None
        """How its handler has ended."""
        self._renewed_at: float | None = None
        self._is_lost = False
        self._on_lost = on_lost

    @property
    def queue(self) -> str:
        """The queue that it is from."""
        return self._source.name

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

    def renew(self) -> None:
        """Let its lease be renewed until it is settled."""
        length = self._source.info.lease
        since = self.lease.began(length) if self._renewed_at is None else self._renewed_at
        self._source.renewal.add(self, length, since)

    def end(self, ended: Ended) -> Settle:
        """Its handler has ended: return the command that settles the delivery so."""
        self.ended = ended
        self.settling()
        return self.settled_by(ended)

    def settling(self) -> None:
        """It is about to be settled: a renewal would be refused."""
        self._renewed_at = self._source.renewal.drop(self) or self._renewed_at

    def order(self) -> Run:
        """Return what a child is told."""
        return Run(queue=self.queue, task=self.task, lease=self.lease)

    def settled_by(self, ended: Ended) -> Settle:
        """Return the command that settles the delivery as its handler ended."""
        backoff = self.info.retry or self._source.info.retry
        return ended.command(self.queue, self.receipt, backoff)

    def failed_by(self, refusal: Refused) -> Settle:
        """Return the command that settles it when the store refuses what follows from it."""
        return self.settled_by(Ended(verb="retry", error=f"what follows from the task is refused: {refusal}"))
