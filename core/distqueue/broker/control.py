"""What a manager and the broker process that it started say to each other, over a socket between the two.

A message is a packet; a client's end of a pipe travels with the message that announces it.
"""

from __future__ import annotations

import os
import socket
from typing import Any, Final

import msgspec

from distqueue.broker.event import Failure


class Serve(msgspec.Struct, frozen=True, tag="serve"):
    """The first message: which store to serve, and how."""

    url: str
    options: dict[str, Any]
    path: str | None = None
    before: str | None = None
    """Where a process that died served it, if this one takes its place."""


class Client(msgspec.Struct, frozen=True, tag="client"):
    """Here is the end of a pipe for you; the other one belongs to a client in process ``pid``."""

    pid: int


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Are you well?"""


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Finish what has arrived, and end."""


class Serving(msgspec.Struct, frozen=True, tag="serving"):
    """The store is open, and served at a socket too."""

    path: str


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    """I am well."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The store cannot be served."""

    failure: Failure


type Order = Serve | Client | Ping | Stop
type News = Serving | Pong | Failed

_MOST: Final = 256 * 1024
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final[msgspec.msgpack.Decoder[Order | News]] = msgspec.msgpack.Decoder(Order | News)


class Control:
    """One end of the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    @staticmethod
    def pair() -> tuple[Control, socket.socket]:
        """Return the manager's end, and the socket for the process that it starts."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return Control(ours), theirs

    def say(self, message: Order | News, *descriptors: int) -> None:
        """Send a message.

        Raises:
            OSError: the other end is gone, or takes nothing for longer than the socket's timeout.
        """
        socket.send_fds(self.socket, [_encode(message)], list(descriptors))

    def hear(self) -> tuple[Order | News, list[int]]:
        """Return the next message, and the descriptors that came with it.

        Raises:
            EOFError: the other end is gone.
            OSError: nothing came within the socket's timeout.
        """
        data, descriptors, _, _ = socket.recv_fds(self.socket, _MOST, 4)
        if not data:
            raise EOFError
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        return _decode.decode(data), descriptors

    def close(self) -> None:
        """Hang up."""
        self.socket.close()
