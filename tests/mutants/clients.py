"""Mutants of what stands around a store: its clients, what it declares, transactions of the application's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from distqueue import configured
from distqueue.async_commit import AsyncCommit
from distqueue.async_queue import _AsyncSession
from distqueue.broker import Broker
from distqueue.capabilities import Durability, Ordering
from distqueue.combine import Answer
from distqueue.commands import Command
from distqueue.errors import Refused
from distqueue.limits import MAX_BATCH, MAX_PAYLOAD
from distqueue.opening import open_broker
from distqueue.renewal import Renewal
from distqueue.results import Outcome
from distqueue_backends.sqlite.backend import SqliteBackend
from distqueue_backends.sqlite.transaction import ApplicationTransaction

from .damage import around, declare, nothing, replace
from .mutant import SHARDED, SQLITE, mutant


@mutant("what a cancelled get has claimed stays leased", caught_by="CLIENT-5")
def a_cancelled_get_keeps() -> None:
    nothing(_AsyncSession, "_give_back")


@mutant("a lease is renewed for what is left of it", caught_by="CLIENT-6")
def renewed_for_what_is_left() -> None:
    def renew(real: Any, renewal: Renewal, plans: Sequence[Any]) -> None:
        for plan in plans:
            plan.lease = max(plan.ends - time.monotonic(), 0.001)
        real(renewal, plans)

    around(Renewal, "_renew", renew)


@mutant("the cancelled are left out before answers are handed to who asked", caught_by="CLIENT-7")
def answers_without_the_cancelled() -> None:
    def carry_out(real: Any, commit: AsyncCommit) -> list[tuple[Any, Answer]]:
        answered = real(commit)
        waiting = [call for call, _ in answered if not call.future.cancelled()]
        return list(zip(waiting, [answer for _, answer in answered]))

    around(AsyncCommit, "_carry_out", carry_out)


# --- What is declared ----------------------------------------------------------------------------------


@mutant("the order is declared as a text", caught_by="DECLARE-1")
def a_text_is_declared() -> None:
    declare(ordering="queue")


@mutant("larger payloads are declared than there may be", caught_by="DECLARE-1 DECLARE-2")
def too_much_is_declared() -> None:
    declare(max_payload=MAX_PAYLOAD * 2, max_batch=MAX_BATCH)


@mutant("an open store declares what its plugin does not", caught_by="DECLARE-2")
def the_plugin_does_not_know() -> None:
    declare(shared_between_processes=True)


@mutant("an open store declares that it syncs, and its plugin that it does not", caught_by="DECLARE-2")
def more_durable_than_the_plugin() -> None:
    declare(durability=Durability.FSYNC)


@mutant("an open store declares a wider order than its plugin", url=SHARDED, caught_by="DECLARE-2")
def a_wider_order_than_the_plugin() -> None:
    declare(ordering=Ordering.QUEUE)


@mutant("groups are declared, and no order", caught_by="DECLARE-3")
def groups_without_order() -> None:
    declare(ordering=Ordering.NONE)


@mutant("a window for ids is declared, in which none is kept", caught_by="DECLARE-3")
def a_window_for_nothing() -> None:
    declare(dedup_max=0)


# --- Transactions of the application's -----------------------------------------------------------------


def _apply_within(do: Any) -> None:
    around(ApplicationTransaction, "apply", do)


@mutant("a put commits the transaction that it is part of", url=SQLITE, caught_by="TRANSACT-1 TRANSACT-2")
def a_put_commits() -> None:
    def apply(real: Any, within: ApplicationTransaction, commands: Sequence[Command]) -> list[Outcome]:
        outcomes: list[Outcome] = real(within, commands)
        within._connection.commit()
        return outcomes

    _apply_within(apply)


@mutant("many tasks of a transaction are committed one by one", url=SQLITE, caught_by="TRANSACT-2")
def many_tasks_are_committed_in_between() -> None:
    def apply(real: Any, within: ApplicationTransaction, commands: Sequence[Command]) -> list[Outcome]:
        outcomes: list[Outcome] = real(within, commands[:1])
        if rest := commands[1:]:
            within._connection.commit()
            outcomes += apply(real, within, rest)
        return outcomes

    _apply_within(apply)


@mutant(
    "a put goes past the transaction that it is to be part of", url=SQLITE, caught_by="TRANSACT-1 TRANSACT-4"
)
def a_put_goes_past_the_transaction() -> None:
    def open_within(url: Any, connection: object, **options: object) -> Broker:
        return open_broker(url, **options)  # type: ignore[arg-type]

    replace(configured, "open_within", open_within)


@mutant("a refusal rolls the whole transaction back", url=SQLITE, caught_by="TRANSACT-3")
def a_refusal_rolls_back() -> None:
    def apply(real: Any, within: ApplicationTransaction, commands: Sequence[Command]) -> list[Outcome]:
        outcomes: list[Outcome] = real(within, commands)
        if any(isinstance(outcome, Refused) for outcome in outcomes):
            within._connection.rollback()
        return outcomes

    _apply_within(apply)


@mutant("what is no connection is taken for none", url=SQLITE, caught_by="TRANSACT-4")
def any_connection_will_do() -> None:
    def within(real: Any, url: Any, options: Any, connection: object) -> Broker:
        if not hasattr(connection, "execute"):
            return SqliteBackend.open(url, options, create=False)
        transaction: Broker = real(url, options, connection)
        return transaction

    around(SqliteBackend, "within", within)
