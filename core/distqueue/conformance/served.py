"""The suite through a broker process's loop: the same clauses, with a pipe or a socket in between.

    class TestAcmeThroughAPipe(ThroughAPipe, BackendConformance):
        url = "acme://…"

The loop runs in a thread of the test, as a process for each store would take most of the time; what goes
over the wire is the same.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from collections.abc import Callable
from typing import Unpack

from distqueue.broker import Broker
from distqueue.broker.channel import Channel
from distqueue.broker.connection import Connection
from distqueue.broker.service import Service
from distqueue.conformance.suite.subject import StoreOptions, Subject
from distqueue.groupcommit import GroupCommit
from distqueue.opening import open_broker
from distqueue.urls import parse_url


class Serving:
    """A store that is served in a thread, until the last of its clients is closed."""

    def __init__(self, url: str, **options: Unpack[StoreOptions]) -> None:
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

    def dial_socket(self) -> Channel:
        """Return a channel to the socket."""
        return Channel.to_socket(self._service.address.path)

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


class ThroughASocket(Subject):
    """The store of each test is served, and reached through a Unix socket."""

    def open(self, url: str | None = None, *, create: bool = True, **options: Unpack[StoreOptions]) -> Broker:
        place = url or self.store
        if not create:
            open_broker(place, create=False).close()  # serving a store creates it
        servings: dict[str, Serving] = self.__dict__.setdefault("_servings", {})
        serving = servings.get(place)
        if serving is None or not serving.runs:
            serving = servings[place] = Serving(place, **options)
        broker = serving.enter(self.way_in(serving))
        self.cleanup.callback(broker.close)
        return broker

    def way_in(self, serving: Serving) -> Callable[[], Channel]:
        """Return what opens a channel."""
        return serving.dial_socket


class ThroughAPipe(ThroughASocket):
    """The store of each test is served, and reached through a pipe."""

    def way_in(self, serving: Serving) -> Callable[[], Channel]:
        return serving.dial_pipe
