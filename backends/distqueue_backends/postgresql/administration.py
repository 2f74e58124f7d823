"""The verbs of administration that are more than one question to the database."""

from __future__ import annotations

from typing import Any, Final

from distqueue.errors import InvalidTask, Refused
from distqueue.fences import OPEN, FenceLevel, Fencing, next_fence, not_filled, refusal
from distqueue.ids import parse_receipt
from distqueue.limits import MAX_PRIORITY
from distqueue.payload import checksum
from distqueue.results import Fenced, Loaded
from distqueue.task import RememberedTask, TaskRecord, TaskState
from distqueue_backends.postgresql.refusals import fenced, other_priority
from distqueue_backends.postgresql.session import Execute
from distqueue_backends.postgresql.writing import headers_text
from distqueue_backends.table.steps import unique_taken

ALONE: Final = "SELECT code, detail, more, has_tasks FROM {}.enter_alone(%s)"
SET_FENCE: Final = "SELECT {}.set_fence(%s, %s, %s)"
CLEAR: Final = "SELECT {}.clear_queue(%s)"
_OF_TASK: Final = "%b::text, %b::int8, %b::text, %b::int8, %b::int8, %b::int2, %b::int8, %b::int8, %b::float8"
_AND_OPTIONS: Final = "%b::float8, %b::int8, %b::float8, %b::float8, %b::text, %b::text, %b::text, %b::text"
_AND_ENDS: Final = "%b::text, %b::text, %b::bytea, %b::bytea"
LOAD: Final = (
    "SELECT code, detail, more, q, id FROM {}.load(%s, %s, %s::float8, "
    f"{_OF_TASK}, {_AND_OPTIONS}, {_AND_ENDS})"
)
FAILURE: Final = (
    "INSERT INTO {}.failure (q, id, attempt, at, verb, error, traceback) VALUES "
    "(%s, %s, %s, %s, %s, %b::bytea, %b::bytea)"
)
_MOST_NUMBER: Final = 2**62


def set_fence(execute: Execute, queue: str, level: FenceLevel, note: str) -> Fenced:
    """Put a fence around a queue, or take it down."""
    ((code, old, old_note, has_tasks),) = execute(ALONE, (queue,))
    is_there = code == "there"
    before = Fencing.of(FenceLevel(old), old_note) if is_there else OPEN
    after = next_fence(queue, before, level, note, has_tasks=has_tasks)
    if after != before:
        execute(SET_FENCE, (queue, after.level.value, after.note))
        if after.level is FenceLevel.FILLING:
            execute(CLEAR, (queue,))
    return Fenced(level=after.level, note=after.note)


def clear(execute: Execute, queue: str) -> None:
    """Forget all of a queue that has moved or is being filled."""
    ((code, level, note, _),) = execute(ALONE, (queue,))
    fence = Fencing.of(FenceLevel(level), note)
    if fence is OPEN:
        raise Refused(f"queue {queue} has not moved, and stays as it is; purge it if you mean it")
    if fence.level not in (FenceLevel.MOVED, FenceLevel.FILLING):
        raise refusal(queue, fence)
    if code == "there":
        execute(CLEAR, (queue,))


def load(execute: Execute, record: TaskRecord | RememberedTask, source: str, window: float) -> Loaded:
    """Store a task, or the memory of one, as another store exported it."""
    arguments = _of_task(record) if isinstance(record, TaskRecord) else _of_gone(record)
    ((code, detail, more, number, task),) = execute(LOAD, (record.queue, source, window, *arguments))
    match code:
        case "fence":
            raise fenced(record.queue, detail, more)
        case "not filled":
            raise not_filled(record.queue, source)
        case "duplicate":
            return Loaded(task_id=record.task_id, duplicate=True)
        case "unique":
            raise unique_taken(detail, more)
        case "group":
            raise other_priority(detail, more)
    for each in getattr(record, "failures", ()):
        texts = [None if text is None else text.encode() for text in (each.error, each.traceback)]
        execute(FAILURE, (number, task, each.attempt, each.at, each.verb, *texts))
    return Loaded(task_id=record.task_id)


def _of_task(record: TaskRecord) -> tuple[Any, ...]:
    if max(record.number, record.place or 0) >= _MOST_NUMBER:
        raise InvalidTask(f"the number or the place of task {record.task_id} is too large for a database")
    data = bytes(record.data)
    deliveries, token = record.deliveries, None
    if record.receipt:
        token = parse_receipt(record.receipt)[2]
    return (
        record.task_id,
        checksum(data),
        record.state.value,
        record.number,
        record.place,
        MAX_PRIORITY - record.priority,
        record.attempt - (record.state is not TaskState.DEAD),
        deliveries,
        float(record.put_at),
        None if record.until is None else float(record.until),
        record.max_attempts,
        None if record.expires_at is None else float(record.expires_at - record.put_at),
        float(record.keep_done),
        record.group,
        record.unique,
        record.publisher_id,
        headers_text(record.headers),
        token,
        record.settled,
        None if record.error is None else record.error.encode(),
        data,
    )


def _of_gone(record: RememberedTask) -> tuple[Any, ...]:
    deliveries, token = 0, None
    if record.receipt:
        _, deliveries, token = parse_receipt(record.receipt)
    nothing = (None,) * 4
    return (
        record.task_id,
        record.checksum,
        *nothing,
        None,
        deliveries,
        float(record.at),
        *nothing,
        *nothing,
        token,
        record.settled,
        None,
        None,
    )
