"""Listing a large queue page by page in the order of publishing, without sorting it for each page."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container
from typing import TYPE_CHECKING

from distqueue.limits import MAX_BATCH_BYTES
from distqueue_backends.table.entry import Entry
from distqueue_backends.table.size import most_of_record

if TYPE_CHECKING:
    from distqueue_backends.table.queue_table import QueueTable


class Pager:
    """Keeps the sorted list that a table's last page came from, for the page that follows."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._entries: list[Entry] = []

    def page(
        self, table: QueueTable, states: Container[int], limit: int, after: int | None
    ) -> tuple[list[Entry], int | None]:
        """Return up to ``limit`` tasks with a number over ``after``, and the number to go on from.

        Fewer if they get too large together.
        """
        if after is None or self._has_more(table):
            self._sort(table)
        page: list[Entry] = []
        size = 0
        for index in range(bisect_right(self._numbers, after or 0), len(self._numbers)):
            entry = self._entries[index]
            if entry.number != self._numbers[index] or table.tasks.get(entry.task_id) is not entry:
                continue
            if entry.state in states:
                page.append(entry)
                size += most_of_record(entry)
                if len(page) == limit or size >= MAX_BATCH_BYTES:
                    return page, entry.number
        self._numbers, self._entries = [], []
        return page, None

    def _has_more(self, table: QueueTable) -> bool:
        return not self._numbers or table.next_number - 1 > self._numbers[-1]

    def _sort(self, table: QueueTable) -> None:
        self._entries = sorted(table.tasks.values(), key=lambda entry: entry.number)
        self._numbers = [entry.number for entry in self._entries]
