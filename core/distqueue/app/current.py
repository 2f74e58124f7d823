"""What a handler can know, and ask for, of the delivery that it carries out."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from distqueue.commands import Put
from distqueue.errors import InvalidTask
from distqueue.results import Lease


class CurrentDelivery:
    """The delivery that a handler carries out. Its worker renews and settles it.

    ``lost`` becomes true once the lease is known to be lost: another worker may carry out the task, too, and
    what this handler does counts for nothing. A long handler looks at it now and then.

    >>> if current_delivery().lost:                                            # doctest: +SKIP
    ...     return
    """

    def __init__(self, queue: str, task: str, lease: Lease) -> None:
        self.task_id = lease.task_id
        self.queue = queue
        self.task = task
        """The name of the handler."""
        self.attempt = lease.attempt
        """Which try of the task this is; the first is 1."""
        self.deliveries = lease.deliveries
        self.max_attempts = lease.max_attempts
        self.put_at = lease.put_at
        """When the task was put, in seconds since the Unix epoch."""
        self.headers = lease.headers or {}
        self.knows_loss = False
        """Whether the handler has been told that the lease is lost, and may have broken off."""
        self._is_lost = False
        self.follow_ups: list[Put] = []

    def __repr__(self) -> str:
        return f"<CurrentDelivery of task {self.task_id}, attempt {self.attempt}>"

    @property
    def lost(self) -> bool:
        """Whether the lease is known to be lost."""
        self.knows_loss = self.knows_loss or self._is_lost
        return self._is_lost

    def lose(self) -> None:
        """The lease is lost."""
        self._is_lost = True

    def then(self, *puts: Put) -> None:
        """Store these tasks in the very commit that acknowledges this one: all of it happens, or nothing.

        Nothing is stored if the handler fails.

        >>> current_delivery().then(thumbnail.task("a.png"), thumbnail.task("b.png"))  # doctest: +SKIP

        Raises:
            InvalidTask: one is not a task.
        """
        for put in puts:
            if not isinstance(put, Put):
                raise InvalidTask(f"{put!r:.80} is not a task; make it with a task function's .task(…)")
        self.follow_ups += puts


current: Final[ContextVar[CurrentDelivery | None]] = ContextVar("distqueue_delivery", default=None)
"""Set for the time in which a handler runs."""


def current_delivery() -> CurrentDelivery:
    """Return the delivery that the running handler carries out.

    Raises:
        RuntimeError: no handler runs here; the function was called directly.
    """
    delivery = current.get()
    if delivery is None:
        raise RuntimeError("no task is being handled here: the function was called, not run by a worker")
    return delivery
