"""A store that a test serves itself: the loop of a broker process in a thread, clients over real pipes."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

from distqueue.broker import Broker
from distqueue.broker.channel import Channel
from distqueue.broker.connection import Connection
from distqueue.broker.service import Service
from distqueue.errors import StoreFailed
from distqueue.groupcommit import GroupCommit
from distqueue.urls import parse_url

LONGEST_WAIT: Final = 25.0
"""When a client that waits looks for itself, in seconds: too late to hide from a test that nobody woke it."""


class Serving:
    """A store that is served in a thread, until the last of its clients is closed."""

    def __init__(self, url: str, **options: Any) -> None:
        self._url = url
        self._options = options
        self._clients: list[_Client] = []
        self._handed: list[socket.socket] = []
        self._ours, self._theirs = socket.socketpair()
        self._start()

    def _start(self) -> None:
        self._service = Service(parse_url(self._url), longest_wait=LONGEST_WAIT, **self._options)
        self._service.server.watch(self._theirs, self._take)
        self._thread = threading.Thread(target=self._service.server.run, name="conformance-server")
        self._thread.start()

    @property
    def runs(self) -> bool:
        """Whether somebody can still be served."""
        return self._thread.is_alive()

    @property
    def path(self) -> str:
        """Where the socket is."""
        return self._service.address.path

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return self._service.server.clients

    def dial_socket(self) -> Channel:
        """Return a channel to the socket."""
        return Channel.to_socket(self.path)

    def dial_pipe(self) -> Channel:
        """Return a channel over a new pipe."""
        ours, theirs = multiprocessing.Pipe()
        with theirs:
            self._handed.append(socket.socket(fileno=os.dup(theirs.fileno())))
        self._ours.send(b"!")
        return Channel.over_pipe(ours)

    def enter(self, dial: Callable[[], Channel]) -> Broker:
        """Return a client of the store."""
        client = _Client(dial, self._leave)
        self._clients.append(client)
        return GroupCommit(client)

    def cut(self) -> None:
        """Break the connections of all clients, whatever goes over them."""
        for client in list(self._clients):
            client.cut()

    def restart(self) -> None:
        """End without a goodbye, answer nothing that has arrived, and serve again."""
        self._service.server.failure = StoreFailed("it was ended without warning")
        self._end()
        self._start()

    def _leave(self, client: _Client) -> None:
        self._clients.remove(client)
        if not self._clients:
            self._end()
            self._ours.close()
            self._theirs.close()

    def _end(self) -> None:
        self._service.server.stop()
        self._thread.join()
        self._service.close()

    def _take(self) -> None:
        self._theirs.recv(1)
        self._service.server.add(self._handed.pop(0))


class _Client(Connection):
    """A connection that says when it is closed."""

    def __init__(self, dial: Callable[[], Channel], leave: Callable[[_Client], None]) -> None:
        super().__init__(dial)
        self._leave: Callable[[_Client], None] | None = leave

    def cut(self) -> None:
        """Break every connection that there is now."""
        with self._lock:
            channels = [*self._idle, *self._busy]
        for channel in channels:
            channel.interrupt()

    def close(self) -> None:
        super().close()
        leave, self._leave = self._leave, None
        if leave is not None:
            leave(self)
