"""The verbs on tables: what each command decides. The memory and JSON backends are built on it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from distqueue.backend import each
from distqueue.commands import Ack, Put
from distqueue.errors import AlreadySettled, PayloadMismatch, Refused, TaskNotFound
from distqueue.fences import OPEN, FenceLevel, Fencing, next_fence, not_filled, refusal
from distqueue.limits import MAX_BATCH_BYTES
from distqueue.payload import checksum
from distqueue.results import (
    Claimed,
    Cleared,
    Fenced,
    Lease,
    Loaded,
    Outcome,
    PauseSet,
    Purged,
    Redriven,
    Removed,
    Seen,
    Settled,
    Stored,
)
from distqueue.retry import Backoff
from distqueue.task import DEFAULT_OPTIONS, RememberedTask, TaskRecord, TaskState
from distqueue_backends.table.entry import (
    DEAD,
    LEASED,
    READY,
    SCHEDULED,
    STATES,
    Entry,
)
from distqueue_backends.table.queue_table import QueueTable
from distqueue_backends.table.receipts import Repeated, current
from distqueue_backends.table.records import entry_of, gone_of, lease_of
from distqueue_backends.table.steps import (
    all_plain,
    check_free,
    check_together,
    load_entry,
    purge_states,
    redrive_dead,
)
from distqueue_backends.table.tables import Tables

DRAINING, FILLING = FenceLevel.DRAINING, FenceLevel.FILLING


class TableBackend[T: QueueTable](Tables[T]):
    """Carries out every verb on tables in memory, and tells a journal which steps it takes."""

    together_from = 2
    """From how many tasks without options on it pays to store them together."""

    lets_in: tuple[FenceLevel, ...] = ()
    """The fences through which tasks are put, if any."""

    # --- Behind a fence ---------------------------------------------------------------------------

    def _open(self, table: T, *levels: FenceLevel) -> T:
        """Return a table if no fence stands around it but one of these levels.

        Raises:
            Moved: the queue is moving, or has moved.
        """
        fence = table.fence
        if fence is not OPEN and fence.level not in levels:
            raise refusal(table.name, fence)
        return table

    # --- Publishing -------------------------------------------------------------------------------

    def put(self, tasks: Sequence[Put]) -> list[Outcome]:
        if len(tasks) >= self.together_from and all_plain(tasks):
            table = self.table(tasks[0].queue, create=True)
            ids = [put.task_id for put in tasks]
            if table.fence is OPEN and len(set(ids)) == len(ids) and not table.knows_any(ids):
                return self._store_new(table, ids, [put.data for put in tasks])
        return each(self._store, tasks)

    def _store_new(self, table: T, ids: list[str], payloads: list[bytes]) -> list[Outcome]:
        """Do for many new tasks without options what :meth:`_store` does for one: in a third of the time."""
        now = self.now
        entries = [
            Entry(task_id, number, data, crc, now, DEFAULT_OPTIONS, READY, number)
            for task_id, number, data, crc in zip(
                ids, count(table.next_number), payloads, map(checksum, payloads)
            )
        ]
        table.put_together(entries, ids, payloads)
        self.journal.put_together(table.name, entries)
        return [Stored(task_id=task_id) for task_id in ids]

    def _store(self, put: Put) -> Stored:
        table = self._ticked.get(put.queue) or self.table(put.queue, create=True)
        if table.fence is not OPEN:
            self._open(table, *self.lets_in)
        return self._store_in(table, put)

    def _store_in(self, table: T, put: Put) -> Stored:
        task_id, data = put.task_id, put.data
        if self._is_known(table, put):
            return Stored(task_id=task_id, duplicate=True)
        options = put.options
        if options is not DEFAULT_OPTIONS:
            check_free(table, options)
        entry = Entry(task_id, 0, data, checksum(data), self.now, options)
        if put.due is not None or put.delay is not None:
            self._schedule(entry, put)
        table.put(entry)
        self.journal.put(table.name, entry)
        return Stored(task_id=task_id)

    def _is_known(self, table: T, put: Put) -> bool:
        known = table.tasks.get(put.task_id) or table.remembered.get(put.task_id, self.now)
        if known is None:
            return False
        if known.checksum != checksum(put.data):
            raise PayloadMismatch(
                f"task {put.task_id} was published before with another payload; give the new one another id"
            )
        return True

    def _schedule(self, entry: Entry, put: Put) -> None:
        due = put.due if put.due is not None else self.now + (put.delay or 0.0)
        if due > self.now:
            entry.state = SCHEDULED
            entry.until = due

    # --- Consuming --------------------------------------------------------------------------------

    def claim(self, queue: str, count: int, lease: float, token: str) -> Claimed:
        table = self._open(self._placed(queue))
        room = MAX_BATCH_BYTES - self._handed_out
        entries = [] if table.paused else table.take_next(count, room)
        if not entries and room <= 0:
            return Claimed(leases=[])  # what the claims before it got fills the answer: claim again
        if not entries:
            wake_at = None if table.paused else table.wake_at()
            return Claimed(leases=[], seen=Seen(self.version_of(table), wake_at))
        until = self.lease_now + lease
        table.lease(entries, token, until)
        self._note("claim", table, entries, token=token, until=until)
        leases = self._leases(table, entries)
        self._handed_out += sum([len(lease.data) for lease in leases])
        return Claimed(leases=leases)

    def reclaim(self, queue: str, token: str) -> Claimed:
        table = self.table(queue)
        entries = [entry for entry in table.in_states((LEASED,)) if entry.token == token]
        entries.sort(key=lambda entry: (-entry.options.priority, entry.place or 0, entry.number))
        return Claimed(leases=self._leases(table, entries))

    def _leases(self, table: T, entries: Sequence[Entry]) -> list[Lease]:
        return [lease_of(entry, data) for entry, data in zip(entries, self.payloads(table, entries))]

    def ack(self, acks: Sequence[Ack]) -> list[Outcome]:
        return each(self._ack, acks)

    def _ack(self, ack: Ack) -> Settled:
        table = self._ticked.get(ack.queue) or self.table(ack.queue)
        then = ack.then and self.follow_ups(ack.then)
        if table.fence is not OPEN:
            self._open(table, DRAINING)
        try:
            entry = current(table, ack.receipt, "ack", self.now)
        except Repeated as done:
            if unknown := [put.task_id for put in then if not self._is_known(self.table(put.queue), put)]:
                raise AlreadySettled(
                    f"task {done.task_id} was acked before, without the follow-up task {unknown[0]}; put that"
                ) from None
            again = tuple([Stored(task_id=put.task_id, duplicate=True) for put in then])
            return Settled(task_id=done.task_id, state=TaskState.DONE, then=again)
        if then:
            self._check_then(then, entry)
        table.ack(entry, self.now)
        self.journal.ack(table.name, entry.task_id)
        stored = tuple([self._store_in(self.table(put.queue, create=True), put) for put in then])
        return Settled(task_id=entry.task_id, state=TaskState.DONE, until=entry.until, then=stored)

    def follow_ups(self, then: Sequence[Put]) -> Sequence[Put]:
        """Return what is stored here for the follow-up tasks of an ack: themselves."""
        return then

    def _check_then(self, then: Sequence[Put], acked: Entry) -> None:
        """Refuse follow-up tasks that could not all be stored, before anything is changed."""
        check_together(then)
        for put in then:
            table = self._open(self.table(put.queue), DRAINING)
            if not self._is_known(table, put) or put.task_id == acked.task_id:
                check_free(table, put.options, acked)

    def retry(
        self,
        queue: str,
        receipt: str,
        delay: float | None,
        backoff: Backoff,
        error: str | None,
        traceback: str | None,
    ) -> Settled:
        table = self._open(self.table(queue), DRAINING)
        try:
            entry = current(table, receipt, "retry", self.now)
        except Repeated as done:
            return self._settled(table, done.task_id)
        pause = backoff.delay(entry.attempt) if delay is None else delay
        due = self.now + pause if pause > 0 else None
        table.retry(entry, due, error, traceback, self.now)
        self._note("retry", table, [entry], due=due, error=error, traceback=traceback)
        return self._settled(table, entry.task_id)

    def release(self, queue: str, receipt: str, delay: float) -> Settled:
        table = self._open(self.table(queue), DRAINING)
        try:
            entry = current(table, receipt, "release", self.now)
        except Repeated as done:
            return self._settled(table, done.task_id)
        due = self.now + delay if delay > 0 else None
        table.release(entry, due)
        self._note("release", table, [entry], due=due)
        return self._settled(table, entry.task_id)

    def reject(self, queue: str, receipt: str, error: str | None, traceback: str | None) -> Settled:
        table = self._open(self.table(queue), DRAINING)
        try:
            entry = current(table, receipt, "reject", self.now)
        except Repeated as done:
            return self._settled(table, done.task_id)
        table.reject(entry, error, traceback, self.now)
        self._note("reject", table, [entry], error=error, traceback=traceback)
        return self._settled(table, entry.task_id)

    def extend(self, queue: str, receipt: str, lease: float) -> Settled:
        table = self._open(self.table(queue), DRAINING)
        entry = current(table, receipt, "extend", self.now)
        until = self.lease_now + lease
        table.extend(entry, until)
        self._note("extend", table, [entry], until=until)
        return self._settled(table, entry.task_id)

    def _settled(self, table: T, task_id: str) -> Settled:
        entry = table.tasks[task_id]
        return Settled(task_id=task_id, state=STATES[entry.state], until=entry.until)

    # --- Administration ---------------------------------------------------------------------------

    def cancel(self, queue: str, task_id: str) -> Removed:
        table = self._open(self.table(queue))
        entry = table.tasks.get(task_id)
        if entry is None:
            raise TaskNotFound(f"there is no task {task_id} in queue {queue}; it may be done already")
        state = STATES[entry.state]
        table.remove(entry, "cancel", self.now)
        self._note("cancel", table, [entry])
        return Removed(task_id=task_id, state=state)

    def redrive(self, queue: str, task_id: str | None, error: str | None) -> Redriven:
        table = self._open(self.table(queue))
        if task_id is not None and (task_id not in table.tasks or table.tasks[task_id].state != DEAD):
            raise TaskNotFound(f"there is no dead task {task_id} in queue {queue}")
        count, refused = redrive_dead(table, task_id, error)
        if count:
            self.journal.note("redrive", queue, id=task_id, error=error)
        return Redriven(count=count, refused=refused)

    def purge(self, queue: str, states: Sequence[TaskState]) -> Purged:
        table = self._open(self._placed(queue))
        count = purge_states(table, states, self.now)
        if count:
            self.journal.note("purge", queue, states=states)
        return Purged(count=count)

    def pause(self, queue: str, paused: bool) -> PauseSet:
        table = self._open(self.table(queue, create=paused), FILLING)
        if table.paused != paused:
            table.paused = paused
            table.version += not paused
            self.journal.note("pause" if paused else "resume", queue)
        return PauseSet(paused=paused)

    def fence(self, queue: str, level: FenceLevel, note: str) -> Fenced:
        table = self.table(queue)
        is_there = queue in self._ticked
        before = table.fence if is_there else OPEN
        table.fence = after = next_fence(queue, before, level, note, has_tasks=table.has_tasks())
        if after is not OPEN and not is_there:  # also where a fence forbids new ones
            self.tables[queue] = self._ticked[queue] = table
        if after != before:
            if after.level is FILLING:
                self._forget_all(table)
            table.version += 1  # who waits is to be told
            self.journal.note("fence", queue, level=level, note=note)
        return Fenced(level=after.level, note=after.note)

    def clear(self, queue: str) -> Cleared:
        table = self.table(queue)
        if table.fence is OPEN:
            raise Refused(f"queue {queue} has not moved, and stays as it is; purge it if you mean it")
        self._open(table, FenceLevel.MOVED, FILLING)
        if queue in self._ticked:  # or it is not there, and only the fence of all of them is
            self._forget_all(table)
        return Cleared()

    def _forget_all(self, table: T) -> None:
        table.clear()
        self.journal.note("clear", table.name)

    def load(self, record: TaskRecord | RememberedTask, source: str) -> Loaded:
        table = self._open(self.table(record.queue, create=not source), FILLING)
        if source and table.fence != Fencing(FILLING, source):
            raise not_filled(record.queue, source)
        duplicate = Loaded(task_id=record.task_id, duplicate=True)
        if record.task_id in table.tasks or table.remembered.get(record.task_id, self.now):
            return duplicate
        if isinstance(record, RememberedTask):
            table.remembered.add(gone_of(record))
            self.journal.note("remember", record.queue, tasks=[gone_of(record)])
            return Loaded(task_id=record.task_id)
        entry = entry_of(record)
        if entry.number <= table.last_number:  # it may be taken, and pages and groups go by it
            entry.number = table.next_number
        if entry.is_live:
            check_free(table, entry.options)
        load_entry(table, entry, record.failures)
        self.journal.load(record.queue, entry, record.failures)
        return Loaded(task_id=record.task_id)
