"""Mutants that cancel, purge and redrive wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distqueue.commands import Cancel, Purge, Redrive
from distqueue.errors import TaskNotFound
from distqueue.results import Purged, Redriven, Removed
from distqueue.task import TaskState
from distqueue_backends.memory import MemoryBackend
from distqueue_backends.table.entry import DEAD, DONE, LEASED, READY, SCHEDULED, Entry
from distqueue_backends.table.queue_table import QueueTable

from .damage import answer, around, changed, pretend, replace, rewrite
from .mutant import mutant


@mutant(
    "a cancel is answered, and changes nothing",
    caught_by="CANCEL-1 CANCEL-2 CANCEL-3 CANCEL-5 DEDUP-3 UNIQUE-3",
)
def pretended_cancels() -> None:
    pretend(Cancel, lambda cancel: Removed(task_id=cancel.task_id, state=TaskState.READY))


@mutant("a cancel says of each task that it was ready", caught_by="CANCEL-1 CANCEL-2 CANCEL-3")
def the_cancelled_were_ready() -> None:
    def ready(cancel: Cancel, outcome: Any) -> Any:
        return changed(outcome, state=TaskState.READY) if isinstance(outcome, Removed) else outcome

    answer(Cancel, ready)


@mutant("to cancel what is not there is answered as done", caught_by="CANCEL-4 CANCEL-1")
def nothing_is_cancelled() -> None:
    def done(cancel: Cancel, outcome: Any) -> Any:
        if isinstance(outcome, TaskNotFound):
            return Removed(task_id=cancel.task_id, state=TaskState.READY)
        return outcome

    answer(Cancel, done)


@mutant("a cancelled task's place is taken by the last one", caught_by="CANCEL-5")
def the_last_fills_the_gap() -> None:
    def remove(real: Any, table: QueueTable, entry: Entry, verb: str, at: float) -> None:
        row = table._line(entry.options.priority)._row
        if verb == "cancel" and entry in row and row[-1] is not entry:
            row[row.index(entry)] = row.pop()
        real(table, entry, verb, at)

    around(QueueTable, "remove", remove)


@mutant(
    "a purge is answered, and removes nothing", caught_by="PURGE-1 PURGE-2 PURGE-3 PURGE-4 DEDUP-3 UNIQUE-3"
)
def pretended_purges() -> None:
    pretend(Purge, lambda purge: Purged(count=1))


@mutant("a purge removes what is in line, and nothing else", caught_by="PURGE-1 PURGE-2 PURGE-3")
def a_purge_of_the_line() -> None:
    def purge(real: Any, backend: MemoryBackend, queue: str, states: Sequence[TaskState]) -> Purged:
        purged: Purged = real(backend, queue, [TaskState.READY])
        return purged

    around(MemoryBackend, "purge", purge)


def _first_thousand(verb: str) -> None:
    """Let a verb see no more than the first thousand tasks that it is about."""

    most: list[int | None] = [None]

    def in_states(real: Any, table: QueueTable, states: Any) -> list[Entry]:
        found: list[Entry] = real(table, states)
        return found[: most[0]]

    def limited(real: Any, backend: MemoryBackend, *args: Any) -> Any:
        most[0] = 1000
        try:
            return real(backend, *args)
        finally:
            most[0] = None

    around(QueueTable, "in_states", in_states)
    around(MemoryBackend, verb, limited)


@mutant("a purge removes a thousand tasks at most", caught_by="PURGE-1")
def a_purge_of_a_thousand() -> None:
    _first_thousand("purge")


@mutant("a purge of some states removes all", caught_by="PURGE-2 PURGE-3")
def a_purge_of_everything() -> None:
    rewrite(Purge, lambda purge: changed(purge, states=()))


@mutant("a purge makes an unknown queue and counts it", caught_by="PURGE-5 PURGE-1")
def a_purge_counts_one_too_many() -> None:
    answer(Purge, lambda purge, outcome: changed(outcome, count=1) if not outcome.count else outcome)


@mutant("a purged queue is paused", caught_by="PURGE-4")
def a_purge_pauses() -> None:
    def purge(real: Any, backend: MemoryBackend, queue: str, states: Sequence[TaskState]) -> Purged:
        purged: Purged = real(backend, queue, states)
        backend.table(queue).paused = True
        return purged

    around(MemoryBackend, "purge", purge)


@mutant(
    "a redrive is answered, and changes nothing", caught_by="REDRIVE-1 REDRIVE-2 REDRIVE-4 REDRIVE-6 WAIT-10"
)
def pretended_redrives() -> None:
    pretend(Redrive, lambda redrive: Redriven(count=1))


@mutant("a redrive takes a thousand tasks at most", caught_by="REDRIVE-1")
def a_redrive_of_a_thousand() -> None:
    _first_thousand("redrive")


@mutant("a redrive of one task takes all", caught_by="REDRIVE-2")
def a_redrive_takes_all() -> None:
    rewrite(Redrive, lambda redrive: changed(redrive, task_id=None))


@mutant("the error of a redrive is a pattern, and its case does not matter", caught_by="REDRIVE-3")
def a_redrive_by_pattern() -> None:
    def redriven(table: QueueTable, task_id: str | None, error: str | None) -> tuple[int, tuple[str, ...]]:
        import re

        pattern = re.escape((error or "").lower()).replace("%", ".*").replace("_", ".")
        count = 0
        for entry in table.in_states((DEAD,)):
            if task_id in (None, entry.task_id) and re.search(pattern, (entry.error or "").lower()):
                table.redrive(entry)
                count += 1
        return count, ()

    from distqueue_backends.table import backend

    replace(backend, "redrive_dead", redriven)


@mutant("a redriven task has the attempts that were left", caught_by="REDRIVE-4")
def a_redrive_leaves_the_attempts() -> None:
    def redrive(real: Any, table: QueueTable, entry: Entry) -> None:
        failures = entry.failures
        real(table, entry)
        entry.failures = failures

    around(QueueTable, "redrive", redrive)


@mutant("a redrive takes tasks of any state", caught_by="REDRIVE-5")
def a_redrive_of_anything() -> None:
    def redrive(backend: MemoryBackend, queue: str, task_id: str | None, error: str | None) -> Redriven:
        table = backend.table(queue)
        entries = table.in_states((SCHEDULED, READY, LEASED, DONE, DEAD))
        wanted = [entry for entry in entries if task_id in (None, entry.task_id)]
        for entry in wanted:
            table._move(entry, DEAD)
            table.redrive(entry)
        return Redriven(count=len(wanted))

    replace(MemoryBackend, "redrive", redrive)


@mutant("a redriven task is a new one, with its deliveries counted anew", caught_by="REDRIVE-6")
def a_redrive_forgets_the_deliveries() -> None:
    def redrive(real: Any, table: QueueTable, entry: Entry) -> None:
        real(table, entry)
        entry.deliveries = 0

    around(QueueTable, "redrive", redrive)


@mutant("dead tasks are redriven from the last to the first", caught_by="REDRIVE-7")
def a_redrive_turns_the_order_round() -> None:
    def in_states(real: Any, table: QueueTable, states: Any) -> list[Entry]:
        return [*real(table, states)][:: -1 if states == (DEAD,) else 1]

    around(QueueTable, "in_states", in_states)
