"""Mutants that share a store badly with other processes, or with those that are killed."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from distqueue.client import Client
from distqueue.commands import Ack, Command, Put, Settle
from distqueue.errors import LeaseLost, SettleRefused
from distqueue.ids import new_task_id
from distqueue.results import Claimed, Outcome, Settled, Stored
from distqueue.task import TaskState
from distqueue_backends import lock
from distqueue_backends.bell import Bell
from distqueue_backends.json import backend as json_backend
from distqueue_backends.json import compaction, ops
from distqueue_backends.json.backend import JsonBackend
from distqueue_backends.json.commit import CommitBuilder
from distqueue_backends.json.replay import Replay
from distqueue_backends.lock import StoreLock
from distqueue_backends.table.backend import TableBackend
from distqueue_backends.table.entry import READY, Entry
from distqueue_backends.table.line import Line
from distqueue_backends.table.queue_table import QueueTable

from .damage import answer, around, changed, nothing, replace
from .durability import answer_early
from .mutant import JSON, mutant


def _not_written(*ops: str) -> None:
    """Leave out some steps when a commit is written."""

    def note(real: Any, builder: CommitBuilder, op: str, *args: Any, **fields: Any) -> None:
        if op not in ops:
            real(builder, op, *args, **fields)

    around(CommitBuilder, "note", note)


# --- What others did -----------------------------------------------------------------------------------


@mutant("a store is read when it is opened, and not again", url=JSON, caught_by="SHARE-1 SHARE-4")
def read_once() -> None:
    nothing(JsonBackend, "_catch_up")


@mutant("a receipt counts where it was handed out", url=JSON, caught_by="SHARE-2")
def receipts_of_this_process() -> None:
    mine: set[str] = set()

    def carry_out(real: Any, store: JsonBackend, commands: Sequence[Command]) -> list[Outcome]:
        outcomes: list[Outcome] = real(store, commands)
        for position, (command, outcome) in enumerate(zip(commands, outcomes)):
            if isinstance(outcome, Claimed):
                mine.update(lease.receipt for lease in outcome.leases)
            elif isinstance(command, Settle) and command.receipt not in mine:
                outcomes[position] = LeaseLost("it was handed out by another process")
        return outcomes

    around(JsonBackend, "carry_out", carry_out)


def _remembers_its_claims(tokens_of: Callable[[JsonBackend], set[str]]) -> None:
    """Let a claim that is repeated know nothing but some tokens."""

    def claim(real: Any, store: JsonBackend, queue: str, count: int, lease: float, token: str) -> Claimed:
        tokens_of(store).add(token)
        claimed: Claimed = real(store, queue, count, lease, token)
        return claimed

    def reclaim(real: Any, store: JsonBackend, queue: str, token: str) -> Claimed:
        claimed: Claimed = real(store, queue, token)
        return claimed if token in tokens_of(store) else Claimed(leases=[])

    around(JsonBackend, "claim", claim)
    around(JsonBackend, "reclaim", reclaim)


@mutant("an open of a store knows its own claims only", url=JSON, caught_by="REOPEN-17 SHARE-10")
def claims_of_this_open() -> None:
    _remembers_its_claims(lambda store: vars(store).setdefault("tokens of this mutant", set()))


@mutant("a process knows its own claims only", url=JSON, caught_by="SHARE-10")
def claims_of_this_process() -> None:
    mine: set[str] = set()
    _remembers_its_claims(lambda store: mine)


@mutant("a pause is kept in memory only", url=JSON, caught_by="SHARE-4 REOPEN-7")
def pauses_are_not_written() -> None:
    _not_written("pause", "resume")


@mutant("the bell is not rung", url=JSON, caught_by="SHARE-5 SHARE-6")
def no_bell() -> None:
    nothing(Bell, "ring")


@mutant("waiters of other processes are not woken", url=JSON, caught_by="SHARE-5 SHARE-6")
def a_bell_for_this_process() -> None:
    def ring(bell: Bell) -> None:
        with bell._changed:
            bell._rings += 1
            bell._changed.notify_all()

    replace(Bell, "ring", ring)


@mutant("each process makes the store that it opens", url=JSON, caught_by="SHARE-7")
def each_makes_its_own() -> None:
    def load(real: Any, store: JsonBackend, *, create: bool) -> None:
        if create:
            compaction.write_first(store.path, new_task_id())
        real(store, create=create)

    around(JsonBackend, "_load", load)


@mutant(
    "payloads are looked for at their places in the file that another process replaced",
    url=JSON,
    caught_by="SHARE-9",
)
def old_places() -> None:
    replace(compaction, "relocate", lambda new, tables: True)


# --- Processes that stop or die ------------------------------------------------------------------------


@mutant("a lease ends in the process that took it, and in no other", url=JSON, caught_by="CRASH-1 CRASH-8")
def leases_end_at_home() -> None:
    mine: set[str] = set()

    def claim(real: Any, store: JsonBackend, queue: str, count: int, lease: float, token: str) -> Claimed:
        mine.add(token)
        claimed: Claimed = real(store, queue, count, lease, token)
        return claimed

    def lapse(real: Any, table: QueueTable, entry: Entry, error: str) -> None:
        if entry.token in mine:
            real(table, entry, error)

    around(JsonBackend, "claim", claim)
    around(QueueTable, "lapse", lapse)


@mutant("an id is known in the process that has put it", url=JSON, caught_by="SHARE-3 CRASH-6")
def ids_of_this_process() -> None:
    mine: set[str] = set()

    def is_known(real: Any, store: JsonBackend, table: QueueTable, put: Put) -> bool:
        is_mine = put.task_id in mine
        mine.add(put.task_id)
        return is_mine and bool(real(store, table, put))

    around(JsonBackend, "_is_known", is_known)
    replace(JsonBackend, "together_from", 1_000_000)


@mutant("that a task was acked is known in the process that did it", url=JSON, caught_by="CRASH-7")
def acks_of_this_process() -> None:
    def step(real: Any, replay: Replay, table: QueueTable, op: ops.OfTasks, at: float) -> None:
        real(replay, table, op, at)
        for task_id in op.ids if isinstance(op, ops.Ack) else ():
            table.remembered._forget(table.remembered._by_id[task_id])

    around(Replay, "_step", step)


@mutant("the lock is given up when the next call begins", url=JSON + "?lock_timeout=0.5", caught_by="CRASH-4")
def the_lock_is_kept() -> None:
    nothing(StoreLock, "release")


@mutant("the commands of a call are written one by one", url=JSON, caught_by="CRASH-5")
def command_by_command() -> None:
    def apply(real: Any, store: JsonBackend, commands: Sequence[Command]) -> list[Outcome]:
        return [real(store, [command])[0] for command in commands]

    around(JsonBackend, "apply", apply)


@mutant("the follow-up tasks of acks are put after the commit of these", url=JSON, caught_by="CRASH-10")
def follow_ups_come_later() -> None:
    def apply(real: Any, store: JsonBackend, commands: Sequence[Command]) -> list[Outcome]:
        outcomes: list[Outcome] = real(
            store, [changed(each, then=()) if isinstance(each, Ack) else each for each in commands]
        )
        for position, (command, settled) in enumerate(zip(commands, outcomes)):
            if isinstance(command, Ack) and isinstance(settled, Settled) and command.then:
                outcomes[position] = changed(settled, then=tuple(real(store, command.then)))
        return outcomes

    around(JsonBackend, "apply", apply)


@mutant("who has the files open does not notice that they were replaced", url=JSON, caught_by="SHARE-8")
def replaced_files_are_not_noticed() -> None:
    def is_replaced(store: JsonBackend) -> bool:
        store._file.measure()
        return False

    replace(JsonBackend, "_is_replaced", is_replaced)


@mutant("the time is read before the lock is taken", url=JSON, caught_by="CRASH-9")
def the_time_is_read_too_early() -> None:
    def enter(real: Any, store: JsonBackend) -> None:
        TableBackend.set_time(store)
        real(store)

    around(JsonBackend, "_enter", enter)
    replace(JsonBackend, "set_time", lambda store: None)


# --- Forks ---------------------------------------------------------------------------------------------


@mutant("a fork goes on with the session of its parent", url=JSON, caught_by="FORK-1")
def the_session_of_the_parent() -> None:
    one: dict[Client[Any], Any] = {}

    def session(client: Client[Any]) -> Any:
        return one.get(client) or one.setdefault(client, client._new_session(client._open_broker))

    replace(Client, "_session", property(session))


@mutant("a fork keeps the lock file of its parent open", url=JSON, caught_by="FORK-2")
def the_lock_of_the_parent() -> None:
    nothing(json_backend, "close_after_fork")


# --- Under load ----------------------------------------------------------------------------------------


@mutant("the lock is not taken", url=JSON, caught_by="LOAD-1 LOAD-2")
def no_lock() -> None:
    nothing(StoreLock, "acquire")


@mutant("the lock does not keep the threads of a process apart", url=JSON, caught_by="THREAD-4")
def a_lock_of_the_process() -> None:
    def take(fd: int, *, blocking: bool) -> bool:
        with suppress(BlockingIOError):
            fcntl.lockf(fd, fcntl.LOCK_EX | (0 if blocking else fcntl.LOCK_NB))
            return True
        return False

    replace(lock, "lock_descriptor", take)
    replace(lock, "unlock_descriptor", lambda fd: fcntl.lockf(fd, fcntl.LOCK_UN))


@mutant("the newest task is handed out first", url=JSON, caught_by="LOAD-1")
def the_newest_first() -> None:
    def first(line: Line) -> Entry | None:
        return next((entry for entry in reversed(line._row) if entry.state == READY), None)

    def pop(line: Line) -> Entry | None:
        if (entry := line.first()) is not None:
            line._row.remove(entry)
        return entry

    replace(Line, "add", lambda line, entry: line._row.append(entry))
    replace(Line, "first", first)
    replace(Line, "pop", pop)


@mutant("a broker process writes puts a moment after it has answered", url=JSON, caught_by="LOAD-3")
def a_broker_process_is_late() -> None:
    answer_early(Put, lambda put: Stored(task_id=put.task_id), seconds=0.5)


@mutant("what comes after the end of its lease is answered as done", url=JSON, caught_by="LOAD-4")
def late_settles_are_answered_everywhere() -> None:
    done = Settled(task_id="?", state=TaskState.DONE)
    answer(Settle, lambda settle, outcome: done if isinstance(outcome, SettleRefused) else outcome)
