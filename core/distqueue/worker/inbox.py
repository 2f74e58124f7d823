"""What a child hears from its worker."""

from __future__ import annotations

import os
import socket

from distqueue.broker.frames import Frames
from distqueue.worker.wire import PIECE, ChildPlan, ToChild, decode_for_child


class Inbox:
    """Reads what the worker says, in the order in which it was said."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._frames = Frames()
        self._unread: list[ToChild] = []

    def read_plan(self) -> ChildPlan:
        """Wait for the first thing that a worker says; without a worker there is no reason to begin."""
        match self.read():
            case [ChildPlan() as plan, *unread]:
                self._unread = unread
                return plan
            case _:
                os._exit(1)

    def read(self) -> list[ToChild]:
        """Wait for what the worker says next, and return all that has come; nothing: it is gone."""
        messages, self._unread = self._unread, []
        while not messages and (data := self._received()):
            self._frames.feed(data)
            messages = list(map(decode_for_child, self._frames.whole()))
        return messages

    def _received(self) -> bytes:
        try:
            return self._socket.recv(PIECE)
        except ConnectionResetError:  # it died without having read what it was told
            return b""
