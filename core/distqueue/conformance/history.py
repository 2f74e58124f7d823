"""What the processes of a test did, as lines of JSON: what the checker judges.

Each process writes a file of its own, whole lines at a time with one ``os.write``, so that a kill
tears at most the last line, which the reader leaves out. ``at`` is the monotonic clock, which all
processes of one machine share.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import orjson

from distqueue import payload


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True):
    """Something that a process did or learned, at a moment of the monotonic clock, in seconds."""

    at: float
    process: str


# --- Publishing -----------------------------------------------------------------------------------


class PublishInvoked(Event, frozen=True, kw_only=True, tag="publish.invoke"):
    """A put is about to be sent. ``number`` counts the publisher's own tasks."""

    task_id: str
    checksum: int
    queue: str
    number: int


class PublishOk(Event, frozen=True, kw_only=True, tag="publish.ok"):
    """The put was answered with ``Stored``."""

    task_id: str
    duplicate: bool = False


class PublishRefused(Event, frozen=True, kw_only=True, tag="publish.refused"):
    """The put was refused: certainly nothing was stored."""

    task_id: str
    error: str


class PublishUnknown(Event, frozen=True, kw_only=True, tag="publish.unknown"):
    """The put may or may not have been carried out. No answer at all means the same."""

    task_id: str
    error: str


# --- Consuming ------------------------------------------------------------------------------------


class Delivered(Event, frozen=True, kw_only=True, tag="deliver"):
    """A claim returned this task. ``asked`` is when the claim was sent, ``lease`` is in seconds.

    ``position`` is the place among the tasks of the same claim.
    """

    task_id: str
    checksum: int
    queue: str
    receipt: str
    deliveries: int
    attempt: int
    asked: float
    lease: float
    position: int = 0


class Settling(Event, frozen=True, kw_only=True):
    """The base of what happens when a delivery is settled; ``verb`` is the command's name."""

    task_id: str
    receipt: str
    verb: str


class SettleInvoked(Settling, frozen=True, kw_only=True, tag="settle.invoke"):
    """A settling command is about to be sent. ``lease`` is that of an ``extend``, in seconds."""

    lease: float = 0.0


class SettleOk(Settling, frozen=True, kw_only=True, tag="settle.ok"):
    """The delivery was settled."""


class SettleStale(Settling, frozen=True, kw_only=True, tag="settle.stale"):
    """The settling command was refused; nothing changed."""

    error: str


class SettleUnknown(Settling, frozen=True, kw_only=True, tag="settle.unknown"):
    """The settling command may or may not have been carried out. No answer means the same."""

    error: str


# --- The test itself ------------------------------------------------------------------------------


class Fault(Event, frozen=True, kw_only=True, tag="fault"):
    """The test is about to do harm to ``victim``: ``kill``, ``stop`` or ``continue``."""

    kind: str
    victim: str


class Drained(Event, frozen=True, kw_only=True, tag="drain.ok"):
    """Everything was consumed; ``left`` tasks are in the store all the same (``dead`` apart)."""

    left: int = 0
    dead: tuple[str, ...] = ()


type AnyEvent = (
    PublishInvoked
    | PublishOk
    | PublishRefused
    | PublishUnknown
    | Delivered
    | SettleInvoked
    | SettleOk
    | SettleStale
    | SettleUnknown
    | Fault
    | Drained
)

_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class Recorder:
    """Appends the events of one process to a file of its own."""

    def __init__(self, path: str | Path, process: str) -> None:
        self.process = process
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def record(self, events: Iterable[Event]) -> None:
        """Write the events as whole lines, in one system call."""
        lines = b"".join(msgspec.json.encode(event) + b"\n" for event in events)
        if lines:
            os.write(self._file, lines)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def now() -> float:
    """Return the moment by which all processes of the test order their events, in seconds."""
    return time.monotonic()


def payload_checksum(data: bytes) -> int:
    """Return a checksum of the JSON value, the same however a store formats it."""
    return payload.checksum(orjson.dumps(payload.decode(data), option=orjson.OPT_SORT_KEYS))


def read_history(paths: Iterable[Path]) -> list[AnyEvent]:
    """Return the events of all files in the order of time; a torn last line is left out."""
    return sorted((event for path in paths for event in read_events(path)), key=lambda event: event.at)


def read_events(path: Path) -> Iterator[AnyEvent]:
    """Yield the events of one file in the order in which they were written."""
    *lines, _torn = path.read_bytes().split(b"\n")
    for line in lines:
        yield _decoder.decode(line)
