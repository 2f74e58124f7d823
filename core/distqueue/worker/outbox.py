"""What the threads of a child say to its worker."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections import deque

from distqueue.worker.wire import FromChild, encode


class Outbox:
    """Sends what threads say. What is said while one of them sends goes out together, and nobody waits."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._sending = threading.Lock()
        self._unsent: deque[bytes] = deque()
        self._is_planned = False
        """Whether what a loop says is sent in its next turn; only the loop's thread asks."""
        self._loop_said = threading.Event()
        self._is_closed = False
        self._helper: threading.Thread | None = None

    def say(self, message: FromChild) -> None:
        """Tell the worker something; without a worker there is no reason to go on."""
        self._unsent.append(encode(message))
        self._send()

    def say_from(self, loop: asyncio.AbstractEventLoop, message: FromChild) -> None:
        """Tell the worker something from a callback of a loop: what follows at once goes out with it.

        If a later callback blocks the loop, a thread sends it meanwhile.
        """
        self._unsent.append(encode(message))
        if not self._is_planned:
            self._is_planned = True
            loop.call_soon(self._send_planned)
            if self._helper is None:
                self._helper = threading.Thread(target=self._help, name="distqueue-outbox", daemon=True)
                self._helper.start()
            self._loop_said.set()

    def close(self) -> None:
        """Send what is left, and end the thread."""
        self._is_closed = True
        self._loop_said.set()
        if self._helper is not None:
            self._helper.join()
        self._send()

    def _send_planned(self) -> None:
        self._is_planned = False
        self._send()

    def _help(self) -> None:
        while not self._is_closed:
            self._loop_said.wait()
            self._loop_said.clear()
            self._send()

    def _send(self) -> None:
        while self._unsent and self._sending.acquire(blocking=False):
            try:
                self._socket.sendall(b"".join([self._unsent.popleft() for _ in range(len(self._unsent))]))
            except OSError:
                os._exit(1)
            finally:
                self._sending.release()
