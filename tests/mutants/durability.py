"""Mutants that forget: what is not read back, not on the disk in time, or lost with a broker process."""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from distqueue.broker import connection
from distqueue.broker.channel import Broken
from distqueue.broker.connection import Connection
from distqueue.broker.event import Wait, Woken
from distqueue.broker.link import Link
from distqueue.broker.server import Server
from distqueue.combine import apply_together
from distqueue.commands import Ack, Claim, Command, Put, Release, Settle
from distqueue.errors import Closed
from distqueue.ids import new_task_id, parse_receipt
from distqueue.results import Claimed, Outcome, Seen, Settled, Stored
from distqueue.task import TaskState
from distqueue_backends import filesystem
from distqueue_backends.json import compaction
from distqueue_backends.json.backend import JsonBackend
from distqueue_backends.json.commit import CommitBuilder
from distqueue_backends.sharded.syncing import Syncing
from distqueue_backends.sqlite.connection import Connection as SqliteConnection
from distqueue_backends.table.agenda import Agenda
from distqueue_backends.table.entry import LEASED
from distqueue_backends.table.queue_table import QueueTable
from distqueue_backends.table.remembered import Remembered

from .damage import around, changed, nothing, replace
from .mutant import JSON, SHARDED, SQLITE, mutant

# --- What is not there when the store is opened again --------------------------------------------------


@mutant(
    "whoever opens a store gets an empty one",
    url=JSON,
    caught_by="REOPEN-1 REOPEN-2 REOPEN-3 REOPEN-4 REOPEN-5 REOPEN-6 REOPEN-7 REOPEN-9 REOPEN-10 REOPEN-11"
    " REOPEN-13 REOPEN-14",
)
def empty_when_opened() -> None:
    def open_empty(real: Any, url: Any, options: Any, *, create: bool) -> JsonBackend:
        if create and os.path.exists(url.file_path()):
            os.unlink(url.file_path())
        opened: JsonBackend = real(url, options, create=create)
        return opened

    around(JsonBackend, "open", open_empty)


@mutant("a pause is not among what compaction copies", url=JSON, caught_by="REOPEN-16")
def compaction_forgets_the_pause() -> None:
    def note(real: Any, builder: CommitBuilder, op: str, *args: Any, **fields: Any) -> None:
        real(builder, op, *args, **(fields | {"paused": False} if op == "queue" else fields))

    around(CommitBuilder, "note", note)


@mutant("how many tasks expired is not among what compaction copies", url=JSON, caught_by="REOPEN-16")
def compaction_forgets_the_expired() -> None:
    def note(real: Any, builder: CommitBuilder, op: str, *args: Any, **fields: Any) -> None:
        real(builder, op, *args, **(fields | {"expired": 0} if op == "queue" else fields))

    around(CommitBuilder, "note", note)


@mutant("a store that is not there is made, whether it is to be or not", url=JSON, caught_by="REOPEN-12")
def always_made() -> None:
    around(JsonBackend, "open", lambda real, url, options, *, create: real(url, options, create=True))


def _when_opened(do: Callable[[QueueTable], None]) -> None:
    """Do something to every queue once its store has been read."""

    def load(real: Any, store: JsonBackend, *, create: bool) -> None:
        real(store, create=create)
        for table in store.tables.values():
            do(table)

    around(JsonBackend, "_load", load)


@mutant("the headers of tasks are not read back", url=JSON, caught_by="REOPEN-1 REOPEN-15")
def headers_are_not_read() -> None:
    def forget(table: QueueTable) -> None:
        for entry in table.tasks.values():
            entry.options = changed(entry.options, headers=None)

    _when_opened(forget)


@mutant("places are counted from one when the store is opened", url=JSON, caught_by="REOPEN-2")
def places_begin_anew() -> None:
    def begin(table: QueueTable) -> None:
        table.next_number = 1

    _when_opened(begin)


def _lapse_all(table: QueueTable) -> None:
    for entry in table.in_states((LEASED,)):
        table.lapse(entry, "the store was closed")


@mutant("no lease outlives the opening of a store", url=JSON, caught_by="REOPEN-3")
def opening_ends_leases() -> None:
    _when_opened(_lapse_all)


@mutant(
    "nobody looks for the end of leases that were there at the opening",
    url=JSON,
    caught_by="REOPEN-4 REOPEN-11",
)
def old_leases_never_end() -> None:
    def forget(table: QueueTable) -> None:
        table.leases = Agenda(lambda entry, at: entry.state == LEASED and entry.until == at)

    _when_opened(forget)


@mutant(
    "the ids of tasks that are gone are kept in memory only", url=JSON, caught_by="REOPEN-5 REOPEN-6 DEDUP-14"
)
def ids_in_memory_only() -> None:
    def forget(table: QueueTable) -> None:
        table.remembered = Remembered(300.0, 100_000)

    _when_opened(forget)


@mutant("the verb that settled a delivery is not read back", url=JSON, caught_by="REOPEN-6 MODEL-3")
def verbs_are_not_read() -> None:
    def forget(table: QueueTable) -> None:
        for entry in table.tasks.values():
            entry.settled = None

    _when_opened(forget)


@mutant("an opened queue is not paused", url=JSON, caught_by="REOPEN-7 REOPEN-15")
def opening_resumes() -> None:
    def resume(table: QueueTable) -> None:
        table.paused = False

    _when_opened(resume)


@mutant("unique keys are held as long as the store is open", url=JSON, caught_by="REOPEN-9")
def keys_in_memory_only() -> None:
    _when_opened(lambda table: table.unique.clear())


@mutant("what was scheduled before the opening never becomes due", url=JSON, caught_by="REOPEN-10")
def old_tasks_are_never_due() -> None:
    def forget(table: QueueTable) -> None:
        table.due = Agenda(lambda entry, at: False)

    _when_opened(forget)


@mutant("attempts are counted from the opening on", url=JSON, caught_by="REOPEN-11 MODEL-3")
def attempts_since_the_opening() -> None:
    def forget(table: QueueTable) -> None:
        for entry in table.tasks.values():
            entry.failures = 0

    _when_opened(forget)


@mutant("an opened store leaves out the task that was put last", url=JSON, caught_by="REOPEN-13")
def the_last_task_is_left_out() -> None:
    def leave_out(table: QueueTable) -> None:
        if table.tasks:
            table.remove(max(table.tasks.values(), key=lambda entry: entry.number), "purge", 0.0)

    _when_opened(leave_out)


@mutant(
    "of the steps of a call only the first ones of a kind are written", url=JSON, caught_by="REOPEN-14 LIFE-2"
)
def one_step_a_call() -> None:
    def encode(real: Any, builder: CommitBuilder, seq: int, at: float) -> Any:
        builder._end_op()
        del builder._ops[1:]
        return real(builder, seq, at)

    around(CommitBuilder, "encode", encode)


@mutant("acks are not written", url=JSON, caught_by="REOPEN-1 REOPEN-3 CRASH-2")
def acks_are_not_written() -> None:
    nothing(CommitBuilder, "ack")


# --- What is answered before it is on the disk ---------------------------------------------------------


@mutant("a call is answered before it is synced", url=JSON, caught_by="SYNC-1 SYNC-2 SYNC-3")
def nothing_is_synced() -> None:
    nothing(JsonBackend, "sync")


@mutant("the log of the database is not synced", url=SQLITE, caught_by="SYNC-1 SYNC-2 SYNC-3")
def the_log_is_not_synced() -> None:
    nothing(SqliteConnection, "sync")


@mutant("of several files only one is synced", url=SHARDED, caught_by="SYNC-1")
def one_file_is_synced() -> None:
    around(Syncing, "sync", lambda real, syncing, shards: real(syncing, shards[:1]))


def _sync_after(*kinds: type[Command]) -> None:
    """Sync only what is written by commands of some kinds."""

    def apply(store: JsonBackend, commands: Sequence[Command]) -> list[Outcome]:
        outcomes = store.write(commands)
        if any(isinstance(command, kinds) for command in commands):
            store.sync()
        return outcomes

    replace(JsonBackend, "apply", apply)


@mutant("whoever opens a store takes what is in it for synced", url=JSON, caught_by="SYNC-5")
def synced_by_others() -> None:
    def load(real: Any, store: JsonBackend, *, create: bool) -> None:
        real(store, create=create)
        store._synced = store._file.end

    around(JsonBackend, "_load", load)


@mutant("only puts are synced", url=JSON, caught_by="SYNC-2 SYNC-3")
def only_puts_are_synced() -> None:
    _sync_after(Put)


@mutant("what administration changes is not synced", url=JSON, caught_by="SYNC-3")
def administration_is_not_synced() -> None:
    _sync_after(Put, Claim, Settle)


@mutant("the directory is not synced when a compacted file is put in place", url=JSON, caught_by="SYNC-4")
def the_directory_is_not_synced() -> None:
    nothing(filesystem, "sync_directory")


@mutant("a compacted file is put in place before it is synced", url=JSON, caught_by="SYNC-4")
def in_place_before_the_sync() -> None:
    @contextmanager
    def replacing(path: str) -> Iterator[int]:
        temporary = f"{path}.tmp-{secrets.token_hex(8)}"
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        yield fd
        os.rename(temporary, path)
        os.fsync(fd)
        filesystem.sync_directory(path)

    replace(compaction, "replacing", replacing)


# --- What is lost with a broker process, or with the connection to it ----------------------------------


def answer_early(kind: type[Command], change: Callable[[Any], Outcome], seconds: float = 0.02) -> None:
    """Let a broker process answer calls of a kind at once, and carry them out with one some time later.

    A kill has to fall into this time to be noticed, on a slow machine too: so it is not zero.
    """
    owed: dict[Server, list[tuple[float, Any]]] = {}

    def apply(real: Any, server: Server, calls: Sequence[Any], waiting: Sequence[Any] = ()) -> Counter[str]:
        now, before = time.monotonic(), owed.get(server, [])
        for _, call in [each for each in before if each[0] <= now]:
            apply_together(server._broker.apply, [call.commands])
        early = [call for call in calls if all(isinstance(command, kind) for command in call.commands)]
        for call in early:
            server._answer(call, [change(command) for command in call.commands])
        owed[server] = [each for each in before if each[0] > now] + [(now + seconds, call) for call in early]
        handed: Counter[str] = real(server, [call for call in calls if call not in early], waiting)
        return handed

    around(Server, "_apply", apply)


@mutant(
    "a broker process answers puts before it commits them", url=JSON, is_served=True, caught_by="RESTART-1"
)
def puts_are_answered_early() -> None:
    answer_early(Put, lambda put: Stored(task_id=put.task_id))


@mutant(
    "a broker process answers acks before it commits them", url=JSON, is_served=True, caught_by="RESTART-2"
)
def acks_are_answered_early() -> None:
    answer_early(Ack, lambda ack: Settled(task_id=parse_receipt(ack.receipt)[0], state=TaskState.DONE))


@mutant(
    "who waits does not notice that the broker process is gone",
    url=JSON,
    is_served=True,
    caught_by="RESTART-3 CUT-3",
)
def waiters_are_not_told() -> None:
    def wait(client: Connection, queue: str, seen: Seen, timeout: float | None) -> Seen:
        try:
            return client._ask(Wait(queue, seen, timeout), Woken, 60.0).seen
        except Broken:
            if client._closed.wait(timeout):
                raise Closed("the queue was closed while waiting") from None
            return Seen()

    replace(Connection, "wait", wait)


@mutant(
    "a broker process gives back what was out when it starts", url=JSON, is_served=True, caught_by="RESTART-4"
)
def starting_ends_leases() -> None:
    _when_opened(_lapse_all)


@mutant(
    "a put whose answer was lost is repeated as another task", url=JSON, is_served=True, caught_by="CUT-1"
)
def repeated_as_another_task() -> None:
    def again(real: Any, apply: Any, commands: Sequence[Command], began: float) -> list[Outcome]:
        others = [
            changed(each, task_id=new_task_id()) if isinstance(each, Put) else each for each in commands
        ]
        outcomes: list[Outcome] = real(apply, others, began)
        return outcomes

    around(connection, "apply_again", again)


@mutant("what is out is given back when a connection breaks", url=JSON, is_served=True, caught_by="CUT-4")
def leases_belong_to_connections() -> None:
    def forget(real: Any, server: Server, link: Link) -> None:
        if (consumer := server._consumers.get(link.pid or 0)) is not None:
            held = list(consumer._leases.items())
            releases = [Release(queue=queue, receipt=receipt) for receipt, (queue, _) in held]
            apply_together(server._broker.apply, [releases])
        real(server, link)

    around(Server, "_forget", forget)


@mutant("a claim whose answer reaches nobody is taken for done", url=JSON, is_served=True, caught_by="CUT-2")
def unanswered_claims_are_done() -> None:
    def give_back(server: Server, call: Any, answer: list[Outcome]) -> None:
        for command, outcome in zip(call.commands, answer):
            leases = outcome.leases if isinstance(outcome, Claimed) else []
            acks = [Ack(queue=command.queue, receipt=lease.receipt) for lease in leases]
            apply_together(server._broker.apply, [acks])

    replace(Server, "_give_back", give_back)
