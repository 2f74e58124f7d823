"""The ops of a commit as they are read: one class each, with the members that the format page lists.

Payloads are passed over; a commit's ``cuts`` tell where they are.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from distqueue.task import DEFAULT_OPTIONS, TaskOptions, TaskState


class WithOptions(msgspec.Struct, gc=False, kw_only=True):
    """The options of a task, each with its default if it is left out."""

    priority: int = DEFAULT_OPTIONS.priority
    max_attempts: int | None = DEFAULT_OPTIONS.max_attempts
    expires_in: float | None = None
    keep_done: float = DEFAULT_OPTIONS.keep_done
    group: str | None = None
    unique: str | None = None
    publisher_id: str | None = None
    headers: dict[str, str] | None = None

    def options(self) -> TaskOptions:
        """Return them as a task keeps them: one object for all tasks without any."""
        options = TaskOptions(
            self.priority,
            self.max_attempts,
            self.expires_in,
            self.keep_done,
            self.group,
            self.unique,
            self.publisher_id,
            self.headers,
        )
        return DEFAULT_OPTIONS if options == DEFAULT_OPTIONS else options


class NewTask(WithOptions, gc=False):
    """A task of a ``put``."""

    id: str
    due: float | None = None


class WholeTask(WithOptions, gc=False):
    """A task of a ``load``, with all that is known of it."""

    id: str
    number: int
    put_at: float
    state: TaskState = TaskState.READY
    place: int | UnsetType | None = UNSET
    until: float | None = None
    failures: int = 0
    deliveries: int = 0
    token: str | None = None
    settled: str | None = None
    error: str | None = None


class GoneTask(msgspec.Struct, gc=False):
    """What a ``remember`` says of a task that is gone."""

    id: str
    at: float
    payload_crc: int
    settled: str
    deliveries: int = 0
    token: str | None = None


class Op(msgspec.Struct, gc=False, tag_field="op", tag=str.lower):
    """What happened in one queue."""

    queue: str


class OfTasks(Op, gc=False):
    """An op that names tasks which are there."""

    ids: list[str]


class Put(Op, gc=False):
    tasks: list[NewTask]


class Load(Op, gc=False):
    tasks: list[WholeTask]


class Due(OfTasks, gc=False):
    pass


class Claim(OfTasks, gc=False):
    token: str
    until: float


class Extend(OfTasks, gc=False):
    until: float


class Ack(OfTasks, gc=False):
    pass


class Release(OfTasks, gc=False):
    pass


class Retry(OfTasks, gc=False):
    due: float | None = None
    error: str | None = None


class Reject(OfTasks, gc=False):
    error: str | None = None


class Lapse(OfTasks, gc=False):
    pass


class Expire(OfTasks, gc=False):
    pass


class Forget(OfTasks, gc=False):
    pass


class Cancel(OfTasks, gc=False):
    pass


class Purge(Op, gc=False):
    states: list[TaskState] = []


class Redrive(Op, gc=False):
    id: str | None = None
    error: str | None = None


class Pause(Op, gc=False):
    pass


class Resume(Op, gc=False):
    pass


class Remember(Op, gc=False):
    tasks: list[GoneTask]


class Queue(Op, gc=False):
    next_number: int
    last_number: int
    paused: bool = False
    expired: int = 0


type AnyOp = (
    Put
    | Load
    | Due
    | Claim
    | Extend
    | Ack
    | Release
    | Retry
    | Reject
    | Lapse
    | Expire
    | Forget
    | Cancel
    | Purge
    | Redrive
    | Pause
    | Resume
    | Remember
    | Queue
)
