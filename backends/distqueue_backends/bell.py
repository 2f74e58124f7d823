"""Waking processes that wait for work: a bell file that writers write into and waiters watch.

A ring overwrites the few bytes in it. Its times are left alone: setting those of one file makes the
next sync of another half as slow again (decision 5).
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from contextlib import suppress
from typing import Final, Protocol

from distqueue_backends.beside import open_beside

POLL_INTERVAL: Final = 0.02
"""How often the bell file is looked at where the system cannot tell of changes, in seconds."""

RING: Final = 8
"""How many bytes a ring writes, over those of the ring before."""


class Ear(Protocol):
    """Hears rings of one bell file."""

    def heard(self) -> bool:
        """Tell whether the bell rang since this was last asked."""

    def listen(self, timeout: float | None) -> None:
        """Return when the bell rings, when somebody calls ``wake``, or after ``timeout`` seconds."""

    def wake(self) -> None:
        """Let ``listen`` return."""

    def close(self) -> None:
        """Free everything."""


class InotifyEar:
    """Hears at once, by inotify (Linux)."""

    def __init__(self, path: str) -> None:
        from inotify_simple import INotify, flags

        self._inotify = INotify(nonblocking=True)
        try:
            self._inotify.add_watch(path, flags.MODIFY)
        except OSError:
            self._inotify.close()
            raise
        self._waker = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._inotify.fileno(), select.POLLIN)
        self._poll.register(self._waker, select.POLLIN)

    def heard(self) -> bool:
        try:
            return bool(os.read(self._inotify.fileno(), 4096))
        except BlockingIOError:
            return False

    def listen(self, timeout: float | None) -> None:
        self._poll.poll(None if timeout is None else max(0.0, timeout * 1000))
        with suppress(BlockingIOError):
            os.eventfd_read(self._waker)

    def wake(self) -> None:
        os.eventfd_write(self._waker, 1)

    def close(self) -> None:
        self._inotify.close()
        os.close(self._waker)


class PollingEar:
    """Reads the file again and again: where nothing better is known."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._woken = threading.Event()
        self._last = self._read()

    def heard(self) -> bool:
        before, self._last = self._last, self._read()
        return self._last != before

    def listen(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._read() == self._last and not self._woken.is_set():
            left = POLL_INTERVAL if deadline is None else min(POLL_INTERVAL, deadline - time.monotonic())
            if left <= 0:
                return
            self._woken.wait(left)
        self._woken.clear()

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._woken.set()

    def _read(self) -> bytes:
        try:
            with open(self._path, "rb", buffering=0) as file:
                return file.read(RING)
        except FileNotFoundError:
            return b""


def open_ear(path: str) -> Ear:
    """Return the best ear that this system has for a bell file."""
    if sys.platform == "linux":
        try:
            return InotifyEar(path)
        except OSError:  # no inotify instance left (fs.inotify.max_user_instances)
            pass
    return PollingEar(path)


class Bell:
    """The bell of one store. Any thread may ring and wait; all waiting threads share one ear.

    ``rings`` counts; whoever finds nothing to do at one count waits for the next: no ring is lost.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = open_beside(path, "bell", most_bytes=RING)
        self._ear: Ear | None = None
        self._rings = 0
        self._listening = False
        self._listener = self._closer = 0
        self._closed = False
        self._changed = threading.Condition()

    def ring(self) -> None:
        """Wake everybody who waits, in any process."""
        with suppress(OSError):  # a ring is a hint
            os.pwrite(self._fd, os.urandom(RING), 0)  # by polling, a ring is seen if the bytes changed

    def rings(self) -> int:
        """Return how often the bell rang so far, as far as it was listened to."""
        with self._changed:
            return self._count()

    def wait(self, seen: int, timeout: float | None) -> int:
        """Return the count once it is not ``seen``, the bell is closed, or ``timeout`` seconds are over."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._count() == seen and not self._closed:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                if self._listening:
                    self._changed.wait(left)
                else:
                    self._listen(left)
            return self._rings

    def close(self) -> None:
        """Wake all waiting threads of this process and free everything."""
        with self._changed:
            if self._closed:
                return
            self._closed, self._closer = True, threading.get_ident()
            if self._ear is not None:
                self._ear.wake()
            self._changed.notify_all()
            while self._listening and self._listener != threading.get_ident():
                self._changed.wait()
            if not self._listening:  # else this is a signal handler of the thread that listens
                self._free()

    def _count(self) -> int:
        if self._ear is None and not self._closed:
            self._ear = open_ear(self._path)
        if self._ear is not None and not self._closed and self._ear.heard():
            self._rings += 1
            self._changed.notify_all()
            if self._listening:
                self._ear.wake()  # what this thread heard, the listening one hears no more
        return self._rings

    def _listen(self, timeout: float | None) -> None:
        """Be the one thread that listens; the others wait for what it hears."""
        ear = self._ear
        if ear is None:
            return
        self._listening, self._listener = True, threading.get_ident()
        self._changed.release()
        try:
            ear.listen(timeout)
        finally:
            self._changed.acquire()
            self._listening = False
            self._changed.notify_all()
            if self._closed and self._fd >= 0 and self._listener == self._closer:
                self._free()

    def _free(self) -> None:
        if self._ear is not None:
            self._ear.close()
        os.close(self._fd)
        self._fd = -1
