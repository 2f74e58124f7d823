"""``sqlite:``: one database in WAL mode, every commit synced, shared by the processes of one machine.

Our writers queue up at a lock file of our own, under which checkpoints run too: so nobody meets "database
is locked", and no two connections ever write and checkpoint at the same time (``docs/decisions/0008``).
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, Self
from urllib.parse import quote

from distqueue.commands import Command
from distqueue.errors import (
    InvalidTask,
    OutcomeUnknown,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreMissing,
)
from distqueue.results import Outcome
from distqueue.urls import StoreURL
from distqueue_backends.bell import Bell
from distqueue_backends.file_backend import FileBackend
from distqueue_backends.filesystem import refuse_network
from distqueue_backends.lock import StoreLock
from distqueue_backends.sqlite.options import SQLITE_CAPABILITIES, SqliteOptions
from distqueue_backends.sqlite.schema import bring_up_to_date
from distqueue_backends.sqlite.table import Counters, SqlTable
from distqueue_backends.table.entry import Entry
from distqueue_backends.table.journal import NoJournal

CHECKPOINT_EVERY: Final = 2000
"""After how many changed rows of a connection the log is taken over into the database."""
LONG_LOG: Final = 1024 * 1024
"""From how many bytes on the log is taken over when a connection is closed."""
_FORK_PATIENCE: Final = 1.0
_SELECT_QUEUE: Final = f"SELECT {', '.join(Counters.__struct_fields__)} FROM queues WHERE name = ?"
_UNBINDABLE: Final = (UnicodeEncodeError, OverflowError)
"""What a lone surrogate raises, and a number beyond 64 bits."""
_FULL: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class SqliteBackend(FileBackend[SqlTable]):
    """One database file, shared with any number of other processes."""

    @classmethod
    def open(cls, url: StoreURL, options: SqliteOptions, *, create: bool) -> Self:
        """Open the store at the URL's path.

        Raises:
            StoreMissing: there is none and ``create`` is false, or its directory is missing.
            StoreBusy, StoreDamaged, UnsupportedFormat, StoreError: it cannot be opened.
        """
        return cls(url.file_path(), options, create=create)

    def __init__(self, path: str, options: SqliteOptions | None = None, *, create: bool = True) -> None:
        options = options or SqliteOptions()
        super().__init__(path, options, SQLITE_CAPABILITIES)
        self.journal = NoJournal()
        self._check_path(create)
        self._timeout = options.lock_timeout
        self.in_use = threading.Lock()
        """Held while the connection is used."""
        self._connection: sqlite3.Connection | None = None
        self._changes = 0
        self._inode = 0
        self._lock = StoreLock(f"{self.path}.lock", options.lock_timeout)
        try:
            self._lock.check_served()
            self._directory.open()
            with self._lock:
                self._create_file(create)
                self._in_place()
            self._bell = Bell(f"{self.path}.bell")
        except BaseException as error:
            self.disconnect()
            self._lock.close()
            self._directory.close()
            if isinstance(error, sqlite3.Error | OSError):
                raise self._unusable(error) from error
            raise
        _OPEN.add(self)

    # --- A call -----------------------------------------------------------------------------------

    def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        self.check_usable(commands)
        with self.in_use:
            try:
                self._lock.acquire()
                outcomes = self._transact(commands)
            except (sqlite3.Error, OSError) as error:
                raise self._unusable(error) from error
            finally:
                self._lock.release()
        if self.has_work():
            self._bell.ring()
        return outcomes

    def _transact(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out commands in one transaction, which is synced when it ends."""
        connection = self._in_place()
        try:
            connection.execute("BEGIN IMMEDIATE")
            self.set_time()
            try:
                outcomes = self._written(connection, commands)
            except _UNBINDABLE:
                connection.execute("ROLLBACK")
                connection.execute("BEGIN IMMEDIATE")
                outcomes = [self._written_alone(connection, command) for command in commands]
            self._commit(connection)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in _FULL:
                self._ticked.clear()
                return [_full(self.path) for _ in commands]
            raise
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        self._checkpoint(connection)
        return outcomes

    def _written(self, connection: sqlite3.Connection, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out commands on what the database holds now."""
        self._ticked.clear()
        self.tables = _Tables(connection, self._sql_table)
        outcomes = self.carry_out(commands)
        for table in self._ticked.values():
            table.write_counters()
        return outcomes

    def _written_alone(self, connection: sqlite3.Connection, command: Command) -> Outcome:
        """Carry out a command of a batch in which one holds what the database cannot."""
        connection.execute("SAVEPOINT command")
        try:
            return self._written(connection, [command])[0]
        except _UNBINDABLE as error:
            connection.execute("ROLLBACK TO command")
            return InvalidTask(f"a text or a number in the command is not allowed: {error}")

    def _in_place(self) -> sqlite3.Connection:
        """Return the connection to the file that is at the path now. The lock is held."""
        connection = self._connection
        if connection is not None and not self._directory.may_have_changed():
            return connection
        self._lock.ensure_in_place()
        inode = self._check_path(create=False)
        if connection is None or inode != self._inode:
            self.disconnect()
            connection = self._connect()
            self._inode = inode
        self._directory.trust()
        return connection

    def _commit(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in _FULL:
                raise
            self._has_failed = True
            raise OutcomeUnknown(
                f"{self.path} could not be synced ({error}); the commands may or may not be stored. "
                "Open the store again, and publish again with the same task ids"
            ) from error

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """Take the log over into the database now and then. The lock is held, so nobody writes meanwhile."""
        if connection.total_changes - self._changes >= CHECKPOINT_EVERY:
            self._changes = connection.total_changes
            with suppress(sqlite3.OperationalError):  # the disk is full: the log goes on growing
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _shorten_log(self) -> None:
        """Take a log over that has become long, before the connection is closed."""
        connection, log = self._connection, f"{self.path}-wal"
        if connection is None or not os.path.exists(log) or os.stat(log).st_size < LONG_LOG:
            return
        with suppress(StoreBusy, sqlite3.OperationalError, OSError), self._lock:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    # --- The table's view of the store ------------------------------------------------------------

    def new_table(self, queue: str) -> SqlTable:
        return self._sql_table(queue, Counters())

    def _sql_table(self, queue: str, counters: Counters) -> SqlTable:
        if self._connection is None:
            raise StoreFailed("a queue is looked at outside of a transaction")
        return SqlTable(self._connection, queue, counters, self.dedup_window, self.dedup_max)

    def payloads(self, table: SqlTable, entries: Sequence[Entry]) -> list[bytes]:
        return table.payloads(entries)

    def facts(self) -> dict[str, int | float | str | bool]:
        wal = f"{self.path}-wal"
        return {
            "path": self.path,
            "file_bytes": os.stat(self.path).st_size,
            "log_bytes": os.stat(wal).st_size if os.path.exists(wal) else 0,
            "sqlite": sqlite3.sqlite_version,
        }

    # --- The connection ---------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        """Open the database. The lock is held."""
        connection = sqlite3.connect(
            f"file:{quote(self.path)}?mode=rw",
            uri=True,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._changes = connection, connection.total_changes
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Set what each connection needs, and bring the tables up to date."""
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        connection.execute("PRAGMA synchronous = FULL")
        synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
        if (mode, synchronous) != ("wal", 2):
            raise StoreError(f"{self.path} cannot be used as it has to be: {mode}, {synchronous}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        try:
            connection.execute("BEGIN IMMEDIATE")
            bring_up_to_date(connection, self.path)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def disconnect(self) -> None:
        """Close the database until it is needed again. It is not in use."""
        if (connection := self._connection) is not None:
            self._connection = None
            connection.close()

    def _create_file(self, create: bool) -> None:
        """Make an empty database that only its owner may read, if there is none.

        SQLite syncs the directory before the first commit, as the log is new in it too.
        """
        if create and not os.path.lexists(self.path):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))

    def _check_path(self, create: bool) -> int:
        """Look at what is there, but never open it: closing it would drop the locks of SQLite.

        Returns the inode, 0 if there is none yet.
        """
        if not os.path.isdir(os.path.dirname(self.path)):
            raise StoreMissing(f"there is no directory {os.path.dirname(self.path)}; create it first")
        refuse_network(self.path)
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            if not create:
                raise StoreMissing(f"no store at {self.path}; nothing was stored") from None
            return 0
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise StoreError(
                f"{self.path} is not a plain file with one name; a store is a file of its own, so that "
                "its lock guards it"
            )
        return status.st_ino

    def _unusable(self, error: Exception) -> StoreError:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _DAMAGED:
            return StoreDamaged(f"{self.path} is damaged ({error}); restore a copy, or `sqlite3 … .recover`")
        if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreBusy(f"{self.path} is locked by another program ({error}); nothing was stored")
        return StoreFailed(f"{self.path} cannot be used: {error}; nothing was stored")

    # --- The end ----------------------------------------------------------------------------------

    def shut(self) -> None:
        self._bell.close()
        self._lock.let_go()
        with self.in_use:
            self._shorten_log()
            self.disconnect()
        self._lock.close()
        self._directory.close()

    def leave_to_parent(self) -> None:
        """Close what a fork copied: the lock of the parent must not live on in the child."""
        self._lock.close()
        self._directory.close()


class _Tables(dict[str, SqlTable]):
    """The queues that a transaction has met; the others are in the database."""

    def __init__(self, connection: sqlite3.Connection, new: Callable[[str, Counters], SqlTable]) -> None:
        super().__init__()
        self._connection = connection
        self._new = new

    def get(self, name: str, default: Any = None, /) -> Any:
        if name not in self.keys():
            row = self._connection.execute(_SELECT_QUEUE, (name,)).fetchone()
            if row is None:
                return default
            super().__setitem__(name, self._new(name, Counters(*row)))
        return self[name]

    def __setitem__(self, name: str, table: SqlTable) -> None:
        table.make()
        super().__setitem__(name, table)

    def __iter__(self) -> Iterator[str]:
        return iter([name for (name,) in self._connection.execute("SELECT name FROM queues ORDER BY name")])


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


def _after_fork_in_child() -> None:
    _AT_REST.clear()
    for backend in list(_OPEN):
        backend.leave_to_parent()
        backend.close_in_child()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)


def _full(path: str) -> StoreFull:
    return StoreFull(f"the disk of {path} is full; nothing was stored. Free some space, then try again")
