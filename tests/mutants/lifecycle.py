"""Mutants that take tasks where the lifecycle does not lead."""

from __future__ import annotations

from typing import Any

from distqueue_backends.table.entry import READY, Entry
from distqueue_backends.table.queue_table import QueueTable

from .damage import around, replace
from .mutant import mutant


@mutant("a cancelled task is dead, and stays", caught_by="LIFE-1 MODEL-1")
def the_cancelled_are_dead() -> None:
    def remove(real: Any, table: QueueTable, entry: Entry, verb: str, at: float) -> None:
        if verb == "cancel" and entry.state == READY:
            table.reject(entry, "cancelled", None, at)
        else:
            real(table, entry, verb, at)

    around(QueueTable, "remove", remove)


@mutant("a task that is given back has a new number", caught_by="LIFE-1")
def new_numbers_for_the_released() -> None:
    def release(real: Any, table: QueueTable, entry: Entry, due: float | None) -> None:
        entry.number = table.next_number
        table.next_number += 1
        real(table, entry, due)

    around(QueueTable, "release", release)


@mutant("a task has one attempt more than it may", caught_by="LIFE-1")
def one_attempt_more() -> None:
    def is_used_up(table: QueueTable, entry: Entry) -> bool:
        most = entry.options.max_attempts
        return most is not None and entry.failures > most

    replace(QueueTable, "_is_used_up", is_used_up)


@mutant("a task whose lease ran out still shows the end of that", caught_by="MODEL-2")
def the_lapsed_show_their_lease() -> None:
    def lapse(real: Any, table: QueueTable, entry: Entry, error: str) -> None:
        end = entry.until
        real(table, entry, error)
        entry.until = end

    around(QueueTable, "lapse", lapse)
