"""Mutants that trust the time of day, or mistrust it, in the wrong place."""

from __future__ import annotations

from typing import Any

from distqueue.results import Claimed
from distqueue_backends.memory import MemoryBackend
from distqueue_backends.table.agenda import Agenda
from distqueue_backends.table.clock import OwnClock
from distqueue_backends.table.entry import DEAD, LEASED, Entry
from distqueue_backends.table.queue_table import QueueTable
from distqueue_backends.table.remembered import Gone, Remembered

from .damage import around, replace
from .mutant import mutant


@mutant("the time of day is read once, when the store is opened", caught_by="CLOCK-1 CLOCK-8")
def the_time_is_read_once() -> None:
    def wall(real: Any, clock: Any) -> float:
        read: dict[str, float] = vars(clock)
        return read.setdefault("at_first", real(clock))

    around(OwnClock, "wall", wall)


@mutant("a task has its place by the time of its put", caught_by="CLOCK-2")
def places_by_the_time() -> None:
    def put(table: QueueTable, entry: Entry) -> None:
        entry.number = table.last_number = table.next_number
        table.next_number += 1
        if entry.until is None:
            entry.place = int(entry.put_at * 1000) * 1000 + entry.number
        table.insert(entry)

    replace(QueueTable, "put", put)
    replace(MemoryBackend, "together_from", 1_000_000)


def _when_set_back(do: Any) -> None:
    """Do something to the leases of a queue at the first look at it after the clock was set back."""

    def set_time(real: Any, store: MemoryBackend) -> None:
        before = store.now
        real(store)
        if store.now < before:
            for table in store.tables.values():
                do(table)

    around(MemoryBackend, "set_time", set_time)


@mutant("a step back ends the leases that seem to begin later", caught_by="CLOCK-3")
def a_step_back_ends_leases() -> None:
    def end(table: QueueTable) -> None:
        for entry in table.in_states((LEASED,)):
            table.lapse(entry, "it is not begun")

    _when_set_back(end)


@mutant("nobody looks for the end of leases that were there before a step back", caught_by="CLOCK-4")
def a_step_back_makes_leases_endless() -> None:
    def forget(table: QueueTable) -> None:
        table.leases = Agenda(lambda entry, at: entry.state == LEASED and entry.until == at)

    _when_set_back(forget)


@mutant("a lease ends at a time of day, which is compared with another clock", caught_by="CLOCK-5")
def leases_end_at_a_time_of_day() -> None:
    def claim(real: Any, store: MemoryBackend, *args: Any) -> Claimed:
        of_leases, store.lease_now = store.lease_now, store.now
        try:
            claimed: Claimed = real(store, *args)
        finally:
            store.lease_now = of_leases
        return claimed

    around(MemoryBackend, "claim", claim)


@mutant("a failure counts if it is later than the put", caught_by="CLOCK-6")
def early_failures_do_not_count() -> None:
    def retry(real: Any, table: QueueTable, entry: Entry, *args: Any) -> None:
        entry.failures -= OwnClock().wall() < entry.put_at
        real(table, entry, *args)

    around(QueueTable, "retry", retry)


@mutant("an id that went later than now is not known", caught_by="CLOCK-7")
def later_ids_are_not_known() -> None:
    def get(real: Any, remembered: Remembered, task_id: str, now: float) -> Gone | None:
        gone: Gone | None = real(remembered, task_id, now)
        return None if gone is None or gone.at > now else gone

    around(Remembered, "get", get)


@mutant("delayed tasks are due by the clock of the leases", caught_by="CLOCK-8")
def due_by_another_clock() -> None:
    replace(OwnClock, "wall", OwnClock.lease)


@mutant("a dead task is ready again after a day", caught_by="CLOCK-9")
def the_dead_come_back() -> None:
    def tick(real: Any, store: MemoryBackend, table: QueueTable) -> None:
        real(store, table)
        for entry in table.in_states((DEAD,)):
            if store.now > entry.put_at + 80_000.0:
                table.redrive(entry)

    around(MemoryBackend, "_tick", tick)


@mutant("a task that was given back is not ready before it was put", caught_by="CLOCK-9")
def ready_after_the_put() -> None:
    def find(real: Any, store: MemoryBackend, *args: Any) -> Any:
        record = real(store, *args)
        return record if record is None or record.put_at <= store.now else None

    around(MemoryBackend, "find", find)


@mutant("who waits is told of changes that are later than all before", caught_by="CLOCK-10")
def earlier_changes_are_not_told() -> None:
    latest = [0.0]

    def has_work(real: Any, store: MemoryBackend) -> bool:
        is_later = store.now >= latest[0]
        latest[0] = max(latest[0], store.now)
        return bool(real(store)) and is_later

    around(MemoryBackend, "has_work", has_work)
