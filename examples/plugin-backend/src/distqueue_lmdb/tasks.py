"""Tasks and remembered ids, kept in six tables.

| table | key | value |
|---|---|---|
| queues | queue | whether it is paused, and how many ids are remembered |
| ids | queue, task id | number, of a task or of an id that is remembered |
| tasks | queue, number | the task |
| line | queue, priority, place, number | of each ready task |
| times | queue, time, number | of each scheduled or leased task: when it is due, or its lease ends |
| gone | queue, number | an id that is remembered after its task is gone |

The unnamed table has the format and the last number that was given out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from typing import Any

import msgspec
from msgspec.structs import replace

from distqueue.backend import Backend
from distqueue.commands import Ack, Command
from distqueue.failures import with_failure
from distqueue.fences import EVERY
from distqueue.payload import checksum
from distqueue.task import RememberedTask, TaskRecord, TaskState
from distqueue_lmdb.environment import Environment
from distqueue_lmdb.keys import decoded, index_of, packed, prefix, remembered_in, time_in
from distqueue_lmdb.plugin import LmdbOptions

LAPSED = "the lease ran out"
READY, LEASED, DEAD = TaskState.READY, TaskState.LEASED, TaskState.DEAD


class QueueRow(msgspec.Struct):
    paused: bool = False
    remembered: int = 0


class Tasks(Backend):
    """Keeps tasks where their state has them stand; the verbs are built on it."""

    now = 0.0
    last = 0

    def __init__(self, environment: Environment, options: LmdbOptions) -> None:
        super().__init__()
        self.store = environment
        self.options = options

    def names(self, commands: Iterable[Command]) -> set[str]:
        """Return the queues that commands are about."""
        names = {command.queue for command in commands}
        names |= {put.queue for command in commands if isinstance(command, Ack) for put in command.then}
        if EVERY in names:
            names = names - {EVERY} | {key.decode() for key, _ in self.store.scan("queues")}
        return names

    def let_time_pass(self, queue: str) -> None:
        """Let leases end, tasks become due and ids be forgotten."""
        times = takewhile(
            lambda entry: time_in(entry[0]) <= self.now, self.store.scan("times", prefix(queue))
        )
        for key, _ in list(times):
            task = self.task(queue, key[-8:])
            if task.state is LEASED:
                failures = with_failure(task.failures, task.attempt, task.until or 0.0, "lapse", LAPSED)
                self.fail(task, LAPSED, receipt=None, failures=failures)
            else:
                self.keep(task, state=READY, until=None, place=self.next_number())
        oldest = remembered_in(self.store.scan("gone", prefix(queue)))
        self.forget(queue, [*takewhile(lambda gone: self.now - gone.at >= self.options.dedup_window, oldest)])

    def row(self, queue: str) -> QueueRow:
        return msgspec.json.decode(self.store.get("queues", queue.encode()) or b"{}", type=QueueRow)

    def set_row(self, queue: str, row: QueueRow) -> None:
        self.store.set("queues", queue.encode(), msgspec.json.encode(row))

    def next_number(self) -> int:
        """Return a higher number than all before: the order of puts, and the places in line."""
        self.last += 1
        return self.last

    def task(self, queue: str, number: bytes) -> TaskRecord:
        return decoded(self.store.get("tasks", prefix(queue) + number) or b"")

    def tasks(self, queue: str, after: int | None = None) -> Iterator[TaskRecord]:
        """Go through the tasks of a queue in the order of their numbers."""
        start = b"" if after is None else prefix(queue) + packed(after)
        return (decoded(value) for _, value in self.store.scan("tasks", prefix(queue), start))

    def insert(self, task: TaskRecord) -> None:
        if self.store.get("queues", task.queue.encode()) is None:
            self.set_row(task.queue, QueueRow())
        self.store.set("ids", prefix(task.queue) + task.task_id.encode(), packed(task.number))
        self.write(task)

    def write(self, task: TaskRecord) -> None:
        self.store.set("tasks", prefix(task.queue) + packed(task.number), msgspec.json.encode(task))
        if entry := index_of(task):
            self.store.set(*entry)

    def remove(self, task: TaskRecord) -> None:
        self.store.delete("ids", prefix(task.queue) + task.task_id.encode())
        self.store.delete("tasks", prefix(task.queue) + packed(task.number))
        if entry := index_of(task):
            self.store.delete(*entry)

    def keep(self, task: TaskRecord, **changes: Any) -> TaskRecord:
        """Store a task, which is in the store as given, with changes."""
        changed = replace(task, **changes)
        if entry := index_of(task):
            self.store.delete(*entry)
        self.write(changed)
        return changed

    def fail(self, task: TaskRecord, error: str | None, **changes: Any) -> TaskRecord:
        """Let an attempt have failed: the task is ready for the next one, or dead."""
        if task.max_attempts is not None and task.attempt >= task.max_attempts:
            return self.keep(task, state=DEAD, until=None, error=error, **changes)
        attempt = task.attempt + 1
        return self.keep(task, state=READY, until=None, attempt=attempt, error=error, **changes)

    # --- Remembered ids ---------------------------------------------------------------------------

    def remember(self, gone: RememberedTask) -> None:
        """Remember an id; if these are too many, forget the oldest."""
        if not self.options.dedup_window or not self.options.dedup_max:
            return
        number = packed(self.next_number())
        self.store.set("gone", prefix(gone.queue) + number, msgspec.json.encode(gone))
        self.store.set("ids", prefix(gone.queue) + gone.task_id.encode(), number)
        row = self.row(gone.queue)
        self.set_row(gone.queue, replace(row, remembered=row.remembered + 1))
        oldest = remembered_in(self.store.scan("gone", prefix(gone.queue)))
        self.forget(gone.queue, [*islice(oldest, max(0, row.remembered + 1 - self.options.dedup_max))])

    def forget(self, queue: str, entries: list[RememberedTask]) -> None:
        """Forget ids."""
        for gone in entries:
            key = prefix(queue) + gone.task_id.encode()
            self.store.delete("gone", prefix(queue) + (self.store.get("ids", key) or b""))
            self.store.delete("ids", key)
        if entries:
            row = self.row(queue)
            self.set_row(queue, replace(row, remembered=row.remembered - len(entries)))

    def known(self, queue: str, task_id: str) -> TaskRecord | RememberedTask | None:
        """Return the task with an id, or what is remembered of it."""
        number = self.store.get("ids", prefix(queue) + task_id.encode())
        if number is None:
            return None
        if value := self.store.get("tasks", prefix(queue) + number):
            return decoded(value)
        return msgspec.json.decode(self.store.get("gone", prefix(queue) + number) or b"", type=RememberedTask)

    def end_task(self, task: TaskRecord, verb: str) -> None:
        """Remove a task, and remember its id."""
        self.remove(task)
        self.remember(
            RememberedTask(
                task_id=task.task_id,
                queue=task.queue,
                at=self.now,
                checksum=checksum(bytes(task.data)),
                settled=verb,
                receipt=task.receipt,
            )
        )
