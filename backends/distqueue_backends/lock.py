"""The lock beside a store: one process at a time reads what others appended and appends its own.

``Queue.json.lock`` is locked with ``flock`` on a descriptor that is kept open, and never removed. It
also holds the mark of a store whose sync failed, and the address of the broker process that keeps it
locked for as long as it lives; what it says of that is believed only while the lock is held. Why waiting
is polled, in steps of at most a millisecond, and why the sync happens after the lock is given up:
``docs/decisions/0004``.
"""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Final

from filelock import lock_descriptor, unlock_descriptor

from distqueue.errors import StoreBusy, StoreError, StoreServed
from distqueue_backends.beside import open_beside

FAILED: Final = b"failed\n"
_NO_MARK: Final = b" " * len(FAILED)
_SERVED: Final = b"served at "
_MOST_ADDRESS: Final = 256
_MOST: Final = len(FAILED) + len(_SERVED) + _MOST_ADDRESS + 1

_FIRST_PAUSE: Final = 0.00003
_LONGEST_PAUSE: Final = 0.001


class StoreLock:
    """The lock of one store, for one process. Not re-entrant; one thread at a time uses it.

    >>> with StoreLock("/var/lib/app/Queue.json.lock", timeout=10.0):
    ...     ...
    """

    def __init__(self, path: str, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._address: str | None = None
        self._fd, self._inode = self._open()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock, waiting for at most the timeout.

        Raises:
            StoreBusy: another process held it all the time; the message names it where that is known.
        """
        if self._address is None and not lock_descriptor(self._fd, blocking=False):
            self._wait()

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it; tell whether it is held now."""
        return self._address is not None or bool(lock_descriptor(self._fd, blocking=False))

    def release(self) -> None:
        """Give the lock up, unless it is held for good."""
        if self._fd >= 0 and self._address is None:
            unlock_descriptor(self._fd)

    def hold(self, address: str) -> None:
        """Keep the lock until :meth:`close`, and say where the store is served. The lock is held."""
        if len(os.fsencode(address)) > _MOST_ADDRESS:
            raise StoreError(f"{address} is too long for the address of a broker process")
        self._note(is_marked=self.is_marked(), address=address)
        self._address = address

    def let_go(self) -> None:
        """End what :meth:`hold` began: take back what was said, and give the lock up."""
        if self._address is not None:
            self._note(is_marked=self.is_marked(), address=None)
            self._address = None
            self.release()

    def check_served(self) -> None:
        """Refuse to go on if a broker process has the store.

        Raises:
            StoreServed: it does; the error names its address.
        """
        if (address := self._served_at()) is not None:
            if not lock_descriptor(self._fd, blocking=False):
                raise self._served(address)
            self._note(is_marked=self.is_marked(), address=None)
            unlock_descriptor(self._fd)

    def mark_failed(self) -> None:
        """Note that a sync failed: the next who opens the store writes it anew."""
        os.pwrite(self._fd, FAILED, 0)

    def clear_mark(self) -> None:
        """Note that the store has been written anew. The lock is held."""
        self._note(is_marked=False, address=self._address)

    def is_marked(self) -> bool:
        """Whether a sync of the store failed since it was last written anew. The lock is held."""
        return os.pread(self._fd, len(FAILED), 0) == FAILED

    def close(self) -> None:
        """Close the descriptor; this gives the lock up if it is held."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _wait(self) -> None:
        deadline = time.monotonic() + self._timeout
        pause = _FIRST_PAUSE
        while not lock_descriptor(self._fd, blocking=False):
            if time.monotonic() >= deadline:
                raise StoreBusy(
                    f"{self._path} was locked by {self._holder()} for over {self._timeout:g} s; "
                    "nothing was stored. Try again, end that process if it hangs, or raise lock_timeout"
                )
            if (address := self._served_at()) is not None:
                raise self._served(address)
            time.sleep(pause)
            pause = min(pause * 1.2, _LONGEST_PAUSE)

    def _served_at(self) -> str | None:
        note = os.pread(self._fd, _MOST, len(FAILED))
        address, end, _ = note.removeprefix(_SERVED).partition(b"\n")
        return os.fsdecode(address) if note.startswith(_SERVED) and end else None

    def _served(self, address: str) -> StoreServed:
        return StoreServed(
            f"{self._path.removesuffix('.lock')} is served at {address} by a broker process "
            f"({self._holder()}); stop that first",
            address,
        )

    def _note(self, *, is_marked: bool, address: str | None) -> None:
        served = b"" if address is None else _SERVED + os.fsencode(address) + b"\n"
        mark = FAILED if is_marked else _NO_MARK if served else b""
        os.pwrite(self._fd, mark + served, 0)
        os.ftruncate(self._fd, len(mark + served))

    def _holder(self) -> str:
        """Name the process that holds the lock, as the kernel knows it (Linux)."""
        try:
            with open("/proc/locks") as locks:
                for line in locks:
                    fields = line.split()
                    if fields[1] == "FLOCK" and fields[5].endswith(f":{self._inode}"):
                        return f"process {fields[4]}"
        except (OSError, IndexError):
            pass
        return "another process"

    def ensure_in_place(self) -> None:
        """If somebody removed the lock file, lock the one that is there now, so that there is one lock."""
        while not self._is_in_place():
            fd, inode = self._open()
            self.close()
            self._fd, self._inode = fd, inode
            address, self._address = self._address, None
            self.acquire()
            if address is not None:
                self.hold(address)

    def _is_in_place(self) -> bool:
        try:
            return os.stat(self._path, follow_symlinks=False).st_ino == self._inode
        except FileNotFoundError:
            return False

    def _open(self) -> tuple[int, int]:
        fd = open_beside(self._path, "lock", _MOST)
        try:
            if _is_ours(os.pread(fd, _MOST, 0)):
                return fd, os.fstat(fd).st_ino
        except OSError as error:
            os.close(fd)
            raise StoreError(f"the lock file {self._path} cannot be read: {error.strerror}") from error
        os.close(fd)
        raise StoreError(f"{self._path} is not a lock file of distqueue; move it out of the way")


def _is_ours(content: bytes) -> bool:
    mark, rest = content[: len(FAILED)], content[len(FAILED) :]
    return mark in (b"", FAILED, _NO_MARK) and (not rest or rest.startswith(_SERVED))
