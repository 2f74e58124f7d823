"""Mutants that hand tasks out wrongly: how many, to whom, in which order, and how that is counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distqueue.commands import Claim, Command, Extend, Find
from distqueue.errors import Refused, TaskNotFound
from distqueue.results import Claimed, Found
from distqueue.task import TaskState
from distqueue_backends.memory import MemoryBackend
from distqueue_backends.table.entry import READY, Entry
from distqueue_backends.table.line import Line
from distqueue_backends.table.queue_table import QueueTable

from .damage import answer, around, changed, replace, rewrite
from .mutant import mutant

# --- Which tasks -------------------------------------------------------------------------------------


@mutant("a claim of a queue that is not there is refused", caught_by="CLAIM-1")
def an_unknown_queue_is_refused() -> None:
    def claim(real: Any, backend: MemoryBackend, queue: str, *args: Any) -> Claimed:
        if queue not in backend.tables:
            raise TaskNotFound(f"there is no queue {queue}")
        claimed: Claimed = real(backend, queue, *args)
        return claimed

    around(MemoryBackend, "claim", claim)


@mutant("a claim takes one task more than it was asked for", caught_by="CLAIM-2")
def a_claim_takes_one_more() -> None:
    rewrite(Claim, lambda claim: changed(claim, count=claim.count + 1))


@mutant("a claimed task can be claimed again at once", caught_by="CLAIM-3 CLAIM-2")
def leased_tasks_stay_in_line() -> None:
    def lease(real: Any, table: QueueTable, entries: Sequence[Entry], *args: Any) -> None:
        real(table, entries, *args)
        for entry in entries:
            table._line(entry.options.priority).add(entry)

    around(QueueTable, "lease", lease)

    def first(line: Line) -> Entry | None:
        return next((entry for entry in line._row), None)

    replace(Line, "first", first)


@mutant(
    "all tasks are in one queue", caught_by="CLAIM-4 PUT-4 FIND-1 NAME-3 GROUP-15 UNIQUE-10 STATS-3 CANCEL-4"
)
def one_queue() -> None:
    rewrite(Command, lambda command: changed(command, queue="work") if command.queue.isalnum() else command)


@mutant("a claim takes from every queue whose name begins with that of its own", caught_by="NAME-3 NAME-1")
def queues_by_prefix() -> None:
    def claim(real: Any, backend: MemoryBackend, queue: str, *args: Any) -> Claimed:
        names = [name for name in sorted(backend.tables, reverse=True) if name.startswith(queue)]
        first = next((name for name in names if backend.tables[name].counts[READY]), queue)
        claimed: Claimed = real(backend, first, *args)
        return claimed

    around(MemoryBackend, "claim", claim)


@mutant("a claim that is repeated takes new tasks", caught_by="CLAIM-7")
def a_repeated_claim_takes_more() -> None:
    rewrite(Claim, lambda claim: changed(claim, again=False))


@mutant("all tasks of a claim have one receipt", caught_by="CLAIM-8 SETTLE-9")
def one_receipt_a_claim() -> None:
    def same(claim: Claim, outcome: Any) -> Any:
        if not isinstance(outcome, Claimed) or len(outcome.leases) < 2:
            return outcome
        receipt = outcome.leases[0].receipt
        return changed(outcome, leases=[changed(lease, receipt=receipt) for lease in outcome.leases])

    answer(Claim, same)


# --- For how long --------------------------------------------------------------------------------------


@mutant("a lease never ends", caught_by="CLAIM-5 DEAD-2 ORDER-3 AGAIN-3 AGAIN-4 WAIT-5")
def leases_never_end() -> None:
    rewrite(Claim, lambda claim: changed(claim, lease=1e9) if 0 < claim.lease < 1e9 else claim)
    rewrite(Extend, lambda extend: changed(extend, lease=1e9) if 0 < extend.lease < 1e9 else extend)


@mutant("every lease lasts 30 s, however long was asked for", caught_by="CLAIM-6")
def fixed_leases() -> None:
    rewrite(Claim, lambda claim: changed(claim, lease=30.0) if claim.lease > 30 else claim)


@mutant("a lease is counted from the put of its task", caught_by="DELAY-2")
def leases_counted_from_the_put() -> None:
    def lease(real: Any, table: QueueTable, entries: Sequence[Entry], token: str, until: float) -> None:
        real(table, entries, token, until)
        for entry in entries:
            entry.until = until - max(0.0, table.now - entry.put_at)  # type: ignore[attr-defined]
            table.leases.add(entry.until, (entry,))

    def claim(real: Any, backend: MemoryBackend, queue: str, *args: Any) -> Claimed:
        replace(QueueTable, "now", backend.now)
        claimed: Claimed = real(backend, queue, *args)
        return claimed

    around(QueueTable, "lease", lease)
    around(MemoryBackend, "claim", claim)


# --- How it is counted ---------------------------------------------------------------------------------


@mutant("the attempt of a consumer that dies is not counted", caught_by="CLAIM-5 DEAD-2 AGAIN-3")
def a_lapse_is_no_attempt() -> None:
    def lapse(table: QueueTable, entry: Entry, error: str) -> None:
        entry.token = None
        table._back_in_line(entry)

    replace(QueueTable, "lapse", lapse)


@mutant("a release counts as an attempt", caught_by="COUNT-1 DEAD-5")
def a_release_is_an_attempt() -> None:
    def release(table: QueueTable, entry: Entry, due: float | None) -> None:
        entry.settled = "release"
        entry.failures += 1
        table._bury(entry, None) if table._is_used_up(entry) else table._back_in_line(entry)

    replace(QueueTable, "release", release)


@mutant("a delivery is counted when it is settled", caught_by="COUNT-2 CLAIM-3")
def counted_when_settled() -> None:
    def found(find: Find, outcome: Any) -> Any:
        task = None if isinstance(outcome, Refused) else outcome.task
        if task is None or task.state is not TaskState.LEASED:
            return outcome
        return Found(task=changed(task, deliveries=task.deliveries - 1))

    answer(Find, found)


@mutant("attempts are never used up", caught_by="DEAD-1 DEAD-2 DEAD-6 REDRIVE-4")
def attempts_without_end() -> None:
    replace(QueueTable, "_is_used_up", lambda table, entry: False)


def _without_a_limit(most: int) -> None:
    replace(
        QueueTable, "_is_used_up", lambda table, entry: entry.failures >= (entry.options.max_attempts or most)
    )


@mutant("without a limit there are ten attempts", caught_by="DEAD-3")
def ten_attempts() -> None:
    _without_a_limit(10)


@mutant("without a limit there are as many attempts as a byte can count", caught_by="DEAD-3")
def as_many_attempts_as_a_byte_counts() -> None:
    _without_a_limit(255)


@mutant("a rejected task has another attempt", caught_by="DEAD-4 SETTLE-1")
def a_reject_is_a_retry() -> None:
    def reject(table: QueueTable, entry: Entry, error: str | None, *args: Any) -> None:
        entry.settled = "reject"
        entry.failures += 1
        table._note_error(entry, error)
        table._back_in_line(entry)

    replace(QueueTable, "reject", reject)


# --- In which order -------------------------------------------------------------------------------------


@mutant("the last comes first", caught_by="ORDER-1 ORDER-6 CANCEL-5 PURGE-4 SETTLE-2 BROWSE-5")
def last_in_first_out() -> None:
    def take_next(real: Any, table: QueueTable, most: int, *args: Any) -> list[Entry]:
        everything: list[Entry] = real(table, 10**9)
        everything.sort(key=lambda entry: (-entry.options.priority, -(entry.place or 0)))
        taken, left = everything[:most], everything[most:]
        for entry in sorted(left, key=lambda entry: entry.place or 0):
            table._stand_in_line(entry)
        return taken

    around(QueueTable, "take_next", take_next)


@mutant("the place of a task is the time of day in whole seconds", caught_by="ORDER-1 ORDER-6")
def place_by_wall_clock() -> None:
    def add(line: Line, entry: Entry) -> None:
        entry.place = int(entry.put_at)
        line._returned.append((entry.place, hash(entry.task_id), entry))
        line._returned.sort(key=lambda each: each[:2])

    def put_together(real: Any, table: QueueTable, entries: Sequence[Entry], *args: Any) -> None:
        real(table, entries, *args)
        line = table._line(0)
        for entry in entries:
            line._row.remove(entry)
            line.add(entry)

    replace(Line, "add", add)
    around(QueueTable, "put_together", put_together)


@mutant("after a while the lower priorities have their turn", caught_by="ORDER-2")
def priorities_grow_old() -> None:
    turns = iter(range(1_000_000))

    def take_next(real: Any, table: QueueTable, *args: Any) -> list[Entry]:
        if next(turns) % 4 != 3:
            return real(table, *args)  # type: ignore[no-any-return]
        lines = table._lines
        table._lines = {max(lines, default=0) - priority: line for priority, line in lines.items()}
        try:
            return real(table, *args)  # type: ignore[no-any-return]
        finally:
            table._lines = lines

    around(QueueTable, "take_next", take_next)


def _to_the_end(table: QueueTable, entry: Entry) -> None:
    table._move(entry, READY)
    table._new_place(entry)


@mutant("a task whose lease ended goes to the end of the line", caught_by="ORDER-3")
def a_lapse_loses_the_place() -> None:
    def lapse(table: QueueTable, entry: Entry, error: str) -> None:
        entry.token = None
        entry.failures += 1
        table._bury(entry, error) if table._is_used_up(entry) else _to_the_end(table, entry)

    replace(QueueTable, "lapse", lapse)


@mutant("a released task goes to the end of the line", caught_by="ORDER-4 PAUSE-5")
def a_release_loses_the_place() -> None:
    def release(table: QueueTable, entry: Entry, due: float | None) -> None:
        entry.settled = "release"
        _to_the_end(table, entry)

    replace(QueueTable, "release", release)


@mutant("a released task comes back without its priority", caught_by="ORDER-5")
def a_release_loses_the_priority() -> None:
    def release(table: QueueTable, entry: Entry, due: float | None) -> None:
        entry.settled = "release"
        entry.options = changed(entry.options, priority=0)
        table._back_in_line(entry)

    replace(QueueTable, "release", release)
