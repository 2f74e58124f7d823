"""Which SQLite library works on which file: one for each file, as two drop each other's locks.

The locks are POSIX locks, which belong to the process: when one library closes the file, those that the other
one holds are gone, and another process writes into the middle of a transaction.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections import Counter
from enum import StrEnum
from typing import Any, Final

from distqueue.errors import ConfigError, StoreError, Unsupported

FIXED: Final = (3, 51, 3)
"""From here on a WAL survives that two connections write and take it over at the same instant."""


class Driver(StrEnum):
    """A SQLite library."""

    STANDARD = "sqlite3"
    """That of Python."""
    PYSQLITE3 = "pysqlite3"
    """The package of that name, which brings a newer one."""


def load(driver: Driver) -> Any:
    """Return the module of a library.

    Raises:
        ConfigError: it is not installed, or too old to be of use.
    """
    name = "sqlite3" if driver is Driver.STANDARD else "pysqlite3.dbapi2"
    try:
        module = importlib.import_module(name)
    except ImportError:
        raise ConfigError(f"driver={driver} needs the package: pip install {driver}") from None
    if driver is not Driver.STANDARD and module.sqlite_version_info < FIXED:
        raise ConfigError(
            f"{driver} brings SQLite {module.sqlite_version}; upgrade it to one with 3.51.3 or newer, "
            "or leave driver= out"
        )
    return module


def check_connection(connection: object, module: Any) -> None:
    """Refuse what is not a connection of the library.

    Raises:
        Unsupported: it is one of another library, or none at all.
    """
    if not isinstance(connection, module.Connection):
        kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
        if not hasattr(connection, "cursor"):
            raise Unsupported(
                f"connection= takes a {module.Connection.__module__}.Connection, not a {kind}; of "
                "SQLAlchemy, pass connection.connection.dbapi_connection"
            )
        raise Unsupported(
            f"connection= takes a {module.Connection.__module__}.Connection, not a {kind}: two SQLite "
            "libraries on one file drop each other's locks. Pass the connection itself (of SQLAlchemy: "
            "connection.connection.dbapi_connection), or choose the library with driver= in the URL"
        )


_in_use: Final[dict[tuple[int, int], Counter[str]]] = {}
_changing: Final = threading.RLock()


def enter(path: str, module: Any) -> tuple[int, int]:
    """Note that a library works on a file, until :func:`leave`; return what names the file.

    Raises:
        StoreError: another library works on it in this process.
    """
    status = os.lstat(path)
    file = status.st_dev, status.st_ino
    with _changing:
        names = _in_use.setdefault(file, Counter())
        if other := next((name for name in names if name != module.__name__), None):
            raise StoreError(
                f"{path} is open in this process through {other}; use the same driver= everywhere, as two "
                "SQLite libraries on one file drop each other's locks"
            )
        names[module.__name__] += 1
    return file


def leave(file: tuple[int, int], module: Any) -> None:
    """Note that a library has closed a file."""
    with _changing:
        names = _in_use[file]
        names[module.__name__] -= 1
        if not +names:
            del _in_use[file]


os.register_at_fork(
    before=_changing.acquire, after_in_parent=_changing.release, after_in_child=_changing.release
)
os.register_at_fork(after_in_child=_in_use.clear)
