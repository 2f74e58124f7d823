"""When a schedule ticks: by a cron expression in a time zone, or in equal steps.

Ticks are points in time, in seconds since the Unix epoch, and depend on nothing but the schedule: whoever
asks, and from whenever on, finds the same ones.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from distqueue.errors import ConfigError
from distqueue.limits import MAX_SECONDS

SHORTEST: Final = 0.1
"""The shortest interval, in seconds."""
_MICRO: Final = 1_000_000
_FIRST_LOOK, _WIDER = 3600.0, 8


class Ticks(ABC):
    """The ticks of a schedule."""

    @abstractmethod
    def after(self, when: float) -> float | None:
        """Return the first tick after a point in time; ``None`` if there is none within 50 years."""

    @abstractmethod
    def latest(self, after: float, until: float) -> float | None:
        """Return the last tick that is later than ``after`` and not later than ``until``."""

    def between(self, after: float, until: float) -> Iterator[float]:
        """Go through the ticks that are later than ``after`` and not later than ``until``."""
        tick = self.after(after)
        while tick is not None and tick <= until:
            yield tick
            tick = self.after(tick)


class Interval(Ticks):
    """Ticks in equal steps that count from the epoch, so that all workers count the same."""

    def __init__(self, every: float) -> None:
        if not every >= SHORTEST:
            raise ConfigError(f"every is {every:g} s; use at least {SHORTEST} s")
        if every > MAX_SECONDS:
            raise ConfigError(f"every is {every:g} s; use less than 100 years")
        self._step = round(every * _MICRO)

    def after(self, when: float) -> float:
        return (self._steps(when) + 1) * self._step / _MICRO

    def latest(self, after: float, until: float) -> float | None:
        last = self._steps(until) * self._step / _MICRO
        return last if last > after else None

    def _steps(self, when: float) -> int:
        return math.floor(when * _MICRO + 0.5) // self._step


class Cron(Ticks):
    """Ticks where the clock on the wall of a time zone shows what a cron expression of five fields says.

    When the clocks change it does what Debian's cron does. A time of day that is left out ticks as soon as
    the clocks have been put forward; one that comes twice ticks the first time. If the field of the minute or
    of the hour begins with ``*``, it ticks whenever the clock shows such a time: not at all, or twice.
    """

    def __init__(self, expression: str, timezone: str = "UTC") -> None:
        self._expression = " ".join(expression.split())
        self._zone = find_zone(timezone)
        if self._expression.count(" ") != 4:
            raise ConfigError(
                f"{expression!r:.80} is not a cron expression of five fields (minute, hour, day of the "
                "month, month, day of the week); for less than a minute use every=…"
            )
        try:
            CronSim(self._expression, datetime.fromtimestamp(0, self._zone))
        except CronSimError as error:
            raise ConfigError(f"{expression!r:.80} is not a cron expression: {str(error).lower()}") from None

    def after(self, when: float) -> float | None:
        # It knows no difference between the two hours that show the same time: what is past comes first then.
        for tick in CronSim(self._expression, datetime.fromtimestamp(when, self._zone)):
            if (at := tick.timestamp()) > when:
                return at
        return None

    def latest(self, after: float, until: float) -> float | None:
        look = _FIRST_LOOK
        while True:
            since = max(after, until - look)
            last = max(self.between(since, until), default=None)
            if last is not None or since == after:
                return last
            look *= _WIDER


def find_zone(name: str) -> ZoneInfo:
    """Return a time zone by its name in the database of time zones, such as ``Europe/Berlin``.

    Raises:
        ConfigError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # not found, a directory, not a name at all
        raise ConfigError(
            f"there is no time zone {name!r:.80}; use a name such as Europe/Berlin, and install the package "
            "tzdata if this machine knows none"
        ) from error
