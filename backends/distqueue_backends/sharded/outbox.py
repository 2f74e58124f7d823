"""Follow-up tasks on their way from the shard of an ack to their own.

An ack and its follow-up tasks are one commit. A follow-up task that belongs to another shard is stored in
that commit as a task of a queue which no user can name, with the whole put as its payload; it is put into
its own shard afterwards, and then taken out here. Whoever finds one that was left behind does the same.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from distqueue.commands import Command, Put
from distqueue.payload import Payload
from distqueue.task import TaskRecord, TaskState
from distqueue_backends.table.entry import Entry

OUTBOX: Final = "*outbox*"
"""The queue of what is on its way; no name of a user's queue may hold a ``*``."""


class Forwarded(Command, frozen=True, kw_only=True, gc=False):
    """Take out of the outbox what has been stored in its own shard."""

    ids: list[str]


class Parcel(msgspec.Struct, frozen=True):
    """The payload of a task in the outbox: a put, and the payload of that."""

    put: Put
    data: msgspec.Raw


def pack(put: Put) -> Put:
    """Return the put that stores a follow-up task in the outbox."""
    parcel = Parcel(replace(put, data=b""), msgspec.Raw(bytes(put.data)))
    return Put(queue=OUTBOX, task_id=f"{put.queue}:{put.task_id}", data=Payload(msgspec.json.encode(parcel)))


def unpack(entry: Entry, data: bytes, now: float) -> Put:
    """Return the put in a task of the outbox; its times count from the ack on."""
    parcel = msgspec.json.decode(data, type=Parcel)
    put, waited = parcel.put, max(0.0, now - entry.put_at)
    expires_in = put.options.expires_in
    if expires_in is not None:
        put = replace(put, options=replace(put.options, expires_in=max(0.0, expires_in - waited)))
    due = entry.put_at + put.delay if put.delay is not None else put.due
    return replace(put, data=Payload(bytes(parcel.data)), delay=None, due=due)


def dead_record(put: Put, task_id: str, reason: str, now: float) -> TaskRecord:
    """Return a follow-up task that its shard refused, as a dead one."""
    options = put.options
    return TaskRecord(
        task_id=task_id,
        queue=put.queue,
        state=TaskState.DEAD,
        data=msgspec.Raw(bytes(put.data)),
        number=1,
        priority=options.priority,
        put_at=now,
        max_attempts=options.max_attempts,
        keep_done=options.keep_done,
        group=options.group,
        publisher_id=options.publisher_id,
        headers=options.headers,
        error=reason,
    )
