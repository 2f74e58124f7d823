"""Putting tasks in a transaction of the application's: they exist if and only if that commits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from distqueue.capabilities import Capabilities
from distqueue.commands import Command, Put
from distqueue.errors import Refused, StoreBusy, StoreError, StoreFull, StoreMissing, Unsupported
from distqueue.limits import check_batch
from distqueue.results import Outcome
from distqueue.within import Within
from distqueue_backends.sqlite import driver
from distqueue_backends.sqlite.connection import is_full, unusable
from distqueue_backends.sqlite.options import SQLITE_CAPABILITIES, SqliteOptions
from distqueue_backends.sqlite.schema import bring_up_to_date
from distqueue_backends.sqlite.statements import Statements, tuples
from distqueue_backends.sqlite.store import UNBINDABLE, SqlStore
from distqueue_backends.table.clock import SharedClock

_SYNCED: Final = 2
_UNSAFE_JOURNALS: Final = ("off", "memory")


class ApplicationTransaction(SqlStore, Within):
    """Carries out puts through a connection of the application's. It neither commits nor rolls back.

    The lock file of the store is left alone, as whoever holds it may be waiting for this very transaction.

    Raises:
        Unsupported: it is not a connection of the library that the URL names.
    """

    def __init__(self, path: str, options: SqliteOptions, connection: object) -> None:
        super().__init__(SharedClock(), options.dedup_window, options.dedup_max)
        self._path = path
        self._module = driver.load(options.driver)
        driver.check_connection(connection, self._module)
        self._connection: Any = connection
        self._capabilities = msgspec.structs.replace(
            SQLITE_CAPABILITIES, dedup_window=options.dedup_window, dedup_max=options.dedup_max
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        check_batch(commands, self._capabilities)
        if not all(type(command) is Put for command in commands):
            raise Unsupported("only puts can be carried out in a transaction of the application's")
        try:
            with tuples(self._connection) as statements:
                self._begin(statements)
                return self._put_within(statements, commands)
        except self._module.ProgrammingError as error:
            raise Unsupported(f"connection= cannot be used here, nothing was put: {error}") from error
        except self._module.Error as error:
            raise self._refusal(error) from error

    def shut(self) -> None:
        pass

    # --- The application's connection ---------------------------------------------------------------

    def _begin(self, statements: Statements) -> None:
        """See to it that there is a transaction, that it can write, and that it is one on our tables.

        Raises:
            Unsupported: there is none, it is one in another file, or its commits are not synced.
        """
        connection = self._connection
        self._check_settings(statements)
        if not connection.in_transaction:
            if connection.isolation_level is None or getattr(connection, "autocommit", False) is True:
                raise Unsupported(
                    "no transaction is open on connection=, so that the task would be stored at once; "
                    "execute BEGIN IMMEDIATE on it first"
                )
            statements.execute("BEGIN IMMEDIATE")
        try:  # to write before anything is read: a snapshot that is behind could not be written to
            statements.execute("UPDATE distqueue_store SET version = version WHERE 0")
        except self._module.OperationalError as error:
            if "no such table" not in str(error):
                raise
        bring_up_to_date(statements, connection, self._path, create=True)

    def _check_settings(self, statements: Statements) -> None:
        files = statements.execute("PRAGMA database_list").fetchall()
        file = next((file for _, schema, file in files if schema == "main"), "")
        if not os.path.exists(self._path):
            raise StoreMissing(f"no store at {self._path}; nothing was put")
        if not file or not os.path.samefile(file, self._path):
            raise Unsupported(
                f"connection= is one to {file or 'a database in memory'}, the queue is in {self._path}; "
                "nothing was put. Both have to be one file"
            )
        journal = statements.execute("PRAGMA journal_mode").fetchone()[0]
        synchronous = statements.execute("PRAGMA synchronous").fetchone()[0]
        if synchronous < _SYNCED or journal in _UNSAFE_JOURNALS:
            raise Unsupported(
                f"connection= does not sync its commits (synchronous={synchronous}, journal_mode={journal}), "
                "so that a task could be lost; execute PRAGMA synchronous=FULL on it before the transaction"
            )
        if self._module.sqlite_version_info < driver.FIXED:
            statements.execute("PRAGMA wal_autocheckpoint = 0").fetchall()

    def _put_within(self, statements: Statements, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out the puts; whatever goes wrong, the transaction is as it was."""
        self.set_time()
        statements.execute("SAVEPOINT distqueue_puts")
        try:
            try:
                return self.write(statements, commands)
            except UNBINDABLE:
                statements.execute("ROLLBACK TO distqueue_puts")
                return [self.write_alone(statements, command) for command in commands]
        except BaseException:
            if self._connection.in_transaction:
                statements.execute("ROLLBACK TO distqueue_puts")
            raise
        finally:
            if self._connection.in_transaction:
                statements.execute("RELEASE distqueue_puts")

    def _refusal(self, error: Exception) -> StoreError | Refused:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == self._module.SQLITE_READONLY:
            return Unsupported(
                f"connection= may only read, nothing was put ({error}); open one that may write"
            )
        if is_full(error, self._module):
            return StoreFull(f"the disk of {self._path} is full ({error}); roll the transaction back")
        refusal = unusable(self._path, error, self._module)
        if isinstance(refusal, StoreBusy):
            return StoreBusy(
                f"{self._path} was written to by somebody else ({error}); roll the transaction back and "
                "repeat it, best beginning with BEGIN IMMEDIATE"
            )
        return refusal
