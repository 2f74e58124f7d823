"""Reading the log back: each op is a step that the table takes again."""

from __future__ import annotations

import gc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from distqueue.fences import Fencing
from distqueue_backends.json import ops
from distqueue_backends.json.format import Commit, Unfit, spans_in
from distqueue_backends.table.entry import READY, SCHEDULED, Entry
from distqueue_backends.table.queue_table import QueueTable
from distqueue_backends.table.steps import load_entry, purge_states, redrive_dead
from distqueue_backends.table.tables import LAPSED
from distqueue_backends.table.where import pack

type Tables = dict[str, QueueTable]


@contextmanager
def collector_paused() -> Iterator[None]:
    """Read without the cyclic garbage collector, which would look at all tasks again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Replay:
    """Takes the steps of commits in tables.

    ``lenient`` passes over steps with tasks that are not there: for the repair of a damaged file.
    """

    def __init__(
        self, tables: Tables, new_table: Callable[[str], QueueTable], *, lenient: bool = False
    ) -> None:
        self._tables = tables
        self._new_table = new_table
        self._lenient = lenient

    def commit(self, commit: Commit, line: bytes, offset: int) -> None:
        """Take the steps of one commit, whose line begins at ``offset`` of the file.

        Raises:
            Unfit: the commit does not fit those before it.
        """
        spans = iter(spans_in(line, commit))
        for op in commit.ops:
            try:
                table = self._tables.get(op.queue)
                if table is None:
                    table = self._tables[op.queue] = self._new_table(op.queue)
                if isinstance(op, ops.OfTasks):
                    self._step(table, op, commit.at)
                elif isinstance(op, ops.Put):
                    for task, (start, size) in zip(op.tasks, spans):
                        data = line[start : start + size]
                        table.put(_new_entry(task, commit.at, pack(offset + start, size), zlib.crc32(data)))
                elif isinstance(op, ops.Load):
                    for whole, (start, size) in zip(op.tasks, spans):
                        data = line[start : start + size]
                        entry = whole.entry(pack(offset + start, size), zlib.crc32(data))
                        load_entry(table, entry, whole.history)
                else:
                    _QUEUE_STEPS[type(op)](table, op, commit.at)
            except (KeyError, TypeError, ValueError) as error:
                if not self._lenient:
                    raise Unfit(f"commit {commit.seq} does not fit those before it: {error!r}") from None

    def _step(self, table: QueueTable, op: ops.OfTasks, at: float) -> None:
        if isinstance(op, ops.Claim):
            self._claim(table, op)
            return
        step, tasks = _STEPS[type(op)], table.tasks
        for task_id in op.ids:
            if not self._lenient or task_id in tasks:
                step(table, tasks[task_id], op, at)

    def _claim(self, table: QueueTable, op: ops.Claim) -> None:
        if self._lenient:
            taken = [e for task_id in op.ids if (e := table.tasks.get(task_id)) and e.state == READY]
        else:
            taken = table.take_next(len(op.ids))
            if [entry.task_id for entry in taken] != op.ids:
                raise ValueError(f"the tasks {op.ids[:3]} were not the next in line")
        table.lease(taken, op.token, op.until)


def _new_entry(task: ops.NewTask, at: float, where: int, checksum: int) -> Entry:
    entry = Entry(task.id, 0, where, checksum, at, task.options())
    if task.due is not None:
        entry.state = SCHEDULED
        entry.until = task.due
    return entry


def _remember(table: QueueTable, op: ops.Remember, at: float) -> None:
    for gone in op.tasks:
        table.remembered.add(gone)


def _restore(table: QueueTable, op: ops.Queue, at: float) -> None:
    table.next_number, table.last_number = op.next_number, op.last_number
    table.paused = op.paused
    table.expired = op.expired
    table.fence = Fencing.of(op.fence, op.note)


def _pause(table: QueueTable, op: ops.Pause, at: float) -> None:
    table.paused = True


def _resume(table: QueueTable, op: ops.Resume, at: float) -> None:
    table.paused = False
    table.version += 1


def _fence(table: QueueTable, op: ops.Fence, at: float) -> None:
    table.fence = Fencing.of(op.level, op.note)
    table.version += 1


_STEPS: Final[dict[type[ops.OfTasks], Callable[[QueueTable, Entry, Any, float], None]]] = {
    ops.Due: lambda table, entry, op, at: table.place_due(entry),
    ops.Expire: lambda table, entry, op, at: table.remove(entry, "expire", at),
    ops.Forget: lambda table, entry, op, at: table.remove(entry, "ack", at),
    ops.Lapse: lambda table, entry, op, at: table.lapse(entry, LAPSED),
    ops.Ack: lambda table, entry, op, at: table.ack(entry, at),
    ops.Retry: lambda table, entry, op, at: table.retry(entry, op.due, op.error, op.traceback, at),
    ops.Release: lambda table, entry, op, at: table.release(entry, op.due),
    ops.Reject: lambda table, entry, op, at: table.reject(entry, op.error, op.traceback, at),
    ops.Extend: lambda table, entry, op, at: table.extend(entry, op.until),
    ops.Cancel: lambda table, entry, op, at: table.remove(entry, "cancel", at),
}

_QUEUE_STEPS: Final[dict[type[ops.Op], Callable[[QueueTable, Any, float], object]]] = {
    ops.Redrive: lambda table, op, at: redrive_dead(table, op.id, op.error),
    ops.Purge: lambda table, op, at: purge_states(table, op.states, at),
    ops.Pause: _pause,
    ops.Resume: _resume,
    ops.Fence: _fence,
    ops.Clear: lambda table, op, at: table.clear(),
    ops.Remember: _remember,
    ops.Queue: _restore,
}
