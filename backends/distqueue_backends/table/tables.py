"""The queues of a store as tables: how they are at the time of a commit, and what can be seen of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import islice

from distqueue.backend import Backend
from distqueue.clock import Clock
from distqueue.fences import EVERY, OPEN, around_new
from distqueue.results import Browsed, Counted
from distqueue.task import TaskRecord, TaskState
from distqueue_backends.table.entry import STATES, Entry
from distqueue_backends.table.journal import Journal
from distqueue_backends.table.queue_table import QueueTable
from distqueue_backends.table.records import record_of, remembered_of

LAPSED = "the lease ran out before the task was settled"


class Tables[T: QueueTable](Backend):
    """Looks at tables in memory, after what happens by time, and tells a journal of that."""

    tables: dict[str, T]
    journal: Journal
    clock: Clock
    _handed_out = 0

    def __init__(self, clock: Clock, dedup_window: float, dedup_max: int) -> None:
        super().__init__()
        self.clock = clock
        self.dedup_window = dedup_window
        self.dedup_max = dedup_max
        self.now = self.lease_now = 0.0
        self._ticked: dict[str, T] = {}

    # --- Where the payload is: the store's own affair ---------------------------------------------

    def payloads(self, table: T, entries: Sequence[Entry]) -> list[bytes]:
        """Return the payloads of tasks of a queue."""
        raise NotImplementedError

    def facts(self) -> dict[str, int | float | str | bool]:
        """Return facts about the store for ``stats``."""
        return {}

    def version_of(self, table: T) -> int:
        """Return what ``wait`` compares to see whether anything happened since."""
        return table.version

    # --- Time -------------------------------------------------------------------------------------

    def set_time(self) -> None:
        """Let a commit begin: everything in it happens at one time."""
        self.now = self.clock.wall()
        self.lease_now = self.clock.lease()
        self._ticked.clear()
        self._handed_out = 0

    def table(self, queue: str, *, create: bool = False) -> T:
        """Return a queue's table as it is now: what has run out is gone or back in line.

        One that is not there is not made, unless it is to be and no fence forbids it.
        """
        table = self._ticked.get(queue)
        if table is not None:
            return table
        table = self.tables.get(queue)
        if table is None:
            table = self.new_table(queue)
            if not queue.startswith(EVERY) and (every := self.tables.get(EVERY)) is not None:
                table.fence = around_new(every.fence)
            if not create or table.fence is not OPEN:
                return table
            self.tables[queue] = table
        self._ticked[queue] = table
        table.version_at_start = table.version
        if not table.fence.stands_still:
            self._tick(table)
        return table

    def has_work(self) -> bool:
        """Whether the commit let something become claimable that was not so before."""
        for table in self._ticked.values():  # noqa: SIM110 - a generator costs more than all of this
            if table.version != table.version_at_start:
                return True
        return False

    @abstractmethod
    def new_table(self, queue: str) -> T:
        """Return an empty table."""

    def _tick(self, table: T) -> None:
        if expired := table.expiring.take_until(self.now):
            self._note("expire", table, expired)
            for entry in expired:
                table.remove(entry, "expire", self.now)
        if lapsed := table.leases.take_until(self.lease_now):
            self._note("lapse", table, lapsed)
            for entry in lapsed:
                table.lapse(entry, LAPSED)
        if kept := table.keeping.take_until(self.now):
            self._note("forget", table, kept)
            for entry in kept:
                table.remove(entry, "ack", self.now)

    def _placed(self, queue: str) -> T:
        """Return a queue's table with the tasks that are due by now in line, behind what is ready.

        For a claim and for whoever looks; a put leaves them, so as to come before what was due.
        """
        table = self.table(queue)
        if table.fence.stands_still:
            return table
        if due := table.due.take_until(self.now):
            self._note("due", table, due)
            for entry in due:
                table.place_due(entry)
        return table

    def _note(self, op: str, table: T, entries: Sequence[Entry], **fields: object) -> None:
        self.journal.note(op, table.name, [entry.task_id for entry in entries], **fields)

    # --- Reading ----------------------------------------------------------------------------------

    def find(self, queue: str, task_id: str) -> TaskRecord | None:
        table = self._placed(queue)
        entry = table.tasks.get(task_id)
        return None if entry is None else self._records(table, [entry])[0]

    def browse(
        self, queue: str, states: Sequence[TaskState], order: str, limit: int, after: int | None
    ) -> Browsed:
        table = self._placed(queue)
        wanted = {STATES.index(state) for state in states} or set(range(len(STATES)))
        if order == "line":
            return Browsed(tasks=self._records(table, list(islice(table.in_line(), limit))))
        entries, following = table.page(wanted, limit, after)
        return Browsed(tasks=self._records(table, entries), next=following)

    def remembered(self, queue: str, limit: int, after: int | None) -> Browsed:
        page, following = self.table(queue).remembered.page(limit, after)
        return Browsed(remembered=[remembered_of(queue, gone) for gone in page], next=following)

    def stats(self, queue: str) -> Counted:
        names = sorted(self.tables) if queue == EVERY else [queue]
        counted = [self._placed(name).stats() for name in names if not name.startswith(EVERY)]
        return Counted(queues=counted, store={**self.facts(), **self._fence_of_all()})

    def _fence_of_all(self) -> dict[str, str]:
        """Return the fence around what is not there yet, if one stands."""
        every = self.tables.get(EVERY)
        if every is None or every.fence is OPEN:
            return {}
        return {"fence": every.fence.level.value, "fence_note": every.fence.note}

    def _records(self, table: T, entries: Sequence[Entry]) -> list[TaskRecord]:
        found = zip(entries, self.payloads(table, entries), table.history.of(entries))
        return [record_of(table.name, entry, data, failures) for entry, data, failures in found]
