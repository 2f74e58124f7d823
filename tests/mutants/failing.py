"""Mutants that lose, mix up or make up what is kept of failed attempts."""

from __future__ import annotations

from typing import Any

from distqueue import delivery, failures
from distqueue.commands import Find, Reject, Retry
from distqueue.errors import Refused
from distqueue.results import Found
from distqueue_backends.json.commit import CommitBuilder
from distqueue_backends.table import backend as verbs
from distqueue_backends.table import history
from distqueue_backends.table.entry import Entry
from distqueue_backends.table.history import History
from distqueue_backends.table.queue_table import QueueTable
from distqueue_backends.table.tables import Tables

from .damage import answer, around, changed, nothing, replace, rewrite
from .mutant import JSON, mutant


@mutant("failed attempts are not noted", caught_by="FAIL-1 FAIL-2 FAIL-3 MODEL-1")
def failures_are_not_noted() -> None:
    nothing(History, "add")


@mutant("the traceback of a failed attempt is not kept", caught_by="FAIL-1 FAIL-6 FAIL-10")
def tracebacks_are_not_kept() -> None:
    rewrite(Retry, lambda retry: changed(retry, traceback=None))
    rewrite(Reject, lambda reject: changed(reject, traceback=None))


@mutant("the text of a failed attempt ends at its first line end", caught_by="FAIL-1")
def texts_end_with_their_line() -> None:
    around(failures, "cut_error", lambda real, text, most: text and real(text, most).partition("\n")[0])


@mutant("a failed attempt is noted by the number of the next", caught_by="FAIL-1")
def failures_have_the_next_number() -> None:
    def with_failure(real: Any, before: Any, attempt: int, *args: Any) -> Any:
        return real(before, attempt + 1, *args)

    around(history, "with_failure", with_failure)


@mutant("a lease that ran out is not noted", caught_by="FAIL-2 MODEL-2")
def lapses_are_not_noted() -> None:
    def add(real: Any, kept: History, entry: Entry, at: float, verb: str, *args: Any) -> None:
        if verb != "lapse":
            real(kept, entry, at, verb, *args)

    around(History, "add", add)


@mutant("a lease that ran out is noted with the time at which that is noticed", caught_by="FAIL-2")
def lapses_are_noted_late() -> None:
    def tick(real: Any, tables: Tables[QueueTable], table: QueueTable) -> None:
        for entry in table.leases.take_until(tables.lease_now):
            entry.until = tables.now
            table.leases.add(tables.now, (entry,))
        real(tables, table)

    around(Tables, "_tick", tick)


@mutant("the first failed attempts are kept, not the newest", caught_by="FAIL-3")
def the_first_failures_are_kept() -> None:
    def with_failure(real: Any, before: Any, *args: Any) -> Any:
        return before if len(before) == 10 else real(before, *args)

    around(history, "with_failure", with_failure)


@mutant("the newest failed attempt stands first", caught_by="FAIL-1 FAIL-3")
def the_newest_failure_first() -> None:
    def found(find: Find, outcome: Any) -> Any:
        if isinstance(outcome, Refused) or outcome.task is None:
            return outcome
        return Found(task=changed(outcome.task, failures=outcome.task.failures[::-1]))

    answer(Find, found)


@mutant("a redrive forgets how the attempts failed", caught_by="FAIL-4")
def a_redrive_forgets_failures() -> None:
    def redrive(real: Any, table: QueueTable, entry: Entry) -> None:
        table.history.drop(entry)
        real(table, entry)

    around(QueueTable, "redrive", redrive)


@mutant("what failed is kept by the id when the task goes", caught_by="FAIL-5")
def failures_outlive_their_task() -> None:
    def remove(real: Any, table: QueueTable, entry: Entry, *args: Any) -> None:
        kept = table.history.of([entry])[0]
        real(table, entry, *args)
        table.history.load(entry, kept)

    around(QueueTable, "remove", remove)


@mutant("long texts of a failed attempt are cut at their end", caught_by="FAIL-6")
def long_texts_lose_their_end() -> None:
    replace(failures, "cut_error", lambda text, most: text and text[:most])


@mutant("the texts of a failed attempt are kept whole", caught_by="FAIL-6")
def long_texts_are_kept() -> None:
    replace(failures, "cut_error", lambda text, most: text)


@mutant("a release is noted as a failed attempt", caught_by="FAIL-7 DELAY-11")
def releases_are_noted() -> None:
    def release(real: Any, table: QueueTable, entry: Entry, due: float | None) -> None:
        table.history.add(entry, 0.0, "release", None, None)
        real(table, entry, due)

    around(QueueTable, "release", release)


@mutant("failed attempts are left out of what is loaded", caught_by="FAIL-8")
def failures_are_not_loaded() -> None:
    around(verbs, "load_entry", lambda real, table, entry, failures: real(table, entry, ()))


@mutant("a listing leaves the failed attempts out", caught_by="FAIL-8 MODEL-1")
def failures_are_not_listed() -> None:
    def browse(real: Any, store: Tables[QueueTable], *args: Any) -> Any:
        browsed = real(store, *args)
        return changed(browsed, tasks=[changed(task, failures=()) for task in browsed.tasks])

    around(Tables, "browse", browse)


@mutant("tidying up leaves the failed attempts behind", url=JSON, caught_by="FAIL-9")
def tidying_loses_failures() -> None:
    around(
        CommitBuilder, "load", lambda real, builder, queue, entry, failures: real(builder, queue, entry, ())
    )


@mutant("an exception is told without its traceback", caught_by="FAIL-10")
def exceptions_without_traceback() -> None:
    nothing(delivery, "traceback_text")
