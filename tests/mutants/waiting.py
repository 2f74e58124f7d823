"""Mutants that wake consumers wrongly, and that close wrongly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from distqueue import groupcommit
from distqueue.backend import Backend
from distqueue.broker import server
from distqueue.broker.door import Door
from distqueue.combine import Answer
from distqueue.commands import Command, Put, Release
from distqueue.errors import Closed
from distqueue.groupcommit import GroupCommit
from distqueue.results import Claimed, Outcome, Seen
from distqueue_backends import file_backend
from distqueue_backends.memory import _NAMED, MemoryBackend
from distqueue_backends.table.entry import Entry
from distqueue_backends.table.queue_table import QueueTable

from .damage import around, nothing, replace
from .mutant import JSON, mutant


@mutant(
    "nothing wakes a consumer that waits",
    caught_by="WAIT-1 WAIT-2 WAIT-3 WAIT-6 WAIT-8 WAIT-10 WAIT-11 WAIT-12 WAIT-13 WAIT-14 FENCE-13",
)
def never_wakes() -> None:
    def wait(backend: MemoryBackend, queue: str, seen: Seen, timeout: float | None) -> Seen:
        if backend._closing.wait(timeout):
            raise Closed("closed")
        return seen

    replace(MemoryBackend, "wait", wait)


@mutant("what is put between a look and the wait wakes nobody", caught_by="WAIT-1 WAIT-8")
def lost_between_look_and_wait() -> None:
    def wait(real: Any, backend: MemoryBackend, queue: str, seen: Seen, timeout: float | None) -> Seen:
        version = backend.tables[queue].version if queue in backend.tables else 0
        woken: Seen = real(backend, queue, Seen(version, seen.wake_at), timeout)
        return woken

    around(MemoryBackend, "wait", wait)


@mutant("only puts wake a consumer", caught_by="WAIT-10 WAIT-11 WAIT-12")
def only_puts_wake() -> None:
    def carry_out(real: Any, backend: MemoryBackend, commands: Sequence[Command]) -> list[Outcome]:
        versions = {name: table.version for name, table in backend.tables.items()}
        outcomes: list[Outcome] = real(backend, commands)
        if not any(isinstance(command, Put) for command in commands):
            for name, version in versions.items():
                backend.tables[name].version = version
        return outcomes

    around(Backend, "carry_out", carry_out)


@mutant("an open of a store wakes only its own consumers", caught_by="WAIT-13 WAIT-3")
def each_open_wakes_its_own() -> None:
    def init(real: Any, backend: MemoryBackend, *args: Any, **kwargs: Any) -> None:
        real(backend, *args, **kwargs)
        shared = backend._shared
        backend._shared = type(shared)()
        backend._shared.tables, backend._shared.users = shared.tables, shared.users

    around(MemoryBackend, "__init__", init)


@mutant("a wait ends only when there is something", caught_by="WAIT-7")
def waits_without_end() -> None:
    around(
        MemoryBackend, "wait", lambda real, backend, queue, seen, timeout: real(backend, queue, seen, None)
    )


@mutant("a wait does not wait", caught_by="WAIT-16")
def never_waits() -> None:
    around(MemoryBackend, "wait", lambda real, backend, queue, seen, timeout: real(backend, queue, seen, 0.0))


@mutant("a claim that gets nothing wakes whoever waits, and so itself", caught_by="WAIT-16")
def an_empty_claim_wakes() -> None:
    def claim(real: Any, backend: MemoryBackend, queue: str, *args: Any) -> Claimed:
        claimed: Claimed = real(backend, queue, *args)
        backend.table(queue).version += not claimed.leases
        return claimed

    around(MemoryBackend, "claim", claim)


@mutant("a lease that is cut short wakes nobody", caught_by="WAIT-15")
def a_shorter_lease_does_not_wake() -> None:
    def extend(real: Any, table: QueueTable, entry: Entry, until: float) -> None:
        version = table.version
        real(table, entry, until)
        table.version = version

    around(QueueTable, "extend", extend)


@mutant("closing leaves the consumers that wait alone for some seconds", caught_by="WAIT-9")
def close_wakes_nobody() -> None:
    def wait(backend: MemoryBackend, queue: str, seen: Seen, timeout: float | None) -> Seen:
        deadline = time.monotonic() + (2.0 if timeout is None else min(timeout, 2.0))
        while time.monotonic() < deadline:
            if queue in backend.tables and backend.tables[queue].version != seen.version:
                return seen
            time.sleep(0.01)
        if backend._closing.is_set():
            raise Closed("closed for a while")
        return seen

    replace(MemoryBackend, "wait", wait)


# --- Closing ---------------------------------------------------------------------------------------------


@mutant("closing twice is an error", caught_by="CLOSE-1")
def a_second_close_fails() -> None:
    def close(real: Any, broker: GroupCommit) -> None:
        if broker._closed and not threading.current_thread().daemon and not vars(broker).get("_was_told"):
            vars(broker)["_was_told"] = True
            raise Closed("closed before")
        real(broker)

    around(GroupCommit, "close", close)


@mutant("a closed store goes on to answer", caught_by="CLOSE-2 CLOSE-4")
def a_closed_store_answers() -> None:
    nothing(GroupCommit, "close")


@mutant("the last close is that of the first who closes", caught_by="CLOSE-3")
def a_close_closes_all() -> None:
    opened: list[MemoryBackend] = []

    def init(real: Any, backend: MemoryBackend, *args: Any, **kwargs: Any) -> None:
        real(backend, *args, **kwargs)
        opened.append(backend)

    def shut(real: Any, backend: MemoryBackend) -> None:
        for each in opened:
            if each._name == backend._name:
                each._closing.set()
        real(backend)

    around(MemoryBackend, "__init__", init)
    around(MemoryBackend, "shut", shut)


@mutant("what is in flight while a broker is closed is an error of another kind", caught_by="CLOSE-4")
def a_close_breaks_what_is_in_flight() -> None:
    def apply(real: Any, broker: Door, commands: Sequence[Command]) -> Any:
        try:
            return real(broker, commands)
        except Closed:
            raise RuntimeError("no store") from None

    def group(real: Any, broker: GroupCommit, commands: Sequence[Command]) -> Any:
        try:
            return real(broker, commands)
        except Closed:
            raise RuntimeError("no store") from None

    around(Door, "apply", apply)
    around(GroupCommit, "apply", group)


@mutant("a thread that is no daemon outlives the close", caught_by="CLOSE-5")
def a_thread_outlives_the_close() -> None:
    def init(real: Any, backend: MemoryBackend, *args: Any, **kwargs: Any) -> None:
        real(backend, *args, **kwargs)
        threading.Thread(target=threading.main_thread().join).start()

    around(MemoryBackend, "__init__", init)


@mutant("threads that call at the same time get each other's answers", caught_by="THREAD-1", url=JSON)
def answers_are_mixed_up() -> None:
    around(groupcommit, "apply_together", lambda real, apply, calls: real(apply, calls)[::-1])


@mutant("each open of a store has tasks of its own", caught_by="WAIT-13 LIFE-3 CLIENT-3")
def each_open_is_a_store() -> None:
    def init(real: Any, backend: MemoryBackend, *args: Any, **kwargs: Any) -> None:
        real(backend, *args, **kwargs)
        _NAMED.pop(backend._name or "", None)

    around(MemoryBackend, "__init__", init)


@mutant(
    "the answers to calls that are carried out together are cut as if each had one command",
    url=JSON,
    caught_by="THREAD-3",
)
def answers_of_one_command_each() -> None:
    def together(
        real: Callable[..., list[Answer]], apply: object, parts: Sequence[Sequence[Command]]
    ) -> list[Answer]:
        outcomes = [outcome for answer in real(apply, parts) for outcome in answer]  # type: ignore[union-attr]
        return [outcomes[start : start + len(part)] for start, part in enumerate(parts)]

    around(groupcommit, "apply_together", together)


@mutant(
    "nobody who waits is woken by a lease that ends, or by a task that is due", url=JSON, caught_by="WAIT-4"
)
def no_wake_up_by_time() -> None:
    around(
        file_backend,
        "longest_wait",
        lambda real, clock, seen, timeout: real(clock, Seen(version=seen.version), timeout),
    )


@mutant(
    "a broker process takes a release for something that gives nobody work",
    url=JSON,
    is_served=True,
    caught_by="WAIT-10",
)
def a_release_gives_no_work() -> None:
    replace(server, "_GIVES_NO_WORK", (*server._GIVES_NO_WORK, Release))
