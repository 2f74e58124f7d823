"""Mutants that draw the line at another place than the contract does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from distqueue import backend, groupcommit
from distqueue.backend import Backend
from distqueue.capabilities import Capabilities
from distqueue.commands import Ack, Command
from distqueue.errors import InvalidTask, LeaseLost, Refused, TooLarge
from distqueue.limits import check_batch, payload_bytes
from distqueue.results import Outcome
from distqueue_backends.memory import MemoryBackend
from distqueue_backends.table import receipts
from distqueue_backends.table.queue_table import QueueTable

from .damage import around, changed, replace
from .mutant import mutant


@mutant("a queue name may have 63 characters", caught_by="LIMIT-20")
def names_are_shorter() -> None:
    def table(real: Any, store: MemoryBackend, queue: str, **options: bool) -> QueueTable:
        if len(queue) > 63:
            raise InvalidTask(f"{queue} is too long")
        found: QueueTable = real(store, queue, **options)
        return found

    around(MemoryBackend, "table", table)


@mutant("a receipt has 100 characters at most", caught_by="LIMIT-21")
def receipts_are_cut() -> None:
    def parse(real: Any, receipt: str) -> Any:
        if len(receipt) > 100:
            raise LeaseLost("it is no receipt")
        return real(receipt)

    around(receipts, "parse_receipt", parse)


@mutant("follow-up tasks do not count among the commands of a call", caught_by="LIMIT-22")
def follow_ups_do_not_count() -> None:
    def check(commands: Sequence[Command], capabilities: Capabilities) -> None:
        check_batch(
            [changed(each, then=()) if isinstance(each, Ack) else each for each in commands], capabilities
        )

    for module in (groupcommit, backend):
        replace(module, "check_batch", check)


@mutant("32 MiB of payload are too many for one call", caught_by="LIMIT-23")
def half_as_many_bytes() -> None:
    def apply(real: Any, store: MemoryBackend, commands: Sequence[Command]) -> list[Outcome]:
        if payload_bytes(commands) > 32 * 1024 * 1024:
            raise TooLarge("that is too much for one call")
        outcomes: list[Outcome] = real(store, commands)
        return outcomes

    around(MemoryBackend, "apply", apply)


@mutant("a payload that is none spoils the call in which it is put", caught_by="PAYLOAD-5")
def one_bad_payload_spoils_all() -> None:
    def allowed(
        real: Any, store: Backend, commands: Any, check: Callable[[Any], Any], verb: Any
    ) -> list[Outcome]:
        commands = list(commands)
        try:
            for command in commands:
                check(command)
        except Refused as fault:
            return [fault for _ in commands]
        outcomes: list[Outcome] = real(store, commands, check, verb)
        return outcomes

    around(MemoryBackend, "_allowed", allowed)
