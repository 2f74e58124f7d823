"""Durations and points in time as users give them, made into seconds."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from distqueue.errors import InvalidTask

LONGEST: Final = 100 * 365 * 86400.0 + 1
"""More than the longest duration there is, in seconds: a hundred years."""

Duration = float | timedelta
"""How long: a number of seconds, or a ``timedelta``."""


def seconds(name: str, duration: Duration) -> float:
    """Return a duration in seconds; ``name`` is what it is for, for the message.

    Raises:
        InvalidTask: it is neither a number nor a ``timedelta``.
    """
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        raise InvalidTask(f"{name} is {duration!r:.80}; give seconds or a timedelta")
    if not abs(duration) < LONGEST:  # also not a number
        raise InvalidTask(f"{name} is {duration!r:.20} s; use a number, and less than 100 years")
    return duration


def epoch(name: str, when: datetime) -> float:
    """Return a point in time in seconds since the Unix epoch.

    Raises:
        InvalidTask: it has no time zone, so that it does not say when.
    """
    if when.tzinfo is None or when.utcoffset() is None:
        raise InvalidTask(
            f"{name} is {when!r}, which has no time zone; use datetime.now(UTC) + …, or when.astimezone()"
        )
    return when.timestamp()
