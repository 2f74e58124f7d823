"""The lock beside a store: one process at a time reads what others appended and appends its own.

``Queue.json.lock`` is locked with ``flock`` on a descriptor that is kept open, and never removed.
It also holds the mark of a store whose sync failed. Why waiting is polled, in steps of at most a
millisecond, and why the sync happens after the lock is given up: ``docs/decisions/0004``.
"""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Final

from filelock import lock_descriptor, unlock_descriptor

from distqueue.errors import StoreBusy
from distqueue_backends.beside import open_beside

FAILED: Final = b"failed\n"

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
        if not lock_descriptor(self._fd, blocking=False):
            self._wait()

    def release(self) -> None:
        """Give the lock up."""
        if self._fd >= 0:
            unlock_descriptor(self._fd)

    def mark_failed(self) -> None:
        """Note that a sync failed: the next who opens the store writes it anew."""
        os.pwrite(self._fd, FAILED, 0)

    def clear_mark(self) -> None:
        """Note that the store has been written anew. The lock is held."""
        os.ftruncate(self._fd, 0)

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
            time.sleep(pause)
            pause = min(pause * 1.2, _LONGEST_PAUSE)

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
            self.acquire()

    def _is_in_place(self) -> bool:
        try:
            return os.stat(self._path, follow_symlinks=False).st_ino == self._inode
        except FileNotFoundError:
            return False

    def _open(self) -> tuple[int, int]:
        fd = open_beside(self._path, "lock", len(FAILED))
        return fd, os.fstat(fd).st_ino
