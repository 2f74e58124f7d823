"""What a table tells of the steps that it takes, so that a log can be read back into the same table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from distqueue.task import FailedAttempt
from distqueue_backends.table.entry import Entry


class Journal(Protocol):
    """Takes down each step, in order."""

    def put(self, queue: str, entry: Entry) -> None:
        """A task was put; its payload is in ``where``."""

    def put_together(self, queue: str, entries: Sequence[Entry]) -> None:
        """Tasks without options were put; their payloads are in ``where``."""

    def load(self, queue: str, entry: Entry, failures: tuple[FailedAttempt, ...]) -> None:
        """A task was stored as another store exported it; its payload is in ``where``."""

    def ack(self, queue: str, task_id: str) -> None:
        """A task was acked."""

    def note(self, op: str, queue: str, ids: Sequence[str] = (), **fields: Any) -> None:
        """Step ``op`` was taken with the tasks ``ids``."""


class NoJournal:
    """For a table that lives in memory only."""

    def put(self, queue: str, entry: Entry) -> None:
        pass

    def put_together(self, queue: str, entries: Sequence[Entry]) -> None:
        pass

    def load(self, queue: str, entry: Entry, failures: tuple[FailedAttempt, ...]) -> None:
        pass

    def ack(self, queue: str, task_id: str) -> None:
        pass

    def note(self, op: str, queue: str, ids: Sequence[str] = (), **fields: Any) -> None:
        pass
