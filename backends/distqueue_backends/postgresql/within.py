"""Putting tasks in a transaction of the application's: they exist if and only if that commits."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from distqueue.backend import OpenStore
from distqueue.capabilities import Capabilities
from distqueue.commands import Command, Put
from distqueue.errors import Refused, StoreBusy, StoreError, Unsupported
from distqueue.limits import check_batch, check_put
from distqueue.payload import check as check_payload
from distqueue.results import Outcome, Seen
from distqueue.urls import StoreURL
from distqueue_backends.postgresql.options import POSTGRES_CAPABILITIES, PostgresOptions
from distqueue_backends.postgresql.schema import check_version
from distqueue_backends.postgresql.session import Connection, Session, complaint, first_line
from distqueue_backends.postgresql.transactions import BLOCKED, busy
from distqueue_backends.postgresql.writing import put_by_queue

STORE: Final = "SELECT uuid FROM {}.store"
MAKE_QUEUE: Final = "SELECT {}.make_queue(%s)"


class Known:
    """What is known of stores in this process: who they are, and which of their queues are there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stores: dict[str, tuple[object, set[str]]] = {}

    def look_up(self, session: Session, options: PostgresOptions, url: StoreURL, queues: set[str]) -> object:
        """Return who the store is; make its queues that are not there. Asks it only for what is new."""
        with self._lock:
            name = f"{url.unredacted()} {options.schema}"
            uuid, there = self._stores.get(name, (None, set[str]()))
            if uuid is None or queues - there:
                uuid = self._ask(session, options, url, queues - there)
                self._stores[name] = uuid, there | queues
            return uuid

    def _ask(self, session: Session, options: PostgresOptions, url: StoreURL, queues: set[str]) -> object:
        try:
            connection = session.connect(options.connect_timeout)
            check_version(connection, options.schema, str(url))
            for queue in sorted(queues):
                session.execute(MAKE_QUEUE.replace("{}", f'"{options.schema}"'), (queue,))
            return session.execute(STORE.replace("{}", f'"{options.schema}"'))[0][0]
        except psycopg.Error as error:
            why = complaint(error, options.schema)
            raise StoreError(f"{url} cannot be used: {why}; nothing was put") from error
        finally:
            session.drop()


_KNOWN: Final = Known()


class ApplicationTransaction(OpenStore):
    """Carries out puts through a connection of the application's. It neither commits nor rolls back.

    Raises:
        Unsupported: it is not a connection of psycopg.
    """

    def __init__(self, url: StoreURL, options: PostgresOptions, session: Session, connection: object) -> None:
        super().__init__()
        self._url = url
        self._options = options
        self._session = session
        if not isinstance(connection, psycopg.Connection):
            raise Unsupported(
                f"connection= is a {type(connection).__name__}, not a psycopg.Connection; nothing was put"
            )
        self._connection: Connection = connection

    @property
    def capabilities(self) -> Capabilities:
        return POSTGRES_CAPABILITIES

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        check_batch(commands, self.capabilities)
        if not all(type(command) is Put for command in commands):
            raise Unsupported("only puts can be carried out in a transaction of the application's")
        self._check(
            _KNOWN.look_up(self._session, self._options, self._url, {command.queue for command in commands})
        )
        try:
            with self._connection.transaction():
                return self._put(commands)
        except BLOCKED as error:
            raise busy(self._url, error) from None
        except (psycopg.Error, UnicodeEncodeError, OverflowError) as error:
            raise Refused(f"nothing was put: {complaint(error, self._options.schema)}") from error

    def _put(self, commands: Sequence[Command]) -> list[Outcome]:
        """Put what is allowed; the fault of one does not touch its neighbours."""
        outcomes = [_checked(command, self.capabilities) for command in commands]
        good = [position for position, outcome in enumerate(outcomes) if isinstance(outcome, Put)]
        puts = [put for put in outcomes if isinstance(put, Put)]
        answers: list[Any] = list(outcomes)
        stored = put_by_queue(self._ask, puts, ("none",), self._options.dedup_window)
        for position, outcome in zip(good, stored):
            answers[position] = outcome
        return answers

    def _ask(self, statement: str, arguments: Sequence[Any] = ()) -> list[Any]:
        cursor = self._connection.cursor(binary=True, row_factory=tuple_row)
        cursor.execute(statement.replace("{}", f'"{self._options.schema}"').encode(), arguments or None)
        return cursor.fetchall()

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        raise Unsupported("nobody waits for tasks in a transaction of the application's")

    def shut(self) -> None:
        self._session.drop()

    def _check(self, uuid: object) -> None:
        """See to it that a transaction is open, and that it is one in the store's own database."""
        connection = self._connection
        if connection.closed:
            raise Unsupported("connection= is closed; nothing was put")
        status = connection.info.transaction_status
        if status is TransactionStatus.INERROR:
            raise Unsupported("the transaction on connection= has failed; roll it back first")
        if connection.autocommit and status is TransactionStatus.IDLE:
            raise Unsupported(
                "no transaction is open on connection=, so that the task would be stored at once; put it "
                "inside of `with connection.transaction():`"
            )
        try:  # which also begins the transaction
            there = self._ask(f"SELECT to_regclass('\"{self._options.schema}\".store') IS NOT NULL")[0][0]
            is_it = there and self._ask(STORE)[0][0] == uuid
        except psycopg.Error as error:
            raise StoreBusy(f"connection= cannot be used: {first_line(error)}; nothing was put") from error
        if not is_it:
            raise Unsupported(
                f"connection= is one to another database than {self._url}; nothing was put. Both must be one"
            )


def _checked(command: Command, capabilities: Capabilities) -> Put | Refused:
    """Return a put if it is allowed, with a payload that was checked."""
    assert isinstance(command, Put)  # noqa: S101 - for the type checker
    try:
        check_put(command, capabilities)
        return msgspec.structs.replace(command, data=check_payload(command.data))
    except Refused as refusal:
        return refusal.with_traceback(None)
