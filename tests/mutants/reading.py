"""Mutants that tell wrongly what is there."""

from __future__ import annotations

from typing import Any

from distqueue.commands import Browse, Remembered, Stats
from distqueue.errors import Refused
from distqueue.results import Browsed, Counted, QueueStats
from distqueue_backends.memory import MemoryBackend
from distqueue_backends.table.pager import Pager
from distqueue_backends.table.queue_table import QueueTable

from .damage import answer, around, changed, replace, rewrite
from .mutant import mutant


def _stats(change: Any) -> None:
    def counted(stats: Stats, outcome: Any) -> Any:
        if not isinstance(outcome, Counted):
            return outcome
        return changed(outcome, queues=[change(each) for each in outcome.queues])

    answer(Stats, counted)


@mutant(
    "the statistics are all 0",
    caught_by="STATS-1 STATS-2 STATS-3 STATS-4 STATS-5 PAUSE-2 LIMIT-9 CLIENT-3 CLIENT-4",
)
def empty_statistics() -> None:
    _stats(lambda stats: QueueStats(queue=stats.queue))


@mutant("the statistics are those of a hundred queues at most", caught_by="STATS-6")
def a_hundred_queues() -> None:
    def counted(stats: Stats, outcome: Any) -> Any:
        return changed(outcome, queues=outcome.queues[:100]) if isinstance(outcome, Counted) else outcome

    answer(Stats, counted)


@mutant("kept and scheduled tasks are not counted", caught_by="STATS-2 KEEP-1")
def only_the_live_are_counted() -> None:
    _stats(lambda stats: changed(stats, done=0, scheduled=0))


@mutant("a task that was cancelled is still counted", caught_by="STATS-5")
def the_cancelled_are_counted() -> None:
    def remove(real: Any, table: QueueTable, entry: Any, verb: str, at: float) -> None:
        table.counts[entry.state] += verb == "cancel"
        real(table, entry, verb, at)

    around(QueueTable, "remove", remove)


@mutant("the oldest task is that which is next in line", caught_by="STATS-4")
def the_oldest_is_the_next() -> None:
    def stats(real: Any, table: QueueTable) -> QueueStats:
        oldest = next((entry.put_at for entry in table.in_line()), None)
        good: QueueStats = real(table)
        return changed(good, oldest_ready_at=oldest)

    around(QueueTable, "stats", stats)


@mutant("the oldest task is looked for among all of the queue", caught_by="STATS-4")
def the_oldest_of_all() -> None:
    def stats(real: Any, table: QueueTable) -> QueueStats:
        oldest = min((entry.put_at for entry in table.tasks.values()), default=None)
        good: QueueStats = real(table)
        return changed(good, oldest_ready_at=oldest)

    around(QueueTable, "stats", stats)


@mutant("looking a task up counts as a delivery", caught_by="FIND-2 CLAIM-3 COUNT-2")
def a_look_is_a_delivery() -> None:
    def find(real: Any, backend: MemoryBackend, queue: str, task_id: str) -> Any:
        table = backend.table(queue)
        if (entry := table.tasks.get(task_id)) is not None:
            entry.deliveries += 1
        return real(backend, queue, task_id)

    around(MemoryBackend, "find", find)


@mutant("a task is found in whatever queue it is", caught_by="FIND-1")
def found_in_every_queue() -> None:
    def find(real: Any, backend: MemoryBackend, queue: str, task_id: str) -> Any:
        names = [queue, *backend.tables]
        return next((task for name in names if (task := real(backend, name, task_id))), None)

    around(MemoryBackend, "find", find)


@mutant("tasks are listed in the order of their ids", caught_by="BROWSE-1 BROWSE-6")
def listed_by_id() -> None:
    def by_id(browse: Browse, outcome: Any) -> Any:
        if isinstance(outcome, Refused):
            return outcome
        return changed(
            outcome, tasks=sorted(outcome.tasks, key=lambda task: task.task_id[::-1], reverse=True)
        )

    answer(Browse, by_id)


@mutant("a page of tasks has one too many", caught_by="BROWSE-2")
def a_page_has_one_too_many() -> None:
    rewrite(Browse, lambda browse: changed(browse, limit=browse.limit + 1))


@mutant("a page of tasks begins where the last one began", caught_by="BROWSE-1 MOVE-6")
def pages_by_count() -> None:
    rewrite(Browse, lambda browse: changed(browse, after=browse.after and browse.after + 1))
    rewrite(Remembered, lambda command: changed(command, after=command.after and command.after + 1))


@mutant("a page begins behind as many tasks as were listed, whatever went meanwhile", caught_by="BROWSE-6")
def pages_by_offset() -> None:
    def page(pager: Pager, table: QueueTable, states: Any, limit: int, after: int | None) -> Any:
        entries = [*table.in_states(states)]
        start = after or 0
        following = start + limit if start + limit < len(entries) else None
        return entries[start : start + limit], following

    replace(Pager, "page", page)


@mutant("a list of tasks shows no more than their heads", caught_by="BROWSE-3 MOVE-1")
def lists_are_short() -> None:
    def short(browse: Browse, outcome: Any) -> Any:
        if isinstance(outcome, Refused):
            return outcome
        return changed(outcome, tasks=[changed(task, error=None, receipt=None) for task in outcome.tasks])

    answer(Browse, short)


@mutant("a list of tasks has those of all states", caught_by="BROWSE-4")
def lists_of_all_states() -> None:
    rewrite(Browse, lambda browse: changed(browse, states=()))


@mutant("the line is listed in the order of publishing", caught_by="BROWSE-5")
def the_line_by_number() -> None:
    rewrite(Browse, lambda browse: changed(browse, order="number"))


@mutant("what is remembered is listed by an offset", caught_by="MOVE-8")
def memory_by_offset() -> None:
    def page(memory: Any, limit: int, after: int | None) -> Any:
        known = [*memory]
        start = after or 0
        return known[start : start + limit], start + limit if start + limit < len(known) else None

    from distqueue_backends.table.remembered import Remembered as Memory

    replace(Memory, "page", page)


@mutant("nothing is listed of what is remembered", caught_by="MOVE-6")
def an_unlisted_memory() -> None:
    answer(Remembered, lambda command, outcome: outcome if isinstance(outcome, Refused) else Browsed())
