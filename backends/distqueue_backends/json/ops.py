"""The ops of a commit: one class each, with the members that the format page lists.

A member that has its default is left out. Payloads are not among them: a reader passes over them (the
``cuts`` of the commit tell where they are), a writer puts them behind the other members of their task.
"""

from __future__ import annotations

from typing import Final, Self, get_args

import msgspec
from msgspec import UNSET, UnsetType

from distqueue.fences import FenceLevel
from distqueue.task import DEFAULT_OPTIONS, FailedAttempt, TaskOptions, TaskState
from distqueue_backends.table.entry import READY, STATES, Entry
from distqueue_backends.table.remembered import Gone


class WithOptions(msgspec.Struct, gc=False, kw_only=True, omit_defaults=True):
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

    def set_options(self, options: TaskOptions) -> Self:
        """Take over the options that a task keeps."""
        if options is not DEFAULT_OPTIONS:
            for name in TaskOptions.__struct_fields__:
                setattr(self, name, getattr(options, name))
        return self


class NewTask(WithOptions, gc=False):
    """A task of a ``put``."""

    id: str
    due: float | None = None

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Return what is written of a task that is put."""
        return cls(entry.task_id, entry.until).set_options(entry.options)


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
    history: tuple[FailedAttempt, ...] = ()

    @classmethod
    def of(cls, entry: Entry, history: tuple[FailedAttempt, ...]) -> Self:
        """Return all that is known of a task."""
        whole = cls(
            entry.task_id,
            entry.number,
            entry.put_at,
            TaskState.READY if entry.state == READY else STATES[entry.state],
            UNSET if entry.place == entry.number else entry.place,
            entry.until,
            entry.failures,
            entry.deliveries,
            entry.token,
            entry.settled,
            entry.error,
            history,
        )
        return whole.set_options(entry.options)

    def entry(self, where: int, checksum: int) -> Entry:
        """Return the task as a table keeps it, with its payload at ``where``."""
        return Entry(
            self.id,
            self.number,
            where,
            checksum,
            self.put_at,
            self.options(),
            STATES.index(self.state),
            self.number if self.place is UNSET else self.place,
            self.until,
            self.failures,
            self.deliveries,
            self.token,
            self.settled,
            self.error,
        )


class Op(msgspec.Struct, gc=False, omit_defaults=True, tag_field="op", tag=str.lower):
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
    due: float | None = None


class Retry(OfTasks, gc=False):
    due: float | None = None
    error: str | None = None
    traceback: str | None = None


class Reject(OfTasks, gc=False):
    error: str | None = None
    traceback: str | None = None


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


class Fence(Op, gc=False):
    level: FenceLevel
    note: str


class Clear(Op, gc=False):
    pass


class Remember(Op, gc=False):
    tasks: list[Gone]


class Queue(Op, gc=False):
    next_number: int
    last_number: int
    paused: bool = False
    expired: int = 0
    fence: FenceLevel = FenceLevel.NONE
    note: str = ""


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
    | Fence
    | Clear
    | Remember
    | Queue
)

KINDS: Final[dict[str, type[Op]]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(AnyOp.__value__)
}
"""The classes by what the member ``op`` says."""
