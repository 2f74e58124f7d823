"""What goes over a pipe or a socket between a client and a broker process: one :class:`Event` at a time.

A client asks with one event and is answered with one. Nothing is ever unpickled: an event is decoded
into the typed values below, or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from distqueue import commands as c
from distqueue import errors
from distqueue.capabilities import Capabilities
from distqueue.commands import AnyCommand, Command
from distqueue.errors import DistqueueError, OutcomeUnknown, Refused, UniqueTaken
from distqueue.results import AnyResult, Browsed, Claimed, Found, Lease, Outcome, Seen, Settled, Stored
from distqueue.task import TaskRecord

WIRE: Final = 2
"""The version of what is said here. A broker process says it first; who speaks another one leaves."""


class EventType(StrEnum):
    """What an event is about; it follows from the first command in it."""

    WRITE = "write"
    """Tasks are published."""
    READ = "read"
    """Tasks are claimed, waited for or looked at."""
    SETTLE = "settle"
    """Deliveries are settled or prolonged."""
    ADMIN = "admin"
    """Tasks are cancelled, redriven, purged or loaded; the queue is paused, resumed, fenced or cleared."""
    REPLY = "reply"
    """The broker process answers."""
    SHUTDOWN = "shutdown"
    """The broker process is about to end; nothing of what it has not answered was carried out."""


class EventOwner(StrEnum):
    """Who speaks."""

    PUBLISHER = "publisher"
    CONSUMER = "consumer"
    MANAGER = "manager"
    BROKER = "broker"


class Failure(msgspec.Struct, frozen=True, gc=False, tag_field="result", omit_defaults=True):
    """An error, as the name of its class and its message."""

    error: str
    message: str
    task_id: str | None = None

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Return what is said of an error; one that is not ours leaves the outcome unknown."""
        if not isinstance(error, DistqueueError):
            return cls("OutcomeUnknown", f"{type(error).__name__}: {error}")
        return cls(
            type(error).__name__, str(error), error.task_id if isinstance(error, UniqueTaken) else None
        )

    def rebuilt(self) -> DistqueueError:
        """Return the error that this was made of."""
        kind = getattr(errors, self.error, None)
        if not isinstance(kind, type) or not issubclass(kind, DistqueueError):
            return OutcomeUnknown(f"{self.error}: {self.message}")
        if issubclass(kind, UniqueTaken):
            return kind(self.message, self.task_id)
        return kind(self.message)


class Apply(msgspec.Struct, frozen=True, gc=False, tag="apply"):
    """Ask for ``Broker.apply``."""

    commands: Sequence[AnyCommand]

    @classmethod
    def of(cls, commands: Sequence[Command]) -> Apply:
        """Return what is asked in order to have commands carried out."""
        return cls([_packed_load(each) if isinstance(each, c.LoadTask) else each for each in commands])  # type: ignore[misc]

    def rebuilt(self) -> Sequence[Command]:
        """Return the commands that this was made of."""
        return [_unpacked_load(each) if isinstance(each, c.LoadTask) else each for each in self.commands]


class Wait(msgspec.Struct, frozen=True, gc=False, tag="wait"):
    """Ask for ``Broker.wait``, or, with a ``claim``, for ``Broker.park``."""

    queue: str
    seen: Seen
    timeout: float | None
    claim: c.Claim | None = None


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """What a broker process says first."""

    wire: int
    pid: int
    capabilities: Capabilities


class Applied(msgspec.Struct, frozen=True, gc=False, tag="applied"):
    """What ``apply`` returned: by position, a result or a refusal."""

    outcomes: list[AnyResult | Failure]

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Applied:
        """Return what is said of outcomes."""
        if set(map(type, outcomes)) <= _AS_THEY_ARE:
            return cls(outcomes)  # type: ignore[arg-type]
        return cls([_said(each) for each in outcomes])

    def rebuilt(self) -> list[Outcome]:
        """Return the outcomes that this was made of."""
        if set(map(type, self.outcomes)) <= _AS_THEY_ARE:
            return self.outcomes  # type: ignore[return-value]
        return [_meant(each) for each in self.outcomes]


class Woken(msgspec.Struct, frozen=True, gc=False, tag="woken", omit_defaults=True):
    """What ``wait`` returned, or ``park``."""

    seen: Seen
    leases: list[Lease] = []


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The whole call failed."""

    failure: Failure


class Goodbye(msgspec.Struct, frozen=True, tag="goodbye"):
    """The broker process ends as it was asked to."""


type Body = Apply | Wait | Welcome | Applied | Woken | Failed | Goodbye


class Event(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The envelope. A reply has the ``id`` of what it answers."""

    type: EventType
    owner: EventOwner
    id: int
    body: Body


encode: Final = msgspec.msgpack.Encoder(enc_hook=bytes).encode
"""Encodes an event; a payload is a kind of bytes that msgspec does not know."""
_decode: Final = msgspec.msgpack.Decoder(Event).decode


def decode(data: bytes | bytearray | memoryview) -> Event:
    """Return the event in a frame.

    Raises:
        ValueError: it is none.
    """
    try:
        return _decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"this is not an event: {error}") from None


def request(number: int, body: Apply | Wait) -> Event:
    """Return the event in which a client asks."""
    first = body.commands[0] if isinstance(body, Apply) and body.commands else None
    kind = _TYPES.get(type(first), EventType.READ)
    return Event(kind, _OWNERS[kind], number, body)


def reply(number: int, body: Applied | Woken | Failed | Welcome) -> Event:
    """Return the event in which the broker process answers."""
    return Event(EventType.REPLY, EventOwner.BROKER, number, body)


def goodbye() -> Event:
    """Return the last event of a broker process."""
    return Event(EventType.SHUTDOWN, EventOwner.BROKER, 0, Goodbye())


def _said(outcome: Outcome) -> AnyResult | Failure:
    if isinstance(outcome, Refused):
        return Failure.of(outcome)
    if isinstance(outcome, Found | Browsed):
        return _with_records(outcome, _packed)
    return outcome


def _meant(said: AnyResult | Failure) -> Outcome:
    if isinstance(said, Failure):
        error = said.rebuilt()
        return error if isinstance(error, Refused) else Refused(f"{said.error}: {said.message}")
    return _with_records(said, _unpacked) if isinstance(said, Found | Browsed) else said


def _with_records[R: Found | Browsed](result: R, change: Callable[[TaskRecord], TaskRecord]) -> R:
    if isinstance(result, Found):
        return replace(result, task=None if result.task is None else change(result.task))
    return replace(result, tasks=[change(each) for each in result.tasks])


def _packed_load(load: c.LoadTask) -> c.LoadTask:
    return replace(load, record=_packed(load.record))


def _unpacked_load(load: c.LoadTask) -> c.LoadTask:
    return replace(load, record=_unpacked(load.record))


# The data of a record is raw JSON, which has to be packed to stand in an event.


def _packed(record: TaskRecord) -> TaskRecord:
    return replace(record, data=msgspec.Raw(msgspec.msgpack.encode(bytes(record.data))))


def _unpacked(record: TaskRecord) -> TaskRecord:
    return replace(record, data=msgspec.Raw(msgspec.msgpack.decode(record.data, type=bytes)))


_TYPES: Final[dict[type[Command] | type[None], EventType]] = {
    c.Put: EventType.WRITE,
    **dict.fromkeys((c.Ack, c.Retry, c.Release, c.Reject, c.Extend), EventType.SETTLE),
    **dict.fromkeys((c.Cancel, c.Redrive, c.Purge, c.Pause, c.Resume), EventType.ADMIN),
    **dict.fromkeys((c.Fence, c.Clear, c.LoadTask, c.LoadRemembered), EventType.ADMIN),
}
_AS_THEY_ARE: Final[set[type]] = {Stored, Settled, Claimed}
"""The results that most answers consist of, and that are said as they are."""
_OWNERS: Final = {
    EventType.WRITE: EventOwner.PUBLISHER,
    EventType.READ: EventOwner.CONSUMER,
    EventType.SETTLE: EventOwner.CONSUMER,
    EventType.ADMIN: EventOwner.MANAGER,
}
