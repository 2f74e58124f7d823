"""What a store asks of its file system, and the few calls on directories and new files."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from distqueue.errors import StoreError, StoreFailed, StoreMissing
from distqueue.filesystems import file_system_of

_NETWORK: Final = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "ncpfs",
        "fuse.sshfs",
    }
)


def refuse_network(path: str) -> None:
    """Refuse a directory on a network file system, where locks and syncs do not hold what they promise.

    Raises:
        StoreError: it is on one.
    """
    kind = file_system_of(os.path.realpath(os.path.dirname(path) or "."))
    if kind in _NETWORK:
        raise StoreError(
            f"{path} is on a network file system ({kind}), where neither locks nor syncs can be relied on; "
            "keep the store on a local disk, or use a server engine"
        )


def open_regular(path: str) -> int:
    """Open a file that exists, for reading and writing, if it is a plain file and no link.

    Raises:
        StoreMissing: there is none.
        StoreError: it is something else, or may not be opened.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise StoreMissing(f"no store at {os.path.abspath(path)}") from None
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise StoreError(f"{path} cannot be opened as a store: {reason}") from error
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(fd)
        what = "has a second name (a hard link)" if stat.S_ISREG(status.st_mode) else "is not a plain file"
        raise StoreError(f"{path} {what}; a store is a file of its own, so that its lock guards it")
    return fd


def read_all(fd: int, offset: int = 0) -> bytes:
    """Return what a file holds from ``offset`` on; one read gives no more than 2 GiB."""
    chunks = []
    while chunk := os.pread(fd, 1 << 30, offset):
        chunks.append(chunk)
        offset += len(chunk)
    return b"".join(chunks)


@contextmanager
def replacing(path: str) -> Iterator[int]:
    """Give a new file, which takes the place of the one at ``path`` when the block ends without error.

    The recipe: a new file in the same directory, sync, rename, sync of the directory.
    """
    temporary = f"{path}.tmp-{secrets.token_hex(8)}"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(temporary, flags, 0o600)
    try:
        yield fd
        os.fsync(fd)
        os.rename(temporary, path)
    except BaseException:
        os.close(fd)
        with suppress(FileNotFoundError):  # interrupted just after the rename
            os.unlink(temporary)
        raise
    try:
        sync_directory(path)
    except OSError as error:
        os.close(fd)
        raise StoreFailed(f"{path} was replaced, but its directory could not be synced: {error}") from error


class DirectoryWatch:
    """Tells cheaply whether names in a directory have changed: files were renamed, removed or replaced.

    It compares the directory's time of change, as ``stat`` of the store's own file has a price: on file
    systems with multigrain timestamps the write that follows dirties the inode, and its sync takes half
    as long again (``docs/decisions/0005``). A time that is too young to tell two changes apart is not
    trusted yet.
    """

    _YOUNG_NS: Final = 50_000_000
    _YOUNG_NS_IN_SECONDS: Final = 3_000_000_000
    """For file systems that keep whole seconds, or every other one."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._fd = self._trusted = self._changed_at = -1

    def open(self) -> None:
        """Begin to watch."""
        self._fd = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)

    def may_have_changed(self) -> bool:
        """Whether names may have changed since the last ``trust``."""
        self._changed_at = os.fstat(self._fd).st_ctime_ns  # which nobody can set back
        return self._changed_at != self._trusted

    def trust(self) -> None:
        """Note that all names are as they should be, as of the last question."""
        young = self._YOUNG_NS if self._changed_at % 1_000_000_000 else self._YOUNG_NS_IN_SECONDS
        if time.time_ns() - self._changed_at > young:
            self._trusted = self._changed_at

    def close(self) -> None:
        """Close the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def sync_directory(path: str) -> None:
    """Let the name of a file be on the disk."""
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_leftovers(path: str) -> None:
    """Remove new files that a killed process did not come to put in place. The lock is held."""
    directory, name = os.path.split(path)
    prefix = f"{name}.tmp-"
    for entry in os.scandir(directory or "."):
        if entry.name.startswith(prefix) and len(entry.name) == len(prefix) + 16:
            with suppress(IsADirectoryError):
                os.unlink(entry.path)


def write_aside(path: str, kind: str, data: bytes) -> str:
    """Keep bytes that were cut off in a file beside the store; return its path."""
    aside = f"{path}.{kind}-{secrets.token_hex(4)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(aside, flags, 0o600)
    try:
        block = memoryview(data)
        while block:
            block = block[os.write(fd, block) :]
        os.fsync(fd)
    except OSError as error:
        os.unlink(aside)
        raise StoreError(
            f"{len(data)} bytes of {path} have to be kept aside, but cannot be written: {error.strerror}"
        ) from error
    finally:
        os.close(fd)
    return aside
