"""What is seen of tasks: leases, records, counts, out of rows of the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from distqueue.fences import FenceLevel
from distqueue.ids import make_receipt
from distqueue.limits import MAX_BATCH_BYTES, MAX_FAILURE_ERROR, MAX_FAILURES, MAX_PRIORITY, MAX_TRACEBACK
from distqueue.results import Browsed, Lease, QueueStats
from distqueue.task import DEFAULT_OPTIONS, FailedAttempt, RememberedTask, TaskRecord, TaskState
from distqueue_backends.postgresql.session import Execute

LOOK: Final = "SELECT q FROM {}.look(%s)"
BY_ID: Final = "SELECT * FROM {}.records(%s, %s, NULL)"
BY_NUMBERS: Final = "SELECT * FROM {}.records(%s, NULL, %b::int8[])"
FAILED: Final = "SELECT * FROM {}.failed(%s, %b::int8[])"
PAGE: Final = "SELECT id, size FROM {}.page(%s, %s::text[], %s::int8, %s::int4)"
LINE: Final = "SELECT id, size FROM {}.first_in_line(%s, %s::int4)"
REMEMBERED: Final = "SELECT * FROM {}.remembered(%s, %s::int8, %s::int4)"
COUNTS: Final = "SELECT * FROM {}.counts(%s)"
_MOST_OF_FAILURES: Final = MAX_FAILURES * (MAX_FAILURE_ERROR + MAX_TRACEBACK)


def find(execute: Execute, queue: str, task_id: str) -> TaskRecord | None:
    """Return the record of one task, if it is there."""
    ((number,),) = execute(LOOK, (queue,))
    found = _records(execute, queue, number, BY_ID, sayable(task_id))
    return found[0] if found else None


def browse(
    execute: Execute, queue: str, states: Sequence[TaskState], order: str, limit: int, after: int | None
) -> Browsed:
    """Return a page of records: of tasks in some states, or of the first in line."""
    ((number,),) = execute(LOOK, (queue,))
    if order == "line":
        numbers, _ = _cut_page(execute(LINE, (number, limit)), limit)
        found = _records(execute, queue, number, BY_NUMBERS, numbers)
        places = {each: position for position, each in enumerate(numbers)}
        return Browsed(tasks=sorted(found, key=lambda record: places[record.number]))
    wanted = [TaskState(state).value for state in states] or None
    numbers, following = _cut_page(execute(PAGE, (number, wanted, after or 0, limit + 1)), limit)
    return Browsed(tasks=_records(execute, queue, number, BY_NUMBERS, numbers), next=following)


def remembered(execute: Execute, queue: str, limit: int, after: int | None) -> Browsed:
    """Return a page of the ids that are remembered."""
    ((number,),) = execute(LOOK, (queue,))
    rows = execute(REMEMBERED, (number, after or 0, limit + 1))
    following = rows[limit - 1][0] if len(rows) > limit else None
    return Browsed(remembered=[_remembered_of(queue, row) for row in rows[:limit]], next=following)


def sayable(text: str | None) -> str | None:
    """Return a task id, or one that no task has if no task can have this one."""
    return text if text is None or (text.isascii() and "\0" not in text) else ""


def lease_of(row: Sequence[Any], token: str) -> Lease:
    """Return what is handed out of a task."""
    _, task_id, data, deliveries, failures, until, put_at, line, most, group, publisher, headers, *_ = row
    return Lease(
        task_id=task_id,
        data=data,
        receipt=make_receipt(task_id, deliveries, token),
        attempt=failures + 1,
        deliveries=deliveries,
        until=until,
        put_at=put_at,
        priority=MAX_PRIORITY - line,
        max_attempts=most,
        group=group,
        publisher_id=publisher,
        headers=_headers(headers),
    )


def stats_of(queue: str, row: Sequence[Any]) -> QueueStats:
    """Return the counts of a queue."""
    paused, fence, note, ready, waiting, scheduled, leased, done, dead, remembered, expired, oldest, due = row
    return QueueStats(
        queue=queue,
        ready=ready,
        scheduled=scheduled,
        leased=leased,
        done=done,
        dead=dead,
        waiting=waiting,
        remembered=remembered,
        expired=expired,
        paused=paused,
        fence=FenceLevel(fence),
        fence_note=note,
        oldest_ready_at=oldest,
        next_due_at=due,
    )


def _records(execute: Execute, queue: str, number: int, statement: str, wanted: Any) -> list[TaskRecord]:
    """Return the records of tasks, in the order of their numbers."""
    rows = execute(statement, (number, wanted))
    failed: dict[int, list[FailedAttempt]] = defaultdict(list)
    if troubled := [row[0] for row in rows if row[15] or row[16]]:
        for task, *attempt in execute(FAILED, (number, troubled)):
            failed[task].append(_failed(attempt))
    return [
        _record(queue, row, tuple(failed.get(row[0], ()))) for row in sorted(rows, key=lambda row: row[0])
    ]


def _cut_page(rows: Sequence[tuple[int, int]], limit: int) -> tuple[list[int], int | None]:
    """Return the numbers for a page, fewer if the tasks get too large together, and that to go on from."""
    size = 0
    for count, (_, each) in enumerate(rows, 1):
        size += each + (_MOST_OF_FAILURES if len(rows) > MAX_BATCH_BYTES // _MOST_OF_FAILURES else 0)
        if (count == limit or size >= MAX_BATCH_BYTES) and count < len(rows):
            return [number for number, _ in rows[:count]], rows[count - 1][0]
    return [number for number, _ in rows], None


def _remembered_of(queue: str, row: Sequence[Any]) -> RememberedTask:
    """Return the record of a task that is gone."""
    _, task_id, at, checksum, settled, deliveries, token = row
    receipt = None if token is None else make_receipt(task_id, deliveries, token)
    return RememberedTask(
        task_id=task_id, queue=queue, at=at, checksum=checksum, settled=settled, receipt=receipt
    )


def _record(queue: str, row: Sequence[Any], failures: tuple[FailedAttempt, ...]) -> TaskRecord:
    (
        number,
        task_id,
        put_at,
        expires_in,
        keep_done,
        most,
        line,
        group,
        unique,
        publisher,
        headers,
        data,
        state,
    ) = row[:13]
    place, until, failed, deliveries, token, settled, error = row[13:]
    return TaskRecord(
        task_id=task_id,
        queue=queue,
        state=TaskState(state),
        data=msgspec.Raw(data),
        number=number,
        place=place,
        priority=MAX_PRIORITY - line,
        attempt=failed + (state != TaskState.DEAD),
        deliveries=deliveries,
        put_at=put_at,
        until=until,
        max_attempts=most,
        expires_at=None if expires_in is None else put_at + expires_in,
        keep_done=keep_done or DEFAULT_OPTIONS.keep_done,  # this object is omitted in an export
        group=group,
        unique=unique,
        publisher_id=publisher,
        headers=_headers(headers),
        receipt=None if token is None else make_receipt(task_id, deliveries, token),
        settled=settled,
        error=_text(error),
        failures=failures,
    )


def _failed(row: Sequence[Any]) -> FailedAttempt:
    attempt, at, verb, error, traceback = row
    return FailedAttempt(attempt, at, verb, _text(error), _text(traceback))


def _headers(text: str | None) -> dict[str, str] | None:
    return None if text is None else msgspec.json.decode(text, type=dict[str, str])


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode()
