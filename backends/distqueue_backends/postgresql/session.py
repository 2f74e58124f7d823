"""A connection to the server: made when it is needed, again when it broke, and never shared by a fork."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import IsolationLevel
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from distqueue.errors import StoreBusy
from distqueue_backends.postgresql.columns import take_columns

PAUSES: Final = (0.0, 0.02, 0.1, 0.25, 0.5, 1.0)
"""How long to wait before each further try to connect, in seconds; the last one counts for the rest."""
BROKEN: Final = (psycopg.OperationalError, psycopg.InterfaceError)
_CANNOT: Final = ("authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry")
"""What trying again does not mend: who, with which password, which database. libpq has no code for it."""
_SINCE: Final = "extract(epoch FROM backend_start)::text"
_WHO: Final = f"SELECT pid, {_SINCE} FROM pg_stat_get_activity(pg_backend_pid())"
_END: Final = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_get_activity(%s) WHERE {_SINCE} = %s"

type Connection = psycopg.Connection[TupleRow]
type Execute = Callable[[str, Sequence[Any]], list[Any]]
"""What asks the database: given a statement and its arguments, it returns rows."""


class Lost(Exception):
    """The connection broke; ``sent`` says whether the server may have carried out what was asked."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


class Session:
    """One connection at a time, for one thread.

    ``settings`` are those of the session. Where a pooler hands each transaction another session they are not
    set, and no statement is prepared: ``is_pooled`` says so, beforehand or once a connection was made.
    ``inspect`` is called with each new connection, and may raise what makes it one not to be used.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        settings: Mapping[str, str],
        *,
        is_pooled: bool = False,
        inspect: Callable[[Session], None] | None = None,
    ) -> None:
        self._parameters = dict(parameters)
        self.settings = dict(settings)
        self.is_pooled = is_pooled
        self._inspect = inspect
        self._connection: Connection | None = None
        self._served_by: tuple[int, str] | None = None
        self._left: tuple[int, str] | None = None

    @property
    def connection(self) -> Connection:
        """The connection.

        Raises:
            Lost: there is none, and none can be made now.
            StoreBusy: none can be made, and trying again will not help.
        """
        if self._connection is None or not _is_alive(self._connection):
            self.drop()
            self._connection = self._connect()
            self._begin(self._connection)
        return self._connection

    def hold(self, name: str, value: str) -> None:
        """Let a setting hold on this connection; where a pooler is, it is one of ``settings`` from now on."""
        if self.is_pooled:
            self.settings[name] = value
        elif self._connection is not None:
            _set(self._connection, {name: value}, is_local=False)

    def connect(self, patience: float) -> Connection:
        """Return the connection, and try for so many seconds to make one.

        Raises:
            StoreBusy: none could be made.
        """
        deadline = time.monotonic() + patience
        tries = 0
        while True:
            try:
                return self.connection
            except Lost as lost:
                pause = PAUSES[min(tries, len(PAUSES) - 1)]
                if time.monotonic() + pause >= deadline:
                    raise StoreBusy(f"{lost}; nothing was stored") from None
            tries += 1
            time.sleep(pause)

    @contextmanager
    def transaction(
        self, connection: Connection, settings: Mapping[str, str] | None = None
    ) -> Iterator[None]:
        """Carry out the block in a transaction, on a connection that was looked at before.

        The settings of the session hold in it also where a pooler keeps none, and with them ``settings``.
        """
        with connection.transaction():
            kept = self.settings if self.is_pooled else {}
            _set(connection, {**kept, **(settings or {})}, is_local=True)
            yield

    def execute(self, statement: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """Execute a statement and return its rows, values in binary."""
        return self.query(self.connection, statement, arguments)

    def query(self, connection: Connection, statement: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """Execute a statement on a connection that was looked at before."""
        cursor = connection.cursor(binary=True)
        cursor.execute(statement, arguments or None, prepare=not self.is_pooled)
        result = cursor.pgresult  # cheaper than cursor.description
        return cursor.fetchall() if result is not None and result.nfields else []

    def broke(self) -> bool:
        """Whether the connection is of no use any more."""
        connection = self._connection
        return connection is None or connection.closed or connection.pgconn.status != psycopg.pq.ConnStatus.OK

    def drop(self) -> None:
        """Close the connection."""
        if (connection := self._connection) is not None:
            self._connection = None
            connection.close()

    def abandon(self) -> None:
        """Close a connection that broke; the server is made to end its session before the next one is used.

        What was asked for could else be carried out after it was asked for again.
        """
        self._left = self._served_by
        self.drop()

    def abandon_unfinished(self) -> None:
        """Abandon the connection if what a signal's handler raised has ended the last call in its middle."""
        connection = self._connection
        if connection is not None and connection.info.transaction_status is TransactionStatus.ACTIVE:
            self.abandon()

    def leave_to_parent(self) -> None:
        """In a child: close what the fork copied, without a word to the server, which serves the parent."""
        if (connection := self._connection) is not None and not connection.closed:
            nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(nowhere, connection.fileno())
            os.close(nowhere)
        self.drop()

    def _connect(self) -> Connection:
        try:
            connection = psycopg.connect(autocommit=True, prepare_threshold=None, **self._parameters)
        except BROKEN as error:
            raise _unreachable(error) from None
        take_columns(connection)
        return connection

    def _begin(self, connection: Connection) -> None:
        """Make a new connection one of this session."""
        try:
            pid, since = connection.execute(_WHO).fetchone() or (0, "")
            # A pooler has process ids of its own for its clients.
            self.is_pooled = self.is_pooled or pid != connection.info.backend_pid
            self._served_by = None if self.is_pooled else (pid, since)
            if self.is_pooled:
                # No setting of the session is kept, so that a transaction would begin as the role has it.
                connection.isolation_level, connection.read_only = IsolationLevel.READ_COMMITTED, False
            else:
                connection.prepare_threshold = 5
                _set(connection, self.settings, is_local=False)
            self._end_what_was_left(connection)
            if self._inspect is not None:
                self._inspect(self)
        except BROKEN as error:
            self.drop()
            raise _unreachable(error) from None
        except BaseException:
            self.drop()
            raise

    def _end_what_was_left(self, connection: Connection) -> None:
        if self._left is not None and connection.execute(_END, self._left).fetchone() == (False,):
            raise Lost("the server has not ended the session of a connection that broke", sent=False)
        self._left = None


def _unreachable(error: psycopg.Error) -> Lost | StoreBusy:
    """Return what is raised where no connection can be made."""
    why = f"PostgreSQL cannot be reached: {first_line(error)}"
    if any(each in why for each in _CANNOT):
        return StoreBusy(f"{why}; nothing was stored")
    return Lost(why, sent=False)


def _set(connection: Connection, settings: Mapping[str, str], *, is_local: bool) -> None:
    """Let settings hold, if ``is_local`` until the transaction ends."""
    if settings:
        names = ", ".join([f"set_config(%s, %s, {is_local})"] * len(settings))
        connection.execute(f"SELECT {names}".encode(), [part for pair in settings.items() for part in pair])


def _is_alive(connection: Connection) -> bool:
    """Whether nobody has hung up while the connection had nothing to do."""
    if connection.closed:
        return False
    try:
        while select.select([connection.fileno()], [], [], 0)[0]:  # a server says goodbye before it hangs up
            connection.pgconn.consume_input()
    except psycopg.OperationalError:
        return False
    return connection.pgconn.status == psycopg.pq.ConnStatus.OK


def first_line(error: Exception) -> str:
    """Return what a server or libpq says, without the hints; of several servers, what each says."""
    lines = str(error).strip().splitlines()
    each = [line.removeprefix("- ") for line in lines[1:] if line.startswith("- host: ")]
    return "; ".join(each or lines[:1]) or type(error).__name__


def complaint(error: Exception, schema: str) -> str:
    """Return what a server says, and what to do if it is that this role may not."""
    said = first_line(error)
    if not isinstance(error, psycopg.errors.InsufficientPrivilege):
        return said
    return (
        f"{said}: whoever owns schema {schema} has to grant USAGE on it, SELECT, INSERT, UPDATE and DELETE "
        "on all tables in it and USAGE on all sequences in it"
    )
