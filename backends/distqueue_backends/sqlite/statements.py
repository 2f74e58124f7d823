"""What carries out SQL for us: our own connection, or the application's in our way of reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol


class Statements(Protocol):
    """What carries out SQL: a connection, or what stands for one."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any: ...
    def executemany(self, sql: str, parameters: Any, /) -> Any: ...


class _Tuples:
    """A connection whose rows are tuples, whatever the application has them be."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Any:
        return self._cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        return self._cursor().executemany(sql, parameters)

    def _cursor(self) -> Any:
        cursor = self._connection.cursor()
        cursor.row_factory = None
        return cursor


@contextmanager
def tuples(connection: Any) -> Iterator[Statements]:
    """Let texts be ``str`` for as long as we read, whatever the application has them be."""
    kept = connection.text_factory
    connection.text_factory = str
    try:
        yield _Tuples(connection)
    finally:
        connection.text_factory = kept
