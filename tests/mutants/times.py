"""Mutants that get times wrong: when tasks are due, expire, are kept, and when they are claimable again."""

from __future__ import annotations

from math import floor
from typing import Any

from distqueue.commands import Put, Stats
from distqueue.errors import InvalidTask
from distqueue.results import Counted
from distqueue_backends.memory import MemoryBackend
from distqueue_backends.table.agenda import Agenda
from distqueue_backends.table.entry import DONE, LEASED, READY, SCHEDULED, Entry
from distqueue_backends.table.queue_table import QueueTable

from .damage import answer, around, changed, replace, rewrite, set_option
from .mutant import mutant

# --- Due ------------------------------------------------------------------------------------------------


@mutant("due times are kept in whole seconds", caught_by="DELAY-2 DELAY-3 DELAY-6")
def whole_seconds() -> None:
    def schedule(real: Any, backend: MemoryBackend, entry: Entry, put: Put) -> None:
        real(backend, entry, put)
        if entry.until is not None:
            entry.until = float(floor(entry.until))

    around(MemoryBackend, "_schedule", schedule)


@mutant("a task that was due in the past is refused", caught_by="DELAY-4")
def the_past_is_refused() -> None:
    def schedule(real: Any, backend: MemoryBackend, entry: Entry, put: Put) -> None:
        if put.due is not None and put.due < backend.now:
            raise InvalidTask("that is over")
        real(backend, entry, put)

    around(MemoryBackend, "_schedule", schedule)


@mutant(
    "a scheduled task becomes due at the next look at the queue but one, never by itself", caught_by="WAIT-4"
)
def nobody_wakes_for_what_is_due() -> None:
    def wake_at(table: QueueTable) -> float | None:
        return table.leases.next_at()

    replace(QueueTable, "wake_at", wake_at)


@mutant("nobody wakes when a lease ends", caught_by="WAIT-5")
def nobody_wakes_for_a_lapse() -> None:
    replace(QueueTable, "wake_at", lambda table: table.due.next_at())


@mutant("a sooner task does not shorten a wait that goes on", caught_by="WAIT-6")
def a_sooner_task_does_not_wake() -> None:
    def note(table: QueueTable, entry: Entry) -> None:
        version = table.version
        real(table, entry)
        table.version = version

    real = QueueTable._note
    replace(QueueTable, "_note", note)


@mutant("a due task goes before what is ready", caught_by="DELAY-5 DELAY-8")
def the_due_come_first() -> None:
    def place_due(table: QueueTable, entry: Entry) -> None:
        table._move(entry, READY)
        entry.place = -table.next_number
        table.next_number += 1
        table._stand_in_line(entry)

    replace(QueueTable, "place_due", place_due)


@mutant("due tasks come in the order of their puts", caught_by="DELAY-6")
def the_due_by_number() -> None:
    def take_until(real: Any, agenda: Agenda, now: float) -> list[Entry]:
        return sorted(real(agenda, now), key=lambda entry: entry.number)

    around(Agenda, "take_until", take_until)


@mutant("a hundred tasks are made due at a time", caught_by="DELAY-15")
def a_hundred_are_due() -> None:
    def take_until(real: Any, agenda: Agenda, now: float) -> list[Entry]:
        due: list[Entry] = real(agenda, now)
        if any(entry.state != SCHEDULED for entry in due):
            return due
        for entry in due[100:]:
            agenda.add(entry.until or 0.0, (entry,))
        return due[:100]

    around(Agenda, "take_until", take_until)


@mutant("a scheduled task has its place in line from the beginning", caught_by="DELAY-5 DELAY-9")
def the_scheduled_have_a_place() -> None:
    def put(table: QueueTable, entry: Entry) -> None:
        entry.number = entry.place = table.last_number = table.next_number
        table.next_number += 1
        table.insert(entry)

    def place_due(table: QueueTable, entry: Entry) -> None:
        table._move(entry, READY)
        table._stand_in_line(entry)

    replace(QueueTable, "put", put)
    replace(QueueTable, "place_due", place_due)


@mutant("the statistics tell when the last task is due", caught_by="DELAY-10")
def the_last_due_time() -> None:
    def last(stats: Stats, outcome: Any) -> Any:
        if not isinstance(outcome, Counted):
            return outcome
        queues = [
            changed(each, next_due_at=each.next_due_at and each.next_due_at + 7200) for each in outcome.queues
        ]
        return changed(outcome, queues=queues)

    answer(Stats, last)


# --- Expiring ---------------------------------------------------------------------------------------


def _expires_if(holds: Any) -> None:
    def begin(real: Any, table: QueueTable) -> None:
        real(table)
        table.expiring = Agenda(lambda entry, at: holds(entry) and entry.expires_at == at)

    around(QueueTable, "_begin", begin)


@mutant("a leased task expires", caught_by="EXPIRY-3")
def the_leased_expire() -> None:
    _expires_if(lambda entry: entry.state <= LEASED)


@mutant("a dead task expires", caught_by="EXPIRY-4")
def the_dead_expire() -> None:
    _expires_if(lambda entry: entry.state not in (LEASED, DONE))


@mutant("a task that came back expires", caught_by="EXPIRY-5")
def what_came_back_expires() -> None:
    _expires_if(lambda entry: entry.state <= READY)


@mutant("a scheduled task does not expire", caught_by="EXPIRY-6")
def the_scheduled_do_not_expire() -> None:
    _expires_if(lambda entry: entry.state == READY and not entry.deliveries)


@mutant("expired tasks stay until they are claimed", caught_by="EXPIRY-1 EXPIRY-6 GROUP-17 UNIQUE-5")
def nothing_expires() -> None:
    _expires_if(lambda entry: False)


@mutant("expires_in is taken for milliseconds", caught_by="EXPIRY-2")
def expires_in_milliseconds() -> None:
    def sooner(put: Put) -> Put:
        expires_in = put.options.expires_in
        options = changed(put.options, expires_in=expires_in and expires_in / 1000)
        return put if expires_in is None else changed(put, options=options)

    rewrite(Put, sooner)


@mutant("an expired task is not counted", caught_by="EXPIRY-1")
def the_expired_are_not_counted() -> None:
    def remove(real: Any, table: QueueTable, entry: Entry, verb: str, at: float) -> None:
        real(table, entry, "cancel" if verb == "expire" else verb, at)

    around(QueueTable, "remove", remove)


# --- Keeping ------------------------------------------------------------------------------------------


@mutant("a done task is kept for ever", caught_by="KEEP-2")
def kept_for_ever() -> None:
    def begin(real: Any, table: QueueTable) -> None:
        real(table)
        table.keeping = Agenda(lambda entry, at: False)

    around(QueueTable, "_begin", begin)


def _kept_for_ever_after(step: str) -> None:
    def carry_out(real: Any, table: QueueTable, *args: Any) -> None:
        real(table, *args)
        table.keeping = Agenda(lambda entry, at: False)

    around(QueueTable, step, carry_out)


@mutant("once a lease has ended, what is done is kept for ever", caught_by="KEEP-6")
def kept_for_ever_after_a_lapse() -> None:
    _kept_for_ever_after("lapse")


@mutant("once a task was due, what is done is kept for ever", caught_by="KEEP-6")
def kept_for_ever_after_a_due_time() -> None:
    _kept_for_ever_after("place_due")


@mutant("every done task is kept", caught_by="KEEP-3")
def everything_is_kept() -> None:
    set_option(keep_done=60.0)


@mutant("a kept task is forgotten with its id", caught_by="KEEP-5")
def the_kept_are_forgotten() -> None:
    def tick(real: Any, backend: MemoryBackend, table: QueueTable) -> None:
        kept = [entry.task_id for entry in table.tasks.values() if entry.state == DONE]
        real(backend, table)
        for task_id in kept:
            if task_id not in table.tasks and task_id in table.remembered._by_id:
                table.remembered._forget(table.remembered._by_id[task_id])

    around(MemoryBackend, "_tick", tick)


@mutant("a kept task holds its unique key", caught_by="UNIQUE-4")
def the_kept_hold_their_key() -> None:
    def let_go(real: Any, table: QueueTable, entry: Entry) -> None:
        if entry.state != DONE:
            real(table, entry)

    around(QueueTable, "_let_go", let_go)
