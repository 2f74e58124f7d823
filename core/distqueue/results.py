"""What a :class:`~distqueue.broker.Broker` answers: one result for each command, by position."""

from __future__ import annotations

import time

import msgspec

from distqueue.errors import Refused
from distqueue.fences import FenceLevel
from distqueue.task import RememberedTask, TaskRecord, TaskState


class Result(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag_field="result", tag=str.lower
):
    """The base of all results."""


class Stored(Result, frozen=True, kw_only=True, gc=False):
    """The task is in the store. ``duplicate`` is true if it was there before this call."""

    task_id: str
    duplicate: bool = False


class Lease(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One task handed out: the task, and the receipt that settles this delivery of it.

    ``attempt`` counts tries (the first is 1), ``deliveries`` hand-outs: a graceful release uses up
    no attempt. ``until`` is the lease's end by the store's clock.
    """

    task_id: str
    data: bytes
    receipt: str
    attempt: int
    deliveries: int
    until: float
    put_at: float
    priority: int = 0
    max_attempts: int | None = 5
    group: str | None = None
    publisher_id: str | None = None
    headers: dict[str, str] | None = None

    def began(self, seconds: float) -> float:
        """Return when the lease, of so many seconds, began by this process's monotonic clock."""
        now = time.monotonic()
        return min(now, now + self.until - time.time() - seconds)


class Seen(msgspec.Struct, frozen=True):
    """What a claim saw: hand it to ``wait``, which returns once there may be more to see.

    ``version`` is opaque. ``wake_at`` is when the next task is due or the next lease ends, in
    seconds since the epoch by the store's clock, if that is known.
    """

    version: int = -1
    wake_at: float | None = None


class Claimed(Result, frozen=True, kw_only=True, gc=False):
    """The tasks taken, none if nothing was claimable, and what the claim saw."""

    leases: list[Lease]
    seen: Seen = Seen()


class Settled(Result, frozen=True, kw_only=True, gc=False):
    """A delivery was settled: the state the task is in now, and until when (due time, lease's end)."""

    task_id: str
    state: TaskState
    until: float | None = None
    then: tuple[Stored, ...] = ()


class Removed(Result, frozen=True, kw_only=True, gc=False):
    """A task was cancelled; ``state`` is the one it was in."""

    task_id: str
    state: TaskState


class Redriven(Result, frozen=True, kw_only=True, gc=False):
    """Dead tasks were made ready again.

    ``refused`` names those whose unique key is taken, or whose group has another priority by now.
    """

    count: int
    refused: tuple[str, ...] = ()


class Purged(Result, frozen=True, kw_only=True, gc=False):
    """Tasks were removed."""

    count: int


class PauseSet(Result, frozen=True, kw_only=True, gc=False):
    """The queue is now paused, or not."""

    paused: bool


class Fenced(Result, frozen=True, kw_only=True, gc=False):
    """The fence that stands around the queue now, and the URL of the store at its other end."""

    level: FenceLevel
    note: str = ""


class Cleared(Result, frozen=True, kw_only=True, gc=False):
    """All of a queue was forgotten."""


class Loaded(Result, frozen=True, kw_only=True, gc=False):
    """An exported record is in the store. ``duplicate`` is true if its id was there before."""

    task_id: str
    duplicate: bool = False


class Found(Result, frozen=True, kw_only=True, gc=False):
    """The task looked for, or ``None``."""

    task: TaskRecord | None


class Browsed(Result, frozen=True, kw_only=True, gc=False):
    """One page of a listing; ``next`` continues it, ``None`` after the last page."""

    tasks: list[TaskRecord] = []
    remembered: list[RememberedTask] = []
    next: int | None = None


class QueueStats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one queue. ``waiting`` are ready tasks held back by the head of their group.

    ``ready`` includes them. ``remembered`` counts ids kept for deduplication after their task is
    gone. ``oldest_ready_at`` is when the one was put that has waited longest, of those that are first in line
    for their priority; that and ``next_due_at`` are seconds since the epoch. ``fence`` is not ``"none"`` if
    the queue moves or has moved; ``fence_note`` is then the URL of the store at the other end.
    """

    queue: str
    ready: int = 0
    scheduled: int = 0
    leased: int = 0
    done: int = 0
    dead: int = 0
    waiting: int = 0
    remembered: int = 0
    expired: int = 0
    paused: bool = False
    fence: FenceLevel = FenceLevel.NONE
    fence_note: str = ""
    oldest_ready_at: float | None = None
    next_due_at: float | None = None


class Counted(Result, frozen=True, kw_only=True, gc=False):
    """Statistics of the queues asked for, and facts about the store that hold for all of them."""

    queues: list[QueueStats]
    store: dict[str, int | float | str | bool] = {}


type AnyResult = (
    Stored
    | Claimed
    | Settled
    | Removed
    | Redriven
    | Purged
    | PauseSet
    | Fenced
    | Cleared
    | Loaded
    | Found
    | Browsed
    | Counted
)
"""Every result there is: what a decoder has to know."""

type Outcome = AnyResult | Refused
"""One answer of ``apply``: a result, or the typed refusal as a value (not raised)."""
