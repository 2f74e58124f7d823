"""The failed attempts of tasks, in the database: a row each, and none for tasks that never failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from distqueue.failures import with_failure
from distqueue.limits import MAX_FAILURES
from distqueue.task import FailedAttempt
from distqueue_backends.table.entry import DONE, LEASED, Entry
from distqueue_backends.table.history import History

if TYPE_CHECKING:
    from distqueue_backends.sqlite.table import SqlTable

_COLUMNS: Final = "id, attempt, at, verb, error, traceback"
_OF_TASK: Final = "FROM distqueue_failures WHERE queue = ? AND id = ?"
_INSERT: Final = f"INSERT INTO distqueue_failures (queue, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
_TRIM: Final = (
    f"DELETE {_OF_TASK} AND key <= (SELECT key {_OF_TASK} ORDER BY key DESC LIMIT 1 OFFSET {MAX_FAILURES})"
)
_SELECT: Final = (
    f"SELECT {_COLUMNS} FROM distqueue_failures WHERE queue = ? AND id IN (SELECT value FROM json_each(?))"
    " ORDER BY key"
)


class SqlHistory(History):
    """Failed attempts by the id of the task; nothing is asked of the database where there can be none."""

    def __init__(self, table: SqlTable) -> None:
        super().__init__()
        self._table = table

    def of(self, entries: Sequence[Entry]) -> list[tuple[FailedAttempt, ...]]:
        found: dict[str, list[FailedAttempt]] = {}
        if ids := [entry.task_id for entry in entries if _may_have_any(entry)]:
            names = msgspec.json.encode(ids).decode()
            for task_id, *failed in self._table.rows(_SELECT, self._table.queue, names):
                found.setdefault(task_id, []).append(FailedAttempt(*failed))
        return [tuple(found.get(entry.task_id, ())) for entry in entries]

    def add(self, entry: Entry, at: float, verb: str, error: str | None, traceback: str | None) -> None:
        self._insert(entry, with_failure((), entry.failures, at, verb, error, traceback))
        if entry.deliveries > MAX_FAILURES:
            queue, task_id = self._table.queue, entry.task_id
            self._table.rows(_TRIM, queue, task_id, queue, task_id)

    def load(self, entry: Entry, failures: tuple[FailedAttempt, ...]) -> None:
        self._insert(entry, failures)

    def drop(self, entry: Entry) -> None:
        if _may_have_any(entry):
            self._table.rows(f"DELETE {_OF_TASK}", self._table.queue, entry.task_id)

    def _insert(self, entry: Entry, failures: Iterable[FailedAttempt]) -> None:
        for failed in failures:
            self._table.rows(_INSERT, self._table.queue, entry.task_id, *msgspec.structs.astuple(failed))


def _may_have_any(entry: Entry) -> bool:
    """Whether a delivery of a task can have failed: one before that which is out, or by which it was done."""
    return entry.deliveries > (entry.state in (LEASED, DONE))
