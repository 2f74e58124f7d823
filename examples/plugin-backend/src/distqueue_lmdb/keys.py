"""Keys, whose order is what the tables are sorted by, and values."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import msgspec

from distqueue.task import RememberedTask, TaskRecord, TaskState

READY, SCHEDULED, LEASED = TaskState.READY, TaskState.SCHEDULED, TaskState.LEASED
SIGN, ALL = 1 << 63, (1 << 64) - 1


def prefix(queue: str) -> bytes:
    return queue.encode() + b"\0"


def packed(number: int) -> bytes:
    return number.to_bytes(8)


def unpacked(number: bytes) -> int:
    return int.from_bytes(number)


def time_key(moment: float) -> bytes:
    """Return bytes whose order is that of the times, before 1970 too."""
    bits = unpacked(struct.pack(">d", moment))
    return packed(bits ^ (SIGN if bits < SIGN else ALL))


def time_in(key: bytes) -> float:
    """Return the time in a key of the table of times."""
    bits = unpacked(key[-16:-8])
    moment: float = struct.unpack(">d", packed(bits ^ (SIGN if bits >= SIGN else ALL)))[0]
    return moment


def index_of(task: TaskRecord) -> tuple[str, bytes] | None:
    """Return where a task stands by its state."""
    if task.state is READY:
        place = bytes([255 - task.priority]) + packed(task.place or 0)
        return "line", prefix(task.queue) + place + packed(task.number)
    if task.state in (SCHEDULED, LEASED):
        return "times", prefix(task.queue) + time_key(task.until or 0.0) + packed(task.number)
    return None


def decoded(value: bytes) -> TaskRecord:
    return msgspec.json.decode(value, type=TaskRecord)


def remembered_in(entries: Iterable[tuple[bytes, bytes]]) -> Iterator[RememberedTask]:
    return (msgspec.json.decode(value, type=RememberedTask) for _, value in entries)
