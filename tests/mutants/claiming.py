"""Mutants that hand out tasks wrongly."""

from __future__ import annotations

from distqueue_backends.table.entry import Entry
from distqueue_backends.table.queue_table import QueueTable

from .damage import replace
from .mutant import mutant


@mutant(
    "the attempt of a consumer that dies is not counted",
    caught_by="CLAIM-5 DEAD-2",
)
def a_lapse_is_no_attempt() -> None:
    def lapse(table: QueueTable, entry: Entry, error: str) -> None:
        entry.token = None
        table._back_in_line(entry)

    replace(QueueTable, "lapse", lapse)
