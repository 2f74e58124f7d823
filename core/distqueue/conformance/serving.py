"""A store that a test serves itself: the loop of a broker process in a thread, clients over real pipes."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

from distqueue.broker import Broker
from distqueue.broker.channel import Channel
from distqueue.broker.connection import Connection
from distqueue.broker.service import Service
from distqueue.groupcommit import GroupCommit
from distqueue.urls import parse_url


class Serving:
    """A store that is served in a thread, until the last of its clients is closed."""

    def __init__(self, url: str, **options: Any) -> None:
        self._service = Service(parse_url(url), **options)
        self._clients = 0
        self._handed: list[socket.socket] = []
        self._ours, theirs = socket.socketpair()
        self._theirs = theirs
        self._service.server.watch(theirs, self._take)
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
        self._clients += 1
        return GroupCommit(_Client(dial, self._leave))

    def _leave(self) -> None:
        self._clients -= 1
        if self._clients == 0:
            self._service.server.stop()
            self._thread.join()
            self._service.close()
            self._ours.close()
            self._theirs.close()

    def _take(self) -> None:
        self._theirs.recv(1)
        self._service.server.add(self._handed.pop(0))


class _Client(Connection):
    """A connection that says when it is closed."""

    def __init__(self, dial: Callable[[], Channel], leave: Callable[[], None]) -> None:
        super().__init__(dial)
        self._leave: Callable[[], None] | None = leave

    def close(self) -> None:
        super().close()
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()
