"""One queue in the database: what :class:`QueueTable` is in memory, for as long as a transaction.

The steps of the lifecycle are those of :class:`QueueTable`. Each of them is written as soon as it is taken,
so that whatever follows in the transaction sees it; only the row of the queue is written at the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from math import inf
from typing import Any, Final

import msgspec

from distqueue.fences import OPEN, FenceLevel, Fencing
from distqueue.limits import MAX_BATCH_BYTES
from distqueue.results import QueueStats
from distqueue_backends.sqlite import rows
from distqueue_backends.sqlite.gone import SqlRemembered
from distqueue_backends.sqlite.history import SqlHistory
from distqueue_backends.sqlite.schema import MOST_NUMBER, NUMBER_BITS
from distqueue_backends.sqlite.statements import Statements
from distqueue_backends.sqlite.views import OF_GROUP, SqlAgenda, SqlGroups, SqlTasks, SqlUnique
from distqueue_backends.table.entry import GONE, READY, SCHEDULED, STATES, Entry
from distqueue_backends.table.queue_table import QueueTable
from distqueue_backends.table.size import most_of_record
from distqueue_backends.table.where import pack, unpack

_TASKS: Final = "FROM distqueue_tasks WHERE"
_IN_LINE: Final = "WHERE queue = ? AND line IS NOT NULL ORDER BY priority DESC, line, key"
_KNOWN: Final = (
    "SELECT EXISTS (SELECT 1 FROM distqueue_tasks WHERE queue = ? AND id = ?)"
    " OR EXISTS (SELECT 1 FROM distqueue_gone WHERE queue = ? AND id = ?)"
)
_ANY_KNOWN: Final = _KNOWN.replace("id = ?", "id IN (SELECT value FROM json_each(?))")
_GROUPED: Final = "WHERE queue = ? AND group_name IS NOT NULL AND state NOT IN ('done', 'dead')"
_HEAD: Final = f"SELECT min(key) FROM distqueue_tasks {OF_GROUP}"
_LEAVE_LINE: Final = f"UPDATE distqueue_tasks SET line = NULL {OF_GROUP} AND key > ?"
_PAYLOADS: Final = f"SELECT key, data {_TASKS} key IN (SELECT value FROM json_each(?))"
_ANY: Final = f"SELECT 1 {_TASKS} key BETWEEN ? AND ? LIMIT 1"
# Counted in the indexes: the rows are many times as large, and whoever counts holds up the others.
_COUNT_IN_LINE: Final = f"SELECT count(*) {_TASKS} queue = ? AND line IS NOT NULL"
# Of each priority the first one: from one to the next in the index, however many stand between.
_READY: Final = f"{_TASKS} queue = ? AND line IS NOT NULL"
_OLDEST_IN_LINE: Final = f"""
    WITH RECURSIVE used (priority) AS (
        SELECT max(priority) {_READY}
        UNION ALL SELECT (SELECT max(priority) {_READY} AND priority < used.priority)
        FROM used WHERE used.priority IS NOT NULL)
    SELECT min((SELECT put_at {_READY} AND priority = used.priority ORDER BY line, key LIMIT 1)) FROM used"""
_COUNT_WAITING: Final = (
    f"SELECT count(*) FROM distqueue_tasks {_GROUPED} AND state = 'ready' AND line IS NULL"
)
_COUNT_TIMED: Final = f"SELECT state, count(*) {_TASKS} queue = ? AND until IS NOT NULL GROUP BY state"
_COUNT_DEAD: Final = f"SELECT count(*) {_TASKS} queue = ? AND state = 'dead'"
_UPDATE_QUEUE: Final = (
    "UPDATE distqueue_queues SET next_number = ?, paused = ?, expired = ?, next_at = ?, fence = ?,"
    " note = ? WHERE queue = ?"
)
SELECT_QUEUE: Final = (
    "SELECT queue, next_number, paused, expired, next_at, fence, note,"
    f" (SELECT max(key) {_TASKS} key < (q.queue + 1 << {NUMBER_BITS}) AND key >= q.queue << {NUMBER_BITS})"
    " FROM distqueue_queues AS q WHERE name = ?"
)
"""What :class:`QueueRow` is made of."""


class QueueRow(msgspec.Struct, frozen=True):
    """The row of a queue, and the key of its newest task; 0 is a queue that is not there yet.

    The next number to give is ``next_number``, unless there is a task with that or a higher one: so a put
    need not write it. ``next_at`` is a time before which no task is due, runs out of its lease, and so on.
    """

    queue: int = 0
    next_number: int = 1
    paused: int = 0
    expired: int = 0
    next_at: float | None = None
    fence: str = "none"
    note: str = ""
    newest: int | None = None


class SqlTable(QueueTable):
    """A queue in a transaction that is open; :meth:`begin` lets another one begin."""

    def __init__(self, name: str, window: float, most: int) -> None:
        super().__init__(name, window, most)
        self._statements: Statements
        self.tasks = SqlTasks(self)
        self.unique = SqlUnique(self)
        self.groups = SqlGroups(self)
        self.history = SqlHistory(self)
        self.remembered = self._gone = SqlRemembered(self, window, most)
        self.due = SqlAgenda(self, "until", "state = 'scheduled' AND until IS NOT NULL")
        self.leases = SqlAgenda(self, "until", "state = 'leased' AND until IS NOT NULL")
        self.keeping = SqlAgenda(self, "until", "state = 'done' AND until IS NOT NULL")
        self.expiring = SqlAgenda(self, "expires_at", "expires_at IS NOT NULL")

    def begin(self, statements: Statements, row: QueueRow) -> None:
        """Let a transaction begin; nothing that was known before it counts."""
        self._statements = statements
        self._row = row
        self.queue = row.queue
        self.last_number = 0 if row.newest is None else row.newest & MOST_NUMBER
        self.next_number = max(row.next_number, self.last_number + 1)
        self._derived = self.next_number
        self.paused = bool(row.paused)
        self.expired = row.expired
        self.next_at: float = inf if row.next_at is None else row.next_at
        self.fence = OPEN if row.fence == "none" else Fencing.of(FenceLevel(row.fence), row.note)
        self._has_come = False
        self.tasks.clear()
        self._gone.begin()

    # --- The database -----------------------------------------------------------------------------

    @property
    def keys(self) -> tuple[int, int]:
        """The lowest and the highest key that a row of the queue can have."""
        first = self.queue << NUMBER_BITS
        return first, first | MOST_NUMBER

    def key(self, number: int) -> int:
        """Return the key of a task."""
        return self.queue << NUMBER_BITS | number

    def rows(self, statement: str, *values: object) -> Any:
        """Carry out a statement."""
        return self._statements.execute(statement, values)

    def value(self, statement: str, *values: object) -> Any:
        """Return the first value of the first row, ``None`` if there is none."""
        row = self._statements.execute(statement, values).fetchone()
        return None if row is None else row[0]

    def select(self, condition: str, *values: object) -> list[Entry]:
        """Return the tasks that fulfil a condition."""
        known = self.tasks
        found = self._statements.execute(rows.SELECT + condition, values).fetchall()
        return [known.setdefault(row[2], rows.entry_from(row)) for row in found]

    def payloads(self, entries: Sequence[Entry]) -> list[bytes]:
        """Return the payloads of tasks."""
        stored = [self.key(unpack(entry.where)[0]) for entry in entries if isinstance(entry.where, int)]
        if not stored:
            return [entry.where for entry in entries if isinstance(entry.where, bytes)]
        numbers = msgspec.json.encode(stored).decode()
        found: dict[int, bytes] = dict(self.rows(_PAYLOADS, numbers).fetchall())
        return [
            found[self.key(unpack(entry.where)[0])] if isinstance(entry.where, int) else entry.where
            for entry in entries
        ]

    def make(self) -> None:
        """Make the queue's row, if there is none."""
        if not self.queue:
            self.queue = self.rows("INSERT INTO distqueue_queues (name) VALUES (?)", self.name).lastrowid

    def write_row(self) -> None:
        """Write what has changed of the queue's own row."""
        self._gone.trim()
        if self._has_come:
            agendas = (self.due, self.leases, self.keeping, self.expiring)
            self.next_at = min(
                (at for agenda in agendas if (at := agenda.next_at()) is not None), default=inf
            )
        now = QueueRow(
            queue=self.queue,
            next_number=self._row.next_number if self.next_number == self._derived else self.next_number,
            paused=int(self.paused),
            expired=self.expired,
            next_at=None if self.next_at == inf else self.next_at,
            fence=self.fence.level.value,
            note=self.fence.note,
            newest=self._row.newest,
        )
        if now != self._row:
            self.rows(_UPDATE_QUEUE, *msgspec.structs.astuple(now)[1:-1], now.queue)

    def note_time(self, at: float | None) -> None:
        """Note that something happens to a task at that time."""
        if at is not None and at < self.next_at:
            self.next_at = at

    def come(self, condition: str, now: float) -> list[Entry]:
        """Return the tasks whose time has come; most often, none can have."""
        if now < self.next_at:
            return []
        self._has_come = True
        return self.select(condition, self.queue, now)

    # --- Who is next ------------------------------------------------------------------------------

    def has_tasks(self) -> bool:
        return self.value(_ANY, *self.keys) is not None

    def take_next(self, most: int, most_bytes: float = inf) -> list[Entry]:
        taken: list[Entry] = []
        size = 0
        known = self.tasks
        for row in self.rows(f"{rows.SELECT_WITH_DATA} {_IN_LINE} LIMIT ?", self.queue, most):
            if size >= most_bytes:
                break
            size += len(row[1])
            taken.append(known.setdefault(row[2], rows.entry_from(row)))
        return taken

    def in_line(self) -> Iterator[Entry]:
        found = self.rows(rows.SELECT + _IN_LINE, self.queue)
        return (self.tasks.setdefault(row[2], rows.entry_from(row)) for row in found)

    def in_states(self, states: Collection[int]) -> list[Entry]:
        return self.select(f"WHERE queue = ? AND {_among(states)} ORDER BY key", self.queue)

    def page(self, states: Collection[int], limit: int, after: int | None) -> tuple[list[Entry], int | None]:
        """Return up to ``limit`` tasks with a number over ``after``, and the number to go on from."""
        page: list[Entry] = []
        size = 0
        condition = f"WHERE key BETWEEN ? AND ? AND {_among(states)} ORDER BY key LIMIT ?"
        for entry in self.select(condition, self.key(after or 0) + 1, self.keys[1], limit):
            page.append(entry)
            size += most_of_record(entry)
            if len(page) == limit or size >= MAX_BATCH_BYTES:
                return page, entry.number
        return page, None

    def wake_at(self) -> float | None:
        return None if self.next_at == inf else super().wake_at()

    def stats(self) -> QueueStats:
        queue = self.queue
        counts: dict[str, int] = dict(self.rows(_COUNT_TIMED, queue).fetchall())
        waiting = self.value(_COUNT_WAITING, queue)
        return QueueStats(
            queue=self.name,
            ready=self.value(_COUNT_IN_LINE, queue) + waiting,
            scheduled=counts.get("scheduled", 0),
            leased=counts.get("leased", 0),
            done=counts.get("done", 0),
            dead=self.value(_COUNT_DEAD, queue),
            waiting=waiting,
            remembered=len(self.remembered),
            expired=self.expired,
            paused=self.paused,
            fence=self.fence.level,
            fence_note=self.fence.note,
            oldest_ready_at=self.value(_OLDEST_IN_LINE, queue, queue, queue),
            next_due_at=self.due.next_at(),
        )

    # --- The steps, as far as they are others than in memory -----------------------------------------

    def knows_any(self, ids: Sequence[str]) -> bool:
        queue = self.queue
        if len(ids) == 1:
            return bool(self.value(_KNOWN, queue, ids[0], queue, ids[0]))
        names = msgspec.json.encode(ids).decode()
        return bool(self.value(_ANY_KNOWN, queue, names, queue, names))

    def put_together(self, entries: Sequence[Entry], ids: Sequence[str], payloads: Sequence[bytes]) -> None:
        self.last_number = entries[-1].number
        self.next_number = self._derived = self.last_number + 1
        self.version += 1
        queue, first = self.queue, self.key(0)
        rows_of_them = [
            (
                first | (number := entry.number),
                queue,
                task_id,
                number,
                number,
                entry.put_at,
                entry.checksum,
                data,
            )
            for entry, task_id, data in zip(entries, ids, payloads)
        ]
        if len(rows_of_them) == 1:
            self._statements.execute(rows.INSERT_PLAIN, rows_of_them[0])
        else:
            self._statements.executemany(rows.INSERT_PLAIN, rows_of_them)

    def insert(self, entry: Entry) -> None:
        data, group = self.payloads([entry])[0], entry.options.group
        stands = entry.state == READY and (group is None or self._would_be_head(group, entry.number))
        key, line = self.key(entry.number), entry.place if stands else None
        self.rows(rows.INSERT, *rows.inserted(entry, data, self.queue, key, line))
        self._note_times(entry)
        self._derived = max(self._derived, entry.number + 1)
        entry.where = pack(entry.number, len(data))
        self.tasks[entry.task_id] = entry
        if stands and group is not None:  # whoever was the head is not, if an import put this before it
            self.rows(_LEAVE_LINE, self.queue, group, key)
        self.version += stands or entry.state == SCHEDULED

    def lease(self, entries: Sequence[Entry], token: str, until: float) -> None:
        super().lease(entries, token, until)
        first = self.key(0)
        leased = [(until, token, first | entry.number) for entry in entries]
        self._statements.executemany(rows.LEASE, leased)

    def extend(self, entry: Entry, until: float) -> None:
        super().extend(entry, until)
        self._write(entry)

    def redrive(self, entry: Entry) -> None:
        entry.failures = 0
        entry.number = entry.place = self.last_number = self.next_number
        self.next_number += 1
        entry.state = READY
        entry.until = None
        self._write(entry)  # or it is not among the members of its group
        self._stand_in_line(entry)

    def remove(self, entry: Entry, verb: str, at: float) -> None:
        if self.key(entry.number) == self._row.newest or entry.number == self.last_number:
            self._derived = 0  # the number is not given again, though no row tells of it any more
        super().remove(entry, verb, at)

    def clear(self) -> None:
        for table in ("distqueue_tasks", "distqueue_gone"):
            self.rows(f"DELETE FROM {table} WHERE key BETWEEN ? AND ?", *self.keys)
        self.rows("DELETE FROM distqueue_failures WHERE queue = ?", self.queue)
        row = QueueRow(queue=self.queue, fence=self.fence.level.value, note=self.fence.note)
        self.rows(_UPDATE_QUEUE, *msgspec.structs.astuple(row)[1:-1], row.queue)
        self.begin(self._statements, row)
        self.version += 1

    # --- Within -----------------------------------------------------------------------------------

    def _write(self, entry: Entry, line: int | None = None) -> None:
        where = entry.where
        number, size = unpack(where) if isinstance(where, int) else (entry.number, len(where))
        self.rows(rows.UPDATE, *rows.updated(entry, self.key(entry.number), self.key(number), line))
        self._note_times(entry)
        if isinstance(where, int):
            entry.where = pack(entry.number, size)

    def _note(self, entry: Entry) -> None:
        self._write(entry)

    def _note_times(self, entry: Entry) -> None:
        self.note_time(entry.until)
        self.note_time(rows.expires_at(entry))

    def _stand_in_line(self, entry: Entry) -> None:
        stands = self._is_head(entry)
        self._write(entry, entry.place if stands else None)
        self.version += stands

    def _is_head(self, entry: Entry) -> bool:
        group = entry.options.group
        return group is None or self.value(_HEAD, self.queue, group) == self.key(entry.number)

    def _would_be_head(self, group: str, number: int) -> bool:
        head: int | None = self.value(_HEAD, self.queue, group)
        return head is None or self.key(number) < head

    def _let_go(self, entry: Entry) -> None:
        group = entry.options.group
        if entry.state != GONE:
            self._write(entry)
        if group is not None and (head := self.value(_HEAD, self.queue, group)) is not None:
            (first,) = self.select("WHERE key = ?", head)
            if first.state == READY:
                self._stand_in_line(first)


def _among(states: Collection[int]) -> str:
    """Return the condition for the states; of one alone, it is that of the index."""
    names = [f"'{STATES[state].value}'" for state in sorted(states)]
    return f"state = {names[0]}" if len(names) == 1 else f"state IN ({', '.join(names)})"
