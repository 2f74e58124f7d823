"""Mutants that put tasks wrongly: which are stored, with what, and which are refused."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from distqueue import backend as base
from distqueue import groupcommit, payload
from distqueue.backend import Backend
from distqueue.commands import Claim, Command, Put
from distqueue.errors import InvalidTask, PayloadMismatch, Refused
from distqueue.limits import check_command, check_put, check_queue_name
from distqueue.payload import Payload, decode, encode
from distqueue.results import Claimed, Lease, Outcome, Stored
from distqueue.task import DEFAULT_OPTIONS
from distqueue_backends.memory import MEMORY_CAPABILITIES, MemoryBackend
from distqueue_backends.table.queue_table import QueueTable

from .damage import answer, around, changed, nothing, replace, rewrite, set_option
from .mutant import JSON, add, mutant

# --- What is stored ----------------------------------------------------------------------------------


def _forgets(option: str) -> Callable[[], None]:
    return lambda: set_option(**{option: getattr(DEFAULT_OPTIONS, option)})


for _option, _caught_by in {
    "priority": "ORDER-2 ORDER-5 DELAY-7 GROUP-11 GROUP-12 GROUP-18",
    "group": "GROUP-1 GROUP-2 GROUP-8 GROUP-10 GROUP-14 GROUP-19",
    "unique": "UNIQUE-1 UNIQUE-2 UNIQUE-7 UNIQUE-8 UNIQUE-9 THEN-3",
    "expires_in": "EXPIRY-1 EXPIRY-2 EXPIRY-6",
    "keep_done": "KEEP-1 STATS-2",
    "headers": "PUT-2 PUT-3 LIMIT-6",
    "publisher_id": "PUT-2",
}.items():
    _wrong = f"{_option} is forgotten"
    add(f"{_option.replace('_', '-')}-forgotten", _forgets(_option), _wrong, caught_by=_caught_by)


@mutant("the delay of a put is ignored", caught_by="DELAY-1 DELAY-9 DELAY-10 CANCEL-2 DEDUP-8 GROUP-4")
def delay_ignored() -> None:
    rewrite(Put, lambda put: changed(put, delay=None))


@mutant("the due time of a put is ignored", caught_by="DELAY-3 DELAY-6")
def due_ignored() -> None:
    rewrite(Put, lambda put: changed(put, due=None))


@mutant("every put is stored under a new id", caught_by="PUT-1 PUT-4 DEDUP-1 DEDUP-6 CLIENT-1 LIMIT-1 FIND-1")
def new_id_for_each_put() -> None:
    numbers = iter(range(1_000_000))
    rewrite(Put, lambda put: changed(put, task_id=f"n{next(numbers)}"))


@mutant("the tasks of one call are given times of publishing from the last to the first", caught_by="PUT-9")
def put_at_goes_back() -> None:
    def put_together(real: Any, table: QueueTable, entries: Any, ids: Any, payloads: Any) -> None:
        for number, entry in enumerate(entries):
            entry.put_at -= number / 1000
        real(table, entries, ids, payloads)

    around(QueueTable, "put_together", put_together)


# --- What is answered for many commands -----------------------------------------------------------------


@mutant("one bad command fails the whole batch", caught_by="PUT-6 PUT-7 LIMIT-19")
def a_bad_command_fails_the_batch() -> None:
    def carry_out(real: Any, backend: Backend, commands: Sequence[Command]) -> object:
        for command in commands:
            try:
                check_queue_name(command.queue) if command.queue != "*" else None
                check_put(command, backend.capabilities) if isinstance(command, Put) else None
                check_command(command)
            except Refused as refused:
                return [refused] * len(commands)
        return real(backend, commands)

    around(Backend, "carry_out", carry_out)


@mutant("a call without commands is refused", caught_by="PUT-5")
def an_empty_call_is_refused() -> None:
    def check(real: Any, commands: Sequence[Command], *rest: Any) -> None:
        if not commands:
            raise InvalidTask("there is nothing to do")
        real(commands, *rest)

    around(groupcommit, "check_batch", check)


@mutant("the claims of a call are carried out after everything else in it", caught_by="PUT-8")
def claims_come_last() -> None:
    def carry_out(real: Any, backend: Backend, commands: Sequence[Command]) -> list[Outcome]:
        order = sorted(range(len(commands)), key=lambda at: isinstance(commands[at], Claim))
        outcomes = dict(zip(order, real(backend, [commands[at] for at in order])))
        return [outcomes[at] for at in range(len(commands))]

    around(Backend, "carry_out", carry_out)


@mutant("the payloads of a batch come back in another order", caught_by="PAYLOAD-4")
def payloads_mixed_up() -> None:
    around(MemoryBackend, "payloads", lambda real, *args: real(*args)[::-1])


# --- One id is one task -------------------------------------------------------------------------------


@mutant(
    "an id is not looked for when its task is put again",
    caught_by="DEDUP-1 DEDUP-6 DEDUP-7 UNIQUE-6 KEEP-4 THREAD-2 CLIENT-1",
)
def no_dedup() -> None:
    replace(QueueTable, "knows_any", lambda table, ids: False)
    replace(MemoryBackend, "_is_known", lambda backend, table, put: False)


@mutant("of two processes each knows only the ids that it has put", caught_by="SHARE-3", url=JSON)
def dedup_in_each_process() -> None:
    from distqueue_backends.json.backend import JsonBackend

    mine: set[str] = set()

    def store(real: Any, backend: JsonBackend, table: QueueTable, put: Put) -> bool:
        if put.task_id not in mine:
            mine.add(put.task_id)
            return False
        return bool(real(backend, table, put))

    around(JsonBackend, "_is_known", store)


@mutant("the ids of tasks that are gone are forgotten", caught_by="DEDUP-3 DEDUP-4 DEDUP-13 KEEP-5 MOVE-6")
def the_gone_are_forgotten() -> None:
    from distqueue_backends.table.remembered import Remembered

    nothing(Remembered, "add")


@mutant("another payload under a known id is called a duplicate", caught_by="DEDUP-2 DEDUP-4 DEDUP-6 THEN-2")
def payload_not_compared() -> None:
    def is_known(real: Any, backend: MemoryBackend, table: QueueTable, put: Put) -> bool:
        try:
            return bool(real(backend, table, put))
        except PayloadMismatch:
            return True

    around(MemoryBackend, "_is_known", is_known)


@mutant("ids are remembered for ever, whatever window is declared", caught_by="DEDUP-10")
def the_window_never_ends() -> None:
    from distqueue_backends.table.remembered import Remembered

    around(Remembered, "__init__", lambda real, memory, window, most: real(memory, 1e9, most))


@mutant("of too many ids the newest are forgotten", caught_by="DEDUP-11")
def the_newest_ids_are_forgotten() -> None:
    from distqueue_backends.table.remembered import Remembered

    def add(real: Any, memory: Remembered, gone: Any) -> None:
        if len(memory) < memory._most:
            real(memory, gone)

    around(Remembered, "add", add)


@mutant("an id is known in every queue of the store", caught_by="DEDUP-5")
def ids_are_of_the_store() -> None:
    def is_known(real: Any, backend: MemoryBackend, table: QueueTable, put: Put) -> bool:
        return any(real(backend, each, put) for each in [*backend.tables.values()])

    around(MemoryBackend, "_is_known", is_known)


@mutant("a duplicate overwrites the options of the task", caught_by="DEDUP-7")
def a_duplicate_overwrites() -> None:
    def is_known(real: Any, backend: MemoryBackend, table: QueueTable, put: Put) -> bool:
        if known := table.tasks.get(put.task_id):
            known.options = put.options
        return bool(real(backend, table, put))

    around(MemoryBackend, "_is_known", is_known)


@mutant("scheduled tasks are not looked through for an id", caught_by="DEDUP-8")
def scheduled_ids_unknown() -> None:
    from distqueue_backends.table.entry import SCHEDULED

    def is_known(real: Any, backend: MemoryBackend, table: QueueTable, put: Put) -> bool:
        known = table.tasks.get(put.task_id)
        return (known is None or known.state != SCHEDULED) and bool(real(backend, table, put))

    around(MemoryBackend, "_is_known", is_known)


@mutant("the id of an expired task is forgotten", caught_by="DEDUP-9")
def expired_ids_are_forgotten() -> None:
    from distqueue_backends.table.remembered import Remembered

    around(Remembered, "add", lambda real, memory, gone: gone.settled == "expire" or real(memory, gone))


@mutant("ids are looked for only if all of a batch are known", caught_by="DEDUP-13")
def new_ids_hide_known_ones() -> None:
    around(QueueTable, "knows_any", lambda real, table, ids: all(real(table, [task_id]) for task_id in ids))


@mutant("how a task ended is not remembered", caught_by="DEDUP-12 AGAIN-9 THEN-5")
def everything_ended_by_ack() -> None:
    from distqueue_backends.table.remembered import Remembered

    def add(real: Any, memory: Remembered, gone: Any) -> None:
        real(memory, changed(gone, settled="ack"))

    around(Remembered, "add", add)


# --- Limits ---------------------------------------------------------------------------------------------


@mutant(
    "no limit on names, options and sizes is checked",
    caught_by="LIMIT-1 LIMIT-2 LIMIT-3 LIMIT-4 LIMIT-5 LIMIT-6 LIMIT-11 LIMIT-12 LIMIT-13 LIMIT-14 LIMIT-15"
    " LIMIT-19 NAME-5 PUT-6",
)
def no_limits() -> None:
    nothing(base, "check_put")


@mutant("bytes are stored that are no JSON, or too deep", caught_by="PAYLOAD-3 LIMIT-7")
def payload_not_checked() -> None:
    replace(base, "check_payload", Payload)


@mutant("brackets in text are counted as depth", caught_by="LIMIT-8")
def brackets_in_text_are_depth() -> None:
    def too_deep(raw: bytes) -> None:
        raise InvalidTask("too many brackets")

    replace(payload, "_refuse_deep", too_deep)


@mutant("a batch may be as large as it likes", caught_by="LIMIT-9 LIMIT-10")
def no_largest_batch() -> None:
    nothing(groupcommit, "check_batch")
    nothing(base, "check_batch")


@mutant(
    "the arguments of commands are not checked",
    caught_by="LIMIT-16 LIMIT-17 FENCE-14",
)
def no_check_of_commands() -> None:
    nothing(base, "check_command")


@mutant("only the beginning of a long error is kept", caught_by="LIMIT-18")
def the_end_of_an_error_is_cut() -> None:
    replace(base, "cut_error", lambda error: error and error[:65536])


# --- Names and payloads -----------------------------------------------------------------------------


@mutant("names of queues are not checked", caught_by="NAME-2")
def any_queue_name() -> None:
    nothing(base, "check_queue_name")


@mutant("names of queues may not be longer than 32 characters", caught_by="NAME-1")
def short_queue_names() -> None:
    def check(real: Any, name: str) -> Any:
        if len(name) > 32:
            raise InvalidTask("the name is too long")
        return real(name)

    around(base, "check_queue_name", check)


@mutant("ids are compared without regard to case", caught_by="NAME-4")
def ids_without_case() -> None:
    rewrite(Put, lambda put: changed(put, task_id=put.task_id.lower()))


@mutant("headers are sent as lines, and lose their line breaks", caught_by="NAME-6")
def headers_are_lines() -> None:
    def on_a_line(put: Put) -> Put:
        headers = put.options.headers
        if not headers:
            return put
        lines = {name: value.replace("\r\n", " ") for name, value in headers.items()}
        return changed(put, options=changed(put.options, headers=lines))

    rewrite(Put, on_a_line)


@mutant("keys are normalised", caught_by="NAME-7")
def keys_are_normalised() -> None:
    def normal(text: str | None) -> str | None:
        return text and unicodedata.normalize("NFC", text).lower()

    def normalised(put: Put) -> Put:
        group, unique = normal(put.options.group), normal(put.options.unique)
        return changed(put, options=changed(put.options, group=group, unique=unique))

    rewrite(Put, normalised)


@mutant("numbers are stored as floats", caught_by="PAYLOAD-1 PAYLOAD-4")
def numbers_are_floats() -> None:
    def with_floats(put: Put) -> Put:
        return changed(put, data=encode(json.loads(put.data, parse_int=float)))

    rewrite(Put, lambda put: with_floats(put) if b"9007199254740993" in put.data else put)


@mutant(
    "a payload is stored with its line breaks, which end a line of the log", caught_by="PAYLOAD-2", url=JSON
)
def line_breaks_are_kept() -> None:
    def check(real: Any, raw: bytes) -> Payload:
        real(raw)
        return Payload(raw)

    around(base, "check_payload", check)


@mutant("payloads are cut at 64 KiB", caught_by="LIMIT-1")
def payloads_are_cut() -> None:
    def cut(put: Put) -> Put:
        value = decode(put.data) if len(put.data) == MEMORY_CAPABILITIES.max_payload else None
        return changed(put, data=encode(value[:65536])) if isinstance(value, str) else put

    rewrite(Put, cut)


@mutant("a delivery lacks what only some consumers need", caught_by="PUT-3")
def poor_deliveries() -> None:
    def poor(lease: Lease) -> Lease:
        return changed(lease, publisher_id=None, max_attempts=1)

    answer(Claim, lambda command, outcome: _with_leases(outcome, poor))


def _with_leases(outcome: Outcome, change: Callable[[Lease], Lease]) -> Outcome:
    if not isinstance(outcome, Claimed):
        return outcome
    return changed(outcome, leases=[change(lease) for lease in outcome.leases])


@mutant("a new task is answered for as a duplicate", caught_by="PUT-1")
def everything_is_a_duplicate() -> None:
    answer(
        Put, lambda put, outcome: changed(outcome, duplicate=True) if isinstance(outcome, Stored) else outcome
    )
