"""One queue in the database: what :class:`QueueTable` is in memory, for as long as a transaction.

The steps of the lifecycle are those of :class:`QueueTable`. Each of them is written as soon as it is taken,
so that whatever follows in the transaction sees it; only the counters of the queue are written at the end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from math import inf
from typing import Any, Final

import msgspec

from distqueue.limits import MAX_BATCH_BYTES
from distqueue.results import QueueStats
from distqueue_backends.sqlite import rows
from distqueue_backends.sqlite.gone import SqlRemembered
from distqueue_backends.table.entry import GONE, READY, SCHEDULED, STATES, Entry
from distqueue_backends.table.group import Group
from distqueue_backends.table.queue_table import Agenda, QueueTable
from distqueue_backends.table.where import pack, payload_size, unpack

_FEW: Final = 4
_PAYLOADS: Final = (
    "SELECT number, data FROM tasks WHERE queue = ? AND number IN (SELECT value FROM json_each(?))"
)
_PAYLOAD: Final = "SELECT data FROM tasks WHERE queue = ? AND number = ?"
_LIVE: Final = "state NOT IN ('done', 'dead')"
_OF_GROUP: Final = f"WHERE queue = ? AND group_name = ? AND {_LIVE}"
_IN_STATES: Final = "WHERE queue = ? AND state IN (SELECT value FROM json_each(?)) ORDER BY number"
_PAGE: Final = (
    "WHERE queue = ? AND state IN (SELECT value FROM json_each(?)) AND number > ? ORDER BY number LIMIT ?"
)
_COUNT: Final = "SELECT state, count(*) FROM tasks WHERE queue = ? GROUP BY state"
_COUNT_WAITING: Final = "SELECT count(*) FROM tasks WHERE queue = ? AND state = 'ready' AND line IS NULL"
_HEAD: Final = f"SELECT min(number) FROM tasks {_OF_GROUP}"
_LEAVE_LINE: Final = f"UPDATE tasks SET line = NULL {_OF_GROUP} AND number > ?"
_IN_LINE: Final = "WHERE queue = ? AND line IS NOT NULL ORDER BY priority DESC, line, number"
_KNOWN_TASK: Final = "SELECT 1 FROM tasks WHERE queue = ? AND id IN (SELECT value FROM json_each(?)) LIMIT 1"
_KNOWN_GONE: Final = "SELECT 1 FROM gone WHERE queue = ? AND id IN (SELECT value FROM json_each(?)) LIMIT 1"
_INSERT_QUEUE: Final = "INSERT INTO queues VALUES (NULL, ?, 1, 0, 0, 0, 1, 0)"
_UPDATE_QUEUE: Final = (
    "UPDATE queues SET next_number = ?, last_number = ?, paused = ?, expired = ?, next_gone = ?,"
    " remembered = ? WHERE queue = ?"
)


class Counters(msgspec.Struct, frozen=True):
    """The row of a queue; 0 is a queue that is not there yet."""

    queue: int = 0
    next_number: int = 1
    last_number: int = 0
    paused: int = 0
    expired: int = 0
    next_gone: int = 1
    remembered: int = 0


class SqlTable(QueueTable):
    """A queue in a transaction that is open."""

    def __init__(
        self, connection: sqlite3.Connection, name: str, counters: Counters, window: float, most: int
    ) -> None:
        super().__init__(name, window, most)
        self._connection = connection
        self._counters = counters
        self.queue = counters.queue
        self.next_number = counters.next_number
        self.last_number = counters.last_number
        self.paused = bool(counters.paused)
        self.expired = counters.expired
        self.tasks = _Tasks(self)
        self.unique = _Unique(self)
        self.groups = _Groups(self)
        self._gone = SqlRemembered(self, counters.next_gone, counters.remembered, window, most)
        self.remembered = self._gone
        self.due = _Agenda(self, "until", "state = 'scheduled' AND until IS NOT NULL")
        self.leases = _Agenda(self, "until", "state = 'leased' AND until IS NOT NULL")
        self.keeping = _Agenda(self, "until", "state = 'done' AND until IS NOT NULL")
        self.expiring = _Agenda(self, "expires_at", "expires_at IS NOT NULL")

    # --- The database -----------------------------------------------------------------------------

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        """Carry out a statement whose first parameter is the queue."""
        return self._connection.execute(statement, (self.queue, *values))

    def one(self, statement: str, *values: object) -> Any:
        """Return the first value of the first row, ``None`` if there is none."""
        row = self.execute(statement, *values).fetchone()
        return None if row is None else row[0]

    def select(self, condition: str, *values: object) -> list[Entry]:
        """Return the tasks that fulfil a condition."""
        known = self.tasks
        found = self.execute(rows.SELECT + condition, *values).fetchall()
        return [known.setdefault(row[0], rows.entry_from(row)) for row in found]

    def payload(self, entry: Entry) -> bytes:
        """Return the payload of a task."""
        if isinstance(entry.where, bytes):
            return entry.where
        data: bytes = self.one(_PAYLOAD, unpack(entry.where)[0])
        return data

    def payloads(self, entries: Sequence[Entry]) -> list[bytes]:
        """Return the payloads of tasks, with one question if there are many."""
        if len(entries) < _FEW:
            return [self.payload(entry) for entry in entries]
        numbers = msgspec.json.encode([unpack(e.where)[0] for e in entries if isinstance(e.where, int)])
        found: dict[int, bytes] = dict(self.execute(_PAYLOADS, numbers.decode()).fetchall())
        return [e.where if isinstance(e.where, bytes) else found[unpack(e.where)[0]] for e in entries]

    def write_counters(self) -> None:
        """Write what has changed of the queue's own row."""
        self._gone.trim()
        now = Counters(
            self.queue,
            self.next_number,
            self.last_number,
            int(self.paused),
            self.expired,
            self._gone.next_seq,
            len(self._gone),
        )
        if now != self._counters:
            self._connection.execute(_UPDATE_QUEUE, (*msgspec.structs.astuple(now)[1:], now.queue))

    def make(self) -> None:
        """Make the queue's row, if there is none."""
        if not self.queue:
            self.queue = self._connection.execute(_INSERT_QUEUE, (self.name,)).lastrowid or 0

    # --- Who is next ------------------------------------------------------------------------------

    def take_next(self, most: int, most_bytes: float = inf) -> list[Entry]:
        taken: list[Entry] = []
        size = 0
        for entry in self.select(_IN_LINE + " LIMIT ?", most):
            if size >= most_bytes:
                break
            taken.append(entry)
            size += payload_size(entry.where)
        return taken

    def in_line(self) -> Iterator[Entry]:
        cursor = self.execute(rows.SELECT + _IN_LINE)
        return (self.tasks.setdefault(row[0], rows.entry_from(row)) for row in cursor)

    def in_states(self, states: Collection[int]) -> list[Entry]:
        return self.select(_IN_STATES, _names(states))

    def page(self, states: Collection[int], limit: int, after: int | None) -> tuple[list[Entry], int | None]:
        """Return up to ``limit`` tasks with a number over ``after``, and the number to go on from."""
        page: list[Entry] = []
        size = 0
        for entry in self.select(_PAGE, _names(states), after or 0, limit):
            page.append(entry)
            size += payload_size(entry.where)
            if len(page) == limit or size >= MAX_BATCH_BYTES:
                return page, entry.number
        return page, None

    def stats(self) -> QueueStats:
        counts: dict[str, int] = dict(self.execute(_COUNT).fetchall())
        return QueueStats(
            queue=self.name,
            **counts,
            waiting=self.one(_COUNT_WAITING),
            remembered=len(self.remembered),
            expired=self.expired,
            paused=self.paused,
            oldest_ready_at=next((entry.put_at for entry in self.in_line()), None),
            next_due_at=self.due.next_at(),
        )

    # --- The steps, as far as they are others than in memory -----------------------------------------

    def knows_any(self, ids: Sequence[str]) -> bool:
        names = msgspec.json.encode(ids).decode()
        return bool(self.one(_KNOWN_TASK, names) or self.one(_KNOWN_GONE, names))

    def put_together(self, entries: Sequence[Entry], ids: Sequence[str], payloads: Sequence[bytes]) -> None:
        self.next_number += len(entries)
        self.last_number = entries[-1].number
        queue = self.queue
        self._connection.executemany(
            rows.INSERT,
            (rows.inserted(entry, data, queue, entry.place) for entry, data in zip(entries, payloads)),
        )
        self.version += 1

    def insert(self, entry: Entry) -> None:
        data = self.payload(entry)
        queue, group = self.queue, entry.options.group
        stands = entry.state == READY and (group is None or self._would_be_head(group, entry.number))
        line = entry.place if stands else None
        self._connection.execute(rows.INSERT, rows.inserted(entry, data, queue, line))
        entry.where = pack(entry.number, len(data))
        self.tasks[entry.task_id] = entry
        if stands and group is not None:  # whoever was the head is not, if an import put this before it
            self.execute(_LEAVE_LINE, group, entry.number)
        self.version += stands or entry.state == SCHEDULED

    def lease(self, entries: Sequence[Entry], token: str, until: float) -> None:
        super().lease(entries, token, until)
        queue = self.queue
        self._connection.executemany(rows.LEASE, [(until, token, queue, entry.number) for entry in entries])

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

    # --- Within -----------------------------------------------------------------------------------

    def _write(self, entry: Entry, line: int | None = None) -> None:
        where = entry.where
        number, size = unpack(where) if isinstance(where, int) else (entry.number, len(where))
        self._connection.execute(rows.UPDATE, rows.updated(entry, self.queue, number, line))
        entry.where = pack(entry.number, size)

    def _note(self, entry: Entry) -> None:
        self._write(entry)

    def _stand_in_line(self, entry: Entry) -> None:
        stands = self._is_head(entry)
        self._write(entry, entry.place if stands else None)
        self.version += stands

    def _is_head(self, entry: Entry) -> bool:
        group = entry.options.group
        return group is None or self.one(_HEAD, group) == entry.number

    def _would_be_head(self, group: str, number: int) -> bool:
        head: int | None = self.one(_HEAD, group)
        return head is None or number < head

    def _let_go(self, entry: Entry) -> None:
        group = entry.options.group
        if entry.state != GONE:
            self._write(entry)
        if group is not None and (head := self.one(_HEAD, group)) is not None:
            (first,) = self.select("WHERE queue = ? AND number = ?", head)
            if first.state == READY:
                self._stand_in_line(first)


class _Tasks(dict[str, Entry]):
    """The tasks that the transaction has met, each as one object; the others are in the database."""

    def __init__(self, table: SqlTable) -> None:
        super().__init__()
        self._table = table

    def get(self, task_id: str, default: Any = None, /) -> Any:
        if task_id in self.keys():
            return self[task_id]
        found = self._table.select("WHERE queue = ? AND id = ?", task_id)
        return found[0] if found else default

    def __contains__(self, task_id: object) -> bool:
        return self.get(str(task_id)) is not None

    def __delitem__(self, task_id: str) -> None:
        self._table.execute(rows.DELETE, self[task_id].number)
        super().__delitem__(task_id)


class _Unique(dict[str, Entry]):
    """Who holds which unique key."""

    def __init__(self, table: SqlTable) -> None:
        super().__init__()
        self._table = table

    def get(self, key: str, default: Any = None, /) -> Any:
        found = self._table.select(f"WHERE queue = ? AND unique_key = ? AND {_LIVE}", key)
        return found[0] if found else default


class _Groups(dict[str, Group]):
    """The groups that have live tasks."""

    def __init__(self, table: SqlTable) -> None:
        super().__init__()
        self._table = table

    def get(self, name: str, default: Any = None, /) -> Any:
        priority = self._table.one(f"SELECT priority FROM tasks {_OF_GROUP} LIMIT 1", name)
        return default if priority is None else Group(priority)


class _Agenda(Agenda):
    """Tasks for which something happens at a time; the database keeps it, as the time is in the row."""

    def __init__(self, table: SqlTable, column: str, condition: str) -> None:
        self._table = table
        self._due = f"WHERE queue = ? AND {condition} AND {column} <= ? ORDER BY {column}, number"
        self._next = f"SELECT min({column}) FROM tasks WHERE queue = ? AND {condition}"

    def add(self, at: float, entries: Sequence[Entry]) -> None:
        pass

    def next_at(self) -> float | None:
        at: float | None = self._table.one(self._next)
        return at

    def take_until(self, now: float) -> list[Entry]:
        return self._table.select(self._due, now)


def _names(states: Collection[int]) -> str:
    return msgspec.json.encode([STATES[state] for state in states]).decode()
