"""The commands that a :class:`~distqueue.broker.Broker` carries out.

Small frozen values: the same ones go to a backend, over the wire to a broker process and into a
recorded history. Times are seconds since the Unix epoch, durations seconds.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from distqueue.fences import FenceLevel
from distqueue.retry import Backoff
from distqueue.task import DEFAULT_OPTIONS, RememberedTask, TaskOptions, TaskRecord, TaskState


class Command(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    gc=False,
    omit_defaults=True,
    tag_field="command",
    tag=str.lower,
):
    """The base of all commands. ``queue`` is the queue that the command is about."""

    queue: str


# --- Publishing -----------------------------------------------------------------------------------


class Put(Command, frozen=True, kw_only=True, gc=False):
    """Store one task. Answered by :class:`~distqueue.results.Stored`.

    ``data`` is one JSON value as UTF-8 bytes, best a :class:`~distqueue.payload.Payload`, which has
    been checked; other bytes are checked by whoever receives them. At most one of ``delay`` and
    ``due`` is given.
    """

    task_id: str
    data: bytes
    options: TaskOptions = DEFAULT_OPTIONS
    delay: float | None = None
    due: float | None = None

    @classmethod
    def make(
        cls,
        queue: str,
        task_id: str,
        data: bytes,
        *,
        delay: float | None = None,
        due: float | None = None,
        **options: Any,
    ) -> Put:
        """Return a put with the given :class:`~distqueue.task.TaskOptions`.

        >>> Put.make("emails", "welcome-7", b"{}", priority=3).options.priority
        3
        """
        chosen = TaskOptions(**options)
        if chosen == DEFAULT_OPTIONS:
            chosen = DEFAULT_OPTIONS
        return cls(queue=queue, task_id=task_id, data=data, options=chosen, delay=delay, due=due)


# --- Consuming ------------------------------------------------------------------------------------


class Claim(Command, frozen=True, kw_only=True, gc=False):
    """Take up to ``count`` tasks for ``lease`` seconds. Answered by ``Claimed``.

    ``token`` is a random name made by the consumer; it becomes part of the receipts. With
    ``again``, the deliveries of an earlier claim with this token that are still leased are returned
    and nothing new is taken: a claim whose answer was lost can be found again.
    """

    token: str
    count: int = 1
    lease: float = 30.0
    again: bool = False


class Settle(Command, frozen=True, kw_only=True, gc=False):
    """The base of the commands that end or prolong one delivery, named by its receipt."""

    receipt: str


class Ack(Settle, frozen=True, kw_only=True, gc=False):
    """The task is carried out. The tasks in ``then`` are stored in the same commit, or nothing is done."""

    then: tuple[Put, ...] = ()


class Retry(Settle, frozen=True, kw_only=True, gc=False):
    """The attempt failed: try again after ``delay`` seconds, or as ``backoff`` says if that is ``None``.

    ``error`` and ``traceback`` are noted among the task's failures; the error is also that of the task.
    """

    delay: float | None = None
    error: str | None = None
    traceback: str | None = None
    backoff: Backoff = Backoff()


class Release(Settle, frozen=True, kw_only=True, gc=False):
    """Give the task back without using up an attempt: at its old place, or due after ``delay`` seconds."""

    delay: float = 0.0


class Reject(Settle, frozen=True, kw_only=True, gc=False):
    """The task can never succeed: it is dead at once. ``error`` and ``traceback`` are kept as of a retry."""

    error: str | None = None
    traceback: str | None = None


class Extend(Settle, frozen=True, kw_only=True, gc=False):
    """Let the lease end ``lease`` seconds from now."""

    lease: float = 30.0


# --- Administration -------------------------------------------------------------------------------


class Cancel(Command, frozen=True, kw_only=True, gc=False):
    """Remove one task, whatever its state. Answered by ``Removed``."""

    task_id: str


class Redrive(Command, frozen=True, kw_only=True, gc=False):
    """Make dead tasks ready again, at the end of the line, with all their attempts and a new ``number``.

    All dead tasks, or one (``task_id``), or those whose error contains ``error``.
    """

    task_id: str | None = None
    error: str | None = None


class Purge(Command, frozen=True, kw_only=True, gc=False):
    """Remove all tasks, or only those in the given states."""

    states: tuple[TaskState, ...] = ()


class Pause(Command, frozen=True, kw_only=True, gc=False):
    """Stop claims of this queue until it is resumed; everything else goes on."""


class Resume(Command, frozen=True, kw_only=True, gc=False):
    """Allow claims of this queue again."""


class Fence(Command, frozen=True, kw_only=True, gc=False):
    """Put a fence around a queue that moves to another store, or take it down. Answered by ``Fenced``.

    ``note`` is the URL of the store at the other end, without a password. ``queue`` may be ``"*"``, which
    stands for all queues that are not there yet. To fence twice is the same as once, and a fence never
    goes back by a step: see :mod:`distqueue.fences`.
    """

    level: FenceLevel
    note: str


class Clear(Command, frozen=True, kw_only=True, gc=False):
    """Forget all of a queue but its fence, remembered ids too. Answered by ``Cleared``.

    Only of one that has moved, or is being filled.
    """


class Load(Command, frozen=True, kw_only=True, gc=False):
    """The base of the commands that store what another store exported. Answered by ``Loaded``.

    With a ``source``, only while the queue is being filled from the store with that URL: see ``Fence``.
    """

    source: str = ""

    @staticmethod
    def of(record: TaskRecord | RememberedTask, source: str = "") -> LoadTask | LoadRemembered:
        """Return the command that stores a record in its queue."""
        if isinstance(record, TaskRecord):
            return LoadTask(queue=record.queue, record=record, source=source)
        return LoadRemembered(queue=record.queue, record=record, source=source)


class LoadTask(Load, frozen=True, kw_only=True, gc=False):
    """Store a task exactly as it was: state, counts, place and all."""

    record: TaskRecord


class LoadRemembered(Load, frozen=True, kw_only=True, gc=False):
    """Remember the id of a task that is gone."""

    record: RememberedTask


# --- Reading --------------------------------------------------------------------------------------


class Find(Command, frozen=True, kw_only=True, gc=False):
    """Look one task up by its id. Answered by ``Found``."""

    task_id: str


class Browse(Command, frozen=True, kw_only=True, gc=False):
    """List tasks in the given states (all if empty). Answered by ``Browsed``, a page at a time.

    ``order`` is ``"number"`` (order of publishing) or ``"line"`` (the order in which ready tasks
    would be claimed now: the first ``limit`` of them, without further pages). ``after`` is the ``next``
    of the page before.
    """

    states: tuple[TaskState, ...] = ()
    order: str = "number"
    limit: int = 100
    after: int | None = None


class Remembered(Command, frozen=True, kw_only=True, gc=False):
    """List the ids that are remembered after their task is gone. Answered by ``Browsed``."""

    limit: int = 1000
    after: int | None = None


class Stats(Command, frozen=True, kw_only=True, gc=False):
    """Count the tasks of the queue, or of every queue if ``queue`` is ``"*"``."""


type AnyCommand = (
    Put
    | Claim
    | Ack
    | Retry
    | Release
    | Reject
    | Extend
    | Cancel
    | Redrive
    | Purge
    | Pause
    | Resume
    | Fence
    | Clear
    | LoadTask
    | LoadRemembered
    | Find
    | Browse
    | Remembered
    | Stats
)
"""Every command there is: what a decoder has to know."""

READS: Final = (Find, Browse, Remembered, Stats)
"""The commands that change nothing."""
