"""Carrying out commands in a transaction that is open: of our own connection, or of the application's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from distqueue.commands import Command
from distqueue.errors import InvalidTask
from distqueue.results import Loaded, Outcome
from distqueue.task import RememberedTask, TaskRecord
from distqueue_backends.sqlite.schema import MOST_NUMBER
from distqueue_backends.sqlite.statements import Statements
from distqueue_backends.sqlite.table import SELECT_QUEUE, QueueRow, SqlTable
from distqueue_backends.table.backend import TableBackend
from distqueue_backends.table.entry import Entry
from distqueue_backends.table.journal import NoJournal

UNBINDABLE: Final = (UnicodeEncodeError, OverflowError)
"""What a lone surrogate raises, and a number beyond 64 bits."""
_MOST_KNOWN: Final = 256
_NONE: Final = QueueRow()


class SqlStore(TableBackend[SqlTable]):
    """The tables of queues, read anew in each transaction."""

    together_from = 1  # as one statement then tells whether a task is known

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.journal = NoJournal()
        self.tables = self._tables = _Tables(self.dedup_window, self.dedup_max)

    def write(self, statements: Statements, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out commands on what the database holds now.

        Raises:
            UnicodeEncodeError, OverflowError: a command holds what the database cannot.
        """
        self._ticked.clear()
        self._tables.begin(statements)
        outcomes = self.carry_out(commands)
        for table in self._ticked.values():
            table.write_row()
        return outcomes

    def write_alone(self, statements: Statements, command: Command) -> Outcome:
        """Carry out one command; if it is refused as the database cannot hold it, nothing has changed."""
        statements.execute("SAVEPOINT distqueue_command")
        try:
            return self.write(statements, [command])[0]
        except UNBINDABLE as error:
            statements.execute("ROLLBACK TO distqueue_command")
            return InvalidTask(f"a text or a number in the command is not allowed: {error}")
        finally:
            statements.execute("RELEASE distqueue_command")

    def load(self, record: TaskRecord | RememberedTask, source: str) -> Loaded:
        if isinstance(record, TaskRecord) and max(record.number, record.place or 0) >= MOST_NUMBER >> 1:
            raise InvalidTask(f"the number or the place of task {record.task_id} is too large for a database")
        return super().load(record, source)

    def new_table(self, queue: str) -> SqlTable:
        return self._tables.known(queue, _NONE)

    def _tick(self, table: SqlTable) -> None:
        if max(self.now, self.lease_now) >= table.next_at:
            super()._tick(table)

    def payloads(self, table: SqlTable, entries: Sequence[Entry]) -> list[bytes]:
        return table.payloads(entries)


class _Tables(dict[str, SqlTable]):
    """The queues that a transaction has met; the others are in the database."""

    def __init__(self, window: float, most: int) -> None:
        super().__init__()
        self._window = window
        self._most = most
        self._statements: Statements
        self._known: dict[str, SqlTable] = {}

    def begin(self, statements: Statements) -> None:
        """Let a transaction begin."""
        self.clear()
        self._statements = statements

    def known(self, name: str, row: QueueRow) -> SqlTable:
        """Return the table of a queue, as its row says it is; making one takes longer than most calls."""
        table = self._known.get(name)
        if table is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            table = self._known[name] = SqlTable(name, self._window, self._most)
        table.begin(self._statements, row)
        return table

    def get(self, name: str, default: Any = None, /) -> Any:
        if name not in self.keys():
            row = self._statements.execute(SELECT_QUEUE, (name,)).fetchone()
            if row is None:
                return default
            super().__setitem__(name, self.known(name, QueueRow(*row)))
        return self[name]

    def __setitem__(self, name: str, table: SqlTable) -> None:
        table.make()
        super().__setitem__(name, table)

    def __iter__(self) -> Iterator[str]:
        names = self._statements.execute("SELECT name FROM distqueue_queues ORDER BY name").fetchall()
        return iter([name for (name,) in names])
