"""``sqlite:``: one database in WAL mode, every commit synced, shared by the processes of one machine.

Our writers queue up at a lock file of our own, under which the log is taken over, too: so nobody meets
"database is locked", and no two connections ever write and take the log over at the same time. The log is
synced after the lock is given up, and before anything is answered (``docs/decisions/0008``).
"""

from __future__ import annotations

import os
import stat
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, Self

from distqueue.backend import Fsck
from distqueue.commands import Command
from distqueue.errors import (
    ConfigError,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreMissing,
)
from distqueue.forking import close_after_fork
from distqueue.results import Outcome, Seen
from distqueue.urls import StoreURL
from distqueue_backends.bell import Bell
from distqueue_backends.file_backend import FileBackend, longest_wait
from distqueue_backends.filesystem import refuse_network
from distqueue_backends.lock import StoreLock
from distqueue_backends.sqlite import driver, fsck
from distqueue_backends.sqlite.connection import Connection, is_full, unusable
from distqueue_backends.sqlite.options import SQLITE_CAPABILITIES, SqliteOptions
from distqueue_backends.sqlite.store import UNBINDABLE, SqlStore
from distqueue_backends.sqlite.table import SqlTable
from distqueue_backends.sqlite.transaction import ApplicationTransaction
from distqueue_backends.table.queue_table import QueueTable

LOOK_EVERY: Final = 0.1
"""How often a waiting consumer looks whether a transaction of the application's has put something."""
_FORK_PATIENCE: Final = 1.0
_RINGS_FROM: Final = 1 << 32


class SqliteBackend(SqlStore, FileBackend[SqlTable]):
    """One database file, shared with any number of other processes."""

    @classmethod
    def open(cls, url: StoreURL, options: SqliteOptions, *, create: bool) -> Self:
        """Open the store at the URL's path.

        Raises:
            StoreMissing: there is none and ``create`` is false, or its directory is missing.
            ConfigError: the SQLite library is not installed.
            StoreBusy, StoreDamaged, UnsupportedFormat, StoreError: it cannot be opened.
        """
        if os.path.basename(url.file_path()) == ":memory:":
            raise ConfigError("sqlite: needs a file; memory:// is a store in memory")
        return cls(url.file_path(), options, create=create)

    @classmethod
    def fsck(cls, url: StoreURL, options: SqliteOptions, *, repair: bool) -> Fsck:
        path = os.path.abspath(url.file_path())
        check_path(path, create=False)
        lock = StoreLock(f"{path}.lock", options.lock_timeout)
        try:
            with lock:
                return fsck.check(path, options, repair=repair)
        finally:
            lock.close()

    @classmethod
    def within(cls, url: StoreURL, options: SqliteOptions, connection: object) -> ApplicationTransaction:
        return ApplicationTransaction(os.path.abspath(url.file_path()), options, connection)

    def __init__(self, path: str, options: SqliteOptions | None = None, *, create: bool = True) -> None:
        options = options or SqliteOptions()
        super().__init__(path, options, SQLITE_CAPABILITIES)
        check_path(self.path, create=create)
        self._module = driver.load(options.driver)
        self._timeout = options.lock_timeout
        self.in_use = threading.Lock()
        """Held while the connection is used."""
        self._connection: Connection | None = None
        self._inode = 0
        self._lock = StoreLock(f"{self.path}.lock", options.lock_timeout)
        _OPEN.add(self)
        close_after_fork(self)
        try:
            self._lock.check_served()
            self._directory.open()
            with self.in_use, self._lock:
                self._create_file(create)
                self._in_place(create=create)
            self._bell = Bell(f"{self.path}.bell")
        except BaseException as error:
            self.disconnect()
            self._lock.close()
            self._directory.close()
            if isinstance(error, self._module.Error | OSError):
                raise unusable(self.path, error, self._module) from error
            raise

    # --- A call -----------------------------------------------------------------------------------

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        self.check_usable(commands)
        with self.in_use:
            try:
                self._lock.acquire()
                outcomes = self._transact(commands)
            except (self._module.Error, OSError) as error:
                raise unusable(self.path, error, self._module) from error
            finally:
                self._lock.release()
            if self.has_work():
                self._bell.ring()
            self._sync()
        return outcomes

    def _transact(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out commands in one transaction; if the disk has no room for the log, once it begins anew."""
        connection = self._in_place()
        if self._lock.is_marked():
            connection.recover()
            self._lock.clear_mark()
        if (outcomes := self._attempt(connection, commands)) is None:
            connection.take_over()  # the database may need less room than the log went on to need
            outcomes = self._attempt(connection, commands)
        if outcomes is None:
            return [_full(self.path) for _ in commands]
        connection.take_over_if_due()
        return outcomes

    def _attempt(self, connection: Connection, commands: Sequence[Command]) -> list[Outcome] | None:
        """Carry out commands in one transaction; ``None`` if the disk is full, and nothing is stored."""
        sql = connection.sql
        try:
            sql.execute("BEGIN IMMEDIATE")
            self.set_time()
            try:
                outcomes = self.write(sql, commands)
            except UNBINDABLE:
                sql.execute("ROLLBACK")
                sql.execute("BEGIN IMMEDIATE")
                outcomes = [self.write_alone(sql, command) for command in commands]
            self._commit(sql)
        except self._module.OperationalError as error:
            if not is_full(error, self._module):
                raise
            self._ticked.clear()
            return None
        finally:
            connection.rollback()
        return outcomes

    def _in_place(self, *, create: bool = False) -> Connection:
        """Return the connection to the file that is at the path now. The lock is held."""
        connection = self._connection
        if connection is not None and not self._directory.may_have_changed():
            return connection
        self._lock.ensure_in_place()
        inode = check_path(self.path, create=False)
        if connection is None or inode != self._inode:
            self.disconnect()
            connection = Connection(self.path, self._module, self._timeout, create=create)
            self._connection, self._inode = connection, inode
        self._directory.trust()
        return connection

    def _commit(self, sql: Any) -> None:
        try:
            sql.execute("COMMIT")
        except self._module.OperationalError as error:
            if is_full(error, self._module):
                raise
            raise self.failed(error) from error

    def _sync(self) -> None:
        """Let the log be on the disk, while others go on. A failure is final: what is there is not known."""
        try:
            if self._connection is not None:
                self._connection.sync()
        except (self._module.Error, OSError) as error:
            raise self.failed(error) from error

    def facts(self) -> dict[str, int | float | str | bool]:
        log = f"{self.path}-wal"
        return {
            "path": self.path,
            "file_bytes": os.stat(self.path).st_size,
            "log_bytes": os.stat(log).st_size if os.path.exists(log) else 0,
            "sqlite": self._module.sqlite_version,
        }

    # --- Waiting ----------------------------------------------------------------------------------

    def serve_at(self, address: str) -> bool:
        super().serve_at(address)
        return False  # the application's transactions go past the broker process

    def version_of(self, table: QueueTable) -> int:
        rings = super().version_of(table)
        return rings * _RINGS_FROM + (self._connection.data_version() if self._connection else 0)

    def wait(self, queue: str, seen: Seen, timeout: float | None) -> Seen:
        """Wait for the bell, and look now and then: who commits a transaction of its own does not ring it."""
        rings, data = divmod(seen.version, _RINGS_FROM)
        ends = time.monotonic() + longest_wait(self.clock, seen, timeout)
        while True:
            rest = ends - time.monotonic()
            now = super().wait(queue, Seen(rings, seen.wake_at), min(rest, LOOK_EVERY)).version
            latest = self._data_version(data)
            if now != rings or latest != data or rest <= LOOK_EVERY:
                return Seen(now * _RINGS_FROM + latest)

    def _data_version(self, otherwise: int) -> int:
        """Return the version of the data; ``otherwise`` while it is we who use the connection."""
        if not self.in_use.acquire(blocking=False):
            return otherwise
        try:
            return otherwise if self._connection is None else self._connection.data_version()
        except self._module.Error:
            return otherwise  # the next call says what is wrong
        finally:
            self.in_use.release()

    # --- The file ---------------------------------------------------------------------------------

    def _create_file(self, create: bool) -> None:
        """Make an empty database that only its owner may read, if there is none.

        SQLite syncs the directory before the first commit, as the log is new in it too.
        """
        if create and not os.path.lexists(self.path):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))

    # --- The end ----------------------------------------------------------------------------------

    def disconnect(self) -> None:
        """Close the database until it is needed again. It is not in use."""
        if (connection := self._connection) is not None:
            self._connection = None
            connection.close()

    def shut(self) -> None:
        self._bell.close()
        self._lock.let_go()
        with self.in_use:
            if self._connection is not None:
                with suppress(StoreBusy, OSError, self._module.Error), self._lock:
                    self._connection.shorten_log()
            self.disconnect()
        self._lock.close()
        self._directory.close()

    def leave_to_parent(self) -> None:
        """Close what a fork copied: the lock of the parent must not live on in the child."""
        self._lock.close()
        self._directory.close()


def check_path(path: str, *, create: bool) -> int:
    """Look at what is there, but never open it: closing it would drop the locks of SQLite.

    Returns the inode, 0 if there is none yet.

    Raises:
        StoreMissing: there is none, and ``create`` is false, or its directory is missing.
        StoreError: it is not a plain file with one name, on a disk of this machine.
    """
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        raise StoreMissing(f"there is no directory {directory}; create it first")
    refuse_network(path)
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        if not create:
            raise StoreMissing(f"no store at {path}; nothing was stored") from None
        return 0
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise StoreError(
            f"{path} is not a plain file with one name; a store is a file of its own, so that "
            "its lock guards it"
        )
    return status.st_ino


_OPEN: Final[weakref.WeakSet[SqliteBackend]] = weakref.WeakSet()
_AT_REST: Final[list[SqliteBackend]] = []
"""Those that do nothing while this process forks."""


def _before_fork() -> None:
    """Close what is not in use: no connection of SQLite may live on in a child, not even unused."""
    for backend in list(_OPEN):
        if backend.in_use.acquire(timeout=_FORK_PATIENCE):
            _AT_REST.append(backend)
            backend.disconnect()


def _after_fork_in_parent() -> None:
    while _AT_REST:
        _AT_REST.pop().in_use.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_AT_REST.clear)


def _full(path: str) -> StoreFull:
    return StoreFull(f"the disk of {path} is full; nothing was stored. Free some space, then try again")
