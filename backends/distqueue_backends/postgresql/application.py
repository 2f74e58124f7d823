"""A connection of the application's, of whichever library: all it is asked is to execute a statement.

It is asked by a coroutine. On a connection that blocks, that never waits: ``at_once`` runs it to its end.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache
from inspect import isawaitable
from typing import Any, ClassVar, Final

import psycopg
from psycopg.pq import Format, PipelineStatus, TransactionStatus
from psycopg.rows import tuple_row

from distqueue.errors import Unsupported
from distqueue_backends.postgresql.session import first_line

_UNBINDABLE: Final = (UnicodeEncodeError, OverflowError)
_INVALID: Final = "22000"
_PLACEHOLDER: Final = re.compile(r"%[sb]")


class Failed(Exception):
    """A statement was not carried out; ``code`` is its SQLSTATE, empty if the connection cannot be used."""

    def __init__(self, code: str | None, why: str) -> None:
        super().__init__(why)
        self.code = code or ""


class Application(ABC):
    """A connection of the application's."""

    blocks: ClassVar[bool]
    """Whether its program waits for it in a thread, and not in a coroutine."""

    @abstractmethod
    def has_begun(self) -> bool:
        """Whether a transaction is open, or the next statement begins one."""

    @abstractmethod
    async def execute(self, statement: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """Execute a statement, written as for psycopg, and return its rows.

        Raises:
            Failed: the database or the library refused it.
        """

    async def aside[R](self, function: Callable[[], R]) -> R:
        """Call what blocks, without holding up others."""
        return function() if self.blocks else await asyncio.to_thread(function)


class Psycopg(Application):
    """A ``psycopg.Connection``."""

    blocks = True

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def has_begun(self) -> bool:
        return _has_begun(self._connection)

    async def execute(self, statement: str, arguments: Sequence[Any] = ()) -> list[Any]:
        try:  # not by a cursor of the application's kind, which may bind and return what it likes
            with psycopg.Cursor(self._connection, row_factory=tuple_row) as cursor:
                cursor.format = Format.BINARY
                cursor.execute(statement.encode(), arguments or None)
                return cursor.fetchall() if cursor.description else []
        except (psycopg.Error, *_UNBINDABLE) as error:
            raise _failed(error) from error


class AsyncPsycopg(Application):
    """A ``psycopg.AsyncConnection``."""

    blocks = False

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    def has_begun(self) -> bool:
        return _has_begun(self._connection)

    async def execute(self, statement: str, arguments: Sequence[Any] = ()) -> list[Any]:
        try:
            async with psycopg.AsyncCursor(self._connection, row_factory=tuple_row) as cursor:
                cursor.format = Format.BINARY
                await cursor.execute(statement.encode(), arguments or None)
                return await cursor.fetchall() if cursor.description else []
        except (psycopg.Error, *_UNBINDABLE) as error:
            raise _failed(error) from error


class Asyncpg(Application):
    """An ``asyncpg.Connection``, or one that a pool of asyncpg's has given out."""

    blocks = False

    def __init__(self, connection: Any) -> None:
        import asyncpg  # which is there, as this is a connection of it

        self._connection = connection
        self._errors = (asyncpg.PostgresError, asyncpg.InterfaceError)

    def has_begun(self) -> bool:
        try:
            return bool(self._connection.is_in_transaction())
        except self._errors:
            return True  # it was given back to its pool, as executing will say

    async def execute(self, statement: str, arguments: Sequence[Any] = ()) -> list[Any]:
        try:
            rows: list[Any] = await self._connection.fetch(_numbered(statement), *arguments)
        except self._errors as error:
            raise _failed(error) from error
        return rows


async def application(given: object, *, blocks: bool) -> Application:
    """Return a connection of any library as one that executes.

    Raises:
        Unsupported: it is of no library that is known, or not for the kind of program that asks.
    """
    driver = await _of_sqlalchemy(given, blocks=blocks) if _is_of("sqlalchemy", given) else given
    found: Application
    if isinstance(driver, psycopg.Connection):
        found = Psycopg(driver)
    elif isinstance(driver, psycopg.AsyncConnection):
        found = AsyncPsycopg(driver)
    elif _is_of("asyncpg", driver) and hasattr(driver, "is_in_transaction"):
        found = Asyncpg(driver)
    else:
        name = _name(given) if driver is given else f"{_name(given)} with a {_name(driver)}"
        raise Unsupported(
            f"connection= is a {name}, nothing was put; give one of psycopg (3) or asyncpg, or "
            "a connection or session of SQLAlchemy with one of these"
        )
    _check_kind(given, found.blocks, blocks)
    if isinstance(driver, psycopg.Connection | psycopg.AsyncConnection):
        _check_not_pipelined(driver)
    return found


def at_once[R](coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: R = end.value
        return result
    raise AssertionError("a connection that blocks has nothing to wait for")


@asynccontextmanager
async def savepoint(connection: Application) -> AsyncIterator[None]:
    """Undo what is executed in the block if it raises, and nothing else of the transaction."""
    await connection.execute("SAVEPOINT distqueue_puts")
    try:
        yield
    except BaseException:
        with suppress(Failed):  # then the connection is lost, and the transaction with it
            await connection.execute("ROLLBACK TO SAVEPOINT distqueue_puts")
            await connection.execute("RELEASE SAVEPOINT distqueue_puts")
        raise
    await connection.execute("RELEASE SAVEPOINT distqueue_puts")


async def _of_sqlalchemy(given: Any, *, blocks: bool) -> object:
    """Return the driver's connection below one of SQLAlchemy's, or its session's.

    A statement goes through SQLAlchemy before, so that it knows of the transaction, which that may begin.
    """
    from sqlalchemy.exc import SQLAlchemyError

    _check_kind(given, not _is_of("sqlalchemy.ext.asyncio", given), blocks)
    try:
        if not hasattr(given, "exec_driver_sql"):
            if not hasattr(given, "connection"):
                raise Unsupported(
                    f"connection= is a {_name(given)}, nothing was put; give a connection of it or a session"
                )
            given = given.connection()
            given = await given if isawaitable(given) else given
        if blocks:
            given.exec_driver_sql("SELECT 1")
            return given.connection.driver_connection
        await given.exec_driver_sql("SELECT 1")
        return (await given.get_raw_connection()).driver_connection
    except (AttributeError, SQLAlchemyError) as error:
        raise Unsupported(
            f"connection= is a {_name(given)} that cannot be used, nothing was put: {first_line(error)}"
        ) from error


def _check_kind(given: object, blocks: bool, wanted: bool) -> None:
    if blocks and not wanted:
        raise Unsupported(
            f"connection= is a {_name(given)}, which blocks; nothing was put. Use Queue, or enqueue of an App"
        )
    if wanted and not blocks:
        raise Unsupported(
            f"connection= is a {_name(given)}, which is for coroutines; nothing was put. Use AsyncQueue, or "
            "enqueue_async of an App"
        )


def _check_not_pipelined(driver: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Refuse a connection in pipeline mode, which answers a statement only later."""
    if driver.pgconn.pipeline_status != PipelineStatus.OFF:
        raise Unsupported(
            "connection= is in pipeline mode, nothing was put; put before its block, or after it"
        )


def _is_of(package: str, thing: object) -> bool:
    """Whether the class of a thing, or one that it was made of, is of a package, which is not imported."""
    return any(f"{kind.__module__}.".startswith(f"{package}.") for kind in type(thing).__mro__)


def _name(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _has_begun(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    return not connection.autocommit or connection.info.transaction_status != TransactionStatus.IDLE


def _failed(error: Exception) -> Failed:
    code = _INVALID if isinstance(error, _UNBINDABLE) else getattr(error, "sqlstate", None)
    return Failed(code, first_line(error))


@cache
def _numbered(statement: str) -> str:
    """Return a statement with the placeholders of asyncpg."""
    numbers = iter(range(1, 100))
    return _PLACEHOLDER.sub(lambda _: f"${next(numbers)}", statement)
