"""The broker process's end of a pipe or a socket: whole events in, answers out, and nobody waits for it."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections import deque
from typing import Final

from distqueue.broker.event import Event, EventType, decode
from distqueue.broker.frames import Frames, framed
from distqueue.errors import DistqueueError

PATIENCE: Final = 30.0
"""How long a client may leave an answer unread, in seconds, before it is cut off."""
_PIECE, _LARGE_PIECE = 64 * 1024, 4 * 1024 * 1024
_CREDENTIALS: Final = struct.Struct("3i")


class Cut(DistqueueError):
    """A client is cut off; the message says why. Its leases run on."""


class Link:
    """One client. While it does not read its answers, nothing more is read from it."""

    def __init__(self, sock: socket.socket, pid: int | None = None) -> None:
        sock.setblocking(False)
        self.socket = sock
        peer, self.uid = _peer(sock)
        self.pid = pid if pid is not None else peer
        self._frames = Frames()
        self._unsent: deque[memoryview] = deque()
        self._stuck_since: float | None = None
        self._owed: int | None = None

    def fileno(self) -> int:
        """Return the descriptor, for a selector."""
        return self.socket.fileno()

    @property
    def has_unsent(self) -> bool:
        """Whether the client has not taken all of its answers yet."""
        return bool(self._unsent)

    @property
    def pending(self) -> int:
        """How many bytes have arrived of a frame that is not whole yet."""
        return len(self._frames)

    def receive(self) -> list[Event]:
        """Return the events that have arrived whole.

        Raises:
            Cut: the client is gone, or what it says is no event that a client may send.
        """
        try:
            data = self.socket.recv(_LARGE_PIECE if self.pending else _PIECE)
        except BlockingIOError:
            return []
        except OSError as error:
            raise Cut(f"it is gone: {error}") from None
        if not data:
            raise Cut("it is gone")
        self._frames.feed(data)
        try:
            events = [decode(frame) for frame in self._frames.whole()]
        except ValueError as error:
            raise Cut(f"it speaks nonsense: {error}") from None
        for event in events:
            if event.type in (EventType.REPLY, EventType.SHUTDOWN):
                raise Cut("it speaks as only a broker process may")
            if self._owed is not None:  # or its answers could fill all memory
                raise Cut("it asks again before it was answered")
            self._owed = event.id
        return events

    def send(self, event: bytes) -> None:
        """Say something, an event that is encoded, as soon as the client takes it.

        Raises:
            Cut: the client is gone.
        """
        self._owed = None
        self._unsent.append(memoryview(framed(event)))
        self.flush()

    def flush(self) -> None:
        """Send what the client takes now.

        Raises:
            Cut: the client is gone.
        """
        try:
            while self._unsent:
                block = self._unsent[0]
                sent = self.socket.send(block)
                self._stuck_since = None
                if sent < len(block):
                    self._unsent[0] = block[sent:]
                else:
                    self._unsent.popleft()
        except BlockingIOError:
            if self._stuck_since is None:
                self._stuck_since = time.monotonic()
        except OSError as error:
            raise Cut(f"it is gone: {error}") from None

    def check_patience(self) -> None:
        """Give a client up that leaves its answers unread.

        Raises:
            Cut: it does so for too long.
        """
        if self._stuck_since is not None and time.monotonic() - self._stuck_since > PATIENCE:
            raise Cut(f"it left an answer unread for over {PATIENCE:g} s")

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


def _peer(sock: socket.socket) -> tuple[int | None, int]:
    """Return the process and the user at the other end; the process is not known everywhere."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None, os.getuid()
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(credentials)
    return pid or None, uid
