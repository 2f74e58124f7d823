"""Putting tasks in a transaction of the application's: they exist if and only if that commits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec

from distqueue.capabilities import Capabilities
from distqueue.commands import Command, Put
from distqueue.errors import (
    DistqueueError,
    GroupPriorityMismatch,
    InvalidTask,
    Refused,
    StoreBusy,
    StoreError,
    StoreFull,
    UniqueTaken,
    Unsupported,
)
from distqueue.limits import check_batch, check_put
from distqueue.payload import check as check_payload
from distqueue.results import Outcome, Stored
from distqueue.urls import StoreURL
from distqueue.within import Within
from distqueue_backends.postgresql.application import Application, Failed, application, at_once, savepoint
from distqueue_backends.postgresql.known import KnownStore, known_store
from distqueue_backends.postgresql.options import POSTGRES_CAPABILITIES, PostgresOptions
from distqueue_backends.postgresql.transactions import busy
from distqueue_backends.postgresql.writing import answers, arrays, by_queue

_LOOK: Final = (
    "SELECT uuid::text, pg_current_xact_id()::text, current_setting('transaction_isolation'), "
    "current_setting('synchronous_commit') FROM {}.store"
)
_OVERDUE: Final = "SELECT {}.is_overdue(%s)"
_OTHER_DATABASE: Final = ("42P01", "3F000")
_BLOCKED: Final = ("55P03", "40P01")
_INVALID: Final = "22"


class ApplicationTransaction(Within):
    """Carries out puts through a connection of the application's. It neither commits nor rolls back."""

    def __init__(self, url: StoreURL, options: PostgresOptions, connection: object) -> None:
        self._url = url
        self._options = options
        self._connection = connection
        self._schema = f'"{options.schema}"'

    @property
    def capabilities(self) -> Capabilities:
        return POSTGRES_CAPABILITIES

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        return at_once(self._apply(commands, blocks=True))

    async def apply_async(self, commands: Sequence[Command]) -> list[Outcome]:
        return await self._apply(commands, blocks=False)

    async def _apply(self, commands: Sequence[Command], *, blocks: bool) -> list[Outcome]:
        """Put what is allowed; the fault of one does not touch its neighbours."""
        check_batch(commands, self.capabilities)
        outcomes: list[Any] = [_checked(command, self.capabilities) for command in commands]
        puts = [outcome for outcome in outcomes if isinstance(outcome, Put)]
        connection = await application(self._connection, blocks=blocks)
        store = await self._store(connection, puts)
        try:
            stored = iter(await self._put(connection, store, puts))
        except Failed as failed:
            raise self._refusal(failed) from failed
        return [next(stored) if isinstance(outcome, Put) else outcome for outcome in outcomes]

    async def _store(self, connection: Application, puts: Sequence[Put]) -> KnownStore:
        """Return the store, which has all the queues."""
        store = known_store(self._url, self._options)
        queues = {put.queue for put in puts}
        if not store.has(queues):
            await connection.aside(partial(store.look_up, queues))
        return store

    async def _put(self, connection: Application, store: KnownStore, puts: Sequence[Put]) -> list[Outcome]:
        if not connection.has_begun():
            raise Unsupported(
                "no transaction is open on connection=, so that the task would be stored at once; begin one "
                "before the put (psycopg: `with connection.transaction():`)"
            )
        try:
            return await self._put_together(connection, store, puts)
        except _Overdue as overdue:
            await connection.aside(partial(store.tick, overdue.queues))
            return await self._put_together(connection, store, puts, again=True)
        except Failed as failed:
            if not failed.code.startswith(_INVALID):
                raise
            if len(puts) == 1:
                return [InvalidTask(f"a text or a number in the task is not allowed: {failed}")]
        return [outcome for put in puts for outcome in await self._put(connection, store, [put])]

    async def _put_together(
        self, connection: Application, store: KnownStore, puts: Sequence[Put], *, again: bool = False
    ) -> list[Outcome]:
        """Put tasks, or leave the transaction as it was.

        Raises:
            _Overdue: what has run out is in the way of one; never if it is tried again.
        """
        outcomes: list[Any] = [None] * len(puts)
        async with savepoint(connection):
            transaction = await self._look(connection, store)
            for queue, positions in by_queue(puts).items():
                chosen = [puts[position] for position in positions]
                for position, outcome in zip(positions, await self._put_into(connection, queue, chosen)):
                    outcomes[position] = outcome
            refused = {put.queue for put, outcome in zip(puts, outcomes) if isinstance(outcome, _IN_THE_WAY)}
            if not again and (overdue := await self._overdue(connection, refused)):
                raise _Overdue(overdue)
        stored = {put.queue for put, outcome in zip(puts, outcomes) if isinstance(outcome, Stored)}
        if stored:
            store.watch(transaction, stored)
        return outcomes

    async def _put_into(self, connection: Application, queue: str, puts: Sequence[Put]) -> list[Outcome]:
        statement, columns = arrays(puts)
        arguments = (queue, ["none"], self._options.dedup_window, False, *columns)
        return answers(queue, puts, await self._ask(connection, statement, arguments))

    async def _overdue(self, connection: Application, queues: set[str]) -> list[str]:
        """Return those queues in which something has run out by now."""
        return [name for name in sorted(queues) if (await self._ask(connection, _OVERDUE, (name,)))[0][0]]

    async def _ask(self, connection: Application, statement: str, arguments: Sequence[Any] = ()) -> list[Any]:
        return await connection.execute(statement.replace("{}", self._schema), arguments)

    async def _look(self, connection: Application, store: KnownStore) -> str:
        """Return the id of the transaction, after it was seen to be one to put tasks in.

        Raises:
            Unsupported: it is not.
        """
        try:
            ((uuid, transaction, isolation, syncs),) = await self._ask(connection, _LOOK)
        except Failed as failed:
            if failed.code not in _OTHER_DATABASE:
                raise
            uuid = None
        if uuid != store.uuid:
            store.forget()
            raise Unsupported(
                f"connection= is one to another database than {self._url}; nothing was put. Both must be one"
            )
        if isolation != "read committed":
            raise Unsupported(
                f"the transaction on connection= is at {isolation.upper()}, which does not see what others "
                "have put since it began; nothing was put. Begin it at READ COMMITTED"
            )
        if syncs == "off":
            raise Unsupported(
                "the transaction on connection= has synchronous_commit off, so that a task could be lost; "
                "nothing was put. Execute SET LOCAL synchronous_commit = on in it first"
            )
        return str(transaction)

    def _refusal(self, failed: Failed) -> DistqueueError:
        match failed.code:
            case "":
                return StoreBusy(f"connection= cannot be used: {failed}; nothing was put")
            case "25P02":
                return Unsupported("the transaction on connection= has failed; roll it back first")
            case "25006":
                return Unsupported(f"the transaction on connection= may only read: {failed}; nothing was put")
            case "42501":
                return StoreError(
                    f"the user of connection= may not put tasks ({failed}); grant it the role of the user in "
                    f"{self._url}"
                )
            case "53100":
                return StoreFull(f"{self._url} has no room ({failed}); nothing was put")
            case code if code in _BLOCKED:
                return busy(self._url, failed)
        return Refused(f"nothing was put: {failed}")


_IN_THE_WAY: Final = (UniqueTaken, GroupPriorityMismatch)
"""What a task is refused for that another one holds, which may have run out."""


class _Overdue(Exception):
    """Something has run out in some queues, and was not seen to yet."""

    def __init__(self, queues: Sequence[str]) -> None:
        super().__init__()
        self.queues = queues


def _checked(command: Command, capabilities: Capabilities) -> Put | Refused:
    """Return a put if it is allowed, with a payload that was checked."""
    if not isinstance(command, Put):
        return Unsupported("only puts can be carried out in a transaction of the application's")
    try:
        check_put(command, capabilities)
        return msgspec.structs.replace(command, data=check_payload(command.data))
    except Refused as refusal:
        return refusal.with_traceback(None)
