"""A connection to the server: made when it is needed, again when it broke, and never shared by a fork."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow

from distqueue.errors import StoreBusy

PAUSES: Final = (0.0, 0.02, 0.1, 0.25, 0.5, 1.0)
"""How long to wait before each further try to connect, in seconds; the last one counts for the rest."""
_BROKEN: Final = (psycopg.OperationalError, psycopg.InterfaceError)
_CANNOT: Final = {"28", "3D", "42"}
"""Classes of errors that trying again does not mend: who, which database, may not."""

type Connection = psycopg.Connection[TupleRow]


class Lost(Exception):
    """The connection broke; ``sent`` says whether the server may have carried out what was asked."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


class Session:
    """One connection at a time, for one thread.

    ``settings`` are those of the session; they are not set where a pooler hands each transaction another one.
    """

    def __init__(
        self, parameters: Mapping[str, Any], settings: Mapping[str, str], *, is_pooled: bool = False
    ) -> None:
        self._parameters = dict(parameters)
        self.settings = dict(settings)
        self._is_pooled = is_pooled
        self._connection: Connection | None = None

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
        return self._connection

    def set(self, name: str, value: str) -> None:
        """Let a setting hold in this session, from the next connection on; the present one is closed."""
        self.settings[name] = value
        self.drop()

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

    def execute(self, statement: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """Execute a statement and return its rows, values in binary."""
        return self.query(self.connection, statement, arguments)

    def query(self, connection: Connection, statement: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """Execute a statement on a connection that was looked at before."""
        cursor = connection.cursor(binary=True)
        cursor.execute(statement, arguments or None, prepare=not self._is_pooled)
        return cursor.fetchall() if cursor.description else []

    def broke(self) -> bool:
        """Whether the connection is of no use any more."""
        connection = self._connection
        return connection is None or connection.closed or connection.pgconn.status != psycopg.pq.ConnStatus.OK

    def drop(self) -> None:
        """Close the connection."""
        if (connection := self._connection) is not None:
            self._connection = None
            connection.close()

    def leave_to_parent(self) -> None:
        """In a child: close what the fork copied, without a word to the server, which serves the parent."""
        if (connection := self._connection) is not None and not connection.closed:
            nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(nowhere, connection.fileno())
            os.close(nowhere)
        self.drop()

    def _connect(self) -> Connection:
        try:
            connection = psycopg.connect(
                autocommit=True, prepare_threshold=None if self._is_pooled else 5, **self._parameters
            )
            for name, value in () if self._is_pooled else self.settings.items():
                connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        except _BROKEN as error:
            why = f"PostgreSQL cannot be reached: {first_line(error)}"
            if (error.sqlstate or "")[:2] in _CANNOT:
                raise StoreBusy(why) from None
            raise Lost(why, sent=False) from None
        return connection


def _is_alive(connection: Connection) -> bool:
    """Whether nobody has hung up while the connection had nothing to do."""
    if connection.closed:
        return False
    readable, _, _ = select.select([connection.fileno()], [], [], 0)
    if readable:
        try:
            connection.pgconn.consume_input()
        except psycopg.OperationalError:
            return False
    return connection.pgconn.status == psycopg.pq.ConnStatus.OK


def first_line(error: Exception) -> str:
    """Return what a server or libpq says, without the hints."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
