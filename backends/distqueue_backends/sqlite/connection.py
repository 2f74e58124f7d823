"""A database as one process has it open: a connection to write with, and one to take the log over with."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

from distqueue.errors import StoreBusy, StoreDamaged, StoreError, StoreFailed
from distqueue_backends.sqlite import driver
from distqueue_backends.sqlite.schema import bring_up_to_date

LONG_LOG: Final = 1000
"""From how many pages on the log is taken over: then it begins anew, and its file need not grow."""
_LOOK_EVERY: Final = 64
"""After how many changed rows of a connection it looks how long the log is."""
_PAGE_SIZE, _SALT, _LOG_HEADER, _FRAME_HEADER, _FRAME_SALT = slice(8, 12), slice(16, 24), 32, 24, 8
"""Where things are in the log: https://sqlite.org/fileformat2.html#walformat."""
_UNKNOWN: Final = -1


class Connection:
    """Opens the database, and brings its tables up to date. The lock of the store is held.

    Raises:
        StoreMissing, UnsupportedFormat, StoreDamaged: the tables cannot be used.
        StoreError: another SQLite library works on the file, or it cannot be used as it has to be.
    """

    def __init__(self, path: str, module: Any, timeout: float, *, create: bool) -> None:
        self._path = path
        self._module = module
        self._second: Any = None
        self._log = -1
        self._file = driver.enter(path, module)
        self.sql: Any = None
        try:
            self.sql = self._connect(timeout)
            self._bring_up_to_date(create=create)
            self._log = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            os.fdatasync(self._log)
        except BaseException:
            self.close()
            raise
        self._looked = self._synced_changes = self.sql.total_changes
        self._synced_version = _UNKNOWN
        self._salt, self._long = b"", LONG_LOG

    def data_version(self) -> int:
        """Return a number that is another one after somebody else has changed the database."""
        version: int = self.sql.execute("PRAGMA data_version").fetchone()[0]
        return version

    def sync(self) -> None:
        """Let everything that the last transaction has written or seen be on the disk.

        Others may have committed what it has seen without having synced it yet; what a log holds is synced
        together. Nothing is to be done if neither they nor we have changed anything since the last time.
        """
        version = _UNKNOWN
        if self.sql.total_changes == self._synced_changes:
            version = self.data_version()
            if version == self._synced_version:
                return
        os.fdatasync(self._log)
        self._synced_changes, self._synced_version = self.sql.total_changes, version

    def rollback(self) -> None:
        """Undo the transaction, if one is open."""
        if self.sql.in_transaction:
            self.sql.execute("ROLLBACK")

    def take_over_if_due(self) -> None:
        """Take the log over into the database if it has become long. The lock of the store is held."""
        if self.sql.total_changes - self._looked >= _LOOK_EVERY:
            self._looked = self.sql.total_changes
            if self._log_is_long():
                self._long += LONG_LOG  # if somebody uses it, so that it cannot begin anew: not at once again
                self.take_over()

    def shorten_log(self) -> None:
        """Take the log over and cut it, unless somebody uses it right now. The lock of the store is held.

        So the file of a store that nobody has open is whole by itself, and can be copied and replaced.
        """
        if os.fstat(self._log).st_size:
            self.take_over()
            with suppress(self._module.OperationalError):
                self._second.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def take_over(self) -> None:
        """Take the log over while nobody writes, not even a connection of the application's.

        Does nothing if somebody does: the log goes on growing, as it does on a full disk.
        """
        if self._second is None:
            self._second = self._connect(0.0)
        with suppress(self._module.OperationalError):
            self._second.execute("BEGIN IMMEDIATE")
            try:
                self.sql.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            finally:
                self._second.execute("ROLLBACK")

    def _log_is_long(self) -> bool:
        """Whether so many pages have been written since the log last began: they all bear its salt."""
        header = os.pread(self._log, _LOG_HEADER, 0)
        if not (salt := header[_SALT]):
            return False
        if salt != self._salt:
            self._salt, self._long = salt, LONG_LOG
        frame = _FRAME_HEADER + int.from_bytes(header[_PAGE_SIZE])
        last = _LOG_HEADER + (self._long - 1) * frame
        return os.pread(self._log, len(salt), last + _FRAME_SALT) == salt

    def recover(self) -> None:
        """Write what the log holds into the database, after a sync of the log has failed.

        It is read as the system has it in memory, and written and synced anew. The lock of the store is held.

        Raises:
            StoreBusy: somebody reads an older state; try again.
        """
        busy, _, _ = self.sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreBusy(
                f"a sync of {self._path} failed before, and to recover it others have to end their "
                "transactions; nothing was stored"
            )

    def close(self) -> None:
        """Close the database."""
        for sql in (self.sql, self._second):
            if sql is not None:
                sql.close()
        if self._log >= 0:
            os.close(self._log)
        driver.leave(self._file, self._module)

    def _connect(self, timeout: float) -> Any:
        sql = self._module.connect(
            f"file:{quote(self._path)}?mode=rw",
            uri=True,
            timeout=timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            self._prepare(sql)
        except BaseException:
            sql.close()
            raise
        return sql

    def _prepare(self, sql: Any) -> None:
        """Set what each connection needs; older libraries are never to take the log over by themselves."""
        if hasattr(sql, "setconfig"):
            sql.setconfig(self._module.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
            sql.setconfig(self._module.SQLITE_DBCONFIG_DEFENSIVE, True)
        mode = sql.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        sql.execute("PRAGMA synchronous = NORMAL")  # the log is synced by us: docs/decisions/0008
        synchronous = sql.execute("PRAGMA synchronous").fetchone()[0]
        if (mode, synchronous) != ("wal", 1):
            raise StoreError(f"{self._path} cannot be used as it has to be: {mode}, {synchronous}")
        sql.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
        # They are for other programs: what we write is checked before, and they cost a third of an insert.
        sql.execute("PRAGMA ignore_check_constraints = ON")

    def _bring_up_to_date(self, *, create: bool) -> None:
        try:
            self.sql.execute("BEGIN IMMEDIATE")
            bring_up_to_date(self.sql, self.sql, self._path, create=create)
            self.sql.execute("COMMIT")
        finally:
            self.rollback()


def is_full(error: Exception, module: Any) -> bool:
    """Whether an error says that there is no room."""
    return getattr(error, "sqlite_errorcode", None) in (module.SQLITE_FULL, module.SQLITE_IOERR_WRITE)


def unusable(path: str, error: Exception, module: Any) -> StoreError:
    """Return what an error of SQLite or of the system means for the store."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == module.SQLITE_NOTADB:
        return StoreDamaged(
            f"{path} is not a SQLite database, or its first page is damaged; see whether the URL names "
            "another kind of store, or restore a copy"
        )
    if code == module.SQLITE_CORRUPT:
        return StoreDamaged(f"{path} is damaged ({error}); restore a copy, or `sqlite3 … .recover`")
    if code in (module.SQLITE_BUSY, module.SQLITE_LOCKED):
        return StoreBusy(
            f"{path} is locked by another program's transaction, or one of your own ({error}); nothing was "
            "stored. End that first, or put within it with connection="
        )
    return StoreFailed(f"{path} cannot be used: {error}; nothing was stored")
