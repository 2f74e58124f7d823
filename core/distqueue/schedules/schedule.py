"""A schedule as the store keeps it: everything that is needed to go on without the app."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import msgspec

from distqueue.commands import Put
from distqueue.errors import InvalidTask
from distqueue.limits import check_queue_name
from distqueue.payload import Payload
from distqueue.schedules.ticks import Cron, Interval, Ticks
from distqueue.task import DEFAULT_OPTIONS, TaskOptions

QUEUE: Final = "distqueue.schedules"
"""The queue that the links of all chains are in."""
LAST_TICK: Final = "last-tick"
"""The header of a link that says when the schedule last ticked, in seconds since the epoch."""
GRACE: Final = 60.0


class Missed(StrEnum):
    """What becomes of ticks that no worker came to in time."""

    SKIP = "skip"
    """They are left out."""
    ONE = "one"
    """One task is put for all of them."""
    ALL = "all"
    """A task is put for each."""


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When it ticks (``cron`` in a ``timezone``, or ``every`` so many seconds), and which task that puts.

    ``app`` is the app that defines it, as ``distqueue work`` was given it; ``grace`` is how many seconds late
    a tick may be before it counts as missed. The rest is the task: ``task`` is the handler's name,
    ``data`` the payload, ``delay`` in seconds.
    """

    name: str
    app: str = ""
    cron: str | None = None
    every: float | None = None
    timezone: str = "UTC"
    missed: Missed = Missed.ONE
    grace: float = GRACE
    task: str
    queue: str
    data: msgspec.Raw
    options: TaskOptions = DEFAULT_OPTIONS
    delay: float | None = None

    @property
    def spec(self) -> str:
        """When it ticks, for people."""
        return f"every {self.every:g} s" if self.cron is None else self.cron

    def ticks(self) -> Ticks:
        """Return when it ticks.

        Raises:
            ConfigError: that cannot be known here, such as for want of the time zone.
        """
        return Interval(self.every or 0.0) if self.cron is None else Cron(self.cron, self.timezone)

    def put(self, task_id: str) -> Put:
        """Return its task, with an id."""
        return Put(
            queue=self.queue,
            task_id=task_id,
            data=Payload(bytes(self.data)),
            options=self.options,
            delay=self.delay,
        )

    def tick(self, at: float) -> Put:
        """Return the task of a tick: the same id whoever makes it."""
        return self.put(f"{self.name}@{_shown(at)}")


class _LinkData(msgspec.Struct, frozen=True):
    """The payload of a link."""

    schedule: msgspec.Raw
    at: float


_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_decode_schedule: Final = msgspec.json.Decoder(Schedule).decode
_decode_link: Final = msgspec.json.Decoder(_LinkData).decode


class Definition:
    """A schedule and its bytes, which a newer distqueue may have written: they are kept as they are."""

    def __init__(self, raw: bytes) -> None:
        self.raw = bytes(raw)
        self.schedule = _decode_schedule(self.raw)
        self.key = f"{self.schedule.name}#{hashlib.sha256(self.raw).hexdigest()[:12]}"
        """The schedule's name, and what is another one if anything about it is changed."""

    def __repr__(self) -> str:
        return f"<Definition {self.key}>"

    @classmethod
    def of(cls, schedule: Schedule) -> Definition:
        """Return the definition of a schedule."""
        return cls(_encode(schedule))


class Link:
    """One link of a chain: a task that is due at a tick."""

    def __init__(self, definition: Definition, at: float) -> None:
        self.definition = definition
        self.schedule = definition.schedule
        self.at = at

    def __repr__(self) -> str:
        return f"<Link {self.definition.key} at {_shown(self.at)}>"

    @classmethod
    def read(cls, data: bytes | msgspec.Raw) -> Link:
        """Return the link in a payload.

        Raises:
            InvalidTask: there is none.
        """
        try:
            found = _decode_link(data)
            link = cls(Definition(found.schedule), found.at)
            check_queue_name(pause_queue(link.schedule.name))
            _shown(link.at)
        except (msgspec.DecodeError, ValueError, OverflowError) as error:  # a name or a time that is none
            raise InvalidTask(f"this is no schedule ({error}); put your tasks into another queue") from None
        return link

    def put(self, last_tick: str | None = None, attempt: int = 0) -> Put:
        """Return the link's task. ``attempt`` is for a chain that begins where another one was removed."""
        name, _, digest = self.definition.key.rpartition("#")
        again = f".{attempt}" if attempt else ""
        return Put(
            queue=QUEUE,
            task_id=f"{name}@{_shown(self.at)}#{digest}{again}",
            data=Payload(_encode(_LinkData(msgspec.Raw(self.definition.raw), self.at))),
            options=TaskOptions(
                max_attempts=None, headers=None if last_tick is None else {LAST_TICK: last_tick}
            ),
            due=self.at,
        )


def pause_queue(name: str) -> str:
    """Return the queue that is paused if the schedule is: it never has a task."""
    return f"{QUEUE}.{name}"


def _shown(at: float) -> str:
    when = datetime.fromtimestamp(at, UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S") + (f".{when.microsecond:06d}" if when.microsecond else "") + "Z"
