"""Mutants that settle wrongly: with which receipt, what comes of it, and what follows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distqueue import backend
from distqueue.commands import Ack, Command, Extend, Reject, Release, Retry, Settle
from distqueue.errors import AlreadySettled, LeaseLost, TaskGone
from distqueue.limits import check_command
from distqueue.results import Settled, Stored
from distqueue.task import TaskState
from distqueue_backends.json import ops, replay
from distqueue_backends.memory import MemoryBackend
from distqueue_backends.table import backend as verbs
from distqueue_backends.table.entry import LEASED, READY, SCHEDULED, Entry
from distqueue_backends.table.queue_table import QueueTable
from distqueue_backends.table.receipts import Repeated, current

from .damage import answer, around, changed, replace, rewrite
from .mutant import JSON, mutant

# --- Receipts ----------------------------------------------------------------------------------------


def _by_id(real: Any, table: QueueTable, receipt: str, verb: str, now: float) -> Entry:
    entry = table.tasks.get(receipt.rpartition(".")[2])
    if entry is not None and entry.state in (LEASED, READY):
        return entry
    current: Entry = real(table, receipt, verb, now)
    return current


@mutant(
    "a receipt counts for nothing but the id in it",
    caught_by="AGAIN-3 AGAIN-4 AGAIN-5 AGAIN-6 AGAIN-7",
)
def receipt_ignored() -> None:
    around(verbs, "current", _by_id)


@mutant("a consumer that comes too late settles the task of another process", caught_by="CRASH-3", url=JSON)
def receipt_ignored_between_processes() -> None:
    around(verbs, "current", _by_id)


@mutant("a settle that is refused as too late is answered as done", caught_by="AGAIN-3 AGAIN-4 AGAIN-7")
def late_settles_are_answered() -> None:
    done = Settled(task_id="?", state=TaskState.DONE)
    answer(Settle, lambda settle, outcome: done if isinstance(outcome, LeaseLost) else outcome)


@mutant("a receipt can be used once", caught_by="AGAIN-1 THEN-4 DEAD-6 KEEP-4 KEEP-5")
def a_receipt_is_used_once() -> None:
    def current(real: Any, *args: Any) -> Any:
        try:
            return real(*args)
        except Repeated:
            raise LeaseLost("used before") from None

    around(verbs, "current", current)


@mutant("another verb with a used receipt is answered as done", caught_by="AGAIN-2 KEEP-4 KEEP-5")
def any_verb_again() -> None:
    def done(settle: Settle, outcome: Any) -> Any:
        if isinstance(outcome, AlreadySettled):
            return Settled(task_id="?", state=TaskState.DONE)
        return outcome

    answer(Settle, done)


@mutant("the queue that a receipt is used in does not matter", caught_by="AGAIN-8")
def a_receipt_works_in_every_queue() -> None:
    tables: dict[str, QueueTable] = {}

    def current(real: Any, table: QueueTable, receipt: str, *args: Any) -> Any:
        task_id = receipt.rpartition(".")[2]
        there = next((each for each in tables.values() if task_id in each.tasks), table)
        return real(there if task_id not in table.tasks else table, receipt, *args)

    def new_table(real: Any, backend: MemoryBackend, queue: str) -> QueueTable:
        return tables.setdefault(queue, real(backend, queue))

    around(MemoryBackend, "new_table", new_table)
    around(verbs, "current", current)


@mutant("a task that was removed is not told from one that never was", caught_by="AGAIN-9 THEN-5")
def the_removed_are_unknown() -> None:
    def unknown(settle: Settle, outcome: Any) -> Any:
        return LeaseLost("not known") if isinstance(outcome, TaskGone) else outcome

    answer(Settle, unknown)


# --- What comes of it -----------------------------------------------------------------------------------


@mutant("an ack leaves the task where it is", caught_by="SETTLE-1 KEEP-3 NAME-1 NAME-4")
def acked_tasks_stay() -> None:
    def ack(table: QueueTable, entry: Entry, at: float) -> None:
        entry.settled = "ack"

    replace(QueueTable, "ack", ack)


@mutant("a retry puts the task where it was", caught_by="SETTLE-2")
def a_retry_keeps_the_place() -> None:
    def retry(real: Any, table: QueueTable, entry: Entry, *args: Any) -> None:
        place, new_place = entry.place, QueueTable._new_place

        def back(table: QueueTable, entry: Entry) -> None:
            entry.place = place
            table._stand_in_line(entry)

        replace(QueueTable, "_new_place", back)
        try:
            real(table, entry, *args)
        finally:
            replace(QueueTable, "_new_place", new_place)

    around(QueueTable, "retry", retry)


@mutant("the delay of a retry is ignored", caught_by="SETTLE-3 GROUP-5 UNIQUE-2")
def retries_at_once() -> None:
    rewrite(Retry, lambda retry: changed(retry, delay=0.0) if retry.delay else retry)


@mutant("a retry waits for the first pause of its backoff each time", caught_by="SETTLE-4")
def backoff_without_growth() -> None:
    rewrite(Retry, lambda retry: changed(retry, backoff=changed(retry.backoff, factor=1.0)))


@mutant("an extend is answered, and changes nothing", caught_by="SETTLE-5 SETTLE-6 SETTLE-7")
def extend_ignored() -> None:
    replace(QueueTable, "extend", lambda table, entry, until: None)


@mutant("an extend counts from the end of the lease", caught_by="SETTLE-6")
def extend_counts_from_the_end() -> None:
    def extend(backend: MemoryBackend, queue: str, receipt: str, lease: float) -> Settled:
        table = backend.table(queue)
        entry = current(table, receipt, "extend", backend.now)
        table.extend(entry, (entry.until or 0.0) + lease)
        return backend._settled(table, entry.task_id)

    replace(MemoryBackend, "extend", extend)


@mutant("the error of a failed task is not kept", caught_by="SETTLE-8 REDRIVE-3 LIMIT-18 CLIENT-2 DEAD-1")
def errors_are_not_kept() -> None:
    rewrite(Retry, lambda retry: changed(retry, error=None))
    rewrite(Reject, lambda reject: changed(reject, error=None))


@mutant("the delay of a release is ignored", caught_by="DELAY-11 DELAY-13 GROUP-20 MODEL-1")
def releases_at_once() -> None:
    rewrite(Release, lambda release: changed(release, delay=0.0) if release.delay > 0 else release)


@mutant("a release with a delay uses up an attempt", caught_by="DELAY-11")
def a_release_for_later_is_an_attempt() -> None:
    def release(real: Any, table: QueueTable, entry: Entry, due: float | None) -> None:
        entry.failures += due is not None
        real(table, entry, due)

    around(QueueTable, "release", release)


@mutant("a task that was released with a delay comes back to its place", caught_by="DELAY-12")
def a_release_for_later_keeps_the_place() -> None:
    places: dict[str, int | None] = {}

    def release(real: Any, table: QueueTable, entry: Entry, due: float | None) -> None:
        places[entry.task_id] = entry.place
        real(table, entry, due)

    def place_due(real: Any, table: QueueTable, entry: Entry) -> None:
        place = places.get(entry.task_id)
        if place is None:
            real(table, entry)
        else:
            table._move(entry, READY)
            entry.place = place
            table._stand_in_line(entry)

    around(QueueTable, "release", release)
    around(QueueTable, "place_due", place_due)


@mutant("a release with a delay that is repeated counts from then on", caught_by="DELAY-13")
def a_repeated_release_begins_anew() -> None:
    def release(real: Any, backend: MemoryBackend, queue: str, receipt: str, delay: float) -> Settled:
        settled: Settled = real(backend, queue, receipt, delay)
        table = backend.table(queue)
        entry = table.tasks[settled.task_id]
        if entry.state == SCHEDULED:
            entry.until = backend.now + delay
        return settled

    around(MemoryBackend, "release", release)


@mutant("a release is read back without its due time", url=JSON, caught_by="DELAY-14 MODEL-3")
def releases_are_read_without_due() -> None:
    steps: dict[Any, Any] = dict(replay._STEPS)
    steps[ops.Release] = lambda table, entry, op, at: table.release(entry, None)
    replace(replay, "_STEPS", steps)


@mutant("the delay of a release may be of any length", caught_by="LIMIT-24")
def releases_of_any_length() -> None:
    def check(command: Command) -> None:
        if not isinstance(command, Release):
            check_command(command)

    replace(backend, "check_command", check)


@mutant("an error text ends at its first NUL", caught_by="SETTLE-8")
def errors_end_at_nul() -> None:
    rewrite(Reject, lambda reject: changed(reject, error=reject.error and reject.error.partition("\0")[0]))


@mutant("a reject releases", caught_by="SETTLE-1 EXPIRY-4")
def a_reject_releases() -> None:
    replace(QueueTable, "reject", lambda table, entry, *args: table.release(entry, None))


# --- What follows ---------------------------------------------------------------------------------------


@mutant("the follow-up tasks of an ack are lost", caught_by="THEN-1 THEN-4 THEN-6 WAIT-14")
def follow_ups_are_lost() -> None:
    def stored(ack: Ack) -> Ack:
        return changed(ack, then=())

    rewrite(Ack, stored)


@mutant(
    "the follow-up tasks are put before the ack is looked at",
    caught_by="THEN-2 THEN-3 THEN-5 THEN-6 FENCE-4",
)
def follow_ups_come_first() -> None:
    def ack(real: Any, backend: MemoryBackend, acks: Sequence[Ack]) -> list[Any]:
        outcomes: list[Any] = []
        for each in acks:
            then = [outcome for outcome in backend.put(each.then) if isinstance(outcome, Stored)]
            (outcome,) = real(backend, [changed(each, then=())])
            outcomes.append(changed(outcome, then=tuple(then)) if isinstance(outcome, Settled) else outcome)
        return outcomes

    around(MemoryBackend, "ack", ack)


@mutant("a repeated ack puts its follow-up tasks again, under new ids", caught_by="THEN-4")
def follow_ups_again() -> None:
    def ack(real: Any, backend: MemoryBackend, ack: Ack) -> Settled:
        receipt = (ack.queue, ack.receipt)
        if receipt in done and ack.then:
            backend.put([changed(put, task_id=f"{put.task_id}-2") for put in ack.then])
        settled: Settled = real(backend, ack)
        done.add(receipt)
        return settled

    done: set[tuple[str, str]] = set()
    around(MemoryBackend, "_ack", ack)


@mutant("an extend with a receipt that is settled takes the task again", caught_by="AGAIN-2")
def extend_takes_again() -> None:
    def extended(extend: Extend, outcome: Any) -> Any:
        if isinstance(outcome, AlreadySettled):
            return Settled(task_id="?", state=TaskState.LEASED)
        return outcome

    answer(Extend, extended)
