"""The tasks of a queue by what they are looked up by: mappings as those in memory, that ask the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from distqueue_backends.sqlite import rows
from distqueue_backends.table.agenda import Agenda
from distqueue_backends.table.entry import Entry
from distqueue_backends.table.group import Group

if TYPE_CHECKING:
    from distqueue_backends.sqlite.table import SqlTable

_LIVE: Final = "state NOT IN ('done', 'dead')"
_BY_ID: Final = "WHERE queue = ? AND id = ?"
OF_GROUP: Final = f"WHERE queue = ? AND group_name = ? AND {_LIVE}"
"""Of which rows the members of a group consist."""


class SqlTasks(dict[str, Entry]):
    """The tasks that the transaction has met, each as one object; the others are in the database."""

    def __init__(self, table: SqlTable) -> None:
        super().__init__()
        self._table = table

    def get(self, task_id: str, default: Any = None, /) -> Any:
        if task_id in self.keys():
            return self[task_id]
        found = self._table.select(_BY_ID, self._table.queue, task_id)
        return found[0] if found else default

    def __contains__(self, task_id: object) -> bool:
        return self.get(str(task_id)) is not None

    def __delitem__(self, task_id: str) -> None:
        self._table.rows(rows.DELETE, self._table.key(self[task_id].number))
        super().__delitem__(task_id)


class SqlUnique(dict[str, Entry]):
    """Who holds which unique key."""

    def __init__(self, table: SqlTable) -> None:
        super().__init__()
        self._table = table

    def get(self, key: str, default: Any = None, /) -> Any:
        found = self._table.select(f"WHERE queue = ? AND unique_key = ? AND {_LIVE}", self._table.queue, key)
        return found[0] if found else default


class SqlGroups(dict[str, Group]):
    """The groups that have live tasks."""

    def __init__(self, table: SqlTable) -> None:
        super().__init__()
        self._table = table

    def get(self, name: str, default: Any = None, /) -> Any:
        statement = f"SELECT priority FROM distqueue_tasks {OF_GROUP} LIMIT 1"
        priority = self._table.value(statement, self._table.queue, name)
        return default if priority is None else Group(priority)


class SqlAgenda(Agenda):
    """Tasks for which something happens at a time; the database keeps it, as the time is in the row."""

    def __init__(self, table: SqlTable, column: str, condition: str) -> None:
        self._table = table
        self._due = f"WHERE queue = ? AND {condition} AND {column} <= ? ORDER BY {column}, key"
        self._next = f"SELECT min({column}) FROM distqueue_tasks WHERE queue = ? AND {condition}"

    def add(self, at: float, entries: Sequence[Entry]) -> None:
        self._table.note_time(at)

    def next_at(self) -> float | None:
        at: float | None = self._table.value(self._next, self._table.queue)
        return at

    def take_until(self, now: float) -> list[Entry]:
        return self._table.come(self._due, now)
