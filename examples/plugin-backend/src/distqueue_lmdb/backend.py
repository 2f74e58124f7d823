"""The verbs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Self

import msgspec
from msgspec.structs import replace

from distqueue.backend import each
from distqueue.capabilities import Capabilities
from distqueue.commands import Ack, Command, Put
from distqueue.errors import (
    AlreadySettled,
    LeaseLost,
    PayloadMismatch,
    StoreFull,
    TaskGone,
    TaskNotFound,
)
from distqueue.failures import with_failure
from distqueue.fences import EVERY
from distqueue.forking import close_after_fork
from distqueue.ids import make_receipt, parse_receipt
from distqueue.payload import checksum
from distqueue.results import (
    Browsed,
    Claimed,
    Counted,
    Lease,
    Loaded,
    Outcome,
    PauseSet,
    Purged,
    QueueStats,
    Redriven,
    Removed,
    Seen,
    Settled,
    Stored,
)
from distqueue.retry import Backoff
from distqueue.task import RememberedTask, TaskRecord, TaskState
from distqueue.urls import StoreURL
from distqueue_lmdb.environment import Environment, let_go, open_environment
from distqueue_lmdb.keys import packed, prefix, remembered_in, time_in, unpacked
from distqueue_lmdb.plugin import LMDB, LmdbOptions
from distqueue_lmdb.tasks import Tasks

READY, SCHEDULED, LEASED = TaskState.READY, TaskState.SCHEDULED, TaskState.LEASED
DONE, DEAD = TaskState.DONE, TaskState.DEAD


class LmdbBackend(Tasks):
    """``lmdb:///DIRECTORY``."""

    poll_interval = 0.02
    room = 0

    @classmethod
    def open(cls, url: StoreURL, options: LmdbOptions, *, create: bool) -> Self:
        path = url.file_path()
        return cls(open_environment(path, options.map_size, options.lock_timeout, create), options)

    def __init__(self, environment: Environment, options: LmdbOptions) -> None:
        super().__init__(environment, options)
        close_after_fork(self)

    @property
    def capabilities(self) -> Capabilities:
        return replace(LMDB, dedup_window=self.options.dedup_window, dedup_max=self.options.dedup_max)

    @contextmanager
    def commit(self, commands: Sequence[Command]) -> Iterator[None]:
        with self.store.transaction(self.options.lock_timeout):
            self.now = time.time()
            before = self.last = int(self.store.get(None, b"last") or 0)
            self.room = self.store.size() * 7 // 8 - self.store.used()
            for queue in self.names(commands):
                self.let_time_pass(queue)
            yield
            if self.last != before:
                self.store.set(None, b"last", str(self.last).encode())

    def shut(self) -> None:
        let_go(self.store)

    def leave_to_parent(self) -> None:
        """The environment closes its copies itself, before a child can open the store again."""

    # --- Publishing -------------------------------------------------------------------------------

    def put(self, tasks: Sequence[Put]) -> list[Outcome]:
        return each(self.store_task, tasks)

    def store_task(self, put: Put) -> Stored:
        data = put.data.strip()  # the white space around it is no part of a JSON value
        known = self.known(put.queue, put.task_id)
        if known is not None:
            before = known.checksum if isinstance(known, RememberedTask) else checksum(bytes(known.data))
            if before != checksum(data):
                raise PayloadMismatch(f"task {put.task_id} is known with another payload; use another id")
            return Stored(task_id=put.task_id, duplicate=True)
        self.room -= 2 * len(data) + 20_000  # and at most so much for headers and keys
        if self.room < 0:
            size = self.store.size()
            raise StoreFull(f"{self.store.path} is full; open it with a map_size over {size}")
        due = put.due if put.due is not None else self.now + (put.delay or 0.0)
        number = self.next_number()
        is_ready = due <= self.now
        self.insert(
            TaskRecord(
                task_id=put.task_id,
                queue=put.queue,
                state=READY if is_ready else SCHEDULED,
                data=msgspec.Raw(data),
                number=number,
                place=number if is_ready else None,
                until=None if is_ready else due,
                priority=put.options.priority,
                put_at=self.now,
                max_attempts=put.options.max_attempts,
                publisher_id=put.options.publisher_id,
                headers=put.options.headers,
            )
        )
        return Stored(task_id=put.task_id)

    # --- Consuming --------------------------------------------------------------------------------

    def claim(self, queue: str, count: int, lease: float, token: str) -> Claimed:
        tasks = [] if self.row(queue).paused else self.in_line(queue, count)
        leases = [self.hand_out(task, lease, token) for task in tasks]
        first = next((time_in(key) for key, _ in self.store.scan("times", prefix(queue))), None)
        return Claimed(leases=leases, seen=Seen(wake_at=first))

    def in_line(self, queue: str, count: int) -> list[TaskRecord]:
        """Return the first tasks in line, whether the queue is paused or not."""
        return [
            self.task(queue, key[-8:]) for key, _ in islice(self.store.scan("line", prefix(queue)), count)
        ]

    def hand_out(self, task: TaskRecord, lease: float, token: str) -> Lease:
        number = task.deliveries + 1
        receipt = make_receipt(task.task_id, number, token)
        until = self.now + lease
        return lease_of(
            self.keep(task, state=LEASED, until=until, deliveries=number, receipt=receipt, settled=None)
        )

    def reclaim(self, queue: str, token: str) -> Claimed:
        tasks = [self.task(queue, key[-8:]) for key, _ in self.store.scan("times", prefix(queue))]
        leased = [task for task in tasks if task.state is LEASED and task.receipt]
        mine = [task for task in leased if parse_receipt(task.receipt or "")[2] == token]
        mine.sort(key=lambda task: (-task.priority, task.place or 0))
        return Claimed(leases=[lease_of(task) for task in mine])

    # --- Settling ---------------------------------------------------------------------------------

    def delivered(self, queue: str, receipt: str, verb: str) -> TaskRecord | None:
        """Return the task of a receipt: leased, or settled before by this very verb; none if that ended it.

        Raises:
            LeaseLost: it is not the receipt of the newest delivery, or its lease ran out.
            AlreadySettled: the delivery was settled by another verb.
            TaskGone: the task was cancelled or purged.
        """
        known = self.known(queue, parse_receipt(receipt)[0])
        if known is None or known.receipt != receipt:
            raise LeaseLost("the receipt is stale: the lease ran out, or the task was delivered again")
        if isinstance(known, RememberedTask) and known.settled != "ack":
            raise TaskGone(f"task {known.task_id} was removed by {known.settled}")
        if isinstance(known, TaskRecord) and known.state is LEASED:
            return known
        if known.settled != verb:
            raise AlreadySettled(f"this delivery was settled before, by {known.settled}")
        return known if isinstance(known, TaskRecord) else None

    def settle(self, queue: str, receipt: str, verb: str) -> TaskRecord:
        """Return the task of a receipt for a verb that leaves the task in the store."""
        task = self.delivered(queue, receipt, verb)
        if task is None:  # only an ack ends a task
            raise LeaseLost("the task is gone")
        return task

    def ack(self, acks: Sequence[Ack]) -> list[Outcome]:
        return each(self.end, acks)

    def end(self, ack: Ack) -> Settled:
        task = self.delivered(ack.queue, ack.receipt, "ack")
        if task is None:
            then = [Stored(task_id=put.task_id, duplicate=True) for put in ack.then]
        else:
            with self.store.all_or_nothing() if ack.then else nullcontext():
                self.end_task(task, "ack")
                then = [self.store_task(put) for put in ack.then]
        return Settled(task_id=parse_receipt(ack.receipt)[0], state=DONE, then=tuple(then))

    def retry(
        self,
        queue: str,
        receipt: str,
        delay: float | None,
        backoff: Backoff,
        error: str | None,
        traceback: str | None,
    ) -> Settled:
        task = self.settle(queue, receipt, "retry")
        if task.state is LEASED:
            wait = backoff.delay(task.attempt) if delay is None else delay
            failures = with_failure(task.failures, task.attempt, self.now, "retry", error, traceback)
            place = self.next_number()
            task = self.fail(task, error, settled="retry", place=place, failures=failures)
            if task.state is READY and wait > 0:
                task = self.keep(task, state=SCHEDULED, until=self.now + wait, place=None)
        return answer(task)

    def release(self, queue: str, receipt: str, delay: float) -> Settled:
        task = self.settle(queue, receipt, "release")
        if task.state is LEASED and delay > 0:
            until = self.now + delay
            task = self.keep(task, settled="release", state=SCHEDULED, until=until, place=None)
        elif task.state is LEASED:
            task = self.keep(task, settled="release", state=READY, until=None)
        return answer(task)

    def reject(self, queue: str, receipt: str, error: str | None, traceback: str | None) -> Settled:
        task = self.settle(queue, receipt, "reject")
        if task.state is LEASED:
            failures = with_failure(task.failures, task.attempt, self.now, "reject", error, traceback)
            task = self.keep(task, settled="reject", state=DEAD, until=None, error=error, failures=failures)
        return answer(task)

    def extend(self, queue: str, receipt: str, lease: float) -> Settled:
        task = self.settle(queue, receipt, "extend")
        return answer(self.keep(task, until=self.now + lease))

    # --- Administration and reading ---------------------------------------------------------------

    def cancel(self, queue: str, task_id: str) -> Removed:
        task = self.find(queue, task_id)
        if task is None:
            raise TaskNotFound(f"there is no task {task_id} in queue {queue}")
        self.end_task(task, "cancel")
        return Removed(task_id=task_id, state=task.state)

    def redrive(self, queue: str, task_id: str | None, error: str | None) -> Redriven:
        candidates = self.tasks(queue) if task_id is None else [self.find(queue, task_id)]
        dead = [task for task in candidates if task is not None and task.state is DEAD]
        chosen = [task for task in dead if error is None or error in (task.error or "")]
        if task_id is not None and not chosen:
            raise TaskNotFound(f"there is no dead task {task_id} in queue {queue}")
        for task in chosen:
            self.remove(task)
            number = self.next_number()
            self.insert(replace(task, state=READY, attempt=1, number=number, place=number))
        return Redriven(count=len(chosen))

    def purge(self, queue: str, states: Sequence[TaskState]) -> Purged:
        chosen = [task for task in self.tasks(queue) if not states or task.state in states]
        for task in chosen:
            self.end_task(task, "purge")
        return Purged(count=len(chosen))

    def find(self, queue: str, task_id: str) -> TaskRecord | None:
        known = self.known(queue, task_id)
        return known if isinstance(known, TaskRecord) else None

    def stats(self, queue: str) -> Counted:
        names = [key.decode() for key, _ in self.store.scan("queues")] if queue == EVERY else [queue]
        store: dict[str, int | float | str | bool] = {
            "used": self.store.used(),
            "map_size": self.store.size(),
        }
        return Counted(queues=[self.counts(name) for name in names], store=store)

    def counts(self, queue: str) -> QueueStats:
        row, tasks = self.row(queue), [*self.tasks(queue)]
        states = [task.state for task in tasks]
        return QueueStats(
            queue=queue,
            ready=states.count(READY),
            scheduled=states.count(SCHEDULED),
            leased=states.count(LEASED),
            dead=states.count(DEAD),
            remembered=row.remembered,
            paused=row.paused,
            oldest_ready_at=min((task.put_at for task in tasks if task.state is READY), default=None),
            next_due_at=min((task.until or 0.0 for task in tasks if task.state is SCHEDULED), default=None),
        )

    def pause(self, queue: str, paused: bool) -> PauseSet:
        self.set_row(queue, replace(self.row(queue), paused=paused))
        return PauseSet(paused=paused)

    def browse(
        self, queue: str, states: Sequence[TaskState], order: str, limit: int, after: int | None
    ) -> Browsed:
        if order == "line":
            return Browsed(tasks=self.in_line(queue, limit))
        found = (task for task in self.tasks(queue, after) if not states or task.state in states)
        page = list(islice(found, limit + 1))
        return Browsed(tasks=page[:limit], next=page[limit - 1].number if len(page) > limit else None)

    def remembered(self, queue: str, limit: int, after: int | None) -> Browsed:
        start = b"" if after is None else prefix(queue) + packed(after)
        page = list(islice(self.store.scan("gone", prefix(queue), start), limit + 1))
        more = unpacked(page[limit - 1][0][-8:]) if len(page) > limit else None
        return Browsed(remembered=[*remembered_in(page[:limit])], next=more)

    def load(self, record: TaskRecord | RememberedTask, source: str) -> Loaded:
        queue, task_id = record.queue, record.task_id
        if self.known(queue, task_id) is not None:
            return Loaded(task_id=task_id, duplicate=True)
        if isinstance(record, RememberedTask):
            self.remember(record)
            return Loaded(task_id=task_id)
        self.last = max(self.last, record.number, record.place or 0)
        if self.store.get("tasks", prefix(queue) + packed(record.number)) is not None:
            record = replace(record, number=self.next_number())
        if record.state is READY and record.place is None:
            record = replace(record, place=self.next_number())
        self.insert(record)
        return Loaded(task_id=task_id)


def lease_of(task: TaskRecord) -> Lease:
    """Return what a consumer gets of a leased task."""
    return Lease(
        task_id=task.task_id,
        data=bytes(task.data),
        receipt=task.receipt or "",
        attempt=task.attempt,
        deliveries=task.deliveries,
        until=task.until or 0.0,
        put_at=task.put_at,
        priority=task.priority,
        max_attempts=task.max_attempts,
        publisher_id=task.publisher_id,
        headers=task.headers,
    )


def answer(task: TaskRecord) -> Settled:
    """Return what is said to who settled a delivery."""
    return Settled(task_id=task.task_id, state=task.state, until=task.until)
