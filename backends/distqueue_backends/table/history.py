"""The failed attempts of the tasks that have any: beside the table, as most never fail."""

from __future__ import annotations

from collections.abc import Sequence

from distqueue.failures import with_failure
from distqueue.task import FailedAttempt
from distqueue_backends.table.entry import Entry
from distqueue_backends.table.size import text_size

_BASE = 60
"""About how many bytes a failed attempt takes in a file beside its texts."""


class History:
    """Failed attempts by the id of the task, the oldest first."""

    def __init__(self) -> None:
        self._by_id: dict[str, tuple[FailedAttempt, ...]] = {}
        self.size = 0

    def of(self, entries: Sequence[Entry]) -> list[tuple[FailedAttempt, ...]]:
        """Return the failed attempts of each of some tasks."""
        by_id = self._by_id
        return [by_id.get(entry.task_id, ()) for entry in entries] if by_id else [()] * len(entries)

    def add(self, entry: Entry, at: float, verb: str, error: str | None, traceback: str | None) -> None:
        """Note that an attempt failed, which has been counted."""
        before = self._by_id.get(entry.task_id, ())
        self.load(entry, with_failure(before, entry.failures, at, verb, error, traceback))

    def load(self, entry: Entry, failures: tuple[FailedAttempt, ...]) -> None:
        """Let these be the failed attempts of a task."""
        self.drop(entry)
        if failures:
            self._by_id[entry.task_id] = failures
            self.size += _size_of(failures)

    def drop(self, entry: Entry) -> None:
        """Forget the failed attempts of a task that goes."""
        if self._by_id and (failures := self._by_id.pop(entry.task_id, None)) is not None:
            self.size -= _size_of(failures)


def _size_of(failures: Sequence[FailedAttempt]) -> int:
    """Return about how many bytes they take in a file."""
    return sum(_BASE + text_size(each.error) + text_size(each.traceback) for each in failures)
