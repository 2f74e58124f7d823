"""A task of the model, and what the model remembers of one that is gone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from distqueue.conformance.model.answers import ANYTHING, Fields
from distqueue.limits import MAX_FAILURES
from distqueue.task import TaskOptions, TaskState

LIVE: Final = (TaskState.SCHEDULED, TaskState.READY, TaskState.LEASED)
"""The states in which a task holds its unique key and its place in its group."""


@dataclass
class ModelTask:
    """Everything about one task.

    ``number`` is the order of publishing, ``place`` that in line. ``until`` is the due time, the lease's
    end or the end of its time as a done task. ``settled`` is the receipt that settled it last, and the verb.
    """

    task_id: str
    data: bytes
    options: TaskOptions
    number: int
    put_at: float
    state: TaskState = TaskState.READY
    place: int | None = None
    until: float | None = None
    attempt: int = 1
    receipts: list[str] = field(default_factory=list)
    token: str | None = None
    settled: tuple[str, str] | None = None
    error: object = None
    failures: list[Fields] = field(default_factory=list)

    @property
    def is_live(self) -> bool:
        """Whether it is on its way: scheduled, ready or leased."""
        return self.state in LIVE

    @property
    def expires_at(self) -> float | None:
        """When it expires, if nobody claimed it before."""
        return None if self.options.expires_in is None else self.put_at + self.options.expires_in

    @property
    def deliveries(self) -> int:
        """How often it was handed out."""
        return len(self.receipts)

    def holds(self, receipt: str, now: float) -> bool:
        """Whether a receipt is that of the delivery that is out."""
        return self.state is TaskState.LEASED and self.receipts[-1] == receipt and not self.is_over(now)

    def has_expired(self, now: float) -> bool:
        """Whether nobody claimed it in time."""
        waits = self.state in (TaskState.SCHEDULED, TaskState.READY)
        return waits and not self.receipts and self.expires_at is not None and self.expires_at <= now

    def is_over(self, now: float) -> bool:
        """Whether the time until which it is what it is has come."""
        return self.has_expired(now) or (self.until is not None and self.until <= now)

    def fail(self, verb: str, at: float, error: object, traceback: str | None = None) -> None:
        """Note that the attempt failed; the texts of a walk are short enough not to be cut."""
        failed = {"attempt": self.attempt, "at": at, "verb": verb, "error": error, "traceback": traceback}
        self.failures = [*self.failures, Fields(failed)][-MAX_FAILURES:]

    def lease(self, until: float, receipt: object = ANYTHING) -> Fields:
        """The delivery that a consumer gets."""
        return Fields(
            {
                "task_id": self.task_id,
                "data": self.data,
                "attempt": self.attempt,
                "until": until,
                "receipt": receipt,
                "put_at": self.put_at,
                "deliveries": self.deliveries + (receipt is ANYTHING),
                **self._options("priority", "max_attempts", "group", "publisher_id", "headers"),
            }
        )

    def record(self) -> Fields:
        """What is found."""
        return Fields(
            {
                "task_id": self.task_id,
                "state": self.state,
                "data": self.data,
                "attempt": self.attempt,
                "deliveries": self.deliveries,
                "put_at": self.put_at,
                "until": self.until,
                "expires_at": self.expires_at,
                "error": self.error,
                "failures": self.failures,
                **self._options("priority", "max_attempts", "group", "unique", "keep_done", "headers"),
            }
        )

    def _options(self, *names: str) -> dict[str, object]:
        return {name: getattr(self.options, name) for name in names}


@dataclass
class ModelGone:
    """A task that is gone: its id is known until ``surely``, and perhaps until ``perhaps``."""

    task_id: str
    data: bytes
    ended_by: str
    receipts: list[str]
    out: str | None
    """The receipt of the delivery that was out when it was removed."""
    settled: tuple[str, str] | None
    surely: float
    perhaps: float
