"""The one LMDB environment of this process for a store, its transactions, and its errors as distqueue's.

Each call is a write transaction under a file lock, which unlike LMDB's own can be waited for with a limit.
LMDB's lock is taken as well, so that its tools (``mdb_copy``, ``mdb_stat``) can be used meanwhile. LMDB lets
a process open an environment once, and no child of a fork may use it: those who open one store share it, and
a fork waits for their transactions.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import lmdb

from distqueue.errors import (
    ConfigError,
    OutcomeUnknown,
    StoreBusy,
    StoreDamaged,
    StoreFailed,
    StoreMissing,
    UnsupportedFormat,
)
from distqueue.filesystems import file_system_of

FORMAT = 1
TABLES = ("queues", "ids", "tasks", "line", "times", "gone")
FILES = {"distqueue.lock", "data.mdb", "lock.mdb"}
DAMAGED = (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.VersionMismatchError)
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph", "fuse.sshfs"}


class Environment:
    """An open store; the keys of a queue begin with its name and a NUL."""

    txn: lmdb.Transaction[bytes]

    def __init__(self, path: str, map_size: int, lock_timeout: float, create: bool) -> None:
        self.path = path
        self.users = 0
        self.has_failed = self.has_changed = False
        self.synced = -1  # the last transaction that is known to be on the disk
        self.tables: dict[str | None, lmdb._Database] = {}
        self.lock = threading.Lock()  # among the threads; the file lock is among the processes
        self.descriptor = os.open(path + "/distqueue.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with self.file_lock(time.monotonic() + lock_timeout):
                self.prepare(map_size, create)
        except BaseException:
            os.close(self.descriptor)
            raise

    def prepare(self, map_size: int, create: bool) -> None:
        """Open LMDB's environment, and look whether it is ours; all that is in it is on the disk then."""
        try:
            self.env = lmdb.open(self.path, map_size=map_size, max_dbs=len(TABLES), mode=0o600)
        except lmdb.Error as error:
            raise StoreDamaged(f"{self.path} cannot be opened: {error}") from None
        try:
            self.env.reader_check()
            with self.env.begin(write=True) as txn:
                written = txn.get(b"distqueue")
                if written is None and txn.stat()["entries"]:
                    raise UnsupportedFormat(f"{self.path} is an LMDB environment of something else")
                if written is None and not create:
                    raise StoreMissing(f"no store at {self.path}")
                if int(written or 0) > FORMAT:
                    raise UnsupportedFormat(f"{self.path} was written by a newer distqueue-lmdb")
                self.tables[None] = self.env.open_db(None, txn=txn)
                self.tables |= {name: self.env.open_db(name.encode(), txn=txn) for name in TABLES}
                if written is None:
                    txn.put(b"distqueue", str(FORMAT).encode())
            self.env.sync(True)
            sync_directory(self.path)
            sync_directory(os.path.dirname(self.path))
        except BaseException:
            self.env.close()
            raise

    def free(self) -> None:
        self.env.close()
        os.close(self.descriptor)

    # --- Reading and writing, in a transaction ----------------------------------------------------

    def get(self, table: str | None, key: bytes) -> bytes | None:
        return self.txn.get(key, db=self.tables[table])

    def set(self, table: str | None, key: bytes, value: bytes = b"") -> None:
        self.has_changed = True
        self.txn.put(key, value, db=self.tables[table])

    def delete(self, table: str | None, key: bytes) -> None:
        self.has_changed = True
        self.txn.delete(key, db=self.tables[table])

    def scan(self, table: str, prefix: bytes = b"", after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Go through the keys with a prefix, in their order; do not write meanwhile."""
        with self.txn.cursor(self.tables[table]) as cursor:
            found = cursor.set_range(max(prefix, after))
            while found and cursor.key().startswith(prefix):
                if cursor.key() != after:
                    yield cursor.item()
                found = cursor.next()

    def used(self) -> int:
        """Return how many bytes of the map hold something."""
        stats = [self.txn.stat(table) for table in self.tables.values()]
        pages = sum(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"] for stat in stats)
        return pages * stats[0]["psize"]

    def size(self) -> int:
        return self.env.info()["map_size"]

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Undo what the block has written if it raises."""
        outer = self.txn
        try:
            with self.env.begin(write=True, parent=outer) as self.txn:
                yield
        finally:
            self.txn = outer

    # --- Transactions -----------------------------------------------------------------------------

    @contextmanager
    def transaction(self, lock_timeout: float) -> Iterator[None]:
        """Have the store for oneself; commit what the block has written, or none of it if it raises."""
        deadline = time.monotonic() + lock_timeout
        if not self.lock.acquire(timeout=lock_timeout):
            raise self.busy()
        try:
            if self.has_failed:
                raise StoreFailed(f"{self.path} failed before; close it and open it again")
            with self.file_lock(deadline):
                self.begin()
                try:
                    yield
                except lmdb.Error as error:
                    raise self.failed(error) from error
                except BaseException:
                    self.txn.abort()
                    raise
                self.commit()
        finally:
            self.lock.release()

    def begin(self) -> None:
        self.has_changed = False
        try:
            try:
                self.txn = self.env.begin(write=True)
            except lmdb.MapResizedError:  # another process has a larger map
                self.env.set_mapsize(0)
                self.txn = self.env.begin(write=True)
        except lmdb.Error as error:
            raise self.failed(error) from error

    def commit(self) -> None:
        """Commit, which syncs. If only something was read, see that what was read is on the disk."""
        last = self.txn.id()
        try:
            if self.has_changed:
                self.txn.commit()
            else:
                self.txn.abort()
                last -= 1
                if last != self.synced:  # of another process, which may have been killed before its sync
                    self.env.sync(True)
            self.synced = last
        except lmdb.MapFullError as error:
            raise self.failed(error) from error
        except (lmdb.Error, OSError) as error:
            self.failed(error)
            raise OutcomeUnknown(f"{self.path} was perhaps not written: {error}") from error

    def failed(self, error: Exception) -> StoreDamaged | StoreFailed:
        """Give this environment up, as what it has in memory is not to be trusted; return what to say."""
        self.has_failed = True
        self.env.close()  # aborts the transaction
        if isinstance(error, DAMAGED):
            return StoreDamaged(f"{self.path} is not what was written: {error}")
        hint = "; open it with a larger map_size" if isinstance(error, lmdb.MapFullError) else ""
        return StoreFailed(f"{self.path}: nothing was stored: {error}{hint}")

    @contextmanager
    def file_lock(self, deadline: float) -> Iterator[None]:
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise self.busy() from None
                time.sleep(0.001)
        try:
            yield
        finally:
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def busy(self) -> StoreBusy:
        return StoreBusy(f"{self.path} was locked for longer than lock_timeout; try again")


# --- The environments of this process, by path --------------------------------------------------------

OPEN: dict[str, Environment] = {}
OPENING = threading.Lock()


def open_environment(path: str, map_size: int, lock_timeout: float, create: bool) -> Environment:
    """Return the environment of a store, to be given to :func:`let_go` in the end."""
    path = os.path.realpath(path)
    with OPENING:
        check_directory(path, create)
        environment = OPEN.get(path)
        if environment is None or environment.has_failed or not is_there(environment):
            environment = OPEN[path] = Environment(path, map_size, lock_timeout, create)
        environment.users += 1
        return environment


def let_go(environment: Environment) -> None:
    """Close an environment if nobody in this process uses it any more."""
    with OPENING, environment.lock:
        environment.users -= 1
        if not environment.users:
            environment.free()
            if OPEN.get(environment.path) is environment:
                del OPEN[environment.path]


def is_there(environment: Environment) -> bool:
    """Return whether the store is still the one at its path: it may have been removed and made anew."""
    with suppress(FileNotFoundError):
        return os.path.samestat(
            os.stat(environment.path + "/distqueue.lock"), os.fstat(environment.descriptor)
        )
    return False


def before_fork() -> None:
    OPENING.acquire()
    for environment in OPEN.values():
        environment.lock.acquire()


def after_fork() -> None:
    for environment in OPEN.values():
        environment.lock.release()
    OPENING.release()


def after_fork_in_child() -> None:
    """Close the copies, which takes nothing from the parent; the child may open the stores for itself."""
    for environment in OPEN.values():
        environment.free()
    after_fork()
    OPEN.clear()


os.register_at_fork(before=before_fork, after_in_parent=after_fork, after_in_child=after_fork_in_child)


def check_directory(path: str, create: bool) -> None:
    """Make the directory of a store if it is missing; refuse one that cannot be a store."""
    if not create and not os.path.exists(path + "/data.mdb"):
        raise StoreMissing(f"no store at {path}")
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        raise ConfigError(f"there is no directory {parent} to make {os.path.basename(path)} in")
    if file_system_of(parent) in NETWORK:
        raise ConfigError(f"{path} is on a network file system, on which LMDB is not safe")
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    if not os.path.isdir(path):
        raise ConfigError(f"{path} is no directory: name one that is a store, or does not exist")
    names = {*os.listdir(path)}
    if names - FILES and "data.mdb" not in names:
        raise ConfigError(f"{path} is no store, and has other files in it: name a new directory")


def sync_directory(path: str) -> None:
    """Bring the names in a directory to the disk."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
