"""Compaction: a new file with what is live and remembered, in place of the old one.

Other processes that have the old file open need not read everything again: if they know all of the
old file, only the places of the payloads have changed (:func:`relocate`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import batched
from math import ceil, sumprod
from typing import Final

import msgspec

from distqueue_backends.filesystem import replacing
from distqueue_backends.json.commit import CommitBuilder
from distqueue_backends.json.format import CLOSE, Header, encode_header, spans_in, this_version
from distqueue_backends.json.log_file import ROOM, LogFile
from distqueue_backends.json.ops import Load
from distqueue_backends.table.entry import READY, Entry
from distqueue_backends.table.queue_table import QueueTable
from distqueue_backends.table.where import pack

STATE_SIZES: Final = (110, 75, 175, 190, 190, 0)
"""About how many bytes a task takes in a snapshot beside those that the table counts, by its state."""
SLACK: Final = 384 * 1024
"""How much garbage a file may hold however little is live."""
_TASKS_A_COMMIT: Final = 500


def live_bytes(tables: dict[str, QueueTable]) -> int:
    """Return about how large a snapshot would be."""
    return sum(
        table.size + table.history.size + int(sumprod(STATE_SIZES, table.counts)) + table.remembered.size
        for table in tables.values()
    )


def is_worth_it(log: LogFile, tables: dict[str, QueueTable]) -> bool:
    """Whether garbage outweighs the rest."""
    return log.end > 2 * live_bytes(tables) + SLACK


def write_first(path: str, store: str) -> None:
    """Create an empty store."""
    with replacing(path) as fd:
        header = encode_header(Header(version=this_version(), store=store))
        _write(fd, header + CLOSE + b" " * ROOM)
    os.close(fd)


def compact(path: str, log: LogFile, tables: dict[str, QueueTable], now: float) -> LogFile:
    """Write what is live into a new file, put it in place, and return it. The lock is held.

    Whatever fails before the new file is in place leaves everything as it was.

    Raises:
        OSError: the new file could not be written.
        StoreFailed: it may or may not be in place after a crash.
    """
    count = sum(_commits_of(table) for table in tables.values())
    header = Header(
        version=this_version(),
        store=log.header.store,
        epoch=log.header.epoch + 1,
        from_seq=log.seq,
        snapshot=count,
    )
    moves: list[tuple[Sequence[Entry], list[int]]] = []
    with replacing(path) as fd:
        at = _write(fd, encode_header(header))
        for seq, (entries, builder) in enumerate(_snapshot(log, tables), start=1):
            line, ops_at = builder.encode(seq, now)
            lead = b",\n" if seq > 1 else b"\n"
            moves.append((entries, builder.places(at + len(lead) + ops_at)))
            at += _write(fd, b"".join((lead, *line)))
        _write(fd, CLOSE + b" " * ROOM)
    for entries, places in moves:
        for entry, place in zip(entries, places):
            entry.where = place
    new = LogFile(fd, header, at)
    new.seq = count
    return new


def relocate(new: LogFile, tables: dict[str, QueueTable]) -> bool:
    """Take over the places of the payloads in a new file; ``False`` if it holds other tasks."""
    moved = 0
    for commit, line, offset in new.read_on(new.header.snapshot):
        for op in commit.ops:
            if not isinstance(op, Load):
                continue
            tasks = tables[op.queue].tasks if op.queue in tables else {}
            for task, (start, size) in zip(op.tasks, spans_in(line, commit)):
                entry = tasks.get(task.id)
                if entry is None:
                    return False
                entry.where = pack(offset + start, size)
                moved += 1
    return moved == sum(len(table.tasks) for table in tables.values())


def _commits_of(table: QueueTable) -> int:
    return 1 + ceil(len(table.tasks) / _TASKS_A_COMMIT) + ceil(len(table.remembered) / _TASKS_A_COMMIT)


def _snapshot(log: LogFile, tables: dict[str, QueueTable]) -> Iterator[tuple[Sequence[Entry], CommitBuilder]]:
    """Yield the commits of a snapshot, with the tasks in each: a bounded number."""
    for table in tables.values():
        builder = CommitBuilder()
        builder.note(
            "queue",
            table.name,
            next_number=table.next_number,
            last_number=table.last_number,
            paused=table.paused,
            expired=table.expired,
            fence=table.fence.level,
            note=table.fence.note,
        )
        yield (), builder
        for entries in batched(sorted(table.tasks.values(), key=_snapshot_order), _TASKS_A_COMMIT):
            builder = CommitBuilder()
            for entry, data, failures in zip(entries, log.payloads(entries), table.history.of(entries)):
                builder.load(table.name, msgspec.structs.replace(entry, where=data), failures)
            yield entries, builder
        for gone in batched(table.remembered, _TASKS_A_COMMIT):
            builder = CommitBuilder()
            builder.note("remember", table.name, tasks=gone)
            yield (), builder


def _snapshot_order(entry: Entry) -> tuple[bool, int]:
    """Members of groups in the order of publishing, then the rest in line: so reading is fastest."""
    if entry.options.group is not None or entry.state != READY:
        return (False, entry.number)
    return (True, entry.place or 0)


def _write(fd: int, data: bytes) -> int:
    block = memoryview(data)
    while block:
        block = block[os.write(fd, block) :]
    return len(data)
