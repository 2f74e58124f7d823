"""Mutants that move queues wrongly: fences that let too much or too little through, what loading loses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distqueue.commands import Ack, Command, Put
from distqueue.errors import Refused
from distqueue.fences import OPEN, FenceLevel, Fencing, next_fence, refusal
from distqueue.results import Browsed, Cleared, Loaded
from distqueue_backends.json.commit import CommitBuilder
from distqueue_backends.memory import MemoryBackend
from distqueue_backends.sharded import call
from distqueue_backends.sharded.routing import key_of_put, shard_of
from distqueue_backends.sharded.shard import Shard
from distqueue_backends.sharded.shards import Shards
from distqueue_backends.table import backend, tables
from distqueue_backends.table.entry import LEASED, READY, Entry
from distqueue_backends.table.queue_table import QueueTable
from distqueue_backends.table.remembered import Gone

from .damage import answer, around, changed, replace
from .mutant import JSON, SHARDED, mutant

# --- What a fence lets through -------------------------------------------------------------------------


@mutant("nothing can be settled any more once a queue drains", caught_by="FENCE-1")
def a_fence_stops_settling() -> None:
    def behind(real: Any, table_backend: MemoryBackend, table: QueueTable, *levels: FenceLevel) -> QueueTable:
        let_in: QueueTable = real(table_backend, table, *(set(levels) - {FenceLevel.DRAINING}))
        return let_in

    around(MemoryBackend, "_open", behind)


@mutant("a draining queue takes new tasks", caught_by="FENCE-1")
def puts_into_a_draining_queue() -> None:
    replace(MemoryBackend, "lets_in", (FenceLevel.DRAINING,))


@mutant("the follow-up tasks of an ack are lost in a draining queue", caught_by="FENCE-1")
def no_follow_up_while_draining() -> None:
    def ack(real: Any, table_backend: MemoryBackend, ack: Ack) -> Any:
        table = table_backend.table(ack.queue)
        return real(table_backend, ack if table.fence is OPEN else changed(ack, then=()))

    around(MemoryBackend, "_ack", ack)


@mutant("what is out can still be settled when a queue is frozen", caught_by="FENCE-2")
def settling_in_a_frozen_queue() -> None:
    def behind(real: Any, table_backend: MemoryBackend, table: QueueTable, *levels: FenceLevel) -> QueueTable:
        more = (FenceLevel.FROZEN, FenceLevel.MOVED) if FenceLevel.DRAINING in levels else ()
        let_in: QueueTable = real(table_backend, table, *levels, *more)
        return let_in

    around(MemoryBackend, "_open", behind)


@mutant("time goes on in a frozen queue", caught_by="FENCE-3")
def time_goes_on_behind_a_fence() -> None:
    replace(Fencing, "stands_still", False)


# --- How it goes up and down ---------------------------------------------------------------------------


@mutant("a queue that has moved is open again when it was cleared", caught_by="FENCE-5")
def clearing_takes_the_fence_down() -> None:
    def clear(real: Any, table_backend: MemoryBackend, queue: str) -> Cleared:
        cleared: Cleared = real(table_backend, queue)
        table_backend.table(queue).fence = OPEN
        return cleared

    around(MemoryBackend, "clear", clear)


@mutant("any queue can be cleared", caught_by="FENCE-5")
def any_queue_is_cleared() -> None:
    def clear(table_backend: MemoryBackend, queue: str) -> Cleared:
        table_backend._forget_all(table_backend.table(queue))
        return Cleared()

    replace(MemoryBackend, "clear", clear)


def _fences(do: Any) -> None:
    replace(backend, "next_fence", do)


@mutant("a fence goes back by a step when it is asked to", caught_by="FENCE-6")
def fences_go_back() -> None:
    def step(queue: str, now: Fencing, level: FenceLevel, note: str, *, has_tasks: bool) -> Fencing:
        after = next_fence(queue, now, level, note, has_tasks=has_tasks)
        return after if after is OPEN else Fencing(level, note)

    _fences(step)


@mutant("another move takes a fence over", caught_by="FENCE-6 FENCE-10")
def another_move_takes_over() -> None:
    def step(queue: str, now: Fencing, level: FenceLevel, note: str, *, has_tasks: bool) -> Fencing:
        now = OPEN if now is OPEN else Fencing(now.level, note)
        return next_fence(queue, now, level, note, has_tasks=has_tasks)

    _fences(step)


@mutant("a fence gives back what is out", caught_by="FENCE-7")
def a_fence_gives_back() -> None:
    def fence(real: Any, table_backend: MemoryBackend, queue: str, *args: Any) -> Any:
        fenced = real(table_backend, queue, *args)
        table = table_backend.table(queue)
        for entry in table.in_states((LEASED,)):
            table.release(entry, None)
        return fenced

    around(MemoryBackend, "fence", fence)


@mutant("a queue is filled whatever is in it", caught_by="FENCE-9")
def filled_with_tasks_in_it() -> None:
    def step(queue: str, now: Fencing, level: FenceLevel, note: str, *, has_tasks: bool) -> Fencing:
        return next_fence(queue, now, level, note, has_tasks=False)

    _fences(step)


@mutant("a queue that is to be filled keeps what it had", caught_by="FENCE-9 FENCE-10")
def filled_beside_what_was_there() -> None:
    def forget_all(real: Any, table_backend: MemoryBackend, table: QueueTable) -> None:
        if table.fence.level is not FenceLevel.FILLING:
            real(table_backend, table)

    around(MemoryBackend, "_forget_all", forget_all)


@mutant("a queue that has moved never comes back", caught_by="FENCE-10")
def moved_for_ever() -> None:
    def step(queue: str, now: Fencing, level: FenceLevel, note: str, *, has_tasks: bool) -> Fencing:
        if now.level is FenceLevel.MOVED and level is FenceLevel.FILLING:
            raise refusal(queue, now)
        return next_fence(queue, now, level, note, has_tasks=has_tasks)

    _fences(step)


@mutant("queues are still made in a store that moves", caught_by="FENCE-11")
def new_queues_behind_a_fence() -> None:
    replace(tables, "around_new", lambda fence: OPEN)


@mutant("no task is put into a store that moves, not even into queues that are there", caught_by="FENCE-11")
def a_fence_around_all_queues() -> None:
    def store(real: Any, table_backend: MemoryBackend, put: Any) -> Any:
        if (every := table_backend.tables.get("*")) is not None and every.fence is not OPEN:
            raise refusal(put.queue, every.fence)
        return real(table_backend, put)

    around(MemoryBackend, "_store", store)


@mutant("a fence is kept in memory only", url=JSON, caught_by="FENCE-12")
def fences_are_not_written() -> None:
    def note(real: Any, builder: CommitBuilder, op: str, *args: Any, **fields: Any) -> None:
        if op != "fence":
            real(builder, op, *args, **fields)

    around(CommitBuilder, "note", note)


# --- What is loaded ------------------------------------------------------------------------------------


@mutant("a loaded task is not out any more", caught_by="MOVE-2")
def loading_ends_leases() -> None:
    def entry_of(real: Any, record: Any) -> Entry:
        entry: Entry = real(record)
        if entry.state == LEASED:
            entry.state, entry.until = READY, None
        return entry

    around(backend, "entry_of", entry_of)


@mutant("a task is loaded without its receipt", caught_by="MOVE-2")
def loaded_without_receipt() -> None:
    def entry_of(real: Any, record: Any) -> Entry:
        entry: Entry = real(record)
        entry.token = None
        return entry

    around(backend, "entry_of", entry_of)


@mutant("of a task that is gone only the id is loaded", caught_by="MOVE-3")
def remembered_without_receipt() -> None:
    around(backend, "gone_of", lambda real, record: Gone(record.task_id, record.at, record.checksum, "purge"))


@mutant("tasks that are gone are not loaded", caught_by="MOVE-3")
def the_memory_stays_behind() -> None:
    def load(real: Any, table_backend: MemoryBackend, record: Any, source: str) -> Loaded:
        if not hasattr(record, "place"):
            return Loaded(task_id=record.task_id)
        loaded: Loaded = real(table_backend, record, source)
        return loaded

    around(MemoryBackend, "load", load)


@mutant("places are counted from one after tasks were loaded", caught_by="MOVE-4")
def places_are_not_counted_on() -> None:
    def load_entry(real: Any, table: QueueTable, entry: Entry, *args: Any) -> None:
        before = table.next_number
        real(table, entry, *args)
        table.next_number = before

    around(backend, "load_entry", load_entry)


@mutant("tasks are loaded to the front of the line", caught_by="MOVE-4")
def loaded_to_the_front() -> None:
    def load_entry(real: Any, table: QueueTable, entry: Entry, *args: Any) -> None:
        if entry.place is not None:
            entry.place = -entry.place
        real(table, entry, *args)

    around(backend, "load_entry", load_entry)


@mutant("what is loaded twice takes the place of what is there, as if it were new", caught_by="MOVE-5")
def loading_replaces() -> None:
    def load(real: Any, table_backend: MemoryBackend, record: Any, source: str) -> Loaded:
        table = table_backend.table(record.queue)
        if (entry := table.tasks.get(record.task_id)) is not None:
            table.remove(entry, "purge", table_backend.now)
        table.remembered._by_id.pop(record.task_id, None)
        loaded: Loaded = real(table_backend, record, source)
        return loaded

    around(MemoryBackend, "load", load)


@mutant("what is loaded twice is refused", caught_by="MOVE-5")
def loading_twice_is_refused() -> None:
    def refused(load: Command, outcome: Any) -> Any:
        return Refused("it is there") if isinstance(outcome, Loaded) and outcome.duplicate else outcome

    answer(Command, refused)


@mutant("a paused queue looks empty", caught_by="MOVE-7")
def a_paused_queue_looks_empty() -> None:
    def browse(
        real: Any, table_backend: MemoryBackend, queue: str, states: Sequence[Any], *args: Any
    ) -> Browsed:
        browsed: Browsed = real(table_backend, queue, states, *args)
        return Browsed(tasks=[]) if table_backend.table(queue).paused else browsed

    around(MemoryBackend, "browse", browse)


@mutant("an id is looked for where a new task with that group would go", url=SHARDED, caught_by="MOVE-9")
def ids_are_looked_for_by_group() -> None:
    def locate(real: Any, shards: Shards, command: Command, refresh: Any) -> Shard:
        if isinstance(command, Put):
            return shards[shard_of(key_of_put(command), shards.count)]
        found: Shard = real(shards, command, refresh)
        return found

    around(call, "locate", locate)
