"""Between entries of the table and what others see of them: leases, records, counts."""

from __future__ import annotations

import msgspec

from distqueue.ids import make_receipt, parse_receipt
from distqueue.payload import checksum
from distqueue.results import Lease
from distqueue.task import DEFAULT_OPTIONS, FailedAttempt, RememberedTask, TaskOptions, TaskRecord
from distqueue_backends.table.entry import DEAD, STATES, Entry
from distqueue_backends.table.remembered import Gone


def record_of(queue: str, entry: Entry, data: bytes, failures: tuple[FailedAttempt, ...]) -> TaskRecord:
    """Return the full record of a task."""
    options = entry.options
    return TaskRecord(
        task_id=entry.task_id,
        queue=queue,
        state=STATES[entry.state],
        data=msgspec.Raw(data),
        number=entry.number,
        place=entry.place,
        priority=options.priority,
        attempt=entry.attempt,
        deliveries=entry.deliveries,
        put_at=entry.put_at,
        until=entry.until,
        max_attempts=options.max_attempts,
        expires_at=entry.expires_at,
        keep_done=options.keep_done or DEFAULT_OPTIONS.keep_done,  # this object is omitted in an export
        group=options.group,
        unique=options.unique,
        publisher_id=options.publisher_id,
        headers=options.headers and dict(options.headers),
        receipt=_receipt(entry.task_id, entry.deliveries, entry.token),
        settled=entry.settled,
        error=entry.error,
        failures=failures,
    )


def lease_of(entry: Entry, data: bytes) -> Lease:
    """Return what is handed out of a leased task."""
    options = entry.options
    return Lease(
        task_id=entry.task_id,
        data=data,
        receipt=make_receipt(entry.task_id, entry.deliveries, entry.token or ""),
        attempt=entry.failures + 1,
        deliveries=entry.deliveries,
        until=entry.until or 0.0,
        put_at=entry.put_at,
        priority=options.priority,
        max_attempts=options.max_attempts,
        group=options.group,
        publisher_id=options.publisher_id,
        headers=options.headers and dict(options.headers),
    )


def entry_of(record: TaskRecord) -> Entry:
    """Return the entry of a recorded task; its payload is still in it."""
    data = bytes(record.data)
    state = STATES.index(record.state)
    token = parse_receipt(record.receipt)[2] if record.receipt else None
    return Entry(
        task_id=record.task_id,
        number=record.number,
        where=data,
        checksum=checksum(data),
        put_at=record.put_at,
        options=TaskOptions(
            record.priority,
            record.max_attempts,
            None if record.expires_at is None else record.expires_at - record.put_at,
            record.keep_done,
            record.group,
            record.unique,
            record.publisher_id,
            record.headers,
        ),
        state=state,
        place=record.place,
        until=record.until,
        failures=record.attempt - (state != DEAD),
        deliveries=record.deliveries,
        token=token,
        settled=record.settled,
        error=record.error,
    )


def remembered_of(queue: str, gone: Gone) -> RememberedTask:
    """Return the record of a task that is gone."""
    return RememberedTask(
        task_id=gone.task_id,
        queue=queue,
        at=gone.at,
        checksum=gone.checksum,
        settled=gone.settled,
        receipt=_receipt(gone.task_id, gone.deliveries, gone.token),
    )


def gone_of(record: RememberedTask) -> Gone:
    """Return the memory of a recorded task that is gone."""
    deliveries, token = 0, None
    if record.receipt:
        _, deliveries, token = parse_receipt(record.receipt)
    return Gone(record.task_id, record.at, record.checksum, record.settled, deliveries, token)


def _receipt(task_id: str, deliveries: int, token: str | None) -> str | None:
    return None if token is None else make_receipt(task_id, deliveries, token)
