"""What the threads of a child say to its worker."""

from __future__ import annotations

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

    def say(self, message: FromChild) -> None:
        """Tell the worker something; without a worker there is no reason to go on."""
        self._unsent.append(encode(message))
        while self._unsent and self._sending.acquire(blocking=False):
            try:
                self._socket.sendall(b"".join([self._unsent.popleft() for _ in range(len(self._unsent))]))
            except OSError:
                os._exit(1)
            finally:
                self._sending.release()
