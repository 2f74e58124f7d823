"""What a worker and its children say to each other, in frames over a socket between the two."""

from __future__ import annotations

import socket
from typing import Any, Final

import msgspec

from distqueue.app.ended import Ended
from distqueue.broker.frames import framed
from distqueue.results import Lease
from distqueue.retry import Backoff
from distqueue.worker.plan import Logs

UNKNOWN_PAUSE: Final = 10.0
"""How long a task that no handler here is for is left to other workers, in seconds."""


class ChildPlan(msgspec.Struct, frozen=True, kw_only=True, tag="plan"):
    """The first thing that a worker says: its process, the app, and how many handlers run at once.

    It is said here, and not on the command line, which everybody on the machine can read: ``url`` may hold a
    password.
    """

    parent: int
    app: str
    slots: int
    url: str | None = None
    queues: tuple[str, ...] = ()
    tells_memory: bool = False
    logs: Logs | None = None


class TaskInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker has to know of a handler. ``timeout`` is in seconds, ``None``: no limit."""

    queue: str
    is_async: bool
    timeout: float | None
    retry: Backoff | None


class QueueInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a queue: its lease in seconds, and the backoff of tasks that fail."""

    lease: float = 30.0
    retry: Backoff = Backoff()


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The first thing that a child says: which app it has imported.

    ``url`` may hold a password, ``place`` is the same without.
    """

    url: str
    place: str
    options: dict[str, Any]
    observers: tuple[str, ...]
    tasks: dict[str, TaskInfo]
    queues: dict[str, QueueInfo]
    schedules: tuple[bytes, ...] = ()
    """The definitions of the app's schedules."""


class Unusable(msgspec.Struct, frozen=True, tag="unusable"):
    """The app cannot be imported or configured, and why."""

    reason: str


class Run(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """Run a handler for a task that was claimed."""

    queue: str
    task: str
    lease: Lease


class Lost(msgspec.Struct, frozen=True, tag="lost"):
    """The lease of this delivery is lost: the handler may want to know."""

    receipt: str


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """There is nothing more to run: end."""


class Result(msgspec.Struct, frozen=True, kw_only=True, tag="result"):
    """What came of a handler. ``memory`` is what the child takes, in bytes, if that is limited."""

    receipt: str
    ended: Ended
    memory: int = 0


type ToChild = ChildPlan | Run | Lost | Finish
type FromChild = Ready | Unusable | Result

_encode: Final = msgspec.msgpack.Encoder(enc_hook=bytes).encode  # a Payload
_to_child: Final[msgspec.msgpack.Decoder[ToChild]] = msgspec.msgpack.Decoder(ToChild)
_from_child: Final[msgspec.msgpack.Decoder[FromChild]] = msgspec.msgpack.Decoder(FromChild)

PIECE: Final = 256 * 1024
"""How many bytes are read at once."""


def encode(message: ToChild | FromChild) -> bytes:
    """Return a message as a frame."""
    return framed(_encode(message))


def decode_for_child(frame: bytes) -> ToChild:
    """Return what a worker says."""
    return _to_child.decode(frame)


def decode_from_child(frame: bytes) -> FromChild:
    """Return what a child says."""
    return _from_child.decode(frame)


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the worker's end and the child's."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
